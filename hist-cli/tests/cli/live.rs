//! Types keys in a terminal, which tmux(1) plays, and checks what its screen shows, and what is left
//! of it afterwards.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::*;

const ENTER: &str = "raw_syscalls:sys_enter";
const PROMPT: &str = "ready>";

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A terminal with a shell in it.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    fn new() -> Self {
        let terminal = Self { folder: tempfile::tempdir().expect("a folder") };
        let shell = ["env", "-u", "NO_COLOR", "LC_ALL=C.UTF-8", "PS1=ready> ", "bash", "--norc"];
        let size = ["-x", "100", "-y", "24"];
        terminal.tmux(&[&["-f", "/dev/null", "new-session", "-d"], &size[..], &shell].concat());
        terminal.wait_for("the prompt", |screen| screen.contains(PROMPT));
        terminal
    }

    /// What tmux says to a command.
    fn tmux(&self, words: &[&str]) -> String {
        let socket = self.folder.path().join("tmux");
        let output = Command::new("tmux").arg("-u").arg("-S").arg(socket).args(words).output();
        let output = output.expect("tmux starts");
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output).to_owned()
    }

    /// Types keys, by their names in tmux.
    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    fn line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.keys(&["Enter"]);
    }

    /// Starts hist-bpf in the shell.
    fn start(&self, arguments: &str) {
        self.line(&format!("clear; {} {arguments}", env!("CARGO_BIN_EXE_hist-bpf")));
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as it must become.
    #[track_caller]
    fn wait_for(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what} on\n{screen}");
            sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(text, |screen| screen.contains(text))
    }

    fn resize(&self, width: &str, height: &str) {
        self.tmux(&["resize-window", "-x", width, "-y", height]);
    }

    /// Whether another screen is shown, and whether a cursor.
    fn flags(&self) -> String {
        self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim().to_owned()
    }

    fn has_live_view(&self) -> bool {
        self.flags() == "1 0"
    }

    /// The terminal is as the shell left it: its own screen, a cursor, and modes for lines.
    #[track_caller]
    fn check_restored(&self) {
        assert_eq!(self.flags(), "0 1", "{}", self.screen());
        // The shell's own modes differ while it reads a line; it gives what it found to programs.
        self.line("clear; stty -a");
        let seen = self.wait_for("modes", |screen| screen.contains("icanon"));
        let words: Vec<_> = seen.split_whitespace().collect();
        for mode in ["echo", "icanon", "isig", "icrnl", "opost"] {
            assert!(words.contains(&mode), "no {mode} in\n{seen}");
        }
    }

    /// The process that the shell has started.
    fn pid(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let path = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(path).expect("it runs");
        children.split_whitespace().next().expect("a child").to_owned()
    }

    fn signal(&self, name: &str) {
        assert!(succeeds(Command::new("kill").args(["-s", name, &self.pid()])), "{name}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.path().join("tmux");
        succeeds(Command::new("tmux").arg("-S").arg(socket).arg("kill-server"));
    }
}

/// A program of its own name, again and again.
struct Workload {
    shell: Child,
    _folder: TempDir,
    trigger: String,
}

impl Workload {
    /// `name` is at most 15 bytes, and no other test's.
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join(name);
        symlink("/bin/dd", &program).expect("a link");
        let script = format!(
            "while sleep 0.05; do {} if=/dev/zero of=/dev/null bs=1 count=10 status=none; done",
            program.display()
        );
        let shell = Command::new("sh").args(["-c", &script]).spawn().expect("a shell");
        let trigger = format!("'hist:keys=id.syscall:vals=id if comm == \"{name}\"' {ENTER}");
        Self { shell, _folder: folder, trigger }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.shell.kill().expect("it runs");
        self.shell.wait().expect("it ends");
    }
}

/// The number behind `Hits`.
fn hits(screen: &str) -> Option<u64> {
    let mut words = screen.split_whitespace().skip_while(|word| *word != "Hits");
    words.nth(1)?.parse().ok()
}

/// The system calls in the rows, from above.
fn calls(screen: &str) -> Vec<&str> {
    let words = screen.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| word.starts_with("sys_")).collect()
}

