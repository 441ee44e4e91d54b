//! How counting ends: by signals, by what is counted, by time, and where threads, processes, disks or
//! readers cannot be had by then. What was counted is printed, whole and once, or an error says why
//! not.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};

use super::support::*;

/// As many entries as a table can have, each of another position.
const POSITIONS: u64 = 131_072;
const TRIGGER: [&str; 2] = ["hist:keys=pos:size=131072", "syscalls:sys_enter_pread64"];

/// Hits an entry for each position.
fn read_all_positions() {
    let zeros = File::open("/dev/zero").expect("it is there");
    for position in 0..POSITIONS {
        zeros.read_at(&mut [0], position).expect("readable");
    }
}

/// A process of its own, which is this file started anew.
#[test]
fn workload_of_positions() {
    if std::env::var_os("HIST_BPF_POSITIONS").is_none() {
        return;
    }
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).expect("readable");
    read_all_positions();
}

fn workload() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this file"));
    command.args(["--exact", "ending::workload_of_positions", "--nocapture", "--test-threads=1"]);
    command.env("HIST_BPF_POSITIONS", "");
    command
}

/// What it prints is read at once, in another thread, as by a terminal.
struct Read {
    running: Running,
    reader: thread::JoinHandle<Vec<u8>>,
}

impl Read {
    fn start(arguments: &[&str]) -> Self {
        Self::of(Running::start(arguments))
    }

    fn of(mut running: Running) -> Self {
        let mut stdout = running.child.stdout.take().expect("piped");
        let reader = thread::spawn(move || {
            let mut text = Vec::new();
            stdout.read_to_end(&mut text).expect("readable");
            text
        });
        Self { running, reader }
    }

    fn end(mut self) -> Output {
        let status = patiently(&mut self.running.child, "by itself");
        let mut stderr = Vec::new();
        self.running.stderr.read_to_end(&mut stderr).expect("readable");
        Output { status, stdout: self.reader.join().expect("no panic"), stderr }
    }
}

#[track_caller]
fn check_whole(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    let text = stdout(output);
    assert_eq!(totals(text, "Entries"), [POSITIONS], "{}", stderr(output));
    assert_eq!(text.matches("\n{ pos:").count() as u64, POSITIONS);
    assert!(text.ends_with("    Dropped: 0\n"), "it is cut off");
}

/// How long after the end the signal comes: while the table is read, ordered, written.
const DELAYS: [u64; 4] = [3, 20, 80, 200];

fn signal_after(running: &Running, delay: u64, signal: Signal) {
    thread::sleep(Duration::from_millis(delay));
    // It may be done already, but is waited for only later.
    running.signal(signal);
}

/// The first signal counted as the second: exit code 130, and nothing or half a table on stdout.
#[test]
fn live_a_signal_after_the_end_of_a_process_does_not_destroy_its_table() {
    if !needs::root() {
        return;
    }
    for (delay, signal) in DELAYS.into_iter().zip([Signal::INT, Signal::TERM].into_iter().cycle()) {
        let mut workload = Workload::spawn(workload()).ready();
        let read = Read::start(&[&["-i0", "-p", &workload.pid()], &TRIGGER[..]].concat());
        workload.go_on();
        workload.0.wait().expect("it ends");
        // It is looked for the end every 20 ms.
        signal_after(&read.running, 20 + delay, signal);
        check_whole(&read.end(), 0);
    }
}

/// The same after the command's end.
#[test]
fn live_a_signal_after_the_end_of_a_command_does_not_destroy_its_table() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (delay, signal) in DELAYS.into_iter().zip([Signal::INT, Signal::TERM].into_iter().cycle()) {
        let end = folder.path().join(format!("end-{delay}"));
        let words = workload();
        let words = words.get_args().map(|word| word.to_str().expect("UTF-8"));
        let program = words_of(&words.collect::<Vec<_>>());
        let script = format!(
            "HIST_BPF_POSITIONS= {program} </dev/null >/dev/null; : >{}; exit 7",
            end.display()
        );
        let command = ["--", "sh", "-c", &script];
        let read = Read::start(&[&["-i0"], &TRIGGER[..], &command].concat());
        wait_until("the command comes to its end", || end.exists());
        signal_after(&read.running, delay, signal);
        check_whole(&read.end(), 7);
    }
}

