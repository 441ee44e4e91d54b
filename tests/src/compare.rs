//! Takes two histograms, the kernel's and an engine's. Gives their difference as a diff.
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

/// Applies what this kernel needs.
fn normal(text: &str, version: Version) -> String {
    let mut text = text.to_owned();
    if version >= Version(7, 0) {
        text = cpu_once(&text);
    }
    if version < Version(6, 12) {
        text = ties_sorted(&text);
    }
    text
}

/// 7.x prints the name of a CPU field twice in the trigger line: as `common_cpu`, then as typed.
fn cpu_once(text: &str) -> String {
    let fix = |line: &str| {
        if !line.starts_with("# trigger info:") {
            return line.to_owned();
        }
        ["common_cpucommon_cpu", "common_cpucpu", "common_cpuCPU"]
            .iter()
            .fold(line.to_owned(), |line, doubled| line.replace(doubled, "common_cpu"))
    };
    text.split_inclusive('\n').map(fix).collect()
}

/// Kernels before 6.12 sort with another heapsort, which leaves entries that compare equal in
/// another order. So order such runs by their text.
fn ties_sorted(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let names = sort_names(text);
    let rank = |line: &str| -> Option<Vec<String>> {
        let entry = line.starts_with('{');
        entry.then(|| names.iter().map(|name| shown(line, name)).collect())
    };
    let mut sorted: Vec<&str> = Vec::new();
    for run in lines.chunk_by(|a, b| rank(a).is_some() && rank(a) == rank(b)) {
        let mut run = run.to_vec();
        if run[0].starts_with('{') {
            run.sort_unstable();
        }
        sorted.extend(run);
    }
    sorted.concat()
}

/// The names behind `sort=` in the trigger line, without modifier and direction.
fn sort_names(text: &str) -> Vec<&str> {
    let line = text.lines().find(|line| line.starts_with("# trigger info:")).unwrap_or_default();
    let list = line.split(":sort=").nth(1).unwrap_or_default();
    let list = list.split([':', ' ']).next().unwrap_or_default();
    list.split(',').map(|item| item.split('.').next().unwrap_or(item)).collect()
}

/// What an entry shows for `name`. A value stands behind the keys and comes first in sorting.
fn shown(line: &str, name: &str) -> String {
    let label = format!(" {name}: ");
    let Some(start) = line.rfind(&label) else { return String::new() };
    let rest = line[start + label.len()..].trim_start();
    let end = rest.find([',', '}']).unwrap_or(rest.len());
    let end = rest.find("  ").unwrap_or(end).min(end);
    rest[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIST: &str = "# trigger info: hist:keys=id:vals=hitcount,n:sort=hitcount.descending:size=2048 [active]\n\
        { id:          9 } hitcount:          2  n:          1\n\
        { id:          3 } hitcount:          2  n:          5\n\
        { id:          1 } hitcount:          1  n:          7\n";

    fn swap(text: &str, a: usize, b: usize) -> String {
        let mut lines: Vec<_> = text.lines().collect();
        lines.swap(a, b);
        lines.join("\n") + "\n"
    }

    #[test]
    fn every_byte_counts() {
        assert_eq!(difference(HIST, HIST, Version(7, 3)), None);
        let diff = difference(HIST, &HIST.replace("n:          7", "n:          8"), Version(7, 3));
        assert!(diff.unwrap().contains("+{ id:          1 } hitcount:          1  n:          8"));
        let spaces = HIST.replace("  n:", " n:");
        assert!(difference(HIST, &spaces, Version(6, 1)).is_some());
    }

    #[test]
    fn ties_are_free_on_old_kernels_only() {
        let other = swap(HIST, 1, 2);
        assert_eq!(difference(HIST, &other, Version(6, 1)), None);
        assert!(difference(HIST, &other, Version(6, 12)).is_some());
        let wrong = swap(HIST, 2, 3);
        assert!(difference(HIST, &wrong, Version(6, 1)).is_some());
    }

    #[test]
    fn cpu_is_named_once() {
        let doubled = "# trigger info: hist:keys=common_cpucpu:sort=hitcount\n{ cpu: 1 }\n";
        let single = doubled.replace("common_cpucpu", "common_cpu");
        assert_eq!(difference(doubled, &single, Version(7, 3)), None);
        assert!(difference(doubled, &single, Version(6, 12)).is_some());
    }

    #[test]
    fn values_come_before_keys() {
        let line =
            "{ n:          9, common_cpu:          1 } hitcount:          2  n:          5\n";
        assert_eq!(shown(line, "n"), "5");
        assert_eq!(shown(line, "hitcount"), "2");
        assert_eq!(shown(line, "common_cpu"), "1");
        assert_eq!(shown(line, "cpu"), "");
    }
}