#[track_caller]
fn counts_on(terminal: &Terminal) {
    let before = hits(&terminal.screen()).expect("hits");
    terminal.wait_for("more hits", |screen| hits(screen) > Some(before));
}

#[test]
fn live_view_sorts_filters_pauses_clears_turns_and_resizes() {
    if !needs::root() || !needs::program("tmux") {
        return;
    }
    let workload = Workload::new("hist_live_keys");
    let terminal = Terminal::new();
    terminal.start(&format!("--live -i0.2 {} 'hist:keys=common_pid' {ENTER}", workload.trigger));
    let screen = terminal.wait_for_text("sys_write[1]");
    assert!(terminal.has_live_view());
    assert!(screen.lines().next().is_some_and(|line| line.contains("2 raw_syscalls:sys_enter")));
    counts_on(&terminal);

    terminal.keys(&["1"]);
    let is_sorted = |screen: &str| calls(screen).len() > 5 && calls(screen).is_sorted();
    terminal.wait_for("calls from A on", is_sorted);
    terminal.keys(&["r"]);
    let is_reversed = |screen: &str| calls(screen).is_sorted_by(|a, b| a >= b);
    terminal.wait_for("calls from Z on", |screen| calls(screen).len() > 5 && is_reversed(screen));

    terminal.keys(&["/"]);
    terminal.keys(&["w", "r", "i"]);
    // The first letters may do.
    let is_typed = |screen: &str| screen.contains("/wri_") && calls(screen) == ["sys_write[1]"];
    let screen = terminal.wait_for("one call", is_typed);
    assert!(screen.contains("Entries 1 of "), "{screen}");
    terminal.keys(&["Escape"]);
    terminal.wait_for("all calls", |screen| calls(screen).len() > 5);

    terminal.keys(&["p"]);
    terminal.wait_for_text("PAUSED");
    // What is paused is read once more, and then stays.
    let paused = terminal.wait_for("no rate", |screen| screen.contains("  0.0/s"));
    sleep(Duration::from_secs(1));
    assert_eq!(hits(&terminal.screen()), hits(&paused));
    terminal.keys(&["c"]);
    let screen = terminal.wait_for("no hits", |screen| hits(screen) == Some(0));
    assert!(screen.contains("nothing counted yet") && screen.contains("cleared"), "{screen}");
    terminal.keys(&["p"]);
    terminal.wait_for("calls again", |screen| hits(screen) > Some(0) && !screen.contains("PAUSED"));
    counts_on(&terminal);

    terminal.keys(&["Tab"]);
    terminal.wait_for_text("hist:keys=common_pid:vals=hitcount");
    terminal.keys(&["BTab"]);
    terminal.wait_for_text("hist:keys=id.syscall");
    terminal.keys(&["Enter"]);
    terminal.wait_for_text("Details of one row");
    terminal.keys(&["?"]);
    terminal.keys(&["?"]);
    terminal.wait_for_text("Keys, lines 1 to");
    terminal.keys(&["Escape"]);

    terminal.resize("30", "5");
    terminal.wait_for_text("30x5, needs 40x8");
    terminal.resize("120", "30");
    let screen = terminal.wait_for_text("sys_write[1]");
    assert!(screen.lines().count() >= 29, "{screen}");
    counts_on(&terminal);

    terminal.keys(&["q"]);
    let screen = terminal.wait_for("the prompt", |screen| screen.trim_end().ends_with(PROMPT));
    assert!(screen.contains("    Dropped: 0"), "the last table is on the usual screen:\n{screen}");
    terminal.check_restored();
}

#[test]
fn live_view_gives_the_terminal_back_on_every_end() {
    if !needs::root() || !needs::program("tmux") {
        return;
    }
    let workload = Workload::new("hist_live_ends");
    let terminal = Terminal::new();
    for end in ["C-c", "TERM", "INT", "HUP", "QUIT"] {
        terminal.start(&format!("--live -i0.2 {}", workload.trigger));
        terminal.wait_for_text("sys_write[1]");
        assert!(terminal.has_live_view(), "{end}");
        match end {
            "C-c" => terminal.keys(&[end]),
            _ => terminal.signal(end),
        }
        terminal.wait_for("the totals", |screen| {
            screen.contains("Totals:") && screen.trim_end().ends_with(PROMPT)
        });
        terminal.line("echo code=$?");
        terminal.wait_for_text("code=0");
        terminal.check_restored();
    }
    // An error, while it is shown.
    terminal.start(&format!("--live -i0.2 {} -- /proc/self/nothing", workload.trigger));
    terminal.wait_for_text("cannot run");
    terminal.check_restored();
}

