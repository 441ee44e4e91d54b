//! Hits that were not counted are reported, and `--fail-on-loss` makes them an error.

use std::io::Read as _;

use super::support::*;

#[test]
fn live_drops_are_counted_and_told() {
    if !needs::root() {
        return;
    }
    // Every process is another key.
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done";
    let output = output(&[
        "-i0",
        "hist:keys=child_pid:size=128",
        "sched:sched_process_fork",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let (hits, entries, dropped) =
        (totals(text, "Hits")[0], totals(text, "Entries")[0], totals(text, "Dropped")[0]);
    assert_eq!(entries, 128);
    assert_eq!(hits, 128);
    assert!(dropped >= 172, "{dropped}");
    let line =
        format!("lost hits of sched:sched_process_fork: {dropped} dropped, the table is full");
    assert!(stderr(&output).contains(&line), "{}", stderr(&output));
}

#[test]
fn live_losses_fail_if_they_are_to() {
    if !needs::root() {
        return;
    }
    let forks = |code: u8| {
        format!("i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; exit {code}")
    };
    let run = |code| output(&[&MANY_KEYS[..], &["--", "sh", "-c", &forks(code)]].concat());
    let lost = run(0);
    assert_eq!(lost.status.code(), Some(3), "{}", stderr(&lost));
    assert!(stderr(&lost).contains("lost hits of sched:sched_process_fork: "), "{}", stderr(&lost));
    // A command that failed has the last word.
    assert_eq!(run(7).status.code(), Some(7));
    let arguments = ["-i0", "--fail-on-loss", "-d0.1", "hist:keys=common_cpu", "task:task_rename"];
    let nothing_lost = output(&arguments);
    assert_eq!(nothing_lost.status.code(), Some(0), "{}", stderr(&nothing_lost));
}

#[test]
fn live_losses_are_told_with_every_table_on_v() {
    if !needs::root() {
        return;
    }
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; sleep 1";
    let arguments = ["-vi0.02", "hist:keys=child_pid:size=128", "sched:sched_process_fork"];
    let output = output(&[&arguments[..], &["--", "sh", "-c", script]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).matches("the table is full").count() >= 3, "{}", stderr(&output));
}

/// Nobody reads the tables any more; what was lost is said all the same.
#[test]
fn live_losses_are_told_when_the_pipe_is_closed() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let done = folder.path().join("done");
    let script = format!(
        "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; : >{}; exec sleep 600",
        done.display()
    );
    let interval = [&["-i1"], &MANY_KEYS[1..], &["--", "sh", "-c", &script]].concat();
    let mut running = Running::start(&interval);
    wait_until("the table is full", || done.exists());
    drop(running.child.stdout.take());
    let mut rest = String::new();
    running.stderr.read_to_string(&mut rest).expect("readable");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(3), "{rest}");
    assert!(rest.contains("the table is full"), "{rest}");
}