/// This process, and a trigger for what this thread reads.
fn own_trigger() -> [String; 2] {
    let trigger = format!("{} if common_pid == {}", TRIGGER[0], rustix::thread::gettid());
    [std::process::id().to_string(), trigger]
}

/// This file, and the words for it.
fn words_of(words: &[&str]) -> String {
    let program = std::env::current_exe().expect("this file");
    format!("{} {}", program.display(), words.join(" "))
}

/// The same after `-d`; whether the signal comes before the end of the time or after it.
#[test]
fn live_a_signal_after_the_time_is_over_does_not_destroy_the_table() {
    if !needs::root() {
        return;
    }
    let [pid, trigger] = own_trigger();
    for (delay, signal) in DELAYS.into_iter().zip([Signal::INT, Signal::HUP].into_iter().cycle()) {
        // On a busy machine the table may take longer to fill than that.
        let whole = [3, 12, 48].into_iter().find_map(|seconds| {
            let arguments = ["-i0", "-p", &pid, &format!("-d{seconds}"), &trigger, TRIGGER[1]];
            // The tests themselves may run under nohup.
            let mut command = Command::new("env");
            command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_hist-bpf")]);
            let read = Read::of(Running::spawn(command, &arguments));
            let start = Instant::now();
            read_all_positions();
            let left = Duration::from_secs(seconds).saturating_sub(start.elapsed());
            thread::sleep(left);
            signal_after(&read.running, delay, signal);
            let ended = read.end();
            (!left.is_zero()).then_some(ended)
        });
        check_whole(&whole.expect("131,072 positions are read within a minute"), 0);
    }
}

/// timeout(1), for one, sends its signal to the process and once more to its group.
#[test]
fn live_two_signals_at_once_do_not_destroy_the_table() {
    if !needs::root() {
        return;
    }
    let [pid, trigger] = own_trigger();
    // What comes 100 ms after the first one is a second wish, and on a busy machine these may.
    let whole = (0..20).find_map(|_| {
        let read = Read::start(&["-i0", "-p", &pid, &trigger, TRIGGER[1]]);
        read_all_positions();
        let start = Instant::now();
        read.running.signal(Signal::TERM);
        read.running.signal(Signal::INT);
        thread::sleep(Duration::from_millis(10));
        read.running.signal(Signal::TERM);
        let are_at_once = start.elapsed() < Duration::from_millis(50);
        let ended = read.end();
        are_at_once.then_some(ended)
    });
    check_whole(&whole.expect("three signals within 50 ms"), 0);
}

/// A second wish to stop ends it at once: nobody reads the table.
#[test]
fn live_a_second_wish_to_stop_still_ends_it_at_once() {
    if !needs::root() {
        return;
    }
    let [pid, trigger] = own_trigger();
    let mut running = Running::start(&["-i0", "-d2", "-p", &pid, &trigger, TRIGGER[1]]);
    read_all_positions();
    // The first bytes are there when the table is being written, so the time is over.
    let stdout = running.child.stdout.as_mut().expect("piped");
    stdout.read_exact(&mut [0]).expect("a table");
    running.signal(Signal::INT);
    thread::sleep(Duration::from_millis(300));
    assert!(running.child.try_wait().expect("waitable").is_none(), "the first one is no second");
    running.signal(Signal::INT);
    assert_eq!(patiently(&mut running.child, "at the second Ctrl-C").code(), Some(130));
}

/// What is nobody's child any more, and ends with the test at the latest.
struct Leftover(Pid);