#[test]
fn live_view_stops_and_goes_on_with_its_shell() {
    if !needs::root() || !needs::program("tmux") {
        return;
    }
    let workload = Workload::new("hist_live_stop");
    let terminal = Terminal::new();
    terminal.start(&format!("--live -i0.2 {}", workload.trigger));
    for stop in ["C-z", "TSTP"] {
        terminal.wait_for_text("sys_write[1]");
        match stop {
            "C-z" => terminal.keys(&[stop]),
            _ => terminal.signal(stop),
        }
        terminal.wait_for_text("Stopped");
        terminal.check_restored();
        terminal.line("clear; fg");
        terminal.wait_for("the live view", |_| terminal.has_live_view());
        terminal.wait_for_text("sys_write[1]");
        counts_on(&terminal);
    }
    // Whoever cannot be caught leaves the screen as it is; what goes on takes it again.
    terminal.signal("STOP");
    terminal.wait_for_text("Stopped");
    terminal.line("clear; fg");
    terminal.wait_for_text("?:help");
    counts_on(&terminal);
    terminal.keys(&["q"]);
    terminal.wait_for("the prompt", |screen| screen.trim_end().ends_with(PROMPT));
    terminal.check_restored();
}

#[test]
fn live_view_ends_with_its_command_and_keeps_what_that_writes() {
    if !needs::root() || !needs::program("tmux") {
        return;
    }
    let terminal = Terminal::new();
    let command = "-- sh -c 'echo to out; echo to err >&2; sleep 3; exit 7'";
    terminal.start(&format!("--live -q -i0.2 'hist:keys=id' {ENTER} {command}; echo code=$?"));
    terminal.wait_for("the live view", |screen| screen.contains("?:help"));
    assert!(!terminal.screen().contains("to err"));
    let screen = terminal.wait_for_text("code=7");
    let kept = screen.split_once("to out\nto err\n").expect("both, in their order").1;
    assert!(!kept.contains("Totals:"), "-q asks for no tables:\n{screen}");
    terminal.check_restored();
    // What has no shell to go back to does not stop.
    let lonely = format!("{} --live -d60 'hist:keys=id' {ENTER}", env!("CARGO_BIN_EXE_hist-bpf"));
    terminal.tmux(&["new-window", &lonely]);
    terminal.wait_for_text("?:help");
    terminal.keys(&["C-z"]);
    terminal.wait_for_text("no shell to go back to");
    terminal.keys(&["q"]);
    terminal.wait_for_text(PROMPT);
}

/// Pausing and clearing detach what counts. Attached again, it came after what lets processes leave,
/// and their exits were not counted.
#[test]
fn live_view_counts_exits_after_pausing_and_clearing() {
    if !needs::root() || !needs::program("tmux") {
        return;
    }
    let terminal = Terminal::new();
    let fifo = terminal.folder.path().join("fifo");
    assert!(succeeds(Command::new("mkfifo").arg(&fifo)));
    for (key, there, gone) in [("p", "PAUSED", "PAUSED"), ("c", "cleared", "")] {
        let command = format!("-- sh -c 'read line <{}'", fifo.display());
        let trigger = "'hist:keys=common_pid' sched:sched_process_exit";
        terminal.start(&format!("--live -i0.2 {trigger} {command}; echo code=$?"));
        terminal.wait_for_text("?:help");
        terminal.keys(&[key]);
        terminal.wait_for_text(there);
        if !gone.is_empty() {
            terminal.keys(&[key]);
            terminal.wait_for("counting", |screen| !screen.contains(gone));
        }
        std::fs::write(&fifo, "go on\n").expect("it is read");
        let screen = terminal.wait_for_text("code=");
        assert!(screen.contains("Hits: 1\n"), "{key}:\n{screen}");
    }
}

