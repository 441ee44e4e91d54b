//! Command lines that are wrong, and rights that are missing: what is said, and the exit code.

use std::process::Command;

use super::support::*;

#[test]
fn usage_mistakes_exit_with_2() {
    // Somebody who knows nothing yet was told of missing arguments.
    check_fails(&[], 2, &["Usage: hist-bpf ", "Subcommands:", "Example: hist-bpf 'hist:keys="]);
    check_fails(&["hist:keys=id"], 2, &["no event for the trigger `hist:keys=id`"]);
    check_fails(&["hist:keys=id", "kmalloc"], 2, &["SYSTEM:EVENT"]);
    check_fails(&["hist:keys=id", "a:b:c"], 2, &["SYSTEM:EVENT"]);
    check_fails(&["-i", "soon", "hist:keys=id", "a:b"], 2, &["not a number of seconds"]);
    // It was taken for an unknown flag.
    check_fails(&["-i", "-1", "hist:keys=id", "a:b"], 2, &["not a number of seconds from 0 on"]);
    check_fails(&["-d", "1e19", "hist:keys=id", "a:b"], 2, &["100 years"]);
    check_fails(&["--emit", "nothing", "hist:keys=id", "a:b"], 2, &["trigger", "asm"]);
    check_fails(&["--tracefs", "/", "hist:keys=id", "a:b"], 2, &["--emit"]);
    check_fails(&["-q", "-v", "hist:keys=id", "a:b"], 2, &["cannot be used with"]);
    check_fails(&["--top", "0", "hist:keys=id", "a:b"], 2, &["not a number of entries from 1 on"]);
    check_fails(&["hist:keys=id", "a:b", "ls"], 2, &["`ls` is neither", "behind `--`"]);
    // What would have no effect is refused.
    let head = ["--emit=plan", "hist:keys=id", "a:b"];
    for rest in [&["--", "true"][..], &["-d1"], &["--fail-on-loss"]] {
        check_fails(&[&head[..], rest].concat(), 2, &["cannot be used with"]);
    }
}

/// It was a trigger that does not begin with `hist:`, and an event system named `hist`.
#[test]
fn an_event_before_its_trigger_is_told() {
    let words = ["a:b", "hist:keys=id"];
    let told = ["the trigger comes before its event: 'hist:keys=id' a:b"];
    check_fails(&words, 2, &told);
    check_fails(&[&["explain"], &words[..]].concat(), 2, &told);
}

/// The word behind was called no trigger.
#[test]
fn a_misspelt_subcommand_is_told() {
    let words = ["explian", "hist:keys=id", "a:b"];
    check_fails(&words, 2, &["no subcommand `explian`; did you mean `explain`?"]);
    check_fails(&["lst"], 2, &["no subcommand `lst`; did you mean `list`?"]);
    check_fails(&["help"], 2, &["did you mean `--help`?"]);
    check_fails(&["-q", "list"], 2, &["the subcommand `list` must come first"]);
}

/// `-- $COMMAND` with an empty variable counted everything, for ever.
#[test]
fn nothing_behind_two_dashes_is_no_command() {
    let words = ["-i0", "hist:keys=id", "raw_syscalls:sys_enter", "--"];
    check_fails(&words, 2, &["there is no COMMAND behind `--`"]);
    if needs::root() {
        let empty = [&words[..], &[""]].concat();
        check_fails(&empty, 127, &["cannot run '': No such file"]);
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for flag in ["--help", "-h", "--version"] {
        let output = output(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("hist-bpf"), "{flag}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn without_root_the_missing_capabilities_are_named() {
    if !rustix::process::geteuid().is_root() {
        check_fails(&["hist:keys=id", "raw_syscalls:sys_enter"], 1, &["CAP_BPF", "CAP_PERFMON"]);
        return;
    }
    // As root: the same, with all capabilities laid down.
    let program = env!("CARGO_BIN_EXE_hist-bpf");
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"])
        .args([program, "hist:keys=id", "raw_syscalls:sys_enter"])
        .output()
        .expect("setpriv is part of util-linux");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("missing CAP_PERFMON and CAP_BPF"), "{}", stderr(&output));
}

/// The limit on locked memory was said to be too low.
#[test]
fn live_root_of_a_user_namespace_is_told_that_it_is_not_root() {
    if !needs::root() {
        return;
    }
    let hist_bpf = env!("CARGO_BIN_EXE_hist-bpf");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]);
    let works = unshare.arg("true").status().is_ok_and(|status| status.success());
    if !needs::that(works, "user namespaces") {
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", hist_bpf, "hist:keys=id", "raw_syscalls:sys_enter"]);
    let output = unshare.output().expect("unshare is part of util-linux");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("user namespace"), "{}", stderr(&output));
}
