//! Counting, from command line to table, on the running kernel.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::support::*;

#[test]
fn live_a_task_may_have_any_byte_in_its_name() {
    if !needs::root() {
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

#[test]
fn live_counts_a_commands_events() {
    if !needs::root() {
        return;
    }
    let output = Running::start(&[
        "-i0",
        "hist:keys=id:vals=id if id == 39",
        "raw_syscalls:sys_enter",
        "--",
        "sh",
        "-c",
        "exit 7",
    ])
    .end();
    let rest = stderr(&output);
    assert_eq!(output.status.code(), Some(7), "{rest}");
    let text = stdout(&output);
    assert!(text.starts_with(
        "# event histogram\n#\n# trigger info: hist:keys=id:vals=hitcount,id:sort=hitcount:\
         size=2048 if id == 39 [active]\n#\n\n"
    ));
    assert_eq!(totals(text, "Hits").len(), 1);
}

#[test]
fn live_every_interval_prints_a_whole_table() {
    if !needs::root() {
        return;
    }
    let output = Running::start(&[
        "-i0.2",
        "-d1.1",
        "hist:keys=common_pid",
        "sched:sched_switch",
        "hist:keys=id",
        "raw_syscalls/sys_enter",
    ])
    .end();
    let rest = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{rest}");
    let text = stdout(&output);
    let hits = totals(text, "Hits");
    assert!(hits.len() >= 4 && hits.len().is_multiple_of(2), "{text}");
    // Counting goes on from table to table.
    let first: Vec<_> = hits.iter().step_by(2).collect();
    assert!(first.is_sorted(), "{first:?}");
    let blocks: Vec<_> = text.split("\n\n\n#").collect();
    assert_eq!(blocks.len(), hits.len(), "blocks are parted by two blank lines");
}

#[test]
fn live_commands_that_cannot_start_have_the_shells_codes() {
    if !needs::root() {
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
fn live_the_same_trigger_twice_is_refused() {
    if !needs::root() {
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
    assert_eq!(totals(stdout(&output), "Hits").len(), 2);
}

#[test]
fn live_triggers_of_one_name_print_one_table() {
    if !needs::root() {
        return;
    }
    let (trigger, enter, exit) =
        ("hist:name=both:keys=id", "raw_syscalls:sys_enter", "raw_syscalls:sys_exit");
    let filtered = format!("{trigger} if id==-2");
    let output = output(&["-i0", "-d0.1", trigger, enter, &filtered, exit, trigger, exit]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.matches("# trigger info: hist:name=both:keys=id:").count(), 3, "{text}");
    assert_eq!(totals(text, "Hits").len(), 3);
    assert!(totals(text, "Hits")[0] > 0, "{text}");
    let attached = "attached 3 triggers to raw_syscalls:sys_enter, raw_syscalls:sys_exit; ";
    assert!(stderr(&output).starts_with(attached), "{}", stderr(&output));
    let mismatch = "hist:name=both:keys=common_pid";
    check_fails(&[trigger, enter, mismatch, exit], 1, &["Named hist trigger doesn't match", "^^"]);
}

#[test]
fn live_every_pair_is_a_write_to_a_trigger_file() {
    if !needs::root() {
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
    assert_eq!(totals(stdout(&output), "Hits"), [0]);
    let nothing_left = ["hist:keys=id", event, "!hist:keys=id", event];
    check_fails(&nothing_left, 1, &["no trigger is left to count"]);
    check_fails(&["hist:keys=id:cont", event], 1, &["nonexistent hist trigger"]);
    for empty in ["", " "] {
        check_fails(&[empty, event], 1, &["the trigger for raw_syscalls:sys_enter is empty"]);
    }
}

#[test]
fn live_events_that_take_no_programs_are_refused_with_the_reason() {
    if !needs::root() {
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
    if !needs::root() {
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
    if !needs::root() {
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
        (totals(text, "Hits")[0], stderr(&output).to_owned())
    };
    let (classic, said) = count("auto");
    assert_eq!(classic, 100, "{said}");
    assert!(said.contains("at every system call"), "{said}");
    let (raw, said) = count("raw");
    assert_eq!(raw, 100, "{said}");
    assert!(said.contains("raw tracepoint sys_enter") && said.contains("filename = regs->di"));
}

#[test]
fn live_a_paused_trigger_counts_nothing() {
    if !needs::root() {
        return;
    }
    let output = output(&["-i0", "-d0.3", "hist:keys=id:pause", "raw_syscalls:sys_enter"]);
    let text = stdout(&output);
    assert!(text.contains(":size=2048 [paused]\n"), "{text}");
    assert_eq!(totals(text, "Hits"), [0]);
}

/// A task may call itself anything; the bytes were replaced by what stands for unknown characters.
#[test]
fn live_strings_of_any_bytes_are_printed_as_they_are() {
    if !needs::root() {
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
    if !needs::root() {
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
    let symbols = run("cat", &["/proc/kallsyms"]);
    let are_hidden = stdout(&symbols).starts_with("0000000000000000");
    if !needs::that(are_hidden, "a kernel that hides its addresses") {
        return;
    }
    let output = run(env!("CARGO_BIN_EXE_hist-bpf"), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    assert!(said.contains("CAP_SYSLOG") && said.contains("stacks begin with"), "{said}");
    assert!(stdout(&output).contains("common_stacktrace:\n         0xffff"), "{}", stdout(&output));
}

/// The runtime panicked where it got no files.
#[test]
fn live_too_few_files_are_an_error() {
    if !needs::root() {
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
