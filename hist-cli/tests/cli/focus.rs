//! Counts events of some processes only, while others make the same calls: the counts of processes
//! that fork, have threads and execute are exact.
//!
//! What is counted is kill(2) with signal 0, which the shell's own `kill -0` calls exactly once.

use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::{cgroup2_root, find_or_mount};
use hist_cli::load::{LiveFocus, WatchedEvents};
use hist_cli::plan::Focus;
use hist_cli::plan::focus::Processes;
use hist_cli::sys::gate::hold;
use hist_test_support::table::Entry;
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};

use super::support::*;

/// Counts the kill(2) calls of each thread.
const CALLS: [&str; 2] = ["hist:keys=common_pid if sig == 0", "syscalls:sys_enter_kill"];

const CGROUP2: &str = "a mounted cgroup2 filesystem";

/// What counts the calls until the end, with `options`.
fn counted(options: &[&str], command: &[&str]) -> Output {
    output(&[&["-i0"], options, &CALLS, &["--"], command].concat())
}

/// The same for a script.
fn counted_script(options: &[&str], script: &str) -> Output {
    counted(options, &["sh", "-c", &format!("{SHELL}{script}")])
}

/// Pid and hits of each entry, the fewest hits first.
fn entries(output: &Output) -> Vec<(u32, u64)> {
    let tables = tables(stdout(output)).expect("tables");
    let entries = tables.iter().flat_map(|table| &table.entries);
    let entry = |entry: &Entry| {
        let pid = entry.key("common_pid").expect("a pid").parse().expect("a number");
        (pid, entry.hitcount().expect("hits"))
    };
    let mut entries: Vec<_> = entries.map(entry).collect();
    entries.sort_by_key(|(_, hits)| *hits);
    entries
}

#[track_caller]
fn check_hits(output: &Output, hits: &[u64]) {
    let found: Vec<_> = entries(output).into_iter().map(|(_, hits)| hits).collect();
    assert_eq!(found, hits, "{}", stderr(output));
}

impl Workload {
    fn script(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{SHELL}{script}")]);
        Self::spawn(command)
    }

    /// One that makes calls all the time.
    fn outsider() -> Self {
        Self::script("echo ready; while :; do kill -0 $$; done").ready()
    }
}

#[test]
fn contradictions_are_usage_mistakes() {
    for options in [
        &["--follow"][..],
        &["-p1", "--system-wide"],
        &["-p0"],
        &["-p", "x"],
        &["-p", "1,"],
        &["-p4294967295"],
    ] {
        check_fails(&[options, &CALLS].concat(), 2, &["error"]);
    }
    // It was `invalid digit found in string`, and a range that nobody asked for.
    for pid in ["x", "0", "4294967295", "99999999999"] {
        check_fails(&[&["-p", pid], &CALLS[..]].concat(), 2, &["not the number of a process"]);
    }
}

