//! Takes command lines. Gives their output and exit codes, from the real binary on the real
//! kernel. What needs root runs only as root, and must run then.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

#[path = "cli/common.rs"]
mod common;
#[path = "cli/discover.rs"]
mod discover;
#[path = "cli/ending.rs"]
mod ending;
#[path = "cli/formats.rs"]
mod formats;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/live.rs"]
mod live;
#[path = "cli/serve.rs"]
mod serve;

use common::*;

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

#[track_caller]
fn check_fails(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = output(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: no `{part}` in\n{said}");
    }
}

/// They were refused as a usage error, but names of tasks may hold any byte.
#[test]
fn triggers_that_are_not_utf8_were_refused() {
    let trigger =
        OsStr::from_bytes(b"hist:keys=prev_pid if prev_comm ~ \"*\xff*\" && comm == \"\xe9\"");
    let formats = event_formats();
    for (head, part) in [(&["--emit", "trigger"][..], "prev_comm ~"), (&["explain"], "prev_comm")] {
        let mut command = hist_bpf();
        command.args(head).arg("--tracefs").arg(&formats).arg(trigger).arg("sched:sched_switch");
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains(part), "{}", stdout(&output));
    }
    let trigger = OsStr::from_bytes(b"hist:keys=prev_pid if \xff=1");
    let mut command = hist_bpf();
    command.arg("--tracefs").arg(&formats).args(["--emit", "hist"]).arg(trigger);
    let output = command.arg("sched:sched_switch").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let marked = "  hist:keys=prev_pid if \u{fffd}=1\n                        ^";
    assert!(stderr(&output).contains(marked), "{}", stderr(&output));
}

#[test]
fn live_a_task_may_have_any_byte_in_its_name() {
    if !is_live() {
        return;
    }
    let trigger = OsStr::from_bytes(b"hist:keys=id if comm ~ \"?\xff*\"");
    let rename = "printf 'a\\377b' >/proc/self/comm; umask >/dev/null";
    for (format, line) in [
        ("ftrace", &b"size=2048 if comm ~ \"?\xff*\" [active]"[..]),
        ("json", br#"size=2048 if comm ~ \"?\\xff*\""#),
    ] {
        let mut command = hist_bpf();
        command.args(["-q", "-i0", "-f", format]).arg(trigger).arg("raw_syscalls:sys_enter");
        let output = command.args(["--", "sh", "-c", rename]).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = output.stdout;
        let shown = text.escape_ascii();
        assert!(text.windows(line.len()).any(|part| part == line), "{shown}");
        let nothing = [&b"Hits: 0\n"[..], b"\"hits\":0"];
        let is_empty = |no: &&[u8]| text.windows(no.len()).any(|part| part == *no);
        assert!(!nothing.iter().any(is_empty), "{shown}");
    }
}

/// Golden formats, so that tests without root know some events.
fn event_formats() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats");
    path.to_str().expect("UTF-8").to_owned()
}

impl Running {
    fn end(mut self) -> (Output, String) {
        let mut rest = String::new();
        let mut stdout = self.child.stdout.take().expect("piped");
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).expect("readable");
        self.stderr.read_to_string(&mut rest).expect("readable");
        let status = self.child.wait().expect("it ends");
        (Output { status, stdout: text, stderr: rest.clone().into_bytes() }, rest)
    }
}