impl Leftover {
    /// A script has written its pid there, or is about to.
    fn with_pid_in(path: &Path) -> Self {
        let text = || fs::read_to_string(path).unwrap_or_default();
        wait_until("the script writes its pid", || text().ends_with('\n'));
        let pid = text().trim().parse().ok().and_then(Pid::from_raw);
        Self(pid.expect("a pid"))
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// While the command is waited for, the table is there, and losses are still to be told.
#[test]
fn live_a_signal_while_the_command_is_waited_for_leaves_it_alone() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // On a busy machine so many processes may take longer than that.
    let full = [2, 8, 32].into_iter().find_map(|seconds| {
        let done = folder.path().join(format!("done-{seconds}"));
        let pid = folder.path().join(format!("pid-{seconds}"));
        let script = format!(
            "echo $$ >{}; trap '' TERM; i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; \
             : >{}; exec sleep 30 >/dev/null 2>&1",
            pid.display(),
            done.display()
        );
        let time = format!("-d{seconds}");
        let arguments = [&[&*time], &MANY_KEYS[..], &["--", "sh", "-c", &script]].concat();
        let start = Instant::now();
        let mut running = Running::start(&arguments);
        let command = Leftover::with_pid_in(&pid);
        while !done.exists() && start.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(Duration::from_millis(10));
        }
        // Counting has begun later, so it has not ended yet.
        let is_full = start.elapsed() < Duration::from_secs(seconds);
        let mut line = String::new();
        while !line.starts_with("waiting for the command") {
            line.clear();
            assert_ne!(running.stderr.read_line(&mut line).expect("readable"), 0, "it has ended");
        }
        running.signal(Signal::INT);
        let ended = running.end();
        test_kill_process(command.0).expect("it was left alone");
        is_full.then_some(ended)
    });
    let output = full.expect("200 processes in half a minute");
    let rest = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{rest}");
    assert_eq!(totals(stdout(&output), "Entries"), [128]);
}

/// A user that nobody else is, so that limits on the number of its processes mean this one; tests run
/// side by side.
fn nobody(test: u32) -> String {
    (1_000_000 + 10 * std::process::id() + test).to_string()
}

/// hist-bpf as that user, with no more rights than it takes.
fn as_nobody(user: &str) -> Command {
    let capabilities = "+bpf,+perfmon,+dac_read_search";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--clear-groups"]);
    command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
    command.arg(env!("CARGO_BIN_EXE_hist-bpf")).stdin(Stdio::null());
    command
}

/// From now on the process can start neither threads nor processes.
fn allow_no_more(child: &Child, user: &str) {
    // As the same user, for whom it takes no right.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--clear-groups", "prlimit", "--nproc=1:1"]);
    command.args(["--pid", &child.id().to_string()]);
    assert!(command.status().expect("util-linux").success());
}

/// It panicked where the kernel gave no thread for the first table, and all counts were gone.
#[test]
fn live_where_no_thread_is_to_be_had_tables_are_printed_all_the_same() {
    if !needs::root() {
        return;
    }
    let trigger = ["hist:keys=common_cpu", "raw_syscalls:sys_enter"];
    let user = nobody(1);
    let mut running = Running::spawn(as_nobody(&user), &[&["-i1"], &trigger[..]].concat());
    allow_no_more(&running.child, &user);
    let mut lines = BufReader::new(running.child.stdout.take().expect("piped")).lines();
    let is_end = |line: &std::io::Result<String>| {
        line.as_ref().is_ok_and(|line| line.contains("Dropped: 0"))
    };
    assert!(lines.any(|line| is_end(&line)), "a table");
    running.signal(Signal::INT);
    assert!(lines.any(|line| is_end(&line)), "and the last one");
    let mut rest = String::new();
    running.stderr.read_to_string(&mut rest).expect("readable");
    assert_eq!(running.child.wait().expect("it ends").code(), Some(0), "{rest}");
    assert_eq!(rest, "");
}

/// There is an error, and no panic, where there is not even the one thread; and one for a command
/// that cannot be forked.
#[test]
fn live_where_no_process_is_to_be_had_the_error_says_so() {
    if !needs::root() {
        return;
    }
    for (limit, code, part) in [
        (1, 1, "cannot start a thread (ulimit -u, pids.max)"),
        (2, 126, "cannot run true: Resource temporarily unavailable"),
    ] {
        for focus in [&[][..], &["--system-wide"]] {
            let arguments = [
                &["-i0"][..],
                focus,
                &["hist:keys=common_cpu", "raw_syscalls:sys_enter", "--", "true"],
            ];
            let setpriv = as_nobody(&nobody(2));
            let mut command = Command::new("prlimit");
            command.arg(format!("--nproc={limit}")).arg("setpriv").args(setpriv.get_args());
            let output = command.args(arguments.concat()).stdin(Stdio::null()).output();
            let output = output.expect("util-linux");
            assert_eq!(output.status.code(), Some(code), "{limit}: {}", stderr(&output));
            assert!(stderr(&output).contains(part), "{}", stderr(&output));
        }
    }
}

/// A named pipe.
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().expect("coreutils").success());
    path
}