#[test]
fn plans_tell_the_focus_and_code_tests_it_first() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats");
    let formats = formats.to_str().expect("UTF-8");
    let pid = std::process::id().to_string();
    let trigger = ["hist:keys=bytes_req if bytes_req > 7", "kmem:kmalloc"];
    let emit = |stage| {
        let options = ["--tracefs", formats, "--cpu", "0", "-p", &pid, "--emit", stage];
        let output = output(&[&options[..], &trigger].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let plan = emit("plan");
    let lines = format!("focus    process {pid}; CPU 0\nfilter   bytes_req > 7");
    assert!(plan.contains(&lines), "{plan}");
    let code = emit("code");
    let place = |part: &str| code.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{code}"));
    let order = [place("focus: the CPU"), place("focus: the process"), place("filter bytes_req")];
    assert!(order.is_sorted(), "{code}");
    // What it was told to count is no part of the trigger.
    assert!(!emit("hist").contains("focus"));
}

/// For the shell: waits until the process has had a CPU for 20 ms more. A kernel without schedstat
/// does not tell, or says 0: then the process gets 2 s.
fn until_it_has_run(process: &Workload) -> String {
    format!(
        "file=/proc/{}/schedstat; first=0; [ -e $file ] && read -r first rest <$file; \
         if [ $first = 0 ]; then sleep 2; else now=$first; \
         while [ $((now - first)) -lt 20000000 ]; do sleep 0.05; read -r now rest <$file; done; fi",
        process.pid()
    )
}

#[test]
fn live_a_command_counts_with_all_that_it_forks_and_executes() {
    if !needs::root() {
        return;
    }
    let outsider = Workload::outsider();
    let script = "calls 100; (calls 50; (calls 20); sh -c 'kill -0 1; kill -0 1; :'; :) & wait; \
                  (calls 5); :";
    let output = counted_script(&[], script);
    check_hits(&output, &[2, 5, 20, 50, 100]);
    // Everything is in focus if that is wished, and then the outsider is.
    // Counting ends with the command, so that has to last until the outsider has had a CPU.
    let until = until_it_has_run(&outsider);
    let output = counted_script(&["--system-wide"], &format!("{script}; {until}"));
    let outsiders: Vec<_> =
        entries(&output).into_iter().filter(|(pid, _)| *pid == outsider.0.id()).collect();
    assert_eq!(outsiders.len(), 1, "{:?}", entries(&output));
    assert!(entries(&output).len() >= 6);
}

/// By every way to attach, and through every template.
#[test]
fn live_every_program_keeps_to_the_focus() {
    if !needs::root() {
        return;
    }
    let _outsider = Workload::outsider();
    let script = format!("{SHELL}calls 30; (calls 12)");
    let cgroup = fs::read_to_string("/proc/self/cgroup").expect("readable");
    let cgroup = cgroup.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned);
    let cgroup = cgroup.filter(|_| needs::that(cgroup2_root().is_some(), CGROUP2));
    let cgroup = cgroup.as_deref().map_or(vec![], |path| vec!["--cgroup", path]);
    for options in [&["--attach=auto"][..], &["--attach=tracepoint"], &["-vv"]] {
        for keys in ["common_pid", "common_cpu", "sig", "common_stacktrace", "pid,sig"] {
            if keys == "common_stacktrace" && options == ["-vv"] {
                continue;
            }
            let trigger = format!("hist:keys={keys}:vals=sig if sig == 0 && pid != 0");
            let trigger = ["-i0", &trigger, "syscalls:sys_enter_kill"];
            let command = ["--cpu", "all", "--", "sh", "-c", &script];
            let output = output(&[options, &cgroup, &trigger, &command].concat());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                text.contains("    Hits: 42\n"),
                "{options:?} {keys}: {text}{}",
                stderr(&output)
            );
            assert!(text.contains(" if sig == 0 && pid != 0 [active]"), "{text}");
        }
    }
}

#[test]
fn live_all_triggers_of_a_command_have_its_focus() {
    if !needs::root() {
        return;
    }
    let _outsider = Workload::outsider();
    let arguments = [
        "-i0",
        "hist:name=a:keys=common_pid if sig == 0",
        "syscalls:sys_enter_kill",
        "hist:name=a:keys=common_pid",
        "syscalls:sys_exit_kill",
        "hist:keys=sig",
        "syscalls:sys_enter_kill",
        "--",
        "sh",
        "-c",
        "kill -0 $$; kill -0 $$; kill -0 $$; :",
    ];
    let output = output(&arguments);
    // Two triggers share the first table, which is shown for each.
    assert_eq!(totals(stdout(&output), "Hits"), [6, 6, 3], "{}", stderr(&output));
}

/// Counting begins with the exec, not before, and has what the last process does until its exit.
#[test]
fn live_a_command_is_counted_from_its_exec_to_its_exit() {
    if !needs::root() {
        return;
    }
    let run = |event: &str, attach: &str| {
        let script = "/bin/true; (:); /bin/true; :";
        output(&["-i0", attach, "hist:keys=common_pid", event, "--", "sh", "-c", script])
    };
    for attach in ["--attach=auto", "--attach=tracepoint"] {
        check_hits(&run("sched:sched_process_exec", attach), &[1, 1, 1]);
        check_hits(&run("sched:sched_process_exit", attach), &[1, 1, 1, 1]);
        // It has been called before the exec, and returns into the new program.
        let calls = run("syscalls:sys_enter_execve", attach);
        check_hits(&calls, &[1, 1]);
    }
}