#[test]
fn live_falls_back_to_tables_without_a_terminal() {
    if !needs::root() {
        return;
    }
    let counting = ["--live", "-d0.3", "-i0.1", "hist:keys=id", ENTER];
    let output = output(&counting);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = "--live: standard input is no terminal; printing tables instead\n";
    assert!(stderr(&output).starts_with(said), "{}", stderr(&output));
    assert!(stdout(&output).matches("Totals:").count() >= 2, "{}", stdout(&output));
    assert!(!stdout(&output).contains('\x1b'));
    if needs::program("tmux") {
        let terminal = Terminal::new();
        terminal.line("clear; export TERM=dumb");
        terminal.start(&format!("--live -d1 'hist:keys=id' {ENTER} | head -n1"));
        terminal.wait_for_text("--live: standard output is no terminal");
        terminal.start(&format!("--live -d0.5 -i9 'hist:keys=id:pause' {ENTER}"));
        let screen = terminal.wait_for_text("Totals:");
        assert!(screen.contains("--live: TERM is `dumb`; printing tables instead"), "{screen}");
    }
}

#[test]
fn live_contradicts_what_writes_elsewhere() {
    let check = |options: &[&str], part: &str| {
        check_fails(&[&["--live"], options, &["hist:keys=id", ENTER]].concat(), 2, &[part]);
    };
    for option in ["-ox", "-fjson", "-fftrace", "--clear-screen", "--delta", "--emit=plan"] {
        check(&[option], "cannot be used with");
    }
    check(&["-i0"], "-i must be above 0");
    check(&["-vv"], "no place for the log");
    assert!(!Path::new("x").exists());
}

/// A terminal that somebody may stop reading, and what runs on it.
struct Line {
    controller: std::fs::File,
    terminal: std::fs::File,
    child: Child,
    /// What has been read and not been looked for yet.
    rest: Vec<u8>,
}

impl Line {
    fn start(arguments: &[&str], (columns, rows): (u16, u16)) -> Self {
        use rustix::fs::{Mode, OFlags, open};
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&controller).expect("ours");
        unlockpt(&controller).expect("ours");
        let name = ptsname(&controller, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
        let terminal = open(&name, flags, Mode::empty()).expect("it is there");
        let (ws_col, ws_row) = (columns, rows);
        let size = rustix::termios::Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&terminal, size).expect("a size");
        let end = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY;
            Stdio::from(open(&name, flags, Mode::empty()).expect("it is there"))
        };
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_hist-bpf")]).args(arguments);
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it starts");
        Self { controller: controller.into(), terminal: terminal.into(), child, rest: Vec::new() }
    }

    /// Reads until `text` has come, and what comes behind it some other time.
    #[track_caller]
    fn read_until(&mut self, text: &str) {
        use std::io::Read as _;
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        loop {
            let mut windows = self.rest.windows(text.len());
            if let Some(at) = windows.position(|window| window == text.as_bytes()) {
                self.rest.drain(..at + text.len());
                return;
            }
            let seen = String::from_utf8_lossy(&self.rest[self.rest.len().saturating_sub(2000)..]);
            assert!(Instant::now() < deadline && self.is_readable(), "no {text} in {seen:?}");
            let length = self.controller.read(&mut buffer).expect("it says something");
            self.rest.extend_from_slice(&buffer[..length]);
        }
    }

    fn is_readable(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut files = [PollFd::new(&self.controller, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).expect("a minute");
        poll(&mut files, Some(&patience)).expect("it is open") > 0
    }

    /// Puts in what nobody reads until no more goes in.
    fn fill(&mut self) {
        use std::io::Write as _;
        let mut full = 0_usize;
        // What is under way between its buffers makes room once more.
        while full < 20 {
            match self.terminal.write(&[b' '; 4096]) {
                Ok(length) => full = usize::from(length == 0),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    full += 1;
                    sleep(Duration::from_millis(10));
                }
            }
        }
    }

    /// How it ends after one signal.
    #[track_caller]
    fn ended_by(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        patiently(&mut self.child, &format!("after {signal}"))
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(succeeds(Command::new("kill").args(["-s", signal, &pid])));
    }

    fn is_for_lines(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.terminal).expect("modes").local_modes;
        use rustix::termios::LocalModes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