/// The numbers behind `Hits:`, `Entries:` and `Dropped:` of every block.
fn totals(text: &str, name: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(name));
    lines.map(|number| number.trim().parse().expect("a number")).collect()
}

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
    if is_live() {
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
fn memory_decides_about_the_map() {
    let plan = |memory: &str| {
        let trigger = "hist:keys=bytes_req:vals=bytes_alloc:size=4096";
        let plan = ["--emit=plan", "--memory", memory, "--tracefs", &event_formats(), trigger];
        output(&[&plan[..], &["kmem:kmalloc"]].concat())
    };
    // However many CPUs there are, one value in each entry takes less than two.
    assert!(stdout(&plan("1G")).contains("map      per-CPU hash, "), "{:?}", plan("1G"));
    assert!(stdout(&plan("1G")).contains("\nmemory   "));
    let refused = plan("1k");
    assert_eq!((refused.status.code(), stdout(&refused)), (Some(1), ""));
    assert!(stderr(&refused).contains("allows 1.00 KiB; no size fits: use --memory "));
    let said = stderr(&refused).to_owned();
    let enough = said.rsplit(' ').next().expect("words").trim();
    assert!(stdout(&plan(enough)).contains("map      hash, "), "{enough}");
    check_fails(&["--memory", "x", "hist:keys=id", "a:b"], 2, &["not a number of bytes"]);
}

#[test]
fn stages_are_shown_without_root_or_tracefs() {
    let trigger = "hist:key=call_site:val=bytes_req";
    for (stage, part) in [
        ("trigger", "call_site"),
        ("hist", "hist:keys=call_site:vals=hitcount,bytes_req:sort=hitcount:size=2048"),
        ("plan", "tracepoint kmem:kmalloc"),
        ("code", "hist_hole_key"),
        ("asm", "call bpf_map_lookup_elem"),
    ] {
        let output =
            output(&["--emit", stage, "--tracefs", &event_formats(), trigger, "kmem:kmalloc"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains(part), "{stage}:\n{}", stdout(&output));
        assert_eq!(stderr(&output), "");
    }
    // A blank that the kernel does not know was cut off for one stage only.
    let arguments = ["--emit=trigger", "\u{a0}hist:keys=a", "no:such"];
    check_fails(&arguments, 1, &["Not a hist trigger\n  \u{a0}hist:keys=a\n  ^^^^^\n"]);
    // What is logged with -vv shows, too.
    let arguments = ["-vv", "--emit=plan", "--tracefs", &event_formats(), trigger, "kmem:kmalloc"];
    let logging = output(&arguments);
    assert!(stdout(&logging).contains("hist_log"), "{}", stdout(&logging));
    // The first stage needs no event at all.
    let output = output(&["--emit=trigger", "hist:keys=a", "no:such"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn mistakes_in_triggers_have_a_caret_under_the_place() {
    let check = |trigger: &str, event: &str, parts: &[&str]| {
        check_fails(&["--emit=plan", "--tracefs", &event_formats(), trigger, event], 1, parts);
    };
    check(
        "hist:keys=call_sit",
        "kmem:kmalloc",
        &[
            "Couldn't find field\n  hist:keys=call_sit\n            ^^^^^^^^\n",
            "did you mean `call_site`?",
            "bytes_req",
        ],
    );
    check("hist:keys=ptr:size=64", "kmem:kmalloc", &["131072", "^^"]);
    check("hist:keys=ptr:sort=x", "kmem:kmalloc", &["Sort field must be a key or a val"]);
    check("hist:keys=ptr if ptr >", "kmem:kmalloc", &["Invalid value (did you forget quotes)?"]);
    check("hist:keys=ptr if (ptr > 1", "kmem:kmalloc", &["Too many '('"]);
    let across = "histograms across events (variables, handlers, synthetic events)";
    check("hist:keys=ptr:x=node", "kmem:kmalloc", &["`x=` defines a variable", across]);
    check("hist:keys=ptr:onmax($x).save(ptr)", "kmem:kmalloc", &["this is a handler", across]);
    check("hist:keys=ptr:vlas=node", "kmem:kmalloc", &["did you mean `vals=`?", "^^^^\n"]);
    check("hist:keys=ptr:sizee=128", "kmem:kmalloc", &["did you mean `size=`?"]);
    check("hist:kyes=ptr", "kmem:kmalloc", &["did you mean `keys=`?"]);
    check("hist:keys=args", "raw_syscalls:sys_enter", &["48 bytes"]);
    check("hist:keys=common_flags", "kmem:kmalloc", &["Not supported yet", "first 8 bytes"]);
    check("hist:keys=ptr", "kmem:kmaloc", &["no event `kmem:kmaloc`", "kmem:kmalloc"]);
    check("hist:keys=ptr", "kmen:kmalloc", &["no event system `kmen`"]);
}

#[test]
fn broken_formats_are_errors_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let event = folder.path().join("events/sys/event");
    fs::create_dir_all(&event).expect("a folder");
    let head = "name: event\nID: 1\nformat:\n";
    let field = |text: &str| format!("{head}\tfield:{text};\n\nprint fmt: \"\"\n");
    for (text, part) in [
        (String::new(), "there is no `name:` line"),
        (format!("{head}\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n"), "it was cut off"),
        (field("int a;\toffset:8;\tsize:4"), "line 4: the field has no `signed:`"),
        (field("int a;\toffset:99999999;\tsize:4;\tsigned:1"), "records have at most"),
    ] {
        fs::write(event.join("format"), text).expect("a file");
        let root = folder.path().to_str().expect("UTF-8");
        let arguments = ["--emit=plan", "--tracefs", root, "hist:keys=a", "sys:event"];
        check_fails(&arguments, 1, &["events/sys/event/format: ", part]);
    }
}

#[test]
fn without_root_the_missing_capabilities_are_named() {
    if !is_root() {
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

#[test]
fn live_counts_a_commands_events() {
    if !is_live() {
        return;
    }
    let (output, rest) = Running::start(&[
        "-i0",
        "hist:keys=id:vals=id if id == 39",
        "raw_syscalls:sys_enter",
        "--",
        "sh",
        "-c",
        "exit 7",
    ])
    .end();
    assert_eq!(output.status.code(), Some(7), "{rest}");
    let text = stdout(&output);
    assert!(text.starts_with(
        "# event histogram\n#\n# trigger info: hist:keys=id:vals=hitcount,id:sort=hitcount:\
         size=2048 if id == 39 [active]\n#\n\n"
    ));
    assert_eq!(totals(text, "Hits:").len(), 1);
}

#[test]
fn live_every_interval_prints_a_whole_table() {
    if !is_live() {
        return;
    }
    let (output, rest) = Running::start(&[
        "-i0.2",
        "-d1.1",
        "hist:keys=common_pid",
        "sched:sched_switch",
        "hist:keys=id",
        "raw_syscalls/sys_enter",
    ])
    .end();
    assert_eq!(output.status.code(), Some(0), "{rest}");
    let text = stdout(&output);
    let hits = totals(text, "Hits:");
    assert!(hits.len() >= 4 && hits.len().is_multiple_of(2), "{text}");
    // Counting goes on from table to table.
    let first: Vec<_> = hits.iter().step_by(2).collect();
    assert!(first.is_sorted(), "{first:?}");
    let blocks: Vec<_> = text.split("\n\n\n#").collect();
    assert_eq!(blocks.len(), hits.len(), "blocks are parted by two blank lines");
}

#[test]
fn live_signals_print_and_end() {
    if !is_live() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // The tests themselves may run under nohup, and that would be inherited.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_hist-bpf")]);
        let running = Running::spawn(command, &["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
        running.signal(signal);
        let (output, rest) = running.end();
        assert_eq!(output.status.code(), Some(0), "{rest}");
        assert_eq!(totals(stdout(&output), "Hits:").len(), 1);
    }
}

/// `nohup` means that the end of the terminal is not the end of the command.
#[test]
fn live_an_ignored_hangup_stays_ignored() {
    if !is_live() {
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
    if !is_live() {
        return;
    }
    let trigger = ["hist:keys=id", "raw_syscalls:sys_enter"];
    let triggers: Vec<_> = (1..39).map(|id| format!("hist:keys=id if id != {id}")).collect();
    let more = triggers.iter().flat_map(|text| [text.as_str(), trigger[1]]);
    let arguments: Vec<_> = ["-i0"].into_iter().chain(trigger).chain(more).collect();
    let mut command = hist_bpf();
    command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    while !catches(child.id(), Signal::INT) {
        std::thread::sleep(Duration::from_micros(100));
    }
    signal(&child, Signal::INT);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(totals(stdout(&output), "Hits:").len(), 39);
}

/// Whether the process has a handler for the signal.
fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    mask(&status, "SigCgt:") >> (signal.as_raw() - 1) & 1 == 1
}

/// The hexadecimal number after `name` in a status.
fn mask(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    u64::from_str_radix(line.trim(), 16).expect("a mask")
}

/// The runtime panicked where it got no files.
#[test]
fn live_too_few_files_are_an_error() {
    if !is_live() {
        return;
    }
    let hist_bpf = env!("CARGO_BIN_EXE_hist-bpf");
    for limit in 4..40 {
        let script = format!("ulimit -n {limit} && exec \"$@\"");
        let words = [hist_bpf, "-qi0", "-d0.01", "hist:keys=id", "raw_syscalls:sys_enter"];
        let mut command = Command::new("sh");
        let output = command.args(["-c", &script, "sh"]).args(words).args(["--", "true"]).output();
        let output = output.expect("sh starts");
        let said = stderr(&output);
        let is_clear = said.contains("Too many open files") && said.starts_with("error: ");
        match output.status.code() {
            Some(0) => assert_eq!(said, "", "{limit}"),
            // The dynamic linker needs some, too.
            Some(127) => assert!(said.contains("shared libraries"), "{limit}: {said}"),
            Some(1 | 126) => assert!(is_clear, "{limit}: {said}"),
            code => panic!("{limit}: {code:?}: {said}"),
        }
    }
}

/// Passing the log on blocked everything else.
#[test]
fn live_interrupts_are_heeded_while_nobody_reads_stderr() {
    if !is_live() {
        return;
    }
    let mut running = Running::start(&["-vvi0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    std::thread::sleep(Duration::from_secs(1));
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
    if !is_live() {
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
    if !is_live() {
        return;
    }
    // Paused, so that all tables have the same length, and nobody reads them at first.
    let mut running = Running::start(&["-i0", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    let mut stdout = running.child.stdout.take().expect("piped");
    let room = rustix::pipe::fcntl_setpipe_size(&stdout, 4096).expect("a small pipe");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        running.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(20));
    }
    // By now the pipe is full, one table is under way, and another was asked for.
    let table = "# event histogram\n#\n# trigger info: hist:keys=id:vals=hitcount:sort=hitcount:\
                 size=2048 [paused]\n#\n\n\nTotals:\n    Hits: 0\n    Entries: 0\n    Dropped: 0\n";
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
    if !is_live() {
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
    if !is_live() {
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
fn live_a_closed_pipe_ends_quietly() {
    if !is_live() {
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
    if !is_live() {
        return;
    }
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let mut command = hist_bpf();
    command.args(["-vi0", "-d0.1", "hist:keys=id", "raw_syscalls:sys_enter"]).stderr(full);
    let output = command.output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(totals(stdout(&output), "Hits:").len(), 1);
}

#[test]
fn live_a_full_disk_is_an_error() {
    if !is_live() {
        return;
    }
    let arguments = ["-i0", "-d0.1", "-o", "/dev/full", "hist:keys=id", "raw_syscalls:sys_enter"];
    check_fails(&arguments, 1, &["cannot write /dev/full", "No space left"]);
    let arguments = ["-o", "/no/such/dir/x", "hist:keys=id", "raw_syscalls:sys_enter"];
    check_fails(&arguments, 1, &["cannot write /no/such/dir/x"]);
}

#[test]
fn live_output_goes_to_the_file() {
    if !is_live() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table");
    let name = path.to_str().expect("UTF-8");
    let output = output(&["-qi0", "-d0.2", "-o", name, "hist:keys=id", "raw_syscalls:sys_enter"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
    let text = fs::read_to_string(&path).expect("it is there");
    assert_eq!(totals(&text, "Dropped:"), [0]);
}

/// A task may call itself anything; the bytes were replaced by what stands for unknown characters.
/// The tick and the end came at the same moment, and each printed a table.
#[test]
fn live_no_table_is_printed_twice_at_the_end() {
    if !is_live() {
        return;
    }
    let output = output(&["-q", "-i0.3", "-d0.3", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("# event histogram").count(), 1, "{}", stdout(&output));
}

#[test]
fn live_strings_of_any_bytes_are_printed_as_they_are() {
    if !is_live() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table");
    let event = "sched:sched_process_fork";
    let trigger =
        ["hist:keys=common_comm,common_pid.execname", event, "hist:keys=parent_comm", event];
    let script = r"printf '\377\376' >/proc/$$/comm; /bin/true; /bin/true";
    let head = ["-qi0", "-o", path.to_str().expect("UTF-8")];
    let output = output(&[&head[..], &trigger, &["--", "sh", "-c", script]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = fs::read(&path).expect("it is there");
    let name = |width: usize| [&b"\xff\xfe"[..], &vec![b' '; width - 2]].concat();
    let (key, task) = (name(50), name(16));
    for entry in [
        [b"{ common_comm: ", &key[..], b", common_pid: ", &task, b"["].concat(),
        [b"{ parent_comm: ", &key[..], b" } hitcount: "].concat(),
    ] {
        assert!(text.windows(entry.len()).any(|part| part == entry), "{}", text.escape_ascii());
    }
}

/// Without symbols the functions of tracing stayed on top of each stack, and nothing was said.
#[test]
fn live_hidden_symbols_are_told_and_what_that_means_for_stacks() {
    if !is_live() {
        return;
    }
    let run = |program: &str, arguments: &[&str]| {
        let trigger = ["hist:keys=common_stacktrace", "sched:sched_process_fork"];
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-syslog", "--inh-caps=-syslog", program]).args(arguments);
        if program != "cat" {
            command.args(["-qi0"]).args(trigger).args(["--", "sh", "-c", "/bin/true; /bin/true"]);
        }
        command.output().expect("setpriv is part of util-linux")
    };
    if !stdout(&run("cat", &["/proc/kallsyms"])).starts_with("0000000000000000") {
        eprintln!("skipped: this kernel shows its addresses to everybody");
        return;
    }
    let output = run(env!("CARGO_BIN_EXE_hist-bpf"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    assert!(said.contains("CAP_SYSLOG") && said.contains("stacks begin with"), "{said}");
    assert!(stdout(&output).contains("common_stacktrace:\n         0xffff"), "{}", stdout(&output));
}

#[test]
fn live_commands_that_cannot_start_have_the_shells_codes() {
    if !is_live() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("not-executable");
    File::create(&file).expect("a file");
    let head = ["hist:keys=id", "raw_syscalls:sys_enter", "--"];
    let with = |program| [&head[..], &[program]].concat();
    for program in ["/no/such/program", "no-such-program"] {
        let output = output(&with(program));
        assert_eq!(output.status.code(), Some(127));
        let said = stderr(&output);
        assert!(said.starts_with(&format!("error: cannot run {program}: ")), "at once: {said}");
    }
    // It is there, but its interpreter is not: that shows when it is started.
    let script = folder.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    check_fails(&with(script.to_str().expect("UTF-8")), 127, &["attached 1", "cannot run"]);
    check_fails(&with("/no/such/program"), 127, &["cannot run /no/such/program"]);
    check_fails(&with(file.to_str().expect("UTF-8")), 126, &["Permission denied"]);
    let output = output(&with("/bin/true"));
    assert_eq!(output.status.code(), Some(0));
    let killed = [&head[..], &["sh", "-c", "kill -9 $$"]].concat();
    assert_eq!(self::output(&killed).status.code(), Some(128 + 9));
}

#[test]
fn live_kill_9_leaves_nothing_attached() {
    if !is_live() {
        return;
    }
    let mut running = Running::start(&["-i0", "hist:keys=id", "raw_syscalls:sys_enter"]);
    let pid = running.child.id();
    assert!(programs(pid) > 0, "it holds programs while it runs");
    running.signal(Signal::KILL);
    assert_eq!(running.child.wait().expect("it ends").signal(), Some(9));
    assert_eq!(programs(pid), 0);
}

/// The limit on locked memory was said to be too low.
#[test]
fn live_root_of_a_user_namespace_is_told_that_it_is_not_root() {
    if !is_live() {
        return;
    }
    let hist_bpf = env!("CARGO_BIN_EXE_hist-bpf");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]);
    if !unshare.arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this kernel has no user namespaces");
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", hist_bpf, "hist:keys=id", "raw_syscalls:sys_enter"]);
    let output = unshare.output().expect("unshare is part of util-linux");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("user namespace"), "{}", stderr(&output));
}

/// How many BPF programs a process holds, by the links of its descriptors.
fn programs(pid: u32) -> usize {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().contains("bpf-prog"))
        .count()
}

#[test]
fn live_the_same_trigger_twice_is_refused() {
    if !is_live() {
        return;
    }
    let event = "raw_syscalls:sys_enter";
    check_fails(
        &["hist:keys=id", event, "hist:keys=id:size=256", event],
        1,
        &["Hist trigger already exists"],
    );
    let arguments = ["-i0", "-d0.1", "hist:keys=id", event, "hist:keys=id.hex", event];
    let output = output(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("attached 2 triggers to raw_syscalls:sys_enter; "));
    assert_eq!(totals(stdout(&output), "Hits:").len(), 2);
}

#[test]
fn live_triggers_of_one_name_print_one_table() {
    if !is_live() {
        return;
    }
    let (trigger, enter, exit) =
        ("hist:name=both:keys=id", "raw_syscalls:sys_enter", "raw_syscalls:sys_exit");
    let filtered = format!("{trigger} if id==-2");
    let output = output(&["-i0", "-d0.1", trigger, enter, &filtered, exit, trigger, exit]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.matches("# trigger info: hist:name=both:keys=id:").count(), 3, "{text}");
    assert_eq!(totals(text, "Hits:").len(), 3);
    assert!(totals(text, "Hits:")[0] > 0, "{text}");
    let attached = "attached 3 triggers to raw_syscalls:sys_enter, raw_syscalls:sys_exit; ";
    assert!(stderr(&output).starts_with(attached), "{}", stderr(&output));
    let mismatch = "hist:name=both:keys=common_pid";
    check_fails(&[trigger, enter, mismatch, exit], 1, &["Named hist trigger doesn't match", "^^"]);
}

#[test]
fn live_every_pair_is_a_write_to_a_trigger_file() {
    if !is_live() {
        return;
    }
    let event = "raw_syscalls:sys_enter";
    let pause = "hist:keys=id:pause";
    let output = output(&["-i0", "-d0.1", "hist:keys=id", event, pause, event]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let attached =
        "attached 1 trigger to raw_syscalls:sys_enter; counts for 0.1 s or until Ctrl-C\n";
    assert!(stderr(&output).starts_with(attached), "{}", stderr(&output));
    assert!(stdout(&output).contains(" [paused]\n"));
    assert_eq!(totals(stdout(&output), "Hits:"), [0]);
    let nothing_left = ["hist:keys=id", event, "!hist:keys=id", event];
    check_fails(&nothing_left, 1, &["no trigger is left to count"]);
    check_fails(&["hist:keys=id:cont", event], 1, &["nonexistent hist trigger"]);
    for empty in ["", " "] {
        check_fails(&[empty, event], 1, &["the trigger for raw_syscalls:sys_enter is empty"]);
    }
}

#[test]
fn live_events_that_take_no_programs_are_refused_with_the_reason() {
    if !is_live() {
        return;
    }
    check_fails(
        &["hist:keys=ip", "ftrace:function"],
        1,
        &["ftrace:function cannot be attached: the events of ftrace's own tracers"],
    );
}

#[test]
fn live_the_way_of_attachment_is_told_and_can_be_chosen() {
    if !is_live() {
        return;
    }
    let plan = |way: &str, trigger: &str, event: &str| {
        let output = output(&["--attach", way, "--emit=plan", trigger, event]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).to_owned()
    };
    let (trigger, event) = ("hist:keys=next_comm:vals=next_pid", "sched:sched_switch");
    assert!(plan("tracepoint", trigger, event).starts_with("attach   tracepoint sched:"));
    // Where the kernel has BTF, as all do that this runs on; docs/attach.md says what without.
    let raw = plan("auto", trigger, event);
    let head = "attach   raw tracepoint sched_switch, with types\n\
                why      next_comm = next->comm\n\
                why      next_pid = next->pid\n";
    assert!(raw.starts_with(head), "{raw}");
    let classic = plan("auto", "hist:keys=prev_state", event);
    let why = "why      prev_state: not known to be a copy of an argument\n";
    assert!(classic.contains(why), "{classic}");
    check_fails(
        &["--attach=raw", "hist:keys=prev_state,next_pid", event],
        1,
        &["sched:sched_switch", "prev_state: not known to be a copy", "leave out --attach raw"],
    );
    check_fails(&["--attach=fast", trigger, event], 2, &["auto", "raw", "tracepoint"]);
}

/// `--attach raw` on one system call's event: a program at all of them that counts the one.
#[test]
fn live_every_way_of_attachment_counts_the_same() {
    if !is_live() {
        return;
    }
    let count = |way: &str| {
        let script = "i=0; while [ $i -lt 50 ]; do cd /; cd /tmp; i=$((i+1)); done";
        let trigger = "hist:keys=filename:vals=hitcount if comm == \"attach-test\"";
        let script = format!("printf attach-test > /proc/self/comm; {script}");
        let output = output(&[
            "-v",
            "-i0",
            "--attach",
            way,
            trigger,
            "syscalls:sys_enter_chdir",
            "--",
            "sh",
            "-c",
            &script,
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        (totals(text, "Hits:")[0], stderr(&output).to_owned())
    };
    let (classic, said) = count("auto");
    assert_eq!(classic, 100, "{said}");
    assert!(said.contains("at every system call"), "{said}");
    let (raw, said) = count("raw");
    assert_eq!(raw, 100, "{said}");
    assert!(said.contains("raw tracepoint sys_enter") && said.contains("filename = regs->di"));
}

#[test]
fn live_drops_are_counted_and_told() {
    if !is_live() {
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
        (totals(text, "Hits:")[0], totals(text, "Entries:")[0], totals(text, "Dropped:")[0]);
    assert_eq!(entries, 128);
    assert_eq!(hits, 128);
    assert!(dropped >= 172, "{dropped}");
    let line =
        format!("lost hits of sched:sched_process_fork: {dropped} dropped, the table is full");
    assert!(stderr(&output).contains(&line), "{}", stderr(&output));
}

/// Every process is another key, and there are more than the table has room for.
const MANY_KEYS: [&str; 4] =
    ["-i0", "--fail-on-loss", "hist:keys=child_pid:size=128", "sched:sched_process_fork"];

#[test]
fn live_losses_fail_if_they_are_to() {
    if !is_live() {
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
    if !is_live() {
        return;
    }
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; sleep 0.5";
    let arguments = ["-vi0.1", "hist:keys=child_pid:size=128", "sched:sched_process_fork"];
    let output = output(&[&arguments[..], &["--", "sh", "-c", script]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).matches("the table is full").count() >= 3, "{}", stderr(&output));
}

/// Nobody reads the tables any more; what was lost is said all the same.
#[test]
fn live_losses_are_told_when_the_pipe_is_closed() {
    if !is_live() {
        return;
    }
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; exec sleep 60";
    let interval = [&["-i1"], &MANY_KEYS[1..], &["--", "sh", "-c", script]].concat();
    let mut running = Running::start(&interval);
    std::thread::sleep(Duration::from_millis(500));
    drop(running.child.stdout.take());
    let mut rest = String::new();
    running.stderr.read_to_string(&mut rest).expect("readable");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(3), "{rest}");
    assert!(rest.contains("the table is full"), "{rest}");
}

#[test]
fn live_a_paused_trigger_counts_nothing() {
    if !is_live() {
        return;
    }
    let output = output(&["-i0", "-d0.3", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    let text = stdout(&output);
    assert!(text.contains(":size=2048 [paused]\n"), "{text}");
    assert_eq!(totals(text, "Hits:"), [0]);
}

#[test]
fn live_every_event_is_logged_on_vv() {
    if !is_live() {
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
    let hits = totals(stdout(&output), "Hits:")[0];
    let logged = stderr(&output).lines().filter(|line| line.contains("new")).count();
    assert!(hits >= 2 && logged as u64 >= hits, "{hits} hits, {}", stderr(&output));
    // A library's twenty lines about the kernel stood before them.
    assert!(!stderr(&output).contains("Feature"), "{}", stderr(&output));
}

/// Each line of the log was a system call, which was logged in its turn.
#[test]
fn live_the_log_of_system_calls_does_not_feed_itself() {
    if !is_live() {
        return;
    }
    let mut command = hist_bpf();
    command.args(["-vvi0", "-d0.5", "hist:keys=id", "raw_syscalls:sys_enter"]);
    let log = tempfile::tempfile().expect("a file");
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the binary starts");
    assert_eq!(patiently(&mut child, "with the duration over").code(), Some(0));
}
