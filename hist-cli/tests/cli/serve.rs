//! `hist-bpf serve`: what is said of files, what is exposed over HTTP, signals and readiness. A
//! real Prometheus reads it in `cargo xtask prometheus`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use super::support::*;

/// Counts the system calls of this thread.
fn config(name: &str, more: &str) -> String {
    format!(
        "[[metric]]\nname = \"{name}\"\nhelp = \"Calls\"\nevent = \"raw_syscalls:sys_enter\"\n\
         trigger = \"hist:keys=common_cpu:vals=id if common_pid == {}\"\n{more}",
        rustix::thread::gettid().as_raw_nonzero()
    )
}

struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().expect("a folder"));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("written");
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("serve.toml")
    }

    fn arguments(&self) -> [String; 5] {
        let path = self.path().to_str().expect("UTF-8").to_owned();
        ["serve".into(), "--config".into(), path, "--listen".into(), "127.0.0.1:0".into()]
    }
}

/// A running server.
struct Server {
    child: Child,
    /// The lines that it says on stderr.
    lines: Receiver<String>,
    /// What it has said before it served.
    said: Vec<String>,
    address: String,
}

impl Server {
    fn start(file: &File) -> Self {
        Self::spawn(hist_bpf().args(file.arguments()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut server = Self { child, lines, said: Vec::new(), address: String::new() };
        let mut said = server.lines_to("serving ");
        let line = said.pop().expect("the last one");
        server.said = said;
        let (_, rest) = line.split_once("http://").expect("an address");
        server.address = rest.split_once('/').expect("a page").0.to_owned();
        server
    }

    /// The next line on stderr that has `part`.
    fn line(&self, part: &str) -> String {
        self.lines_to(part).pop().expect("the last one")
    }

    /// All lines on stderr up to the next one that has `part`.
    fn lines_to(&self, part: &str) -> Vec<String> {
        let (deadline, mut lines) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("no `{part}`: {error}"));
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(part)) {
                return lines;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        super::support::signal(&self.child, signal);
    }

    /// Head and body of the answer.
    fn ask(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an end of the header");
        (head.to_owned(), body.to_owned())
    }

    /// The samples of a page of metrics.
    fn samples(&self) -> BTreeMap<String, f64> {
        let (head, body) = self.ask("GET /metrics HTTP/1.1");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| line.rsplit_once(' ').expect("a value"));
        samples.map(|(name, value)| (name.into(), value.parse().expect("a number"))).collect()
    }

    /// The sum of the samples of that name, whatever their labels.
    fn sum(&self, name: &str) -> f64 {
        sum(&self.samples(), name, "")
    }

    /// The status of every thread. One may end before it is read.
    fn statuses(&self) -> Vec<String> {
        let process = self.child.id();
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it is there");
        let status = |task: std::io::Result<fs::DirEntry>| match fs::read_to_string(
            task.expect("a thread").path().join("status"),
        ) {
            Ok(status) => Some(status),
            Err(error) => {
                let number = error.raw_os_error();
                assert!(matches!(number, Some(libc::ENOENT | libc::ESRCH)), "{error}");
                None
            }
        };
        let statuses: Vec<_> = tasks.filter_map(status).collect();
        let main = format!("Pid:\t{process}");
        let is_main = |status: &String| status.lines().any(|line| line == main);
        assert!(statuses.iter().any(is_main), "{statuses:?}");
        statuses
    }

    /// From now on it gets no descriptor from this number on.
    fn limit_files(&self, files: u64) {
        let limit = Rlimit { current: Some(files), maximum: Some(files) };
        let process = Pid::from_child(&self.child);
        prlimit(Some(process), Resource::Nofile, limit).expect("root may");
    }

