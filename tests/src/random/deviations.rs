//! Explains differences between the kernel and hist-bpf on random triggers by the documented
//! deviations. The reasons are data, each with what it rests on.

use hist_cli::diag::{Kind, Origin, Rejection, TriggerError};
use hist_cli::modifier::{self, BucketWidth, TABLE};
use hist_cli::parse::ast::{BinaryOp, Expr, Trigger};
use hist_cli::pipeline::CompileError;
use hist_cli::plan::PlanError;
use hist_cli::resolve::hist::{
    Condition, GlobPart, Hist, Key, KeySource, Pattern, Room, Source, TextField, TextSource,
    TextTest, Value,
};
use hist_cli::session::SessionError;

use super::generate::latin1;
use super::rows::{Mask, same_but_for, same_once_joined};
use super::sides::Refused;
use crate::compare;
use crate::version::{self, Version};

/// A command whose result differs.
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) kernel: &'a Result<(), Refused>,
    pub(super) ours: &'a Result<(), SessionError>,
    /// What ours has made of it, if it has taken it.
    pub(super) hist: Option<&'a Hist>,
}

impl Written<'_> {
    /// Its parts, if it can be read.
    fn trigger(&self) -> Option<Trigger> {
        hist_cli::parse::trigger(&latin1(self.text)).ok()
    }

    /// Why ours has refused it.
    fn error(&self) -> Option<&TriggerError> {
        match self.ours {
            Err(SessionError::Trigger { rejection, .. }) => Some(&rejection.error),
            _ => None,
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.error().map(|error| error.kind)
    }

    /// The kernel has found nothing wrong with it as such: only that it is there or is not.
    fn is_right_to_the_kernel(&self) -> bool {
        let errno = |refused: &Refused| refused.errno;
        self.kernel
            .as_ref()
            .err()
            .map(errno)
            .is_none_or(|errno| errno == libc::EEXIST || errno == libc::ENOENT)
    }
}

