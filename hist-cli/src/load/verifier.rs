//! Finds the lines of the verifier's log that tell why it refused a program.

/// Lines kept from the end of a log.
const KEPT: usize = 8;

/// The last lines, without the statistics, and a count of those left out.
#[must_use]
pub fn telling_lines(log: &str) -> String {
    let statistics = ["processed ", "verification time ", "stack depth "];
    let lines: Vec<_> = log
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !statistics.iter().any(|start| line.starts_with(start)))
        .collect();
    let omitted = lines.len().saturating_sub(KEPT);
    let mut text = String::new();
    if omitted > 0 {
        text += &format!("  ({omitted} lines before these; -v shows all)\n");
    }
    for line in &lines[omitted..] {
        text += &format!("  {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_counts_the_rest() {
        let mut log: String = (0..20).map(|line| format!("{line}: r0 = r1\n")).collect();
        log += "invalid access\nprocessed 20 insns (limit 1000000)\n\n";
        let text = telling_lines(&log);
        assert!(text.starts_with("  (13 lines before these; -v shows all)\n  13: r0 = r1\n"));
        assert!(text.ends_with("  19: r0 = r1\n  invalid access\n"));
    }

    #[test]
    fn a_short_log_is_shown_whole() {
        assert_eq!(telling_lines("a\nb\n"), "  a\n  b\n");
        assert_eq!(telling_lines(""), "");
    }
}