/// hist-bpf, which waits for a pipe's other end and has said so in this line, and its further lines.
fn waiting(arguments: &[&str], said: &str) -> (Workload, Lines<BufReader<ChildStderr>>) {
    let mut command = hist_bpf();
    command.args(arguments).stderr(Stdio::piped());
    let mut waiting = Workload::spawn(command);
    let mut lines = BufReader::new(waiting.0.stderr.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("UTF-8"), said);
    (waiting, lines)
}

/// Opening it waited in the kernel, where only SIGKILL was heeded.
#[test]
fn live_a_pipe_that_nobody_reads_is_told_and_signals_are_heeded() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = pipe(folder.path());
    let name = pipe.to_str().expect("UTF-8");
    let arguments = ["-i0", "-d0.3", "-o", name, "hist:keys=id", "raw_syscalls:sys_enter"];
    let start = || waiting(&arguments, &format!("nobody reads {name} yet: waiting"));
    for number in [Signal::INT, Signal::TERM] {
        let (mut counting, rest) = start();
        signal(&counting.0, number);
        assert_eq!(patiently(&mut counting.0, "at a signal").code(), Some(1));
        let rest: Vec<_> = rest.map(|line| line.expect("UTF-8")).collect();
        assert_eq!(rest, [format!("error: nobody has read {name}; nothing was counted")]);
    }
    let (mut counting, _lines) = start();
    let text = fs::read_to_string(&pipe).expect("a table");
    assert_eq!(totals(&text, "Dropped"), [0]);
    assert_eq!(patiently(&mut counting.0, "with the duration over").code(), Some(0));
}

/// So did opening the file of metrics, and reading it again.
#[test]
fn live_a_pipe_of_metrics_that_nobody_writes_to_is_told() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = pipe(folder.path());
    let name = pipe.to_str().expect("UTF-8");
    let arguments = ["serve", "--config", name, "--listen", "127.0.0.1:0"];
    let start = || waiting(&arguments, &format!("nobody writes to {name} yet: waiting"));
    let (mut server, _lines) = start();
    signal(&server.0, Signal::TERM);
    patiently(&mut server.0, "at a signal");
    let (mut server, mut lines) = start();
    let metric = "[[metric]]\nname = \"calls\"\nhelp = \"Calls\"\nevent = \"raw_syscalls:sys_enter\"\n\
                  trigger = \"hist:keys=common_cpu\"\n";
    fs::write(&pipe, metric).expect("it is read");
    let line = lines.next().expect("a line").expect("UTF-8");
    assert!(line.starts_with("serving 1 metric"), "{line}");
    signal(&server.0, Signal::HUP);
    let line = lines.next().expect("a line").expect("UTF-8");
    assert!(line.contains("it is a pipe, and nobody writes to it"), "{line}");
    let line = lines.next().expect("a line").expect("UTF-8");
    assert_eq!(line, "all metrics go on as before");
    signal(&server.0, Signal::TERM);
    assert_eq!(patiently(&mut server.0, "at a signal").code(), Some(0));
}

/// Half a table was left in the file, and the process was killed.
#[test]
fn live_a_file_that_may_not_grow_is_an_error_and_keeps_no_half_table() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table");
    let name = path.to_str().expect("UTF-8");
    let program = env!("CARGO_BIN_EXE_hist-bpf");
    // `ulimit -f` counts blocks of 512 bytes, or of 1024.
    for (option, redirection, told) in [("-o \"$0\"", "", name), ("", ">\"$0\"", "standard output")]
    {
        let script = format!(
            "ulimit -f 4 && exec {program} {option} -i0 'hist:keys=child_pid:size=128' \
             sched:sched_process_fork -- sh -c \
             'i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done' {redirection}"
        );
        let output = Command::new("sh").args(["-c", &script, name]).output().expect("sh starts");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("cannot write {told}: File too large")), "{said}");
        // Losses are reported all the same.
        assert!(said.contains("dropped, the table is full"), "{said}");
        assert_eq!(fs::read(&path).expect("a file"), b"", "{told}");
    }
}

/// A command may exceed its own limit, and is killed as ever.
#[test]
fn live_a_command_gets_sigxfsz_as_ever() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    let script = format!("ulimit -f 1; exec head -c 9999 /dev/zero >{}", file.display());
    let head = ["-qi0", "hist:keys=id", "raw_syscalls:sys_enter", "--", "sh", "-c", &script];
    assert_eq!(output(&head).status.code(), Some(128 + 25));
}

