//! What tests of the real binary share: the command itself, processes that end with their test, and
//! how long anything may take.

pub(crate) use hist_test_support::needs;
pub(crate) use hist_test_support::table::{tables, totals};

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test fails. Tests do not depend on speed below it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// For the shell: `calls N` makes that many of kill(2) with signal 0.
pub(crate) const SHELL: &str =
    "calls() { i=0; while [ $i -lt $1 ]; do kill -0 $$; i=$((i+1)); done; }; ";

pub(crate) fn hist_bpf() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hist-bpf"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn output(arguments: &[&str]) -> Output {
    hist_bpf().args(arguments).output().expect("the binary starts")
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

#[track_caller]
pub(crate) fn check_fails(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = output(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: no `{part}` in\n{said}");
    }
}

/// Golden formats, so that tests without root know some events.
pub(crate) fn event_formats() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats");
    path.to_str().expect("UTF-8").to_owned()
}

/// Every process is another key, and there are more than the table has room for.
pub(crate) const MANY_KEYS: [&str; 4] =
    ["-i0", "--fail-on-loss", "hist:keys=child_pid:size=128", "sched:sched_process_fork"];

#[track_caller]
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The state of a thread or process, given its folder in procfs: `S` when it waits, `T` when it is
/// stopped.
pub(crate) fn state(folder: &str) -> char {
    let stat = fs::read_to_string(format!("{folder}/stat")).expect("it is there");
    // The name may contain anything.
    let (_, rest) = stat.rsplit_once(") ").expect("a name");
    rest.chars().next().expect("a state")
}

/// The hexadecimal number after `name` in a status.
pub(crate) fn mask(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    u64::from_str_radix(line.trim(), 16).expect("a mask")
}

/// Waits for its end, `when` it must come.
#[track_caller]
pub(crate) fn patiently(child: &mut Child, when: &str) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("waitable") {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().expect("it is there");
            panic!("it did not end {when}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test at the latest. One that waits goes on when it gets a line.
pub(crate) struct Workload(pub(crate) Child);

impl Workload {
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().expect("a process"))
    }

    /// Waits for the line `ready`.
    pub(crate) fn ready(mut self) -> Self {
        let stdout = self.0.stdout.as_mut().expect("piped");
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"ready\n") {
            assert_ne!(stdout.read(&mut byte).expect("readable"), 0, "it has ended");
            text.push(byte[0]);
        }
        self
    }

    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }

    pub(crate) fn go_on(&mut self) {
        self.0.stdin.as_mut().expect("piped").write_all(b"go on\n").expect("it reads");
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running hist-bpf that has said `attached`. It ends with the test at the latest.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(hist_bpf(), arguments)
    }

    /// `command` is hist-bpf, or runs it with the arguments.
    pub(crate) fn spawn(mut command: Command, arguments: &[&str]) -> Self {
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut running = Self { child, stderr };
        let mut text = String::new();
        while !text.lines().any(|line| line.starts_with("attached ")) {
            assert_ne!(running.stderr.read_line(&mut text).expect("readable"), 0, "{text}");
        }
        running
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self::signal(&self.child, signal);
    }

    /// Waits until it has ended. Gives its table, and what it has said since `attached`.
    #[track_caller]
    pub(crate) fn end(mut self) -> Output {
        let stdout = self.child.stdout.take().expect("piped");
        let (child, stderr) = (&mut self.child, &mut self.stderr);
        thread::scope(|scope| {
            let [stdout, stderr] = [scope.spawn(|| whole(stdout)), scope.spawn(|| whole(stderr))];
            let status = patiently(child, "by itself");
            let read = |reader: ScopedJoinHandle<'_, _>| reader.join().expect("no panic");
            Output { status, stdout: read(stdout), stderr: read(stderr) }
        })
    }
}

/// All that there is to read.
pub(crate) fn whole(mut from: impl Read) -> Vec<u8> {
    let mut text = Vec::new();
    from.read_to_end(&mut text).expect("readable");
    text
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