/// A reason for which results differ on some kernels.
struct Deviation {
    name: &'static str,
    /// As [`version::matches`] reads it.
    kernels: &'static str,
    explains: fn(&Written<'_>) -> bool,
}

/// Words of the reference that older kernels do not have, with the version that has brought them:
/// section 8 of the specification. Modifiers are in [`new_modifiers`].
const NEW_WORDS: [(&str, Version); 12] = [
    ("common_comm", Version(7, 0)),
    ("comm", Version(7, 0)),
    ("COMM", Version(7, 0)),
    ("nohitcount", Version(6, 12)),
    ("NOHC", Version(6, 12)),
    ("hitcount", Version(6, 12)),
    ("common_stacktrace", Version(6, 12)),
    ("STACKTRACE", Version(7, 0)),
    ("stacktrace", Version(6, 12)),
    ("CPUS", Version(6, 12)),
    (".function", Version(6, 12)),
    ("common_cpu", Version(6, 12)),
];

/// Of those, what the scan of parameters and the filters of older kernels refuse without a word.
const SILENT_WORDS: [&str; 5] = ["nohitcount", "NOHC", "CPUS", ".function", "stacktrace"];

/// Bytes that all keys together have at most before 7.x, and that a stack of 16 frames takes of them.
const OLD_KEY_MAX: u32 = 384;
const OLD_STACK_SIZE: u32 = 128;

const DEVIATIONS: [Deviation; 6] = [
    Deviation {
        name: "the filter parser of 6.1 logs nothing",
        kernels: "<6.12",
        explains: |written| match (written.kernel, written.kind()) {
            (Err(refused), Some(kind)) => {
                kind.origin() == Origin::Filter
                    && refused.log.is_empty()
                    && refused.errno == kind.errno()
            }
            _ => false,
        },
    },
    Deviation {
        name: "an operator at the end of a filter: an error from 7.x on",
        kernels: "<7.0",
        explains: |written| {
            written.kind() == Some(Kind::FilterMeaningless) && written.is_right_to_the_kernel()
        },
    },
    Deviation {
        name: "`.stacktrace` on any field: accepted before 7.x, and prints garbage",
        kernels: "<7.0",
        explains: |written| {
            written.error().is_some_and(|error| {
                let marked = error.span.of(&latin1(written.text).trim_ascii()).to_string();
                error.kind == Kind::BadFieldModifier && marked.ends_with("stacktrace")
            })
        },
    },
    Deviation {
        name: "keys have 384 bytes at most before 7.x",
        kernels: "<7.0",
        explains: |written| {
            let size = written.hist.map(|hist| hist.keys.iter().map(old_key_size).sum::<u32>());
            size.is_some_and(|size| size > OLD_KEY_MAX) && is_silent(written.kernel, libc::EINVAL)
        },
    },
    Deviation {
        name: "stacks in keys take less room before 7.x",
        kernels: "<7.0",
        explains: |written| {
            let trigger = written.trigger();
            written.kind() == Some(Kind::KeyTooLarge)
                && trigger.is_some_and(|trigger| trigger.keys.iter().any(is_stack))
        },
    },
    Deviation {
        name: DOUBLE_HITCOUNT,
        kernels: "<6.12",
        explains: |written| has_double_hitcount(written.text),
    },
];

/// The reason why a command's results differ; `None` if there is none.
pub(super) fn explain(written: &Written<'_>, version: Version) -> Option<String> {
    if let Some(reason) = not_supported(written.ours) {
        return Some(reason);
    }
    let known = DEVIATIONS.iter().find(|deviation| {
        version::matches(deviation.kernels, version).unwrap_or(false)
            && (deviation.explains)(written)
    });
    if let Some(deviation) = known {
        return Some(deviation.name.to_owned());
    }
    let refused = written.kernel.as_ref().err()?;
    let mut words = new_words(written.text, version).into_iter();
    let word = words.find(|word| is_unknown(word, refused))?;
    Some(format!("`{word}` is unknown to older kernels"))
}

/// The kernel has refused that word: its caret is below it, or it says nothing and never does.
fn is_unknown(word: &str, refused: &Refused) -> bool {
    if refused.log.is_empty() {
        return SILENT_WORDS.contains(&word);
    }
    let messages = ["Couldn't find field", "Invalid field modifier", "Field not found"];
    let (word, is_modifier) = match word.strip_prefix('.') {
        Some(modifier) => (modifier, true),
        None => (word, false),
    };
    refused.log.lines().collect::<Vec<_>>().chunks(3).any(|entry| {
        let [head, command, caret] = entry else { return false };
        let marked = caret.find('^').and_then(|column| command.get(column..)).unwrap_or("");
        let marked = marked.split([',', ':', ' ']).next().unwrap_or("");
        // Values are marked with their field.
        let modifier = marked.split_once('.').map_or("", |(_, modifier)| modifier);
        // Filters are marked behind the name.
        let before = caret.find('^').and_then(|column| command.get(..column)).unwrap_or("");
        messages.iter().any(|message| head.contains(message))
            && (marked.starts_with(word)
                || is_modifier && modifier.starts_with(word)
                || before.trim_end().ends_with(word))
    })
}

/// What ours refuses although it knows that the kernel would not.
fn not_supported(ours: &Result<(), SessionError>) -> Option<String> {
    match ours.as_ref().err()? {
        SessionError::Trigger { rejection: Rejection { error, .. }, .. }
            if error.kind == Kind::NotSupported =>
        {
            let help = error.help.first().map_or("", String::as_str);
            Some(format!("not supported: {help}"))
        }
        SessionError::Compile(CompileError::Plan(error)) => Some(match error {
            PlanError::NoRoom { what, .. } => format!("not supported: more room for {what}"),
            PlanError::NoLog { .. } => "not supported: logs with large keys".to_owned(),
            PlanError::OutsideRecord { .. } => "a field outside of what BPF may read".to_owned(),
            PlanError::FieldSize { .. } => "a field that is no number".to_owned(),
            other => format!("not supported: {other}"),
        }),
        _ => None,
    }
}

fn is_silent(kernel: &Result<(), Refused>, errno: i32) -> bool {
    kernel.as_ref().is_err_and(|refused| refused.errno == errno && refused.log.is_empty())
}

/// What a kernel before 7.x takes for a key, in bytes.
fn old_key_size(key: &Key) -> u32 {
    match &key.source {
        KeySource::Number(_) => 8,
        KeySource::Text(TextField { room: Room::Array(size), .. }) => size.next_multiple_of(8),
        KeySource::Text(_) | KeySource::Comm => 256,
        KeySource::Stack => OLD_STACK_SIZE,
    }
}

fn is_stack(expr: &Expr) -> bool {
    let names = ["common_stacktrace", "stacktrace", "STACKTRACE"];
    matches!(expr, Expr::Field(field) if names.iter().any(|name| field.name.node == *name))
}

/// The words in `text` that a kernel of `version` does not know.
fn new_words(text: &str, version: Version) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let stands_alone = |(at, word): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let dotted = word.starts_with('.');
        dotted || !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    let found = |word: &str| text.match_indices(word).any(stands_alone);
    let words = NEW_WORDS.iter().map(|(word, since)| ((*word).to_owned(), *since));
    let new = new_modifiers().chain(words);
    let new = new.filter(|(word, since)| version < *since && found(word));
    new.map(|(word, _)| word).collect()
}

/// The same for modifiers, dot included. Those that are ours alone are unknown to every version.
fn new_modifiers() -> impl Iterator<Item = (String, Version)> {
    TABLE.iter().filter_map(|row| {
        let since = match row.origin {
            modifier::Origin::Kernel { since } => {
                since.map(|(major, minor)| Version(major, minor))?
            }
            modifier::Origin::Ours => Version(u32::MAX, 0),
        };
        Some((format!(".{}", row.word), since))
    })
}

// --- lists of triggers --------------------------------------------------------------------------

/// What [`has_double_hitcount`] explains, also in the lists of triggers.
pub(super) const DOUBLE_HITCOUNT: &str = "a double `hitcount` is ignored by 6.1";

/// The hits are among the values twice.
fn has_double_hitcount(text: &str) -> bool {
    let trigger = hist_cli::parse::trigger(&latin1(text));
    trigger
        .is_ok_and(|trigger| trigger.values.iter().filter(|value| value.is_hitcount()).count() > 1)
}

