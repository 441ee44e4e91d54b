//! Compares the kernel's histogram with an engine's, and shows the difference as a diff.
//!
//! Where the project deviates from a kernel on purpose, one function here makes the kernel's text
//! what ours must be; all else is compared byte for byte.

use similar::TextDiff;

use crate::version::Version;

/// The unified diff from `kernel` to `ours`, both made by a kernel of `version`; `None` if there is
/// no difference.
pub fn difference(kernel: &str, ours: &str, version: Version) -> Option<String> {
    let (kernel, ours) = (normal(kernel, version), normal(ours, version));
    if kernel == ours {
        return None;
    }
    let diff = TextDiff::from_lines(&kernel, &ours);
    Some(diff.unified_diff().context_radius(3).header("kernel", "ours").to_string())
}

/// The kernel's text, or ours, as it is compared: what this kernel shows otherwise on purpose is made
/// the same.
pub(crate) fn normal(text: &str, version: Version) -> String {
    let mut text = text.to_owned();
    if version >= Version(7, 0) {
        text = cpu_once(&text);
    }
    if version < Version(6, 12) {
        text = stack_named(&text);
    }
    text
}

/// 7.x prints the name of a CPU field twice in the trigger line, in `hist` and in `trigger` files: as
/// `common_cpu`, then as typed.
fn cpu_once(text: &str) -> String {
    let fix = |line: &str| {
        if !line.starts_with("# trigger info:") && !line.starts_with("hist:") {
            return line.to_owned();
        }
        ["common_cpucommon_cpu", "common_cpucpu", "common_cpuCPU"]
            .iter()
            .fold(line.to_owned(), |line, doubled| line.replace(doubled, "common_cpu"))
    };
    text.split_inclusive('\n').map(fix).collect()
}

/// Kernels before 6.12 call a stack `stacktrace`, in the trigger line and in entries.
fn stack_named(text: &str) -> String {
    let places = [("{ ", ":\n"), (", ", ":\n"), ("=", ":"), ("=", ","), (",", ":"), (",", ",")];
    places.iter().fold(text.to_owned(), |text, (before, after)| {
        let named = |name: &str| format!("{before}{name}{after}");
        text.replace(&named("stacktrace"), &named("common_stacktrace"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIST: &str = "# trigger info: hist:keys=id:vals=hitcount,n:sort=hitcount.descending:size=2048 [active]\n\
        { id:          9 } hitcount:          2  n:          1\n\
        { id:          3 } hitcount:          2  n:          5\n\
        { id:          1 } hitcount:          1  n:          7\n";

    #[test]
    fn every_byte_counts() {
        assert_eq!(difference(HIST, HIST, Version(7, 3)), None);
        let diff = difference(HIST, &HIST.replace("n:          7", "n:          8"), Version(7, 3));
        assert!(diff.unwrap().contains("+{ id:          1 } hitcount:          1  n:          8"));
        let spaces = HIST.replace("  n:", " n:");
        assert!(difference(HIST, &spaces, Version(6, 1)).is_some());
    }

    #[test]
    fn stacks_have_their_new_name() {
        let old = "# trigger info: hist:keys=stacktrace,a:vals=hitcount:sort=hitcount\n{ stacktrace:\n         f\n, a: 1}\n{ a: 1, stacktrace:\n}\n";
        let new = old.replace("stacktrace", "common_stacktrace");
        assert_eq!(difference(old, &new, Version(6, 1)), None);
        assert!(difference(old, &new, Version(6, 12)).is_some());
    }

    #[test]
    fn cpu_is_named_once() {
        let doubled = "# trigger info: hist:keys=common_cpucpu:sort=hitcount\n{ cpu: 1 }\n";
        let single = doubled.replace("common_cpucpu", "common_cpu");
        assert_eq!(difference(doubled, &single, Version(7, 3)), None);
        assert!(difference(doubled, &single, Version(6, 12)).is_some());
    }
}
