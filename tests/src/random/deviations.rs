//! Takes what a trigger gave in the kernel and here, where that differs. Gives the reason, if it is
//! a documented one. The reasons are data, each with what it rests on.

use std::collections::BTreeMap;

use hist_cli::diag::Kind;
use hist_cli::pipeline::CompileError;
use hist_cli::plan::PlanError;
use hist_cli::session::SessionError;

use super::sides::Refused;
use crate::version::{self, Version};

/// A command whose result differs.
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) kernel: &'a Result<(), Refused>,
    pub(super) ours: &'a Result<(), SessionError>,
}

/// A reason for which results differ on some kernels.
struct Deviation {
    name: &'static str,
    /// As [`version::matches`] reads it.
    kernels: &'static str,
    explains: fn(&Written<'_>) -> bool,
}

/// Words of the reference that older kernels do not have, with the version that has brought them:
/// section 8 of the specification.
const NEW_WORDS: [(&str, Version); 15] = [
    (".percent", Version(7, 0)),
    (".graph", Version(7, 0)),
    ("common_comm", Version(7, 0)),
    ("comm", Version(7, 0)),
    ("COMM", Version(7, 0)),
    ("nohitcount", Version(6, 12)),
    ("NOHC", Version(6, 12)),
    ("hitcount", Version(6, 12)),
    ("common_stacktrace", Version(6, 12)),
    ("STACKTRACE", Version(7, 0)),
    ("stacktrace", Version(6, 12)),
    (".stacktrace", Version(7, 0)),
    ("CPUS", Version(6, 12)),
    (".function", Version(6, 12)),
    ("common_cpu", Version(6, 12)),
];

const DEVIATIONS: [Deviation; 6] = [
    Deviation {
        name: "the filter parser of 6.1 logs nothing",
        kernels: "<6.12",
        explains: |written| match (written.kernel, kind(written.ours)) {
            (Err(refused), Some(kind)) => {
                kind.in_filter() && refused.log.is_empty() && refused.errno == kind.errno()
            }
            _ => false,
        },
    },
    Deviation {
        name: "an operator at the end of a filter: an error from 7.x on",
        kernels: "<7.0",
        explains: |written| kind(written.ours) == Some(Kind::FilterMeaningless),
    },
    Deviation {
        name: "`.stacktrace` on any field: accepted before 7.x, and prints garbage",
        kernels: "<7.0",
        explains: |written| {
            kind(written.ours) == Some(Kind::BadFieldModifier)
                && written.text.contains(".stacktrace")
        },
    },
    Deviation {
        name: "keys have 384 bytes at most before 7.x",
        kernels: "<7.0",
        explains: |written| written.ours.is_ok() && is_silent(written.kernel, libc::EINVAL),
    },
    Deviation {
        name: "keys have 504 bytes from 7.x on",
        kernels: "<7.0",
        explains: |written| kind(written.ours) == Some(Kind::KeyTooLarge),
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
    let word = new_words(written.text, version).into_iter().next()?;
    let unknown_word = refused.log.is_empty()
        || ["Couldn't find field", "Invalid field modifier", "Field not found"]
            .iter()
            .any(|message| refused.log.contains(message));
    unknown_word.then(|| format!("`{word}` is unknown to older kernels"))
}

/// What ours refuses although it knows that the kernel would not.
fn not_supported(ours: &Result<(), SessionError>) -> Option<String> {
    match ours.as_ref().err()? {
        SessionError::Trigger { error, .. } if error.kind == Kind::NotSupported => {
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

fn kind(ours: &Result<(), SessionError>) -> Option<Kind> {
    match ours {
        Err(SessionError::Trigger { error, .. }) => Some(error.kind),
        _ => None,
    }
}

fn is_silent(kernel: &Result<(), Refused>, errno: i32) -> bool {
    kernel.as_ref().is_err_and(|refused| refused.errno == errno && refused.log.is_empty())
}

/// The words in `text` that a kernel of `version` does not know.
fn new_words(text: &str, version: Version) -> Vec<&'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let stands_alone = |(at, word): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let dotted = word.starts_with('.');
        dotted || !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    let found = |word: &str| text.match_indices(word).any(stands_alone);
    let new = NEW_WORDS.iter().filter(|(word, since)| version < *since && found(word));
    new.map(|(word, _)| *word).collect()
}

/// Two histograms of one trigger that differ, with the trigger's own line.
pub(super) struct Counted<'a> {
    /// The event's system.
    pub(super) system: &'a str,
    pub(super) line: &'a str,
    pub(super) kernel: &'a str,
    pub(super) ours: &'a str,
}

/// Ours is exact, the kernel's is an approximation for small divisors and dividends.
pub(super) const EXACT_DIVISION: &str = "division by a constant is exact here";

/// A reason for which histograms differ.
struct OtherCounts {
    name: &'static str,
    kernels: &'static str,
    explains: fn(&Counted<'_>) -> bool,
}

const OTHER_COUNTS: [OtherCounts; 6] = [
    // The two take their stamps at different moments. All else must be the same.
    OtherCounts {
        name: "timestamps are taken at different moments",
        kernels: ">=6.1",
        explains: |counted| counted.line.contains("common_timestamp") && totals_agree(counted),
    },
    OtherCounts {
        name: EXACT_DIVISION,
        kernels: ">=6.1",
        explains: |counted| counted.line.contains('/'),
    },
    // The kernel looks at the end of the array, which a shorter string does not reach.
    OtherCounts {
        name: "`~ \"*x\"` looks at the end of the string here",
        kernels: ">=6.1",
        explains: |counted| has_suffix_pattern(counted.line),
    },
    // There bpf_get_stack() is given the registers of user space, and finds no kernel stack.
    OtherCounts {
        name: "kernel stacks of `syscalls:*` are empty for BPF in 6.1",
        kernels: "<6.12",
        explains: |counted| {
            counted.system == "syscalls"
                && counted.line.contains("stacktrace")
                && totals_agree(counted)
        },
    },
    // What follows the NUL is what was in the buffer before: 7.x makes several entries of one name.
    OtherCounts {
        name: "bytes behind the NUL of a `char[N]` are no part of the key here",
        kernels: ">=7.0",
        explains: |counted| {
            let (kernel, ours) = (hits_by_key(counted.kernel), hits_by_key(counted.ours));
            kernel.as_ref().is_some_and(|(_, repeats)| *repeats > 0)
                && kernel.map(|(hits, _)| hits) == ours.map(|(hits, _)| hits)
        },
    },
    // On x86-64 the logarithm of what is beyond 2^63 is 64, 0 before 7.x.
    OtherCounts {
        name: "`.log2` of more than 2^63 is 0 before 7.x",
        kernels: "<7.0",
        explains: |counted| counted.line.contains(".log2") && counted.ours.contains("~ 2^64"),
    },
];

/// The reason why the histograms of one trigger differ.
pub(super) fn explain_counts(counted: &Counted<'_>, version: Version) -> Option<&'static str> {
    let known = OTHER_COUNTS.iter().find(|other| {
        version::matches(other.kernels, version).unwrap_or(false) && (other.explains)(counted)
    });
    known.map(|other| other.name)
}

/// A filter in it compares with a pattern that begins with its only `*`.
fn has_suffix_pattern(line: &str) -> bool {
    line.split('~').skip(1).any(|operand| {
        let pattern = operand.trim_start().trim_start_matches(['"', '\'']).trim_start_matches('!');
        let rest = pattern.split(['"', '\'']).next().and_then(|text| text.strip_prefix('*'));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['*', '?', '[', '\\']))
    })
}

/// What [`has_double_hitcount`] explains, also in the lists of triggers.
pub(super) const DOUBLE_HITCOUNT: &str = "a double `hitcount` is ignored by 6.1";

/// The hits are asked for twice.
pub(super) fn has_double_hitcount(text: &str) -> bool {
    text.matches("hitcount").count() > 1
}

/// A number is divided by a number in it, which both sides do at once.
pub(super) fn folds_division(text: &str) -> bool {
    let params = text.split(" if ").next().unwrap_or(text);
    params.split([':', ',', '=']).any(|item| {
        let is_number = |operand: &str| operand.starts_with(|c: char| c.is_ascii_digit());
        let operands: Vec<_> = item.split(['+', '-', '*', '/', '(', ')']).collect();
        item.contains('/') && operands.windows(2).any(|pair| pair.iter().all(|o| is_number(o)))
    })
}

/// The hits of each key as printed, and how many entries have a key that another one has; `None` if
/// entries show no hits. Names before numbers in brackets do not matter: a task's name is that of the
/// event that made the entry.
fn hits_by_key(hist: &str) -> Option<(BTreeMap<String, u64>, usize)> {
    let (mut hits, mut repeats) = (BTreeMap::new(), 0);
    for line in hist.lines().filter(|line| line.starts_with("{ ")) {
        let (key, values) = line.split_once(" } hitcount: ")?;
        let number: u64 = values.split_whitespace().next()?.parse().ok()?;
        let key = key.split(", ").map(unnamed).collect::<Vec<_>>().join(", ");
        repeats += usize::from(hits.contains_key(&key));
        *hits.entry(key).or_default() += number;
    }
    Some((hits, repeats))
}

/// `common_pid: worker-1 [ 365]` without the name.
fn unnamed(part: &str) -> &str {
    part.rfind('[').filter(|_| part.ends_with(']')).map_or(part, |start| &part[start..])
}

/// The same number of events. How many of them found room may differ with the keys.
fn totals_agree(counted: &Counted<'_>) -> bool {
    let events = |text: &str| Some(total(text, "Hits")? + total(text, "Dropped")?);
    events(counted.kernel).is_some_and(|count| events(counted.ours) == Some(count))
}

/// The number in the block's last lines that is called `name`.
fn total(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().rev();
    lines.find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_new_to_older_kernels_only() {
        let text = "hist:keys=common_comm,a.percent:NOHC if commx==1";
        assert_eq!(new_words(text, Version(6, 1)), [".percent", "common_comm", "NOHC"]);
        assert_eq!(new_words(text, Version(6, 12)), [".percent", "common_comm"]);
        assert!(new_words(text, Version(7, 3)).is_empty());
    }

    #[test]
    fn only_divisions_of_numbers_are_folded() {
        assert!(folds_division("hist:vals=a.percent,8/0x5:key=b"));
        assert!(folds_division("hist:keys=a+9/4"));
        assert!(!folds_division("hist:keys=a/4:vals=9+4"));
        assert!(!folds_division("hist:keys=a if b == 9/4"));
    }

    #[test]
    fn entries_that_look_alike_are_put_together() {
        let hist = "{ a: x } hitcount:          1\n{ a: y } hitcount:          2\n\
                    { a: x } hitcount:          3  b:          9\n";
        let (hits, repeats) = hits_by_key(hist).unwrap();
        assert_eq!((hits["{ a: x"], hits["{ a: y"], repeats), (4, 2, 1));
        let hist =
            "{ a: x, common_pid: u [ 7] } hitcount: 1\n{ a: x, common_pid: v [ 7] } hitcount: 2\n";
        let (hits, repeats) = hits_by_key(hist).unwrap();
        assert_eq!((hits["{ a: x, [ 7]"], repeats), (3, 1));
        assert_eq!(hits_by_key("{ a: x }  b:          9\n"), None);
    }

    #[test]
    fn suffix_patterns_have_one_star_in_front() {
        for (line, expect) in [
            ("hist:keys=a if comm ~ \"*guest\"", true),
            ("hist:keys=a if comm~'!*guest' && b==1", true),
            ("hist:keys=a if comm ~ \"*guest*\"", false),
            ("hist:keys=a if comm ~ \"guest*\"", false),
            ("hist:keys=a if comm ~ \"*\"", false),
            ("hist:keys=a if comm ~ \"*g?est\"", false),
        ] {
            assert_eq!(has_suffix_pattern(line), expect, "{line}");
        }
    }

    #[test]
    fn only_timestamps_excuse_other_counts() {
        let text = "# event histogram\n#\n# line\n    Hits: 7\n    Dropped: 2\n";
        let other = text.replace('7', "8");
        let fuller = other.replace('2', "1");
        let counted = |line, ours| Counted { system: "a", line, kernel: text, ours };
        let explain = |counted: Counted<'_>| explain_counts(&counted, Version(7, 3));
        assert_eq!(explain(counted("hist:keys=a", &other)), None);
        assert_eq!(explain(counted("hist:keys=common_timestamp", &other)), None);
        assert!(explain(counted("hist:keys=common_timestamp", text)).is_some());
        // Of two stamps that are the same only here, the second needs no room.
        assert!(explain(counted("hist:keys=common_timestamp", &fuller)).is_some());
    }
}