/// The reason why the lists of triggers differ once `text` has been written, if that is known:
/// `kernel` and `ours` are the lists.
pub(super) fn explain_lists(
    text: &str,
    (kernel, ours): (&[String], &[String]),
    version: Version,
) -> Option<&'static str> {
    let (last, others) = ours.split_last()?;
    let trigger = hist_cli::parse::trigger(&latin1(text)).ok()?;
    let same = |last: String| {
        let expected = [others, &[last]].concat();
        compare::difference(&super::headers(kernel), &super::headers(&expected), version).is_none()
    };
    if same(as_kernel_folds(last, &trigger)?) {
        return Some(EXACT_DIVISION);
    }
    let is_old = version < Version(6, 12) && has_double_hitcount(text);
    (is_old && same(with_one_hitcount(last))).then_some(DOUBLE_HITCOUNT)
}

/// The line that the kernel prints in the place of ours, which divides constants exactly.
fn as_kernel_folds(line: &str, trigger: &Trigger) -> Option<String> {
    let mut line = line.to_owned();
    for (keyword, exprs) in
        [("keys=", trigger.keys.iter().collect()), ("vals=", trigger.counted_values())]
    {
        let start = line.find(keyword)? + keyword.len();
        let end = start + line[start..].find(':')?;
        let mut items: Vec<String> = line[start..end].split(',').map(str::to_owned).collect();
        // The hitcount comes first, unless it is not shown.
        let first = items.len().checked_sub(exprs.len())?;
        for (item, expr) in items[first..].iter_mut().zip(exprs) {
            if folds_division(expr) {
                *item = kernel_text(expr)?;
            }
        }
        line.replace_range(start..end, &items.join(","));
    }
    Some(line)
}

/// A number is divided by a number in it, which both sides do at once.
fn folds_division(expr: &Expr) -> bool {
    match expr {
        Expr::Binary(binary) => {
            binary.op == BinaryOp::Div
                && constant(&binary.lhs).is_some()
                && constant(&binary.rhs).is_some()
                || folds_division(&binary.lhs)
                || folds_division(&binary.rhs)
        }
        Expr::Negate(inner) => folds_division(&inner.node),
        _ => false,
    }
}

/// The number that the kernel makes of constants alone.
fn constant(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Number(number) => Some(number.node),
        Expr::Binary(binary) => {
            let (lhs, rhs) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            Some(match binary.op {
                BinaryOp::Add => lhs.wrapping_add(rhs),
                BinaryOp::Sub => lhs.wrapping_sub(rhs),
                BinaryOp::Mul => lhs.wrapping_mul(rhs),
                BinaryOp::Div => kernel_quotient(lhs, rhs),
            })
        }
        _ => None,
    }
}

/// As `div_by_mult_and_shift()` in Linux kernel/trace/trace_events_hist.c.
fn kernel_quotient(dividend: u64, divisor: u64) -> u64 {
    if is_approximate(divisor) && dividend < 1 << DIVISION_BITS {
        (dividend * ((1 << DIVISION_BITS) / divisor) + (1 << DIVISION_BITS) - 1) >> DIVISION_BITS
    } else {
        dividend.checked_div(divisor).unwrap_or(u64::MAX)
    }
}

/// `HIST_DIV_SHIFT`
const DIVISION_BITS: u32 = 20;

/// The kernel multiplies instead of dividing by it, and rounds.
fn is_approximate(divisor: u64) -> bool {
    divisor > 0 && !divisor.is_power_of_two() && divisor < 1 << DIVISION_BITS
}

/// An expression with operators as the kernel's line has it; `None` if it cannot be told.
fn kernel_text(expr: &Expr) -> Option<String> {
    if let Some(number) = constant(expr) {
        return Some(number.to_string());
    }
    match expr {
        Expr::Binary(binary) => {
            let (lhs, rhs) = (kernel_text(&binary.lhs)?, kernel_text(&binary.rhs)?);
            Some(format!("{lhs}{}{rhs}", binary.op))
        }
        Expr::Negate(inner) => Some(format!("-({})", kernel_text(&inner.node)?)),
        Expr::Field(field) if field.prefix.is_none() => Some(field.to_string()),
        _ => None,
    }
}

/// The line with each further `hitcount` left out of its values.
fn with_one_hitcount(line: &str) -> String {
    let Some(start) = line.find("vals=") else { return line.to_owned() };
    let start = start + "vals=".len();
    let end = line[start..].find(':').map_or(line.len(), |end| start + end);
    let mut seen = false;
    let items = line[start..end].split(',');
    let items: Vec<_> =
        items.filter(|item| *item != "hitcount" || !std::mem::replace(&mut seen, true)).collect();
    [&line[..start], &items.join(","), &line[end..]].concat()
}

// --- histograms ---------------------------------------------------------------------------------

/// Two histograms of one trigger that differ.
pub(super) struct Counted<'a> {
    /// The event's system.
    pub(super) system: &'a str,
    /// What is counted.
    pub(super) hist: &'a Hist,
    pub(super) kernel: &'a str,
    pub(super) ours: &'a str,
}