/// Its own exec was not counted, and nobody was told, while some other process had a perf event there: a
/// raw program let the command in after the classic ones had counted.
#[test]
fn live_an_exec_that_others_look_at_was_not_counted() {
    if !needs::root() {
        return;
    }
    let (exec, fork) = ("sched:sched_process_exec", "task:task_newtask");
    let look = "hist:keys=common_pid if common_pid == 0";
    let _other = Running::start(&["--attach=tracepoint", look, exec, look, fork]);
    for attach in ["--attach=auto", "--attach=tracepoint"] {
        let run = |key: &str, event: &str| {
            let (key, script) = (format!("hist:keys={key}"), "/bin/true; (:); /bin/true; :");
            output(&["-i0", attach, &key, event, "--", "sh", "-c", script])
        };
        check_hits(&run("common_pid", exec), &[1, 1, 1]);
        check_hits(&run("common_pid", "sched:sched_process_exit"), &[1, 1, 1, 1]);
        // One of them is only a subshell.
        check_hits(&run("common_pid", fork), &[3]);
    }
}

#[test]
fn live_the_last_child_may_outlive_the_command() {
    if !needs::root() {
        return;
    }
    // The child waits until somebody has waited for the shell, whose number `$$` is in it, too.
    let until = "while [ -e /proc/$$ ]; do sleep 0.02; done";
    let script = format!("({until}; calls 7) >/dev/null 2>&1 & calls 3; exit 9");
    let output = counted_script(&[], &script);
    check_hits(&output, &[3, 7]);
    assert_eq!(output.status.code(), Some(9));
    assert!(stderr(&output).contains("but not all that it started"), "{}", stderr(&output));
}

#[test]
fn live_time_and_signals_end_what_outlives_the_command() {
    if !needs::root() {
        return;
    }
    let script = "(sleep 600 >/dev/null 2>&1 & echo $!; :) ; kill -0 $$; exit 4";
    // On a busy machine the shell may not have come to its end by then.
    let output = ["-d0.5", "-d4", "-d32"].into_iter().find_map(|time| {
        let output = counted(&[time], &["sh", "-c", script]);
        let sleeper = stdout(&output).lines().next().and_then(|line| line.parse().ok());
        let sleeper = sleeper.and_then(Pid::from_raw)?;
        kill_process(sleeper, Signal::KILL).expect("it was left alone");
        (!entries(&output).is_empty()).then_some(output)
    });
    let output = output.expect("the shell has half a minute");
    check_hits(&output, &[1]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn live_commands_that_cannot_start_have_the_shells_codes() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    fs::write(&script, "#!/nowhere/interpreter\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).expect("a mode");
    let script = script.to_str().expect("UTF-8");
    for (program, code) in [("/nowhere/x", 127), ("/etc/passwd", 126), (script, 127)] {
        for options in [&[][..], &["--system-wide"]] {
            let output = counted(options, &[program]);
            assert_eq!(output.status.code(), Some(code), "{program}: {}", stderr(&output));
            assert!(stderr(&output).contains("cannot run"), "{}", stderr(&output));
        }
    }
}

/// What [`workload_of_threads`] is called on the command line.
const WORKLOAD_OF_THREADS: &str = "focus::workload_of_threads";

/// The threads of this test's own process, started anew.
#[test]
fn workload_of_threads() {
    let Ok(threads) = std::env::var("HIST_BPF_THREADS") else { return };
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).expect("readable");
    let call = |count| move || (0..count).for_each(|_| test_kill_process(getpid()).expect("me"));
    let threads = 0..threads.parse::<u64>().expect("a number");
    let threads = threads.map(|thread| std::thread::spawn(call(10 + thread)));
    threads.for_each(|thread| thread.join().expect("no panic"));
}

fn workload_of_threads_in_its_own_process(threads: u32) -> Workload {
    let mut command = Command::new(std::env::current_exe().expect("this file"));
    command.args(["--exact", WORKLOAD_OF_THREADS, "--nocapture", "--test-threads=1"]);
    command.env("HIST_BPF_THREADS", threads.to_string());
    Workload::spawn(command).ready()
}

#[test]
fn live_all_threads_of_a_process_count_until_it_ends() {
    if !needs::root() {
        return;
    }
    let _outsider = Workload::outsider();
    let mut first = workload_of_threads_in_its_own_process(3);
    let mut second = workload_of_threads_in_its_own_process(1);
    let third = workload_of_threads_in_its_own_process(1);
    for follow in [false, true] {
        if follow {
            first = workload_of_threads_in_its_own_process(3);
            second = workload_of_threads_in_its_own_process(1);
        }
        let pids = format!("{},{}", second.pid(), first.pid());
        let follow = if follow { vec!["--follow"] } else { vec![] };
        let running = Running::start(&[&["-i0", "-p", &pids], &follow[..], &CALLS].concat());
        first.go_on();
        second.go_on();
        // Nobody tells it to stop.
        check_hits(&running.end(), &[10, 10, 11, 12]);
    }
    drop(third);
}

#[test]
fn live_descendants_count_if_they_are_followed() {
    if !needs::root() {
        return;
    }
    let _outsider = Workload::outsider();
    // One child is there before, and forks later; another one is forked later.
    let script = "(trap 'calls 9; (calls 8); exit' USR1; echo ready; while :; do sleep 0.05; done) & \
                  read line; calls 5; (calls 4; /bin/true); kill -USR1 $!; wait";
    for (options, hits) in [(&[][..], &[5u64][..]), (&["--follow"], &[4, 5, 8, 9])] {
        let mut workload = Workload::script(script).ready();
        let pid = workload.pid();
        let running = Running::start(&[&["-i0", "-p", &pid], options, &CALLS].concat());
        workload.go_on();
        check_hits(&running.end(), hits);
    }
}

#[test]
fn live_a_process_that_counts_may_time_with_a_command() {
    if !needs::root() {
        return;
    }
    let outsider = Workload::outsider();
    let script = format!("calls 20; {}", until_it_has_run(&outsider));
    let output = counted_script(&["-p", &outsider.pid()], &script);
    let found = entries(&output);
    assert_eq!(found.len(), 1, "{found:?} {}", stderr(&output));
    assert_eq!(found[0].0, outsider.0.id());
}

/// Starts what `start` gives until it has that pid. Other processes may be faster.
fn with_pid(pid: u32, start: impl Fn() -> Workload) -> Workload {
    for _ in 0..1000 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("it is root's");
        let workload = start();
        if workload.0.id() == pid {
            return workload;
        }
    }
    panic!("{pid} is not given away");
}