    /// Ends it; gives the rest of what it says.
    fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = patiently(&mut self.child, "after SIGTERM");
        let rest = self.lines.iter().collect::<Vec<_>>().join("\n");
        assert_eq!(status.code(), Some(0), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum of the samples of that name with `part` in their labels.
fn sum(samples: &BTreeMap<String, f64>, name: &str, part: &str) -> f64 {
    let is_it = |sample: &str| sample.split('{').next() == Some(name) && sample.contains(part);
    samples.iter().filter(|(sample, _)| is_it(sample)).map(|(_, value)| value).sum()
}

/// Calls that every metric of [`config`] counts.
fn call(times: usize) {
    for _ in 0..times {
        let _ = rustix::process::getppid();
    }
}

#[test]
fn check_tells_all_that_is_wrong() {
    let good = "[[metric]]\nname = \"a_bytes\"\nhelp = \"h\"\nevent = \"kmem:kmalloc\"\n\
                trigger = \"hist:keys=bytes_req.log2:vals=bytes_req\"\nunit = \"bytes\"\n";
    let file = File::new(good);
    let path = file.path().display().to_string();
    let check = ["serve", "--check", "--tracefs", &event_formats(), "--config", &path];
    let right = output(&check);
    assert_eq!((right.status.code(), stdout(&right)), (Some(0), ""), "{}", stderr(&right));
    assert_eq!(stderr(&right), format!("{path}: nothing wrong, 1 metric\n"));

    file.write(&format!("{}{}", good.replace("bytes_req.log2", "byte_req.log2"), "colour = 1\n"));
    let caret =
        "  trigger = \"hist:keys=byte_req.log2:vals=bytes_req\"\n                       ^^^^^^^^\n";
    check_fails(
        &check,
        1,
        &[
            &format!("error: 2 errors in {path}\n"),
            &format!("{path}:5:22: Couldn't find field\n{caret}"),
            "did you mean `bytes_req`?",
            &format!("{path}:7:1: nothing is called `colour` here\n"),
        ],
    );
    fs::write(file.path(), b"a = 1\nb = \"\xff\"\n").expect("written");
    check_fails(&check, 1, &[&format!("{path}:2:6: not UTF-8")]);
    check_fails(&["serve", "--check", "--config", "/no/such"], 1, &["cannot read /no/such"]);
    check_fails(&["serve"], 2, &["--config"]);
    for (place, part) in [
        ("nowhere", "there is no port; write ADDRESS:PORT"),
        (":9090", "write [::]:9090 or 0.0.0.0:9090"),
        ("::1:9090", "write [::1]:9090"),
        ("127.0.0.1:99999", "`99999` is no port"),
    ] {
        check_fails(&["serve", "--config", "x", "--listen", place], 2, &["--listen", part]);
    }
    check_fails(&["serve", "--config", "x", "--tracefs", "/"], 2, &["--check"]);
}

#[test]
fn what_cannot_be_served_is_told() {
    if !needs::root() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a port").to_string();
    let file = File::new(&config("calls", ""));
    let path = file.path().display().to_string();
    let arguments = ["serve", "--config", &path, "--listen", &address];
    check_fails(&arguments, 1, &[&format!("cannot listen on {address}"), "in use", "--listen"]);
    file.write(&config("calls", "").replace("common_cpu", "no_cpu"));
    check_fails(&arguments, 1, &[":5:22: Couldn't find field"]);
    file.write(&config("calls", ""));
    let arguments = ["serve", "--config", &path, "--ready-fd", "999"];
    check_fails(&arguments, 1, &["--ready-fd 999 is no open file"]);
}

/// It was heeded only once all were attached, which takes minutes for thousands on a busy machine.
#[test]
fn a_wish_to_stop_while_metrics_are_attached_is_heeded() {
    if !needs::root() {
        return;
    }
    // With keys that take tables of their own.
    let metric = |number| config(&format!("m{number}"), "").replace("common_cpu", "id,common_pid");
    let file = File::new(&(0..500).map(metric).collect::<String>());
    let mut command = hist_bpf();
    let mut child =
        command.args(file.arguments()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let files = || fs::read_dir(format!("/proc/{}/fd", child.id())).map_or(0, Iterator::count);
    wait_until("some are attached", || files() >= 200);
    signal(&child, Signal::TERM);
    let status = patiently(&mut child, "after SIGTERM");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn counts_rise_and_pages_are_as_asked_for() {
    if !needs::root() {
        return;
    }
    let file = File::new(&config("calls", ""));
    let server = Server::start(&file);
    let before = server.sum("calls_total");
    call(1000);
    let after = server.sum("calls_total");
    assert!(after >= before + 1000.0, "{before} {after}");
    assert!(server.sum("calls_id") > 0.0, "a field with a sign, so a gauge");
    assert_eq!(
        server.samples()["hist_bpf_lost_events_total{metric=\"calls\",reason=\"full\"}"],
        0.0
    );
    for own in ["process_resident_memory_bytes", "hist_bpf_build_info"] {
        assert!(server.sum(own) > 0.0, "{own}");
    }
    // It may have taken less than a tick yet.
    assert!(server.samples().contains_key("process_cpu_seconds_total"));
    let documentation = include_str!("../../../docs/serve.md");
    for own in server.samples().keys().map(|sample| sample.split('{').next().unwrap_or(sample)) {
        let is_told = own.starts_with("calls_") || documentation.contains(&format!("`{own}`"));
        assert!(is_told, "docs/serve.md has no {own}");
    }
    let (head, body) =
        server.ask("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.starts_with("# HELP calls Calls\n") && body.ends_with("\n# EOF\n"), "{body}");
    for (request, code) in [
        ("GET / HTTP/1.1", "200"),
        ("GET /healthz HTTP/1.1", "200"),
        ("HEAD /metrics HTTP/1.1", "200"),
        ("GET /nothing HTTP/1.1", "404"),
        ("POST /metrics HTTP/1.1", "405"),
        ("nonsense", "400"),
    ] {
        let (head, body) = server.ask(request);
        assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{request}: {head}");
        assert!(!request.starts_with("HEAD") || body.is_empty(), "{body}");
    }
    assert_eq!(server.stop(), "");
}

#[test]
fn a_new_file_keeps_what_it_has_in_common() {
    if !needs::root() {
        return;
    }
    let file = File::new(&(config("kept", "") + &config("gone", "")));
    let server = Server::start(&file);
    call(500);
    let (kept, gone) = (server.sum("kept_total"), server.sum("gone_total"));
    assert!(kept >= 500.0 && gone >= 500.0);

    file.write(&(config("kept", "labels = { common_cpu = \"core\" }\n") + &config("new", "")));
    server.signal(Signal::HUP);
    let line = server.line("was read again");
    assert!(line.contains("1 kept, 1 added, 1 removed"), "{line}");
    assert!(server.sum("kept_total") >= kept, "it has counted on");
    assert!(server.samples().keys().any(|name| name.starts_with("kept_total{core=")));
    assert_eq!(server.sum("gone_total"), 0.0);
    call(10);
    assert!(server.sum("new_total") >= 10.0);
    assert_eq!(server.samples()["hist_bpf_config_last_reload_successful"], 1.0);

    file.write("[[metric]]\nname = 1\n");
    server.signal(Signal::HUP);
    server.line("4 errors in");
    server.line(":2:8: `name` must be a string");
    server.line("all metrics go on as before");
    let before = server.sum("kept_total");
    call(10);
    assert!(server.sum("kept_total") >= before + 10.0);
    assert_eq!(server.samples()["hist_bpf_config_last_reload_successful"], 0.0);
    server.stop();
}

#[test]
fn readiness_and_end_are_told() {
    if !needs::root() {
        return;
    }
    let name = format!("hist-bpf-serve-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time");
    let message = || {
        let mut buffer = [0; 500];
        let length = manager.recv(&mut buffer).expect("a message");
        String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
    };
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).expect("inherited");
    let file = File::new(&config("calls", ""));
    let mut command = hist_bpf();
    command.args(file.arguments()).args(["--ready-fd", &writer.as_raw_fd().to_string()]);
    let server = Server::spawn(command.env("NOTIFY_SOCKET", format!("@{name}")));
    let mut line = [0; 8];
    reader.read_exact(&mut line).expect("a line");
    assert_eq!(&line, b"READY=1\n");
    assert!(message().starts_with("READY=1\nSTATUS=1 metric on http://127.0.0.1:"));
    server.signal(Signal::HUP);
    server.line("was read again");
    assert!(message().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(message().starts_with("READY=1\n"));
    server.stop();
    assert_eq!(message(), "STOPPING=1");
}

fn has_only(allowed: u64, status: &str) {
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapInh:", "CapAmb:"] {
        assert_eq!(mask(status, set) & !allowed, 0, "{set} {status}");
    }
    assert_eq!(mask(status, "NoNewPrivs:"), 1);
}

/// It stayed root's, whatever it gave up.
#[test]
fn the_process_becomes_the_user_that_is_named() {
    if !needs::root() {
        return;
    }
    let file = File::new("");
    let all = 1 << 2 | 1 << 34 | 1 << 38 | 1 << 39;
    for (arguments, allowed) in [(&[][..], all), (&["--no-reload"], 1 << 39)] {
        file.write(&(config("calls", "") + &config("pids", "").replace("_cpu", "_pid")));
        let user = ["--user", "4321:8765"];
        let server = Server::spawn(hist_bpf().args(file.arguments()).args(user).args(arguments));
        for status in server.statuses() {
            for (name, ids) in [("Uid:", [4321; 4]), ("Gid:", [8765; 4])] {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
                let found: Vec<u32> =
                    line.split_whitespace().map(|id| id.parse().expect("a number")).collect();
                assert_eq!(found, ids, "{status}");
            }
            assert!(status.lines().any(|line| line.trim() == "Groups:"), "{status}");
            has_only(allowed, &status);
        }
        call(100);
        let samples = server.samples();
        for name in ["calls_total", "pids_total"] {
            assert!(server.sum(name) >= 100.0, "{name}: {samples:?}");
        }
        assert_eq!(server.sum("hist_bpf_read_errors_total"), 0.0);
        assert!(server.sum("process_open_fds") > 3.0);
        if arguments.is_empty() {
            // The folder is root's alone, and tracefs is, too.
            file.write(&(config("calls", "") + &config("new", "")));
            server.signal(Signal::HUP);
            let line = server.line("was read again");
            assert!(line.contains("1 kept, 1 added, 1 removed"), "{line}");
            call(100);
            assert!(server.sum("new_total") >= 100.0);
        }
        server.stop();
    }
    let path = file.path().display().to_string();
    for (user, part) in [("no such user", "has no user `no such user`"), ("4321", "4321:GROUP")] {
        check_fails(&["serve", "-c", &path, "--user", user], 1, &["--user: /etc/passwd", part]);
    }
}

#[test]
fn no_more_capabilities_than_needed_are_kept() {
    if !needs::root() {
        return;
    }
    // CAP_DAC_READ_SEARCH, CAP_SYSLOG, CAP_PERFMON and CAP_BPF (include/uapi/linux/capability.h).
    let all = 1 << 2 | 1 << 34 | 1 << 38 | 1 << 39;
    let file = File::new(&config("calls", ""));
    for (arguments, allowed) in [(&[][..], all), (&["--no-reload"], 1 << 39)] {
        // A name was looked up in a thread that kept all it had.
        let mut command = hist_bpf();
        command.args(["serve", "--config", file.path().to_str().expect("UTF-8")]);
        let server = Server::spawn(command.args(["--listen", "localhost:0"]).args(arguments));
        for status in server.statuses() {
            has_only(allowed, &status);
        }
        // What is left is enough.
        assert!(server.samples().contains_key("hist_bpf_read_errors_total{metric=\"calls\"}"));
        assert_eq!(server.sum("hist_bpf_read_errors_total"), 0.0);
        if arguments.is_empty() {
            server.stop();
            continue;
        }
        server.signal(Signal::HUP);
        let mut server = server;
        assert_eq!(patiently(&mut server.child, "after SIGHUP").code(), Some(0));
    }
}

#[test]
fn names_are_listened_on_as_addresses_are() {
    if !needs::root() {
        return;
    }
    let file = File::new(&config("calls", ""));
    let path = file.path().display().to_string();
    for place in ["localhost:0", "[::1]:0"] {
        let server = Server::spawn(hist_bpf().args(["serve", "-c", &path, "-l", place]));
        let loopback = ["127.0.0.1:", "[::1]:"];
        assert!(loopback.iter().any(|start| server.address.starts_with(start)), "{place}");
        assert!(server.samples().contains_key("process_open_fds"), "{place}");
        server.stop();
    }
    // Reserved for names that nobody has (RFC 6761).
    let nowhere = ["serve", "-c", &path, "-l", "name.invalid:80"];
    check_fails(&nowhere, 1, &["cannot listen on name.invalid:80"]);
}

/// So many metrics that sockets hold few pages.
fn many_metrics() -> String {
    (0..100).map(|number| config(&format!("calls_{number}"), "")).collect()
}

/// One that asks thousands of times without a pause, and reads all answers in a thread of its own,
/// which counts their bytes.
fn greedy(server: &Server, requests: usize) -> (TcpStream, Arc<AtomicUsize>) {
    let stream = TcpStream::connect(&server.address).expect("it listens");
    let (mut writer, mut reader) = (stream.try_clone().expect("a copy"), stream);
    let control = writer.try_clone().expect("a copy");
    thread::spawn(move || {
        let some = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        // It ends early when the test does.
        (0..requests / 100).try_for_each(|_| writer.write_all(some.as_bytes()))
    });
    let bytes = Arc::new(AtomicUsize::new(0));
    let counted = bytes.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            counted.fetch_add(length, Ordering::Relaxed);
        }
    });
    (control, bytes)
}

/// Others got no answer before it had all of its own: 8 s, and SIGTERM waited, too.
#[test]
fn one_that_pipelines_requests_starves_nobody() {
    if !needs::root() {
        return;
    }
    /// Of each of them.
    const REQUESTS: usize = 3000;
    /// Answers for all of them together, of which some wait in sockets.
    const SOME: usize = 3 * 50;
    let server = Server::start(&File::new(&many_metrics()));
    let page = server.ask("GET /metrics HTTP/1.1").1.len();
    let greedy: Vec<_> = (0..3).map(|_| greedy(&server, REQUESTS)).collect();
    let answers =
        || greedy.iter().map(|(_, bytes)| bytes.load(Ordering::Relaxed)).sum::<usize>() / page;
    wait_until("they get answers", || answers() >= 30);
    // The machine may have others to run before this thread, but not each time.
    let least = (0..5).map(|_| {
        let before = answers();
        assert!(server.samples().contains_key("process_open_fds"));
        let after = answers();
        assert!(after < 3 * REQUESTS - SOME, "it got its answer only after all of theirs");
        after - before
    });
    let least = least.min().expect("five");
    assert!(least <= SOME, "{least} answers for others came first");
    let before = answers();
    server.stop();
    let after = answers();
    assert!(after - before <= 4 * SOME, "it ended after {} answers more", after - before);
    drop(greedy);
}

/// It was 0 for events whose losses nothing counts.
#[test]
fn missed_was_zero_where_nothing_counts_what_perf_drops() {
    if !needs::root() {
        return;
    }
    // On both, programs are classic ones for what their records have.
    let metric = |name: &str, event: &str, key: &str| {
        let config = config(name, "").replace("raw_syscalls:sys_enter", event);
        config.replace("keys=common_cpu:vals=id", &format!("keys={key}"))
    };
    let file = File::new(
        &(metric("unknown", "writeback:writeback_start", "name")
            + &metric("watched", "exceptions:page_fault_kernel", "address")
            + &config("counted", "")),
    );
    let server = Server::start(&file);
    let [said] = &server.said[..] else { panic!("{:?}", server.said) };
    let start = "metric unknown: events that occur while perf handles another tracepoint";
    assert!(said.contains(start) && said.ends_with("not counted"), "{said}");
    let samples = server.samples();
    let missed = |metric: &str| {
        let sample = format!("hist_bpf_lost_events_total{{metric=\"{metric}\",reason=\"missed\"}}");
        samples.get(&sample).copied()
    };
    assert_eq!(missed("watched"), Some(0.0));
    assert!(missed("unknown").is_none_or(|missed| missed > 0.0), "{:?}", missed("unknown"));
    assert!(missed("counted").is_some());
    server.stop();
}

/// What waiting takes was to be had of the kernel by then, which gives nothing to a process without
/// capabilities, or without files.
#[test]
fn stopping_without_capabilities_or_files_did_not_wait_for_programs() {
    if !needs::root() {
        return;
    }
    let file = File::new(&config("calls", ""));
    for (arguments, files) in [(&["--no-reload"][..], None), (&[], Some(0))] {
        let server = Server::spawn(hist_bpf().args(file.arguments()).args(arguments));
        files.into_iter().for_each(|files| server.limit_files(files));
        call(10);
        assert_eq!(server.stop(), "");
    }
}

/// Connections that ask nothing had all files that there were.
#[test]
fn idle_connections_give_way_when_files_run_out() {
    if !needs::root() {
        return;
    }
    let server = Server::start(&File::new(&config("calls", "")));
    let files = fs::read_dir(format!("/proc/{}/fd", server.child.id())).expect("there").count();
    // Room for a few connections, and for what making a page opens.
    server.limit_files(u64::try_from(files).expect("small") + 6);
    let idle: Vec<_> =
        (0..50).map(|_| TcpStream::connect(&server.address).expect("it listens")).collect();
    for _ in 0..3 {
        let samples = server.samples();
        assert!(samples.keys().any(|sample| sample.starts_with("calls_total{")), "{samples:?}");
    }
    drop(idle);
    server.stop();
}

#[test]
fn odd_clients_get_what_they_ask_for_or_are_sent_away() {
    if !needs::root() {
        return;
    }
    let server = Server::start(&File::new(&config("calls", "")));
    let connect = || {
        let stream = TcpStream::connect(&server.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream
    };
    // All that an exchange gives, however it ends.
    let exchange = |request: &[u8], half_close: bool| {
        let mut stream = connect();
        // It may be sent away before it has said all.
        let _ = stream.write_all(request);
        if half_close {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let old = exchange(b"GET /metrics HTTP/1.0\r\n\r\n", false);
    assert!(old.starts_with("HTTP/1.0 200") && old.contains("calls_total"), "{old}");
    let half = exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", true);
    assert!(half.starts_with("HTTP/1.1 200") && half.contains("calls_total"), "{half}");
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let long = exchange(long.as_bytes(), true);
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 431"), "{long}");
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let many = exchange(many.as_bytes(), true);
    assert!(many.is_empty() || many.starts_with("HTTP/1.1 431"), "{many}");
    let garbage = exchange(&[0xff, 0, 13, 10, 13, 10], true);
    assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    // Those who never come to an end keep nobody out.
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX").expect("it reads");
            stream
        })
        .collect();
    assert!(server.samples().contains_key("process_open_fds"));
    drop(slow);
    server.stop();
}

/// They were waited for, one and all.
#[test]
fn clients_that_ask_or_take_nothing_keep_nobody_out() {
    if !needs::root() {
        return;
    }
    let file = File::new(&config("calls", ""));
    let server = Server::start(&file);
    let connect = || TcpStream::connect(&server.address).expect("it listens");
    let silent: Vec<_> = (0..100).map(|_| connect()).collect();
    assert!(server.samples().contains_key("process_open_fds"));
    // More than fits between the two.
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000);
    let greedy: Vec<_> = (0..70)
        .map(|_| {
            let mut stream = connect();
            stream.set_nonblocking(true).expect("a mode");
            assert!(stream.write(requests.as_bytes()).expect("some of it") > 0);
            stream
        })
        .collect();
    let files = server.samples()["process_open_fds"];
    assert!(files < 120.0, "{files} files are open");
    drop((silent, greedy));
    server.stop();
}

/// A thread that does what it is told, so that nobody else's calls are counted.
struct Worker {
    tid: i32,
    orders: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    done: Receiver<()>,
}

impl Worker {
    fn start() -> Self {
        let (orders, inbox) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (told, done) = mpsc::channel();
        let (sender, tid) = mpsc::channel();
        thread::spawn(move || {
            sender.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("somebody asks");
            for order in inbox {
                order();
                told.send(()).expect("somebody waits");
            }
        });
        Self { tid: tid.recv().expect("a number"), orders, done }
    }