/// Ours is exact, the kernel's is an approximation for small divisors and dividends.
pub(super) const EXACT_DIVISION: &str = "division by a constant is exact here";

/// A reason for which some columns differ.
struct OtherColumns {
    name: &'static str,
    kernels: &'static str,
    key: fn(&Counted<'_>, &Key) -> bool,
    value: fn(&Value) -> bool,
}

const OTHER_COLUMNS: [OtherColumns; 4] = [
    // The two take their stamps at different moments, and by other clocks.
    OtherColumns {
        name: "timestamps are taken at different moments",
        kernels: ">=6.1",
        key: |_, key| is_number(key, depends_on_time),
        value: |value| depends_on_time(&value.source),
    },
    OtherColumns {
        name: EXACT_DIVISION,
        kernels: ">=6.1",
        key: |_, key| is_number(key, divides),
        value: |value| divides(&value.source),
    },
    // There bpf_get_stack() is given the registers of user space, and finds no kernel stack.
    OtherColumns {
        name: "kernel stacks of `syscalls:*` are empty for BPF in 6.1",
        kernels: "<6.12",
        key: |counted, key| counted.system == "syscalls" && key.source == KeySource::Stack,
        value: |_| false,
    },
    // On x86-64 the logarithm of what is beyond 2^63 is 64, 0 before 7.x.
    OtherColumns {
        name: "`.log2` of more than 2^63 is 0 before 7.x",
        kernels: "<7.0",
        key: |counted, key| {
            let Counted { kernel, ours, .. } = counted;
            let is_beyond = ours.contains(BEYOND) && !kernel.contains(BEYOND);
            key.buckets() == Some(BucketWidth::Log2) && is_beyond
        },
        value: |_| false,
    },
];

/// How the key of what is beyond 2^63 is shown.
const BEYOND: &str = "~ 2^64";

/// A reason for which whole histograms differ.
struct OtherCounts {
    name: &'static str,
    kernels: &'static str,
    explains: fn(&Counted<'_>) -> bool,
}

const OTHER_COUNTS: [OtherCounts; 3] = [
    // The kernel looks at the end of the array, which a shorter string does not reach.
    OtherCounts {
        name: "`~ \"*x\"` looks at the end of the string here",
        kernels: ">=6.1",
        explains: |counted| {
            counted.hist.filter.as_ref().is_some_and(|filter| has_suffix_pattern(&filter.tree))
        },
    },
    // There a class that is negated matches the end of the string, too.
    OtherCounts {
        name: "`[!x]` does not match the NUL behind a string from 6.12 on",
        kernels: "<6.12",
        explains: |counted| {
            counted.hist.filter.as_ref().is_some_and(|filter| has_negated_class(&filter.tree))
        },
    },
    // What follows the NUL is what was in the buffer before: 7.x makes several entries of one name.
    OtherCounts {
        name: "bytes behind the NUL of a `char[N]` are no part of the key here",
        kernels: ">=7.0",
        explains: |counted| {
            let has_array =
                |key: &Key| matches!(key.source, KeySource::Text(text) if is_array(text));
            counted.hist.keys.iter().any(has_array)
                && same_once_joined(counted.kernel, counted.ours, counted.hist)
        },
    },
];

/// The reason why the histograms of one trigger differ.
pub(super) fn explain_counts(counted: &Counted<'_>, version: Version) -> Option<String> {
    let applies = |kernels| version::matches(kernels, version).unwrap_or(false);
    let Counted { hist, kernel, ours, .. } = counted;
    let mut mask =
        Mask { keys: vec![false; hist.keys.len()], values: vec![false; hist.values.len()] };
    let mut names = Vec::new();
    for other in OTHER_COLUMNS.iter().filter(|other| applies(other.kernels)) {
        let own = Mask {
            keys: hist.keys.iter().map(|key| (other.key)(counted, key)).collect(),
            values: hist.values.iter().map(|value| (other.value)(value)).collect(),
        };
        if !own.is_empty() {
            mask = mask.or(&own);
            names.push(other.name);
        }
    }
    if !mask.is_empty() && same_but_for(&mask, kernel, ours, hist) {
        return Some(names.join("; "));
    }
    let known =
        OTHER_COUNTS.iter().find(|other| applies(other.kernels) && (other.explains)(counted));
    known.map(|other| other.name.to_owned())
}

fn is_number(key: &Key, is_one: fn(&Source) -> bool) -> bool {
    matches!(&key.source, KeySource::Number(source) if is_one(source))
}

/// It is another number at another time. Equal terms cancel each other.
fn depends_on_time(source: &Source) -> bool {
    match source {
        Source::Timestamp { .. } => true,
        Source::Binary(BinaryOp::Sub, lhs, rhs) if lhs == rhs => false,
        Source::Binary(_, lhs, rhs) => depends_on_time(lhs) || depends_on_time(rhs),
        Source::Bucket(_, inner) | Source::Negate(inner) => depends_on_time(inner),
        Source::Field(_) | Source::Pid | Source::Cpu | Source::Constant(_) => false,
    }
}

/// Something is divided by a constant that the kernel does not divide by exactly.
fn divides(source: &Source) -> bool {
    match source {
        Source::Binary(op, lhs, rhs) => {
            let by = matches!(**rhs, Source::Constant(number) if is_approximate(number));
            *op == BinaryOp::Div && by || divides(lhs) || divides(rhs)
        }
        Source::Bucket(_, inner) | Source::Negate(inner) => divides(inner),
        _ => false,
    }
}

/// It is a `char[N]`.
const fn is_array(text: TextField) -> bool {
    matches!(text.room, Room::Array(_))
}

/// The filter compares an array with a pattern whose only `*` is in front.
fn has_suffix_pattern(condition: &Condition) -> bool {
    compares_text(condition, &|test| {
        let is_array = match test.source {
            TextSource::Field(text) => is_array(text),
            TextSource::Comm => true,
            TextSource::Pointer { .. } => false,
        };
        is_array && matches!(&test.pattern, Pattern::Suffix(text) if !text.is_empty())
    })
}

/// The filter compares a string with a pattern that has a `[!…]`.
fn has_negated_class(condition: &Condition) -> bool {
    compares_text(condition, &|test| match &test.pattern {
        Pattern::Glob(parts) => {
            parts.iter().any(|part| matches!(part, GlobPart::Class { negated: true, .. }))
        }
        _ => false,
    })
}

fn compares_text(condition: &Condition, is_one: &impl Fn(&TextTest) -> bool) -> bool {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter().any(|part| compares_text(part, is_one))
        }
        Condition::Not(inner) => compares_text(inner, is_one),
        Condition::Text(test) => is_one(test),
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hist_cli::kernel::Context;
    use hist_cli::kernel::format;
    use hist_cli::resolve;