/// Whoever got the pid of a process that had ended was counted in its place.
#[test]
fn live_a_pid_that_became_anothers_is_not_counted() {
    if !needs::root() {
        return;
    }
    if !needs::file("/proc/sys/kernel/ns_last_pid", "pids that can be chosen") {
        return;
    }
    let lasting = || Workload::script("echo ready; read x; calls 4; read x").ready();
    let brief = || Workload::script("echo ready; read x; calls 7").ready();
    let [mut first, mut second] = [lasting(), brief()];
    let pid = second.0.id();
    // A process that is named twice is one.
    let pids = format!("{pid},{},{pid}", first.pid());
    let mut running = Running::start(&[&["-i0", "-p", &pids], &CALLS[..]].concat());
    second.go_on();
    second.0.wait().expect("it ends");
    let mut line = String::new();
    running.stderr.read_line(&mut line).expect("readable");
    assert_eq!(line, format!("process {pid} has ended; 1 left\n"));
    let mut other = with_pid(pid, brief);
    other.go_on();
    other.0.wait().expect("it ends");
    first.go_on();
    first.go_on();
    check_hits(&running.end(), &[4, 7]);
}

/// The same, while hist-bpf is stopped and cannot know that the process has ended: only the program
/// can tell them apart.
#[test]
fn live_a_pid_that_became_anothers_while_stopped_is_not_counted() {
    if !needs::root() {
        return;
    }
    if !needs::file("/proc/sys/kernel/ns_last_pid", "pids that can be chosen") {
        return;
    }
    let lasting = Workload::script("echo ready; read x; calls 4; read x").ready();
    let brief = || Workload::script("echo ready; read x; calls 7").ready();
    for way in ["raw", "tracepoint"] {
        for others in [None, Some(&lasting)] {
            let mut first = brief();
            let pid = first.0.id();
            let pids = others.map_or(pid.to_string(), |other| format!("{pid},{}", other.pid()));
            let arguments = ["-i0", "--attach", way, "-p", &pids];
            let running = Running::start(&[&arguments[..], &CALLS[..]].concat());
            running.signal(Signal::STOP);
            let folder = format!("/proc/{}", running.child.id());
            wait_until("it stops", || state(&folder) == 'T');
            first.go_on();
            first.0.wait().expect("it ends");
            let mut other = with_pid(pid, brief);
            other.go_on();
            other.0.wait().expect("it ends");
            running.signal(Signal::CONT);
            if others.is_some() {
                // The other one lives on.
                running.signal(Signal::INT);
            }
            let output = running.end();
            check_hits(&output, &[7]);
        }
    }
}