    /// Waits until it waits for orders and calls nothing any more.
    fn rest(&self) {
        let folder = format!("/proc/self/task/{}", self.tid);
        wait_until("it waits for orders", || state(&folder) == 'S');
    }

    fn work(&self, order: impl FnOnce() + Send + 'static) {
        self.orders.send(Box::new(order)).expect("it works");
        self.done.recv().expect("it has worked");
    }
}

fn rename(name: &str) {
    let name = std::ffi::CString::new(name).expect("no NUL");
    rustix::thread::set_name(&name).expect("a name");
}

/// Any user can rename itself often enough to fill a table. Nobody else ever got an entry then.
#[test]
fn a_table_filled_by_renaming_blinds_a_metric_for_moments_only() {
    if !needs::root() {
        return;
    }
    let worker = Worker::start();
    let metric = |name: &str, keys: &str| {
        format!(
            "[[metric]]\nname = \"{name}\"\nhelp = \"Calls\"\nevent = \"raw_syscalls:sys_enter\"\n\
             trigger = \"hist:keys={keys} if common_pid == {}\"\nmax_series = 20\n",
            worker.tid
        )
    };
    let file = File::new(
        &(metric("tasks", "common_comm:vals=id:size=256")
            + &metric("numbers", "common_comm,id.log2:vals=id:size=256")
            + &metric("all", "common_cpu:vals=id")),
    );
    // It works without any capability, too.
    let start = |more: &[&str]| Server::spawn(hist_bpf().args(file.arguments()).args(more));
    let servers = [start(&[]), start(&["--no-reload"])];
    worker.work(|| {
        rename("before");
        call(100);
        for number in 0..3000 {
            rename(&format!("name{number}"));
            call(1);
        }
    });
    servers.iter().for_each(|server| comes_back(&worker, server));
}

/// Processes that had long ended kept all entries and all series.
#[test]
fn processes_that_come_and_go_leave_room_for_others() {
    if !needs::root() {
        return;
    }
    let worker = Worker::start();
    let file = File::new(&format!(
        "[[metric]]\nname = \"forks\"\nhelp = \"Children\"\nevent = \"sched:sched_process_fork\"\n\
         trigger = \"hist:keys=child_pid:size=128 if common_pid == {}\"\nmax_series = 20\n",
        worker.tid
    ));
    let server = Server::start(&file);
    let fork = |times: usize| {
        worker.work(move || {
            for _ in 0..times {
                let status = Command::new("/bin/true").status().expect("it is there");
                assert!(status.success());
            }
        });
    };
    let mut forks = 400;
    fork(forks);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let samples = server.samples();
        let sum = |name: &str| sum(&samples, name, "");
        assert_eq!(sum("forks_total"), forks as f64);
        assert_eq!(sum("hist_bpf_lost_events_total"), 0.0);
        if sum("hist_bpf_table_renewals_total") >= 1.0 && sum("hist_bpf_table_entries") < 64.0 {
            break;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
        // It may have been renewed early, and now have too much for this and too little to be renewed.
        fork(10);
        forks += 10;
        thread::sleep(std::time::Duration::from_millis(200));
    }
    server.stop();
}

/// What comes after the storm gets series, and nothing of the storm is lost.
fn comes_back(worker: &Worker, server: &Server) {
    let deadline = Instant::now() + PATIENCE;
    let after = ["tasks_total{common_comm=\"after\"}", "numbers_count{common_comm=\"after\"}"];
    let mut last = 0.0;
    loop {
        worker.work(|| {
            rename("after");
            call(1000);
        });
        let samples = server.samples();
        let other = samples["tasks_total{common_comm=\"other\"}"];
        assert!(other >= last, "{last} {other}");
        last = other;
        if after.iter().all(|name| samples.get(*name).is_some_and(|hits| *hits >= 1000.0)) {
            break;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
        thread::sleep(std::time::Duration::from_millis(200));
    }
    worker.rest();
    let samples = server.samples();
    // Every call is in one of the series, with its sum and in its bucket.
    let sum = |name: &str, part: &str| sum(&samples, name, part);
    let (calls, ids) = (sum("all_total", ""), sum("all_id", ""));
    assert_eq!((sum("tasks_total", ""), sum("tasks_id", "")), (calls, ids));
    assert_eq!((sum("numbers_count", ""), sum("numbers_sum", "")), (calls, ids));
    // None of the calls that are made has a larger number.
    assert_eq!(sum("numbers_bucket", "le=\"256\""), calls);
    for name in ["tasks", "numbers"] {
        let own =
            |family: &str, more: &str| samples[&format!("{family}{{metric=\"{name}\"{more}}}")];
        assert_eq!(own("hist_bpf_lost_events_total", ",reason=\"full\""), 0.0);
        assert!(own("hist_bpf_table_renewals_total", "") >= 1.0, "{samples:?}");
        assert!(own("hist_bpf_evicted_hits_total", "") >= 1.0, "{samples:?}");
    }
    assert_eq!(samples["hist_bpf_read_errors_total{metric=\"tasks\"}"], 0.0);
}