    use super::*;

    /// The trigger, on `sched:sched_switch`.
    pub(in super::super) fn hist(text: &str) -> Hist {
        let event = include_str!("../../golden/formats/events/sched/sched_switch/format");
        let event = format::parse("sched", event).unwrap();
        let trigger = hist_cli::parse::trigger(text).unwrap();
        resolve::hist(&trigger, &event, &Context::default()).unwrap()
    }

    fn refused(errno: i32, log: &str) -> Result<(), Refused> {
        Err(Refused { errno, log: log.to_owned() })
    }

    fn wrong(text: &str) -> Result<(), SessionError> {
        let event = include_str!("../../golden/formats/events/sched/sched_switch/format");
        let event = format::parse("sched", event).unwrap();
        let rejection = match hist_cli::parse::trigger(text) {
            Ok(trigger) => resolve::hist(&trigger, &event, &Context::default()).unwrap_err(),
            Err(error) => error.into(),
        };
        Err(SessionError::Trigger { rejection, text: text.into() })
    }

    #[track_caller]
    fn check(
        text: &str,
        kernel: &Result<(), Refused>,
        ours: &Result<(), SessionError>,
        (version, expect): (Version, Option<&str>),
    ) {
        let hist = ours.is_ok().then(|| hist(text));
        let written = Written { text, kernel, ours, hist: hist.as_ref() };
        assert_eq!(explain(&written, version).as_deref(), expect, "{text}");
    }

    const OLD: Version = Version(6, 12);
    const OLDEST: Version = Version(6, 1);
    const NEW: Version = Version(7, 3);

    #[test]
    fn words_are_new_to_older_kernels_only() {
        let text = "hist:keys=common_comm,a.percent:NOHC if commx==1";
        assert_eq!(new_words(text, Version(6, 1)), [".percent", "common_comm", "NOHC"]);
        assert_eq!(new_words(text, Version(6, 12)), [".percent", "common_comm"]);
        assert!(new_words(text, Version(7, 3)).is_empty());
    }

    #[test]
    fn a_new_word_is_excused_where_the_kernel_marks_it() {
        let text = "hist:keys=comm,prev_pid";
        let marked = |column: usize| {
            let caret = format!("{:1$}^", "", "  Command: ".len() + column);
            let head = "hist:a:b: error: Couldn't find field";
            refused(libc::EINVAL, &format!("{head}\n  Command: {text}\n{caret}\n"))
        };
        let reason = Some("`comm` is unknown to older kernels");
        check(text, &marked(10), &Ok(()), (OLD, reason));
        check(text, &marked(15), &Ok(()), (OLD, None));
        check(text, &marked(10), &Ok(()), (NEW, None));
        check(text, &refused(libc::EINVAL, ""), &Ok(()), (OLD, None));
        // A value is marked with its field.
        let text = "hist:keys=prev_pid:vals=next_pid.hex,prev_prio.graph";
        let marked = |column: usize| {
            let caret = format!("{:1$}^", "", "  Command: ".len() + column);
            let head = "hist:a:b: error: Invalid field modifier";
            refused(libc::EINVAL, &format!("{head}\n  Command: {text}\n{caret}\n"))
        };
        check(text, &marked(37), &Ok(()), (OLD, Some("`.graph` is unknown to older kernels")));
        check(text, &marked(24), &Ok(()), (OLD, None));
        let text = "hist:keys=prev_pid:vals=next_pid:nohitcount";
        let reason = Some("`nohitcount` is unknown to older kernels");
        check(text, &refused(libc::EINVAL, ""), &Ok(()), (OLDEST, reason));
        check(text, &refused(libc::EINVAL, ""), &Ok(()), (OLD, None));
    }