/// What was lost was told only where the table could be written.
#[test]
fn live_losses_are_told_where_the_disk_is_full() {
    if !needs::root() {
        return;
    }
    let script = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done";
    let full = [&["-o", "/dev/full"], &MANY_KEYS[..], &["--", "sh", "-c", script]].concat();
    let output = output(&full);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cannot write /dev/full: No space left"), "{said}");
    assert!(said.contains("dropped, the table is full"), "{said}");
}

/// Most of many events were missing in the log, and nothing said so.
#[test]
fn live_events_that_the_log_has_no_room_for_are_told() {
    if !needs::root() {
        return;
    }
    let pid = getpid();
    // Nobody reads stderr until far more has been logged than fits anywhere.
    let trigger = format!("hist:keys=sig if common_pid=={} && sig==0", rustix::thread::gettid());
    let mut running = Running::start(&["-vvi0", &trigger, "syscalls:sys_enter_kill"]);
    const CALLS: u64 = 300_000;
    for _ in 0..CALLS {
        rustix::process::test_kill_process(pid).expect("this one");
    }
    running.signal(Signal::INT);
    let (mut logged, mut told) = (0, 0);
    let mut lines = (&mut running.stderr).lines();
    for line in &mut lines {
        let line = line.expect("UTF-8");
        if line.contains(" are not in the log") {
            told = line.split(' ').next().expect("a word").parse().expect("a number");
        } else if line.starts_with("counted: ") || line.starts_with("new: ") {
            logged += 1;
        }
    }
    let output = running.end();
    let rest = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{rest}");
    assert_eq!(totals(stdout(&output), "Hits"), [CALLS]);
    assert!(told > 0, "all {logged} fitted");
    // Kills of other processes are logged, too, as filtered out.
    assert!(logged <= CALLS && logged + told >= CALLS, "{logged} logged, {told} told");
}

/// As the log was written as fast as it was read, passing it on had no end, and neither a signal nor
/// the time ended it.
#[test]
fn live_a_log_without_end_does_not_keep_it_from_ending() {
    if !needs::root() {
        return;
    }
    let flood = || {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "of=/dev/null", "bs=1"]).stderr(Stdio::null());
        Workload::spawn(dd)
    };
    let _floods = [flood(), flood()];
    let end = |ends: &[&str], number: Option<Signal>| {
        let mut command = hist_bpf();
        command.args(["-vvi0"]).args(ends).args(["hist:keys=id", "raw_syscalls:sys_enter"]);
        let log = tempfile::tempfile().expect("a file");
        command.stderr(log.try_clone().expect("a copy"));
        let mut counting = Workload::spawn(command);
        if let Some(number) = number {
            let length = || log.metadata().expect("a file").len();
            wait_until("much is logged", || length() > 1 << 20);
            signal(&counting.0, number);
        }
        let status = patiently(&mut counting.0, "while much is logged");
        let mut text = String::new();
        let table = counting.0.stdout.as_mut().expect("piped");
        table.read_to_string(&mut text).expect("readable");
        assert_eq!(status.code(), Some(0));
        assert_eq!(totals(&text, "Dropped"), [0]);
    };
    end(&[], Some(Signal::INT));
    end(&["-d1"], None);
}

/// A table was read while counting went on, so the second one had more.
#[test]
fn live_two_equal_triggers_show_the_same_at_the_end() {
    if !needs::root() {
        return;
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = std::hint::black_box(rustix::process::getppid());
                }
            })
        })
        .collect();
    let pid = std::process::id().to_string();
    // A kernel that preempts raw programs skips other tasks' events meanwhile, by each program its own.
    let facts = hist_cli::kernel::Facts::read().expect("this machine's");
    let is_exact = !facts.context().preemption.loses(false);
    for way in ["tracepoint"].into_iter().chain(is_exact.then_some("raw")) {
        for end in 0..5 {
            let arguments = ["-i0", "-d0.3", "--attach", way, "-p", &pid];
            let event = "raw_syscalls:sys_enter";
            let pairs = ["hist:keys=id", event, "hist:keys=id.syscall", event];
            let output = output(&[&arguments[..], &pairs].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let hits = totals(stdout(&output), "Hits");
            assert!(hits[0] > 0, "{}", stdout(&output));
            assert_eq!(hits[0], hits[1], "{way}, the {end}th time");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
}
