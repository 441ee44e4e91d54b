//! Takes parts of a resolved trigger. Gives what they mean, in plain words.

use crate::parse::ast::CompareOp;
use crate::resolve::hist::{
    Compare, Condition, CpumaskOp, Hist, Key, KeyModifier, KeySource, Pattern, Sort, SortBy,
    Source, TextSource, TextTest, Value, ValueModifier,
};

/// What entries are told apart by.
pub(super) fn key(key: &Key, hist: &Hist) -> String {
    let name = name(&key.canonical, hist);
    let of = match &key.source {
        KeySource::Stack => return "the kernel's stack, function by function".to_owned(),
        KeySource::Comm => return format!("{name}: the running task's name"),
        KeySource::Number(source) => source_words(source),
        KeySource::Text(_) => ": as text",
    };
    let shown = match key.modifier {
        KeyModifier::None => "",
        KeyModifier::Hex => ", in hexadecimal",
        KeyModifier::Sym => ", shown as the kernel symbol at that address",
        KeyModifier::SymOffset => ", shown as the kernel symbol at that address, with offset",
        KeyModifier::Log2 => ", by powers of two: each entry is the next one at or above",
        KeyModifier::Buckets(width) => {
            return format!("{name}{of}, by ranges of {width}");
        }
        KeyModifier::Execname => ", shown with the name of the task that came first",
        KeyModifier::Syscall => ", shown as a system call's name",
        KeyModifier::Usecs => ", in microseconds",
    };
    format!("{name}{of}{shown}")
}

/// What is added up.
pub(super) fn value(value: &Value, hist: &Hist) -> String {
    let name = name(&value.canonical, hist);
    let shown = match value.modifier {
        ValueModifier::None | ValueModifier::Execname => "",
        ValueModifier::Hex => ", in hexadecimal",
        ValueModifier::Percent => ", as a share of all in percent",
        ValueModifier::Graph => ", as a bar",
        ValueModifier::Usecs => ", in microseconds",
    };
    let hidden =
        if value.hidden { ", for sorting only: ftrace shows no sums of expressions" } else { "" };
    format!("the sum of {name}{shown}{hidden}")
}

/// With its type, if it is a field.
fn name(canonical: &str, hist: &Hist) -> String {
    match hist.fields.iter().find(|field| field.name == canonical) {
        Some(field) => format!("{canonical} ({})", field.type_name),
        None => canonical.to_owned(),
    }
}

const fn source_words(source: &Source) -> &'static str {
    match source {
        Source::Pid => ": the running thread's number",
        Source::Cpu => ": the CPU's number",
        Source::Timestamp { .. } => ": the time of the event",
        Source::Constant(_) => ": always the same",
        Source::Record(_)
        | Source::Log2(_)
        | Source::Buckets(..)
        | Source::Negate(_)
        | Source::Binary(..) => "",
    }
}

/// The order of a table's lines.
pub(super) fn order(sort: &[Sort], hist: &Hist) -> String {
    let by = |sort: &Sort| {
        let name = match sort.by {
            SortBy::Hitcount => "hitcount".to_owned(),
            SortBy::Value(idx) => hist.values[idx].canonical.clone(),
            SortBy::Key(idx) => hist.keys[idx].canonical.clone(),
        };
        format!("{name}, {} first", if sort.descending { "largest" } else { "smallest" })
    };
    sort.iter().map(by).collect::<Vec<_>>().join("; then ")
}

/// Which events count; parts in parentheses where they are nested.
pub(super) fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Any(parts) => joined(parts, " or "),
        Condition::All(parts) => joined(parts, " and "),
        Condition::Not(inner) => match &**inner {
            Condition::Text(test) => text(test, true),
            inner => format!("not {}", nested(inner)),
        },
        Condition::Compare(compare) => self::compare(compare),
        Condition::Within(within) => format!("`{}`", within.label),
        Condition::Text(test) => text(test, false),
        Condition::Cpumask(test) => match test.op {
            CpumaskOp::Equal => format!("the CPUs are just those of `{}`", test.label),
            CpumaskOp::Intersects => format!("some CPU is among those of `{}`", test.label),
        },
        Condition::Always(true) => "always".to_owned(),
        Condition::Always(false) => "never (no event can meet it)".to_owned(),
    }
}

fn joined(parts: &[Condition], word: &str) -> String {
    parts.iter().map(nested).collect::<Vec<_>>().join(word)
}

fn nested(condition: &Condition) -> String {
    let words = self::condition(condition);
    match condition {
        Condition::Any(_) | Condition::All(_) => format!("({words})"),
        _ => words,
    }
}

fn compare(compare: &Compare) -> String {
    let is = match compare.op {
        CompareOp::Eq | CompareOp::Glob => "is",
        CompareOp::Ne => "is not",
        CompareOp::Lt => "is less than",
        CompareOp::Le => "is at most",
        CompareOp::Gt => "is greater than",
        CompareOp::Ge => "is at least",
        CompareOp::And => {
            return format!("{} has a bit of {:#x}", compare.label, compare.constant);
        }
    };
    match compare.signed {
        true => format!("{} {is} {}", compare.label, compare.constant.cast_signed()),
        false => format!("{} {is} {}", compare.label, compare.constant),
    }
}

fn text(test: &TextTest, turned: bool) -> String {
    let field = match test.source {
        TextSource::Comm => "the running task's name",
        // The label is the predicate as written, which begins with the field.
        _ => test.label.split([' ', '.']).next().unwrap_or_default(),
    };
    let not = test.negated != turned;
    let (verb, pattern) = match &test.pattern {
        Pattern::Exact(text) => (if not { "is not" } else { "is" }, text),
        Pattern::Prefix(text) if text.is_empty() => return format!("{field} is anything"),
        Pattern::Suffix(text) if text.is_empty() => return format!("{field} is anything"),
        Pattern::Prefix(text) => (if not { "does not begin with" } else { "begins with" }, text),
        Pattern::Suffix(text) => (if not { "does not end with" } else { "ends with" }, text),
        Pattern::Contains(text) => (if not { "does not contain" } else { "contains" }, text),
        Pattern::Glob(_) => {
            let verb = if not { "does not match" } else { "matches" };
            return format!("{field} {verb} the glob in `{}`", test.label);
        }
    };
    format!("{field} {verb} \"{}\"", String::from_utf8_lossy(pattern))
}
