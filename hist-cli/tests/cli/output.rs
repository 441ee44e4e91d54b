//! Where tables, messages and the log go, and what happens when nobody takes them.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::Stdio;

use super::support::*;

#[test]
fn live_a_closed_pipe_ends_quietly() {
    if !needs::root() {
        return;
    }
    let mut running = Running::start(&["-i0.05", "hist:keys=id", "raw_syscalls:sys_enter"]);
    drop(running.child.stdout.take());
    let mut rest = String::new();
    running.stderr.read_to_string(&mut rest).expect("readable");
    let status = running.child.wait().expect("it ends");
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

/// What was said to nobody ended the process with a panic.
#[test]
fn live_nobody_needs_to_read_stderr() {
    if !needs::root() {
        return;
    }
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let mut command = hist_bpf();
    command.args(["-vi0", "-d0.1", "hist:keys=id", "raw_syscalls:sys_enter"]).stderr(full);
    let output = command.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(totals(stdout(&output), "Hits").len(), 1);
}

#[test]
fn live_a_full_disk_is_an_error() {
    if !needs::root() {
        return;
    }
    let arguments = ["-i0", "-d0.1", "-o", "/dev/full", "hist:keys=id", "raw_syscalls:sys_enter"];
    check_fails(&arguments, 1, &["cannot write /dev/full", "No space left"]);
    let arguments = ["-o", "/no/such/dir/x", "hist:keys=id", "raw_syscalls:sys_enter"];
    check_fails(&arguments, 1, &["cannot write /no/such/dir/x"]);
}

#[test]
fn live_output_goes_to_the_file() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table");
    let name = path.to_str().expect("UTF-8");
    let output = output(&["-qi0", "-d0.2", "-o", name, "hist:keys=id", "raw_syscalls:sys_enter"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
    let text = fs::read_to_string(&path).expect("it is there");
    assert_eq!(totals(&text, "Dropped"), [0]);
}

/// The tick and the end came at the same moment, and each printed a table.
#[test]
fn live_no_table_is_printed_twice_at_the_end() {
    if !needs::root() {
        return;
    }
    let output = output(&["-q", "-i0.3", "-d0.3", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("# event histogram").count(), 1, "{}", stdout(&output));
}

#[test]
fn live_every_event_is_logged_on_vv() {
    if !needs::root() {
        return;
    }
    let output = output(&[
        "-vvi0",
        "hist:keys=child_pid",
        "sched:sched_process_fork",
        "--",
        "sh",
        "-c",
        "/bin/true; /bin/true",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let hits = totals(stdout(&output), "Hits")[0];
    let logged = stderr(&output).lines().filter(|line| line.contains("new")).count();
    assert!(hits >= 2 && logged as u64 >= hits, "{hits} hits, {}", stderr(&output));
    // A library's twenty lines about the kernel stood before them.
    assert!(!stderr(&output).contains("Feature"), "{}", stderr(&output));
}

/// Each line of the log was a system call, which was logged in its turn.
#[test]
fn live_the_log_of_system_calls_does_not_feed_itself() {
    if !needs::root() {
        return;
    }
    let mut command = hist_bpf();
    command.args(["-vvi0", "-d0.5", "hist:keys=id", "raw_syscalls:sys_enter"]);
    let log = tempfile::tempfile().expect("a file");
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts");
    assert_eq!(patiently(&mut child, "with the duration over").code(), Some(0));
}
