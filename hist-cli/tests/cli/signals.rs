//! What signals do: print, end, end at once.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use super::support::*;

#[test]
fn live_signals_print_and_end() {
    if !needs::root() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // The tests themselves may run under nohup, and that would be inherited.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_hist-bpf")]);
        let running = Running::spawn(command, &["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
        running.signal(signal);
        let output = running.end();
        let rest = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{rest}");
        assert_eq!(totals(stdout(&output), "Hits").len(), 1);
    }
}

/// `nohup` means that the end of the terminal is not the end of the command.
#[test]
fn live_an_ignored_hangup_stays_ignored() {
    if !needs::root() {
        return;
    }
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_hist-bpf"));
    let mut running = Running::spawn(command, &["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    running.signal(Signal::HUP);
    running.signal(Signal::USR1);
    let mut lines = BufReader::new(running.child.stdout.take().expect("piped")).lines();
    let dropped = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("Dropped:")));
    assert!(dropped.is_some(), "it goes on and prints");
    running.signal(Signal::INT);
    let rest: Vec<_> = lines.map(|line| line.expect("UTF-8")).collect();
    assert!(rest.iter().any(|line| line.contains("Dropped:")), "and the final one");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0));
}

/// A signal that came before the handlers were installed ended the process without a table.
#[test]
fn live_a_signal_during_the_start_is_not_lost() {
    if !needs::root() {
        return;
    }
    let trigger = ["hist:keys=id", "raw_syscalls:sys_enter"];
    let triggers: Vec<_> = (1..39).map(|id| format!("hist:keys=id if id != {id}")).collect();
    let more = triggers.iter().flat_map(|text| [text.as_str(), trigger[1]]);
    let arguments: Vec<_> = ["-i0"].into_iter().chain(trigger).chain(more).collect();
    let mut command = hist_bpf();
    command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    wait_until("it has a handler", || catches(child.id(), Signal::INT));
    signal(&child, Signal::INT);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(totals(stdout(&output), "Hits").len(), 39);
}

/// Whether the process has a handler for the signal.
fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    mask(&status, "SigCgt:") >> (signal.as_raw() - 1) & 1 == 1
}

/// Passing the log on blocked everything else.
#[test]
fn live_interrupts_are_heeded_while_nobody_reads_stderr() {
    if !needs::root() {
        return;
    }
    let mut running = Running::start(&["-vvi0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    // As much as there is room for: how many bytes that is depends on how they are written.
    let (mut said, mut looks) = (0, 0);
    wait_until("as much is logged as there is room for", || {
        let now = ioctl_fionread(running.stderr.get_ref()).expect("a pipe");
        looks = if now == said { looks + 1 } else { 0 };
        said = now;
        now > 0 && looks > 200
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        running.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(50));
        if let Some(status) = running.child.try_wait().expect("waitable") {
            break status;
        }
        assert!(Instant::now() < deadline, "a second Ctrl-C did not end it");
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn live_sigusr1_prints_now() {
    if !needs::root() {
        return;
    }
    let mut running = Running::start(&["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    running.signal(Signal::USR1);
    let mut lines = BufReader::new(running.child.stdout.take().expect("piped")).lines();
    let dropped = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("Dropped:")));
    assert!(dropped.is_some(), "a table came before the end");
    running.signal(Signal::INT);
    let rest: Vec<_> = lines.map(|line| line.expect("UTF-8")).collect();
    assert!(rest.iter().any(|line| line.contains("Dropped:")), "and the final one");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0));
}

/// A request that arrived while a table was being printed was forgotten.
#[test]
fn live_sigusr1_during_a_table_prints_another() {
    if !needs::root() {
        return;
    }
    // Paused, so that all tables have the same length, and nobody reads them at first.
    let mut running = Running::start(&["-i0", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    let mut stdout = running.child.stdout.take().expect("piped");
    let room = rustix::pipe::fcntl_setpipe_size(&stdout, 4096).expect("a small pipe");
    let table = "# event histogram\n#\n# trigger info: hist:keys=id:vals=hitcount:sort=hitcount:\
                 size=2048 [paused]\n#\n\n\nTotals:\n    Hits: 0\n    Entries: 0\n    Dropped: 0\n";
    let ask = || {
        running.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(20));
    };
    wait_until("there is no room for a whole table", || {
        ask();
        ioctl_fionread(&stdout).expect("a pipe") as usize + table.len() + 2 > room
    });
    (0..50).for_each(|_| ask());
    // By now one table is under way, and another was asked for.
    let under_way = room / (table.len() + 2) + 1;
    let wanted = (table.len() + 2) * (under_way + 1) - 2;
    let pid = Pid::from_child(&running.child);
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        // Fails if all went well: then it is gone.
        kill_process(pid, Signal::KILL).ok();
    });
    let mut text = vec![0; wanted];
    stdout.read_exact(&mut text).expect("a table for the last request");
    assert!(text.ends_with(b"Dropped: 0\n"));
    running.signal(Signal::INT);
    drop(stdout);
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0));
}

/// A table was due whenever one had been printed, and went before the end.
#[test]
fn live_tables_slower_than_their_interval_do_not_keep_it_from_ending() {
    if !needs::root() {
        return;
    }
    let arguments = ["-i0.01", "-d2", "-o", "/dev/null"];
    let trigger = ["hist:keys=pos:size=131072", "syscalls:sys_enter_pread64"];
    let mut running = Running::start(&[&arguments[..], &trigger].concat());
    let zeros = File::open("/dev/zero").expect("it is there");
    // Each position is an entry: tables soon take much longer than 10 ms.
    for position in 0..30_000 {
        zeros.read_at(&mut [0], position).expect("readable");
    }
    assert_eq!(patiently(&mut running.child, "with the duration over").code(), Some(0));
}

#[test]
fn live_a_second_interrupt_quits_while_nobody_reads() {
    if !needs::root() {
        return;
    }
    // Nobody reads the pipe: a table of many entries blocks.
    let mut running = Running::start(&[
        "-i0.05",
        "hist:keys=common_pid,id,common_cpu:vals=id",
        "raw_syscalls:sys_enter",
    ]);
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::INT);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        std::thread::sleep(Duration::from_millis(50));
        if let Some(status) = running.child.try_wait().expect("waitable") {
            break status;
        }
        assert!(Instant::now() < deadline, "a second Ctrl-C did not end it");
        running.signal(Signal::INT);
    };
    // The table may have fitted the pipe after all; else the second one ended it.
    assert!(matches!(status.code(), Some(0 | 130)), "{status:?}");
}

#[test]
fn live_kill_9_leaves_nothing_attached() {
    if !needs::root() {
        return;
    }
    let mut running = Running::start(&["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    let pid = running.child.id();
    assert!(programs(pid) > 0, "it holds programs while it runs");
    running.signal(Signal::KILL);
    assert_eq!(running.child.wait().expect("it ends").signal(), Some(9));
    assert_eq!(programs(pid), 0);
}

/// How many BPF programs a process holds, by the links of its descriptors.
fn programs(pid: u32) -> usize {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("bpf-prog"))
        .count()
}