    #[test]
    fn filters_of_6_1_are_excused_for_their_silence_alone() {
        let text = "hist:keys=prev_pid if nosuch==1";
        let reason = Some("the filter parser of 6.1 logs nothing");
        check(text, &refused(libc::EINVAL, ""), &wrong(text), (OLDEST, reason));
        check(text, &refused(libc::EPERM, ""), &wrong(text), (OLDEST, None));
        check(text, &Ok(()), &wrong(text), (OLDEST, None));
        check(text, &refused(libc::EINVAL, ""), &wrong(text), (OLD, None));
        let text = "hist:keys=nosuch";
        check(text, &refused(libc::EINVAL, ""), &wrong(text), (OLDEST, None));
    }

    #[test]
    fn operators_at_the_end_are_excused_where_they_are_ignored() {
        let text = "hist:keys=prev_pid if prev_pid==1 &&";
        let reason = Some("an operator at the end of a filter: an error from 7.x on");
        check(text, &Ok(()), &wrong(text), (OLD, reason));
        check(text, &refused(libc::EEXIST, ""), &wrong(text), (OLD, reason));
        check(text, &refused(libc::EINVAL, "x"), &wrong(text), (OLD, None));
        check(text, &Ok(()), &wrong(text), (NEW, None));
    }

    #[test]
    fn the_stack_modifier_is_excused_on_what_it_is_behind() {
        let reason = Some("`.stacktrace` on any field: accepted before 7.x, and prints garbage");
        let text = "hist:keys=prev_pid.stacktrace";
        check(text, &Ok(()), &wrong(text), (OLD, reason));
        check(text, &Ok(()), &wrong(text), (NEW, None));
        let text = "hist:keys=prev_pid.foo if prev_comm==\".stacktrace\"";
        check(text, &Ok(()), &wrong(text), (OLD, None));
    }

    #[test]
    fn sizes_of_keys_are_excused_by_their_size() {
        let silent = refused(libc::EINVAL, "");
        let reason = Some("keys have 384 bytes at most before 7.x");
        let text = "hist:keys=common_comm,common_stacktrace";
        check(text, &silent, &Ok(()), (OLD, None));
        let text = "hist:keys=prev_comm,common_stacktrace";
        let mut hist = hist(text);
        let KeySource::Text(prev_comm) = hist.keys[0].source else { panic!("{hist}") };
        let array = |size| KeySource::Text(TextField { room: Room::Array(size), ..prev_comm });
        let explain = |hist: &Hist, kernel: &Result<(), Refused>, version| {
            explain(&Written { text, kernel, ours: &Ok(()), hist: Some(hist) }, version)
        };
        hist.keys[0].source = array(256);
        assert_eq!(explain(&hist, &silent, OLD), None, "384 bytes");
        hist.keys[0].source = array(257);
        assert_eq!(explain(&hist, &silent, OLD).as_deref(), reason);
        assert_eq!(explain(&hist, &silent, NEW), None);
        assert_eq!(explain(&hist, &refused(libc::ENOMEM, ""), OLD), None);
        let reason = Some("stacks in keys take less room before 7.x");
        let text = "hist:keys=stacktrace,stacktrace,stacktrace";
        check(text, &Ok(()), &wrong(text), (OLD, reason));
        check(text, &Ok(()), &wrong(text), (NEW, None));
        let text = "hist:keys=common_comm,comm";
        check(text, &Ok(()), &wrong(text), (OLD, None));
    }

    #[test]
    fn a_double_hitcount_is_excused_among_values_alone() {
        let text = "hist:keys=prev_pid:vals=hitcount,hitcount,next_pid,prev_prio";
        check(text, &Ok(()), &wrong(text), (OLDEST, Some(DOUBLE_HITCOUNT)));
        check(text, &Ok(()), &wrong(text), (OLD, None));
        let text = "hist:keys=prev_pid:vals=hitcount:sort=hitcount,nosuch";
        check(text, &Ok(()), &wrong(text), (OLDEST, None));
    }

    #[test]
    fn only_folded_divisions_excuse_lists() {
        let line = |key: &str| format!("hist:keys={key}:vals=hitcount:sort=hitcount [active]");
        let explain = |text: &str, kernel: &str, ours: &str| {
            let (kernel, ours) = ([line("x"), line(kernel)], [line("x"), line(ours)]);
            explain_lists(text, (&kernel, &ours), NEW)
        };
        assert_eq!(explain("hist:keys=9/100", "1", "0"), Some(EXACT_DIVISION));
        assert_eq!(explain("hist:keys=9/100", "2", "0"), None, "another quotient");
        assert_eq!(explain("hist:keys=a+9/100", "a+1", "a+0"), Some(EXACT_DIVISION));
        assert_eq!(explain("hist:keys=a+9/100", "b+1", "a+0"), None, "another field");
        assert_eq!(explain("hist:keys=a/100", "a/100", "a/10"), None, "nothing is folded");
        assert_eq!(explain("hist:keys=a if b==\"9/100\"", "c", "a"), None, "in the filter");
        let (kernel, ours) = ([line("y"), line("1")], [line("x"), line("0")]);
        assert_eq!(explain_lists("hist:keys=9/100", (&kernel, &ours), NEW), None, "another line");
    }

