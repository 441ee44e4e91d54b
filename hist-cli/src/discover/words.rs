//! Says in plain words what the parts of a resolved trigger mean.

use crate::modifier::Role;
use crate::parse::ast::CompareOp;
use crate::plan::Focus;
use crate::plan::focus::Processes;
use crate::resolve::hist::{
    Compare, Condition, CpumaskOp, Hist, Key, KeySource, Pattern, Sort, SortBy, Source, TextSource,
    TextTest, Value,
};

/// What entries are told apart by.
pub(super) fn key(key: &Key, hist: &Hist) -> String {
    let name = name(&key.canonical, hist);
    let of = match &key.source {
        KeySource::Stack => return "the kernel's stack, function by function".to_owned(),
        KeySource::Comm => return format!("{name}, the name of the running task"),
        KeySource::Number(source) if is_address_of_text(&key.canonical, source, hist) => {
            ", the address only: a text that it points to is not read"
        }
        KeySource::Number(source) => source_words(source),
        KeySource::Text(_) => ", as text",
    };
    let shown = key.modifier.map(|modifier| modifier.words(Role::Key)).unwrap_or_default();
    format!("{name}{of}{shown}")
}

/// What is kept of all hits.
pub(super) fn value(value: &Value, hist: &Hist) -> String {
    let name = name(&value.canonical, hist);
    let shown = value.modifier.map(|modifier| modifier.words(Role::Value)).unwrap_or_default();
    let hidden = if value.hidden { ", not shown (as in ftrace), only to sort by" } else { "" };
    format!("the {} of {name}{shown}{hidden}", value.fold.name())
}

/// Whether people may take the number for the text that it leads to.
fn is_address_of_text(name: &str, source: &Source, hist: &Hist) -> bool {
    let is_pointer = |type_name: &str| type_name.contains("char") && type_name.ends_with('*');
    matches!(source, Source::Field(_))
        && hist.fields.iter().any(|field| field.name == name && is_pointer(&field.type_name))
}

/// Whose events are counted, if not everybody's; each part by itself, all must hold.
pub(super) fn focus(focus: &Focus) -> Vec<String> {
    let processes = match &focus.processes {
        Processes::All => None,
        Processes::These(pids) | Processes::Listed(pids) if pids.len() == 1 => {
            Some(format!("only process {}, all its threads, until it ends", pids[0]))
        }
        Processes::These(pids) | Processes::Listed(pids) => {
            let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
            Some(format!("only processes {}, all their threads, until they end", pids.join(", ")))
        }
        Processes::Set(who) => Some(format!("only {who}")),
    };
    let cgroup =
        focus.cgroup.as_ref().map(|path| format!("only the cgroup {path} and those below"));
    let cpus = Focus { cpus: focus.cpus.clone(), ..Focus::default() };
    let cpus = focus.cpus.is_some().then(|| format!("only what happens on {cpus}"));
    [processes, cgroup, cpus].into_iter().flatten().collect()
}

/// What an event takes that is out of focus; nothing without one.
pub(super) fn focus_cost(focus: &Focus) -> Option<String> {
    let processes = match &focus.processes {
        Processes::All => None,
        Processes::These(_) => Some("a comparison of the process's number"),
        Processes::Listed(_) | Processes::Set(_) => Some("a look-up of the process's number"),
    };
    let cpus = focus.cpus.as_ref().map(|_| "a comparison of the CPU's number");
    let cgroup = focus.cgroup.as_ref().map(|_| "a look at the task's cgroups");
    let tests: Vec<_> = [cpus, processes, cgroup].into_iter().flatten().collect();
    let tests = tests.join(", then ");
    (!tests.is_empty()).then(|| format!("an event out of focus takes no more than {tests}"))
}

/// What following processes takes besides; nothing if none are.
pub(super) fn follow_cost(focus: &Focus) -> Option<String> {
    let follows = matches!(focus.processes, Processes::Set(_));
    follows.then(|| "every fork, exec and exit of a process runs a small program, too".to_owned())
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
        Source::Pid => ", the number of the running thread",
        Source::Cpu => ", the number of the CPU",
        Source::Timestamp { .. } => ", the time of the event",
        Source::Constant(_) => ", a constant",
        Source::Field(_) | Source::Bucket(..) | Source::Negate(_) | Source::Binary(..) => "",
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
        format!("{name}, the {} first", if sort.descending { "largest" } else { "smallest" })
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
        Condition::Within(within) => self::within(&within.label),
        Condition::Text(test) => text(test, false),
        Condition::Cpumask(test) => match test.op {
            CpumaskOp::Equal => format!("the CPUs are just those of `{}`", test.label),
            CpumaskOp::Intersects => format!("some CPU is among those of `{}`", test.label),
        },
        Condition::Always(true) => "always".to_owned(),
        Condition::Always(false) => "never".to_owned(),
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

/// A function's name or CPUs, as they stand in the predicate.
fn within(label: &str) -> String {
    match label.split_once(".function == ") {
        Some((field, function)) => format!("{field} lies in the function {function}"),
        None => format!("`{label}`"),
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