/// Beside a command the end of a single process does not end counting either.
#[test]
fn live_a_command_outlives_the_process_that_is_counted() {
    if !needs::root() {
        return;
    }
    let mut workload = Workload::script("echo ready; read x; calls 3").ready();
    let arguments = ["-i0", "-p", &workload.pid()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(CALLS).collect();
    let running = Running::start(&[&arguments[..], &["--", "sleep", "2"]].concat());
    workload.go_on();
    workload.0.wait().expect("it ends");
    let output = running.end();
    check_hits(&output, &[3]);
    assert!(stderr(&output).contains("no process is left to count"), "{}", stderr(&output));
}

/// A cgroup that is there while this lives.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).expect("a cgroup");
        Self(path)
    }

    fn script(&self, script: &str) -> Workload {
        let script = format!("echo $$ > {}/cgroup.procs; {script}", self.0.display());
        Workload::script(&script)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Who was in it may not have gone yet.
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn live_a_cgroup_counts_with_those_below() {
    if !needs::root() {
        return;
    }
    let root = cgroup2_root();
    if !needs::that(root.is_some(), CGROUP2) {
        return;
    }
    let root = root.expect("it is there");
    let name = format!("hist-bpf-{}", std::process::id());
    let (inner, outer) =
        (Cgroup::new(root.join(&name)), Cgroup::new(root.join(name.clone() + "b")));
    let below = Cgroup::new(inner.0.join("below"));
    let _outsider = outer.script("echo ready; while :; do kill -0 $$; done").ready();
    let inside = ["sh", "-c"];
    let full = inner.0.to_str().expect("UTF-8");
    for path in [full, &name, &format!("/{name}")] {
        let mut first = inner.script("echo ready; read x; calls 6; (calls 5)").ready();
        let mut second = below.script("echo ready; read x; calls 4").ready();
        let arguments = [&["-i0", "-d60", "--cgroup", path], &CALLS[..]].concat();
        let running = Running::start(&arguments);
        first.go_on();
        second.go_on();
        for one in [&mut first, &mut second] {
            one.0.wait().expect("it ends");
        }
        running.signal(Signal::INT);
        check_hits(&running.end(), &[4, 5, 6]);
    }
    // With a command, both must hold: it has moved into the cgroup only after three calls.
    let script = format!("{SHELL}calls 3; echo $$ > {full}/cgroup.procs; calls 2");
    check_hits(&counted(&["--cgroup", full], &[&inside[..], &[&script]].concat()), &[2]);
    check_fails(
        &[&["--cgroup", "no-such-cgroup"], &CALLS[..]].concat(),
        1,
        &["there is no cgroup"],
    );
    let file = format!("{full}/cgroup.procs");
    check_fails(&[&["--cgroup", &file], &CALLS[..]].concat(), 1, &["is not a cgroup of version 2"]);
}

#[test]
fn live_cpus_count_by_their_number() {
    if !needs::root() {
        return;
    }
    let possible = Facts::read().expect("the CPUs").context().possible_cpus.expect("read");
    let last = std::thread::available_parallelism().expect("a number").get() - 1;
    for (on, counted_on, hits) in
        [(0, "0", true), (last, "0", last == 0), (0, &*format!("1-{last},0"), true)]
    {
        if counted_on.contains('-') && !needs::that(last > 0, "a second CPU") {
            continue;
        }
        let (on, script) = (on.to_string(), format!("{SHELL}calls 25; :"));
        let command = ["taskset", "-c", &on, "sh", "-c", &script];
        let output = counted(&["--cpu", counted_on], &command);
        check_hits(&output, if hits { &[25] } else { &[] });
    }
    let none = possible.to_string();
    check_fails(&[&["--cpu", &none], &CALLS[..]].concat(), 1, &["this machine has "]);
    check_fails(&[&["--cpu", "3-1"], &CALLS[..]].concat(), 1, &["not a list of CPUs"]);
}

#[test]
fn live_processes_that_are_not_there_are_told() {
    if !needs::root() {
        return;
    }
    // `pid_max` is at most 2^22.
    for options in [&["-p", "8388608"][..], &["--follow", "-p", "1,8388608"]] {
        check_fails(&[options, &CALLS].concat(), 1, &["there is no process 8388608"]);
    }
}

/// Programs see pids of the initial namespace: a command is found all the same.
#[test]
fn live_within_a_pid_namespace_a_command_counts_and_pids_are_refused() {
    if !needs::root() {
        return;
    }
    let _outsider = Workload::outsider();
    let within = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_hist-bpf"), "-i0"]);
        command.stdin(Stdio::null()).args(arguments).output().expect("unshare starts")
    };
    let script = format!("{SHELL}calls 8; (calls 5); :");
    let output = within(&[&CALLS[..], &["--", "sh", "-c", &script]].concat());
    check_hits(&output, &[5, 8]);
    let output = within(&[&CALLS[..], &["-p1"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("within a pid namespace"), "{}", stderr(&output));
}

/// What finds no room is counted; what has ended makes room, and its pid may be another's.
#[test]
fn live_a_full_set_is_counted_and_ended_processes_leave_it() {
    if !needs::root() {
        return;
    }
    let facts = Facts::read().expect("the CPUs");
    let btf = facts.context().btf.expect("the kernel's types");
    let focus = Focus { processes: Processes::Set("these".to_owned()), ..Focus::default() };
    // Where raw programs can be preempted, those that follow processes are classic.
    let tracefs = find_or_mount().expect("tracefs");
    let classic = WatchedEvents::find(&tracefs).expect("they are there");
    let scripts = [
        (3, "for i in 1 2 3 4 5; do (:); done", 0),
        // All of them are there at the same time.
        (3, "for i in 1 2 3 4 5; do sleep 600 & all=\"$all $!\"; done; kill $all; wait", 3),
        // Threads are no processes.
        (1, "exec \"$0\" --exact $1", 0),
    ];
    let ways = [None, Some(classic)].into_iter();
    for (events, (capacity, script, lost)) in
        ways.flat_map(|events| scripts.map(|script| (events, script)))
    {
        let live = LiveFocus::open(&focus, None, btf, capacity, events).expect("a focus");
        live.settle().expect("settled");
        let mut command = Command::new("sh");
        let this = std::env::current_exe().expect("this file");
        command
            .arg("-c")
            .arg(script)
            .arg(this)
            .arg(WORKLOAD_OF_THREADS)
            .env("HIST_BPF_THREADS", "3");
        let mut gate = hold(command.stdin(Stdio::null()).stdout(Stdio::null())).expect("a gate");
        let spawning = std::thread::spawn(move || command.spawn());
        live.arm(gate.wait().expect("a pipe").expect("a child")).expect("armed");
        assert!(live.is_over().expect("readable"), "it is in before its exec");
        gate.open().expect("a child");
        let mut child = spawning.join().expect("no panic").expect("sh");
        assert!(child.wait().expect("it ends").success());
        assert_eq!(live.lost().expect("readable"), lost, "{script}");
        assert!(live.is_over().expect("readable"), "{script}");
    }
}

#[test]
fn live_a_full_set_of_followed_processes_was_an_argument_list_too_long() {
    if !needs::root() {
        return;
    }
    let facts = Facts::read().expect("the CPUs");
    let btf = facts.context().btf.expect("the kernel's types");
    let focus = Focus { processes: Processes::Set("these".to_owned()), ..Focus::default() };
    let live = LiveFocus::open(&focus, None, btf, 1, None).expect("a focus");
    live.add(std::process::id()).expect("there is room");
    let error = live.add(1).expect_err("there is none").to_string();
    assert_eq!(error, "16384 processes can be followed at a time, and there are more");
}