    #[test]
    fn quotients_are_the_kernels() {
        assert_eq!(
            [(9, 100), (10, 3), (8, 5), (1 << 20, 3)].map(|(a, b)| kernel_quotient(a, b)),
            [1, 4, 2, 349_525]
        );
        assert_eq!(
            [(100, 8), (5, 1 << 21), (7, 0)].map(|(a, b)| kernel_quotient(a, b)),
            [12, 0, u64::MAX]
        );
    }

    #[test]
    fn a_double_hitcount_excuses_lists_of_6_1_by_what_is_left_out() {
        let line = |values: &str| format!("hist:keys=a:vals={values}:sort=hitcount [active]");
        let text = "hist:keys=a:vals=hitcount,hitcount,b";
        let (kernel, ours) = ([line("hitcount,b")], [line("hitcount,hitcount,b")]);
        assert_eq!(explain_lists(text, (&kernel, &ours), OLDEST), Some(DOUBLE_HITCOUNT));
        assert_eq!(explain_lists(text, (&kernel, &ours), OLD), None);
        let other = [line("hitcount,c")];
        assert_eq!(explain_lists(text, (&other, &ours), OLDEST), None, "another value");
    }

    fn block(entries: &[&str], hits: u64, dropped: u64) -> String {
        let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        format!(
            "# event histogram\n#\n# trigger info: x\n#\n\n{lines}\nTotals:\n    Hits: {hits}\n    \
             Entries: 1\n    Dropped: {dropped}\n"
        )
    }

    #[track_caller]
    fn check_counts(
        (trigger, version): (&str, Version),
        kernel: &str,
        ours: &str,
        expect: Option<&str>,
    ) {
        let hist = hist(trigger);
        let counted = Counted { system: "syscalls", hist: &hist, kernel, ours };
        assert_eq!(explain_counts(&counted, version).as_deref(), expect, "{trigger}");
    }

    #[test]
    fn timestamps_excuse_what_depends_on_the_time() {
        let reason = Some("timestamps are taken at different moments");
        let entry =
            |key: &str, time: u64, hits: u64| format!("{{ {key}: {time:10} }} hitcount: {hits:10}");
        let one = |key: &str, time, hits| block(&[&entry(key, time, hits)], hits, 0);
        let (key, trigger) = ("common_timestamp", "hist:keys=common_timestamp");
        check_counts((trigger, NEW), &one(key, 5, 3), &one(key, 6, 3), reason);
        check_counts((trigger, NEW), &one(key, 5, 3), &one(key, 5, 4), None);
        // Of two stamps that are the same only here, the second needs no room.
        let fuller = block(&[&entry(key, 5, 2)], 2, 1);
        check_counts((trigger, NEW), &one(key, 5, 3), &fuller, reason);
        let (key, trigger) = ("prev_pid", "hist:keys=prev_pid");
        check_counts((trigger, NEW), &one(key, 5, 3), &one(key, 6, 3), None);
        let trigger = "hist:keys=prev_pid if prev_comm != \"common_timestamp\"";
        check_counts((trigger, NEW), &one(key, 5, 3), &one(key, 6, 3), None);
        // An event has one time.
        let key = "common_timestamp-common_timestamp";
        let trigger = format!("hist:keys={key}");
        check_counts((&trigger, NEW), &one(key, 0, 3), &one(key, u64::MAX, 3), None);
        // A sum of times, and another one.
        let trigger = "hist:keys=prev_pid:vals=common_timestamp,next_pid";
        let row = |time, pid| {
            let values = format!("common_timestamp: {time:10}  next_pid: {pid:10}");
            block(&[&format!("{{ prev_pid: {:10} }} hitcount: {:10}  {values}", 1, 1)], 1, 0)
        };
        check_counts((trigger, NEW), &row(5, 7), &row(6, 7), reason);
        check_counts((trigger, NEW), &row(5, 7), &row(6, 8), None);
    }

    #[test]
    fn divisions_excuse_what_is_divided() {
        let reason = Some(EXACT_DIVISION);
        let one = |key: &str, quotient, hits| {
            block(&[&format!("{{ {key}: {quotient:10} }} hitcount: {hits:10}")], hits, 0)
        };
        let by = |divisor: &str| {
            let key = format!("prev_pid/{divisor}");
            let trigger = format!("hist:keys={key}");
            let hist = hist(&trigger);
            let (kernel, ours) = (one(&key, 4, 2), one(&key, 3, 2));
            let counted = Counted { system: "a", hist: &hist, kernel: &kernel, ours: &ours };
            explain_counts(&counted, NEW)
        };
        assert_eq!(by("3").as_deref(), reason);
        assert_eq!(by("4"), None, "a shift is exact");
        assert_eq!(by("1048577"), None, "so is a large divisor");
        assert_eq!(by("next_pid"), None, "and one that is no constant");
        let (key, trigger) = ("prev_pid/3", "hist:keys=prev_pid/3");
        check_counts((trigger, NEW), &one(key, 4, 2), &one(key, 3, 1), None);
        // It was enough that there was a `/`, if only in a path.
        let trigger = "hist:keys=prev_pid if prev_comm == \"/bin/sh\"";
        check_counts((trigger, NEW), &one("prev_pid", 4, 2), &one("prev_pid", 3, 2), None);
    }