#[test]
fn live_view_ends_on_a_terminal_that_nobody_reads() {
    if !needs::root() {
        return;
    }
    for signal in ["TERM", "INT", "HUP"] {
        let counting = ["--live", "-i0.05", "hist:keys=common_pid,id", ENTER];
        let mut line = Line::start(&counting, (150, 50));
        line.read_until("?:help");
        assert!(!line.is_for_lines());
        line.fill();
        // It draws meanwhile, or tries to.
        sleep(Duration::from_millis(500));
        let code = line.ended_by(signal).code();
        assert_eq!(code, Some(1), "it says that it has printed nothing");
        assert!(line.is_for_lines());
        // When it is read again, it shows what the shell left there.
        line.read_until("\x1b[?1049l");
        line.read_until("\x1b[?25h");
        line.read_until("cannot use the terminal: it has taken nothing for a second");
    }
}

/// What the command had written was written by the thread that heeds signals.
#[test]
fn live_view_ends_on_a_terminal_that_does_not_read_what_the_command_wrote() {
    if !needs::root() {
        return;
    }
    let command = ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; sleep 1"];
    let counting = ["--live", "-q", "-i0.1", "hist:keys=id:pause", ENTER, "--"];
    let mut line = Line::start(&[&counting[..], &command].concat(), (100, 24));
    line.read_until("?:help");
    line.read_until("xxx");
    // No more is read, so it waits.
    sleep(Duration::from_millis(300));
    assert!(line.child.try_wait().expect("waitable").is_none());
    // The command's end was no wish to stop, so this is the first one.
    line.signal("INT");
    sleep(Duration::from_millis(300));
    assert!(line.child.try_wait().expect("waitable").is_none());
    assert_eq!(line.ended_by("INT").code(), Some(130));
    assert!(line.is_for_lines());
    // If the view could not be left in time, it does not even wait.
    let command = ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; exec sleep 60"];
    let counting = ["--live", "-i0.05", "hist:keys=common_pid,id", ENTER, "--system-wide", "--"];
    let mut line = Line::start(&[&counting[..], &command].concat(), (150, 50));
    line.read_until("?:help");
    line.fill();
    sleep(Duration::from_millis(500));
    assert_eq!(line.ended_by("TERM").code(), Some(1));
    line.read_until("cannot use the terminal: it has taken nothing for a second");
}

#[test]
fn live_view_goes_on_when_the_terminal_is_read_again() {
    if !needs::root() {
        return;
    }
    let mut line = Line::start(&["--live", "-i0.05", "hist:keys=id", ENTER], (150, 50));
    line.read_until("?:help");
    line.fill();
    sleep(Duration::from_millis(500));
    line.read_until(&" ".repeat(4096));
    // The line of the totals changes with every table.
    line.read_until("\x1b[3;");
    std::io::Write::write_all(&mut line.controller, b"q").expect("a key");
    line.read_until("Totals:");
    let controller = line.controller.try_clone().expect("a copy");
    let reader = std::thread::spawn(move || {
        let (mut controller, mut rest) = (controller, Vec::new());
        // EIO at the end: nobody has the terminal open any more.
        let _ = std::io::Read::read_to_end(&mut controller, &mut rest);
    });
    assert_eq!(patiently(&mut line.child, "after q").code(), Some(0));
    drop(line);
    reader.join().expect("it reads");
}

#[test]
fn live_needs_a_terminal_with_a_size() {
    if !needs::root() {
        return;
    }
    let counting = ["--live", "-d0.3", "-i0.1", "hist:keys=id", ENTER];
    let mut line = Line::start(&counting, (0, 0));
    line.read_until("--live: the terminal does not tell its size");
    line.read_until("Totals:");
    line.child.kill().expect("it is there");
    line.child.wait().expect("it ends");
    // Too small for a table, but not for a sentence.
    for size in [(20, 5), (1, 1)] {
        let mut line = Line::start(&["--live", "-d0.3", "hist:keys=id:pause", ENTER], size);
        line.read_until("\x1b[?1049h");
        if size != (1, 1) {
            line.read_until("needs 40x8");
        }
        line.read_until("\x1b[?1049l");
        line.read_until("Totals:");
        line.child.kill().expect("it is there");
        line.child.wait().expect("it ends");
    }
}
