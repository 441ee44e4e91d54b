//! What tests skip is said once, at the end, or fails them: shown by running this file anew.

use std::process::{Command, Output};

use hist_test_support::needs;

/// Set for the process whose tests lack something.
const LACKS: &str = "HIST_BPF_TEST_LACKS";

fn lacks() -> bool {
    std::env::var_os(LACKS).is_some()
}

#[test]
fn one_that_needs_what_is_not_there() {
    if lacks() && needs::that(false, "a moon") {
        unreachable!("it is not there");
    }
}

#[test]
fn another_one() {
    if lacks() {
        assert!(!needs::that(false, "a moon") && !needs::program("no-such-program"));
        assert!(needs::program("sh") && needs::file("/proc", "procfs"));
    }
}

/// The tests of this file, in a process where they lack something.
fn run(no_skip: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this file"));
    command.args(["one", "--test-threads=1"]).env(LACKS, "").env_remove(needs::NO_SKIP);
    if no_skip {
        command.env(needs::NO_SKIP, "1");
    }
    command.output().expect("it starts")
}

#[test]
fn passing_tests_hid_what_was_skipped() {
    let output = run(false);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(said, "skipped for want of a moon (2), no-such-program (1)\n\n");
}

#[test]
fn where_nothing_may_be_skipped_the_test_fails() {
    let output = run(true);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("HIST_BPF_NO_SKIP is set, and this test wants a moon"), "{text}");
    assert!(text.contains("2 failed"), "{text}");
}