    #[test]
    fn suffixes_of_arrays_excuse_other_counts() {
        let reason = Some("`~ \"*x\"` looks at the end of the string here");
        let one =
            |hits| block(&[&format!("{{ prev_pid: {:10} }} hitcount: {hits:10}", 1)], hits, 0);
        for (filter, expect) in [
            ("prev_comm ~ \"*guest\"", reason),
            ("comm~'!*guest' && prev_pid==1", reason),
            ("comm ~ \"*guest*\"", None),
            ("comm ~ \"guest*\"", None),
            ("comm ~ \"*\"", None),
            ("comm ~ \"*g?est\"", None),
            ("comm == \"~ '*guest'\"", None),
        ] {
            let trigger = format!("hist:keys=prev_pid if {filter}");
            check_counts((&trigger, NEW), &one(3), &one(2), expect);
        }
    }

    #[test]
    fn negated_classes_excuse_other_counts_on_6_1() {
        let reason = Some("`[!x]` does not match the NUL behind a string from 6.12 on");
        let one =
            |hits| block(&[&format!("{{ prev_pid: {:10} }} hitcount: {hits:10}", 1)], hits, 0);
        let trigger = "hist:keys=prev_pid if !(comm ~ \"*[!l]\")";
        check_counts((trigger, OLDEST), &one(3), &one(2), reason);
        check_counts((trigger, OLD), &one(3), &one(2), None);
        let trigger = "hist:keys=prev_pid if comm ~ \"?[l!]\" || prev_comm == \"[!l]\"";
        check_counts((trigger, OLDEST), &one(3), &one(2), None);
    }

    #[test]
    fn stacks_of_system_calls_are_excused_on_6_1() {
        let reason = Some("kernel stacks of `syscalls:*` are empty for BPF in 6.1");
        let trigger = "hist:keys=stacktrace,prev_pid";
        let entry = |stack: &str, pid: u32| {
            let key = format!("common_stacktrace:\n{stack}, prev_pid: {pid:10}");
            block(&[&format!("{{ {key}}} hitcount: {:10}", 3)], 3, 0)
        };
        let (kernel, ours) = (entry("         a+1/2\n", 7), entry("", 7));
        check_counts((trigger, OLDEST), &kernel, &ours, reason);
        check_counts((trigger, OLD), &kernel, &ours, None);
        check_counts((trigger, OLDEST), &kernel, &entry("", 8), None);
    }

    #[test]
    fn entries_that_look_alike_are_excused_if_they_are_joined() {
        let reason = Some("bytes behind the NUL of a `char[N]` are no part of the key here");
        let entry = |comm: &str, hits| format!("{{ prev_comm: {comm:50} }} hitcount: {hits:10}");
        let kernel = block(&[&entry("a", 1), &entry("b", 2), &entry("a", 3)], 6, 0);
        let ours = block(&[&entry("b", 2), &entry("a", 4)], 6, 0);
        let trigger = "hist:keys=prev_comm";
        check_counts((trigger, NEW), &kernel, &ours, reason);
        check_counts((trigger, OLD), &kernel, &ours, None);
        let other = block(&[&entry("b", 3), &entry("a", 3)], 6, 0);
        check_counts((trigger, NEW), &kernel, &other, None);
        check_counts((trigger, NEW), &ours, &other, None);
        check_counts((trigger, NEW), &ours, &kernel, None);
    }

    #[test]
    fn logarithms_beyond_2_to_the_63_are_excused_before_7() {
        let log2 = "`.log2` of more than 2^63 is 0 before 7.x";
        let reason = Some(log2);
        let entry =
            |power: u32, hits| format!("{{ prev_pid: ~ 2^{power:<3} }} hitcount: {hits:10}");
        let kernel = block(&[&entry(0, 3), &entry(4, 1)], 4, 0);
        let ours = block(&[&entry(0, 1), &entry(64, 2), &entry(4, 1)], 4, 0);
        let trigger = "hist:keys=prev_pid.log2";
        check_counts((trigger, OLD), &kernel, &ours, reason);
        check_counts((trigger, NEW), &kernel, &ours, None);
        let other = block(&[&entry(0, 2), &entry(4, 2)], 4, 0);
        check_counts((trigger, OLD), &kernel, &other, None);
        let both = "hist:keys=prev_pid.log2,common_timestamp";
        let entry = |power: u32, time: u32| {
            format!(
                "{{ prev_pid: ~ 2^{power:<3}, common_timestamp: {time:10} }} hitcount: {:10}",
                1
            )
        };
        let (kernel, ours) = (block(&[&entry(0, 5)], 1, 0), block(&[&entry(64, 6)], 1, 0));
        let time = "timestamps are taken at different moments";
        let reasons = format!("{time}; {log2}");
        check_counts((both, OLD), &kernel, &ours, Some(&reasons));
        check_counts((both, NEW), &kernel, &ours, None);
    }
}
