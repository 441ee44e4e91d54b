//! What helps to find one's way: `list`, `explain`, help, version, colours, and what shells
//! complete.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hist_cli::modifier::{Role, Row, Suits, TABLE};

use super::support::*;

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{arguments:?}");
    stdout(&output).to_owned()
}

#[test]
fn events_are_listed_by_glob() {
    let formats = event_formats();
    let list = |glob| succeeds(&["list", glob, "--tracefs", &formats]);
    assert_eq!(list("kmem"), "kmem:kmalloc\n");
    assert_eq!(list("sched_*"), "sched:sched_process_exec\nsched:sched_switch\n");
    assert_eq!(list("*:sys_enter"), "raw_syscalls:sys_enter\n");
    assert_eq!(succeeds(&["list", "--tracefs", &formats]).lines().count(), 5);
    let refused =
        |glob, parts: &[&str]| check_fails(&["list", glob, "--tracefs", &formats], 1, parts);
    refused("kmaloc", &["no event or system matches `kmaloc`; did you mean `kmalloc`?"]);
    // Neither was told of a way to what was meant.
    refused("mallo", &["matches `mallo`; `*mallo*` matches 1 event"]);
    refused("kmem:", &["matches `kmem:`; did you mean `kmem`?"]);
    refused("kmem:kmaloc", &["did you mean `kmem:kmalloc`?"]);
    refused("zzzzzz", &["no event or system matches `zzzzzz`\n"]);
    check_fails(&["list", "--tracefs", "/nonexistent"], 1, &["/nonexistent"]);
    check_fails(&["list", "a", "b"], 2, &["unexpected argument"]);
}

#[test]
fn fields_are_listed_with_what_suits_them() {
    let text = succeeds(&["list", "-v", "raw_syscalls", "--tracefs", &event_formats()]);
    let line = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let suiting = |role| {
        let suits =
            |row: &&Row| !matches!(row.suits, Suits::Addresses | Suits::Time | Suits::Only(_));
        let rows = TABLE.iter().filter(suits).filter(|row| row.has_effect(role));
        let rows = rows.filter(|row| row.suits != Suits::SyntheticStacks);
        rows.map(Row::usage).collect::<Vec<_>>().join(" ")
    };
    let (key, value) = (suiting(Role::Key), suiting(Role::Value));
    assert!(key.ends_with(".syscall .log2 .buckets=N") && value.ends_with(".percent .graph"));
    assert!(line("id ").ends_with(&format!("key {key}  value {value}")), "{text}");
    assert!(line("id ").contains("value .hex"), "{text}");
    assert!(line("args ").contains("not countable: `args` is a `unsigned long[6]` of 48 bytes"));
    assert!(line("common_pid ").contains(".execname"), "{text}");
    assert!(line("common_flags ").contains("not countable: BPF programs cannot read it"));
    assert!(text.contains("  try 'hist:keys=id.syscall:"), "{text}");
    // All that the kernel takes was listed, so that nothing told what is good for what.
    let kmalloc = succeeds(&["list", "-v", "kmem:kmalloc", "--tracefs", &event_formats()]);
    let line = |name: &str| kmalloc.lines().find(|line| line.trim().starts_with(name));
    assert!(line("call_site ").is_some_and(|line| line.contains(".sym-offset")), "{kmalloc}");
    for (name, part) in [("bytes_req ", ".sym"), ("ptr ", ".syscall"), ("node ", ".usecs")] {
        assert!(line(name).is_some_and(|line| !line.contains(part)), "{kmalloc}");
    }
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
}

#[test]
fn live_all_events_are_listed_and_why_some_cannot_be_counted() {
    if !needs::root() {
        return;
    }
    let text = succeeds(&["list"]);
    assert!(text.lines().any(|line| line == "sched:sched_switch"), "{text}");
    let refused = "ftrace:function  # cannot be counted: the events of ftrace's own tracers";
    assert!(text.contains(refused), "{text}");
    assert!(succeeds(&["list", "-v", "sched:sched_switch"]).contains("next_pid"));
}

#[test]
fn live_a_list_that_nobody_reads_is_no_error() {
    if !needs::root() {
        return;
    }
    let mut child = hist_bpf().arg("list").stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn triggers_are_explained_in_words() {
    let trigger = "hist:keys=call_site.sym,bytes_req.log2:vals=bytes_alloc:\
                   sort=bytes_alloc.descending:size=4096 if bytes_req >= 100 && comm != \"sh\"";
    let text = succeeds(&["explain", trigger, "kmem:kmalloc", "--tracefs", &event_formats()]);
    for part in [
        "counts   kmem:kmalloc, only where bytes_req is at least 100 and the running task's name is not \"sh\"\n",
        "per      call_site (unsigned long), shown as the kernel symbol",
        "bytes_req (size_t), in powers of two: `~ 2^N` is for what is above 2^(N-1), up to 2^N\n",
        "shows    hitcount, the number of events\n",
        "the sum of bytes_alloc (size_t)\n",
        "order    by bytes_alloc, the largest first\n",
        "table    up to 4096 entries; an event that needs one more is dropped\n",
        ", 16 bytes of key and 16 of value in an entry\n",
        "attach   to the classic tracepoint kmem:kmalloc",
        "cost     medium: text is copied, the kernel builds a record of each event\n",
        "no event takes all of them\n",
        "in full  hist:keys=call_site.sym,bytes_req.log2:vals=hitcount,bytes_alloc:",
        "examples for kmem:kmalloc:",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let cost = |keys: &str| {
        let trigger = format!("hist:keys={keys}");
        succeeds(&["explain", &trigger, "kmem:kmalloc", "--tracefs", &event_formats()])
    };
    assert!(cost("common_stacktrace").contains("cost     high: the stack is walked"));
    assert!(cost("common_comm").contains("cost     medium: text is copied"));
}

/// Whose events count was not told at all.
#[test]
fn the_focus_is_explained_with_what_it_costs() {
    let (formats, pid) = (event_formats(), std::process::id().to_string());
    let explain = |options: &[&str]| {
        let trigger = ["explain", "hist:keys=bytes_req", "kmem:kmalloc", "--tracefs", &formats];
        succeeds(&[&trigger, options].concat())
    };
    assert!(!explain(&[]).contains("focus"));
    // Pids of the host mean nothing in a pid namespace, but CPUs do everywhere.
    let one = explain(&["--cpu", "0"]);
    assert!(one.contains("\nfocus    only what happens on CPU 0\n"), "{one}");
    let part = "an event out of focus takes no more than a comparison of the CPU's number\n";
    assert!(one.contains(part), "{one}");
    if needs::root() {
        let two = explain(&["--cpu", "0", "-p", &pid]);
        let part = format!("\nfocus    only process {pid}, all its threads, until it ends\n");
        assert!(two.contains(&part), "{two}");
        let part = "than a comparison of the CPU's number, then a comparison of the process's";
        assert!(two.contains(part), "{two}");
        let all = explain(&["--follow", "-p", &pid]);
        let part = format!("\nfocus    only process {pid} and what it forks\n");
        assert!(all.contains(&part), "{all}");
        assert!(all.contains("than a look-up of the process's number\n"), "{all}");
        assert!(all.contains("every fork, exec and exit of a process runs"), "{all}");
    }
    let trigger = ["explain", "hist:keys=bytes_req", "kmem:kmalloc", "--tracefs", &formats];
    check_fails(&[&trigger[..], &["--cpu", "x"]].concat(), 1, &["not a list of CPUs"]);
}

/// `never (no event can meet it)` stood behind `only where`, and an address for its text.
#[test]
fn what_never_counts_and_what_is_an_address_is_explained() {
    let formats = event_formats();
    let explain =
        |trigger: &str, event: &str| succeeds(&["explain", trigger, event, "--tracefs", &formats]);
    let never = explain("hist:keys=cpu if CPU & 3", "sched:sched_switch");
    assert!(never.contains("sched:sched_switch, none at all: the filter never holds\n"), "{never}");
    let folder = tempfile::tempdir().expect("a folder");
    let event = folder.path().join("events/sys/event");
    std::fs::create_dir_all(&event).expect("a folder");
    let field = |text: &str| format!("\tfield:{text};\tsigned:0;\n");
    let common = field("int common_pid;\toffset:4;\tsize:4");
    let own = field("const char * filename;\toffset:8;\tsize:8");
    let format = format!("name: event\nID: 1\nformat:\n{common}\n{own}\nprint fmt: \"\"\n");
    std::fs::write(event.join("format"), format).expect("a file");
    let root = folder.path().to_str().expect("UTF-8");
    let text = succeeds(&["explain", "hist:keys=filename", "sys:event", "--tracefs", root]);
    assert!(text.contains("filename (const char *), the address only"), "{text}");
}

#[test]
fn mistakes_are_explained_as_when_counting() {
    let formats = event_formats();
    let refused = |trigger, event, code, parts: &[&str]| {
        check_fails(&["explain", trigger, event, "--tracefs", &formats], code, parts);
    };
    refused("hist:keys=call_sit", "kmem:kmalloc", 1, &["^^^^^^^^\n", "did you mean `call_site`?"]);
    refused("hist:keys=ptr", "kmem:kmaloc", 1, &["no event `kmem:kmaloc`", "kmem:kmalloc"]);
    refused("hist:keys=ptr", "kmalloc", 2, &["SYSTEM:EVENT"]);
    refused("", "kmem:kmalloc", 2, &["the trigger is empty"]);
    // The usage was that of counting.
    refused("hist:keys=ptr", "kmalloc", 2, &["Usage: hist-bpf explain [OPTIONS] <TRIGGER>"]);
    check_fails(&["explain", "hist:keys=ptr"], 2, &["SYSTEM:EVENT"]);
}

#[test]
fn the_short_help_fits_a_screen() {
    for arguments in [&["-h"][..], &["list", "-h"], &["explain", "-h"], &["completions", "-h"]] {
        let text = succeeds(arguments);
        assert!(text.lines().count() <= 30, "{} lines:\n{text}", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    let long = succeeds(&["--help"]);
    for part in
        ["Exit codes: 0 done, 1 error, 2 usage, 3 lost", "--emit", "--clear-screen", "--color"]
    {
        assert!(long.contains(part), "no `{part}` in\n{long}");
    }
    assert!(!long.contains("__complete"), "{long}");
}

/// Options that are documented, but are none.
#[test]
fn all_options_in_the_documentation_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let subcommands = [&[][..], &["list"], &["explain"], &["merge"], &["serve"], &["completions"]];
    let help = |words: &[&str]| succeeds(&[words, &["--help"]].concat());
    let help: String = subcommands.iter().map(|words| help(words)).collect();
    let is_end = |letter: char| !letter.is_ascii_lowercase() && letter != '-';
    let exists: Vec<_> = help.split(is_end).filter(|word| word.starts_with("--")).collect();
    let mut found = 0;
    for file in ["README.md", "CHANGELOG.md", "docs/formats.md", "docs/shell.md", "docs/serve.md"] {
        let text = std::fs::read_to_string(root.join(file)).expect("documentation");
        for line in text.lines().filter(|line| !line.contains("cargo ")) {
            let options =
                line.split(is_end).filter(|word| word.starts_with("--") && word.len() > 2);
            for option in options.filter(|option| !option.starts_with("---")) {
                assert!(exists.contains(&option), "{file}: no option {option}: {line}");
                found += 1;
            }
        }
    }
    assert!(found >= 30, "{found} options");
}

#[test]
fn the_long_version_tells_templates_and_kernel() {
    let short = succeeds(&["-V"]);
    assert_eq!(short, format!("hist-bpf {}\n", env!("CARGO_PKG_VERSION")));
    let long = succeeds(&["--version"]);
    let lines: Vec<_> = long.lines().collect();
    assert_eq!(lines[0], short.trim_end());
    assert!(lines[1].starts_with("templates ") && lines[1].contains(": hist "), "{long}");
    assert!(lines[2].starts_with("kernel ") && lines[2].contains("raw tracepoints "), "{long}");
    if needs::root() {
        assert!(!long.contains("not known"), "{long}");
    }
}

/// uname(2) makes up a release, `2.6.78` for 6.18, and only what is attached was asked of /proc.
#[test]
fn a_made_up_release_was_taken_for_the_kernels() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let mut setarch = Command::new("setarch");
    let output = setarch.arg("--uname-2.6").arg(hist_bpf().get_program()).arg("--version").output();
    let long = output.expect("util-linux is there");
    assert!(stdout(&long).contains(&format!("\nkernel {}: ", release.trim())), "{long:?}");
}

#[test]
fn messages_have_colours_where_they_are_wanted() {
    let formats = event_formats();
    let wrong = ["--emit=plan", "--tracefs", &formats, "hist:keys=x", "kmem:kmalloc"];
    let run = |words: &[&str], environment: &[(&str, &str)]| {
        let mut command = hist_bpf();
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").args(words).args(wrong);
        let output = command.envs(environment.iter().copied()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        stderr(&output).to_owned()
    };
    let plain = run(&[], &[]);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let colored = run(&["--color", "always"], &[]);
    assert!(colored.contains("\u{1b}[1m\u{1b}[31m^"), "{colored:?}");
    assert_eq!(run(&[], &[("CLICOLOR_FORCE", "1")]), colored);
    assert_eq!(run(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), plain);
    assert_eq!(run(&["--color=never"], &[("CLICOLOR_FORCE", "1")]), plain);
    check_fails(&["--color=always", "-i", "x", "hist:keys=a", "a:b"], 2, &["\u{1b}["]);
    check_fails(&["--color=some", "hist:keys=a", "a:b"], 2, &["always", "never"]);
}

// --- shells --------------------------------------------------------------------------------------

/// What `shell` prints for a script of its own, run with the completions in a file named `$1` and
/// the program in the path.
fn shell(shell: &str, options: &[&str], script: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let completions = folder.path().join("completions");
    std::fs::write(&completions, succeeds(&["completions", shell])).expect("a file");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_hist-bpf")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
    let mut command = Command::new(shell);
    command.args(options).arg("-c").arg(script);
    if shell != "fish" {
        command.arg(shell);
    }
    command.arg(&completions).env("PATH", path).stdin(Stdio::null());
    let output = command.output().expect("it starts");
    assert_eq!(stderr(&output), "", "{shell}: {script}");
    assert!(output.status.success(), "{shell}: {script}");
    stdout(&output).to_owned()
}

/// What bash offers at the `|` in a line, where it replaces `word`.
fn bash(line: &str, word: &str) -> Vec<String> {
    let point = line.find('|').expect("a cursor");
    let line = line.replacen('|', "", 1).replace('\'', "'\\''");
    let script = format!(
        "set -u; . \"$1\"; COMP_LINE='{line}' COMP_POINT={point}; _hist_bpf hist-bpf '{word}' x; \
         [ ${{#COMPREPLY[@]}} -eq 0 ] || printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    shell("bash", &["--norc"], &script).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_flags_and_triggers() {
    if !needs::program("bash") {
        return;
    }
    assert_eq!(bash("hist-bpf li|", "li"), ["list "]);
    assert_eq!(bash("hist-bpf completions z|", "z"), ["zsh "]);
    assert_eq!(bash("hist-bpf --form|", "--form"), ["--format "]);
    assert_eq!(bash("hist-bpf -f js|", "js"), ["json "]);
    assert_eq!(bash("hist-bpf -qfnd|", "-qfnd"), [""; 0]);
    // `=` and `:` part words, so only what follows is replaced.
    assert_eq!(bash("hist-bpf --format=js|", "js"), ["json "]);
    assert_eq!(bash("hist-bpf hist:keys=common_ti|", "common_ti"), ["common_timestamp"]);
    assert_eq!(bash("hist-bpf hist:keys=a:so|", "so"), ["sort="]);
    assert_eq!(bash("hist-bpf hist:keys=common_pid.ex|", "common_pid.ex"), ["common_pid.execname"]);
    // Quoted, the whole word is one.
    assert_eq!(
        bash("hist-bpf 'hist:keys=common_ti|", "hist:keys=common_ti"),
        ["hist:keys=common_timestamp"]
    );
    assert_eq!(bash("hist-bpf merge fi|", "fi"), [""; 0]);
    assert_eq!(bash("hist-bpf hist:keys=a a:b -- ls --fo|", "--fo"), [""; 0]);
    assert!(!bash("hist-bpf |", "").contains(&"__complete ".to_owned()));
}

#[test]
fn live_bash_completes_events_and_their_fields() {
    if !needs::root() || !needs::program("bash") {
        return;
    }
    assert_eq!(bash("hist-bpf hist:keys=x sched:sched_swit|", "sched_swit"), ["sched_switch "]);
    assert_eq!(
        bash("hist-bpf hist:keys=x raw_s|", "raw_s"),
        ["raw_syscalls:sys_enter ", "raw_syscalls:sys_exit "]
    );
    assert!(bash("hist-bpf list |", "").contains(&"kmem:".to_owned()));
    assert_eq!(bash("hist-bpf list ftrace:|", ""), [""; 0], "they cannot be counted");
    assert_eq!(
        bash("hist-bpf 'hist:keys=next_p|' sched:sched_switch", "hist:keys=next_p"),
        ["hist:keys=next_pid", "hist:keys=next_prio"]
    );
    assert_eq!(
        bash("hist-bpf explain hist:keys=next_pid.l| sched:sched_switch", "next_pid.l"),
        ["next_pid.log2"]
    );
}

#[test]
fn zsh_completes() {
    if !needs::program("zsh") {
        return;
    }
    // zsh's own part is a builtin that only works in its editor.
    let zsh = |words: &str, prefix: &str| {
        let script = format!(
            "compdef() {{ :; }}; _default() {{ echo files; }}; source $1; \
             compadd() {{ print -rl -- \"$@\"; print -rl -- \"${{(@P)@[-1]}}\"; }}; \
             words=({words}); CURRENT=$#words; PREFIX={prefix}; _hist-bpf"
        );
        shell("zsh", &["-f"], &script).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(zsh("hist-bpf li", "li").last().map(String::as_str), Some("list"));
    let trigger = zsh("hist-bpf hist:keys=common_ti", "hist:keys=common_ti");
    assert_eq!(trigger.last().map(String::as_str), Some("hist:keys=common_timestamp"));
    assert!(trigger.windows(2).any(|two| two == ["-S", ""]), "no blank follows: {trigger:?}");
    assert_eq!(zsh("hist-bpf merge x", "x"), ["files"]);
}

#[test]
fn fish_completes() {
    if !needs::program("fish") {
        return;
    }
    let fish = |line: &str| {
        let script = format!("source $argv[1]; complete -C \"{line}\"");
        shell("fish", &["--no-config"], &script)
    };
    assert!(fish("hist-bpf li").starts_with("list\t"), "{}", fish("hist-bpf li"));
    assert!(fish("hist-bpf 'hist:keys=common_ti").starts_with("hist:keys=common_timestamp\t"));
    assert!(fish("hist-bpf merge /et").contains("/etc/"));
}

#[test]
fn shells_find_no_mistakes_in_the_scripts() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        if !needs::program(shell) {
            continue;
        }
        let mut command = Command::new(shell);
        let mut child = command
            .args([check, "/dev/stdin"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let script = succeeds(&["completions", shell]);
        child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{shell}: {}",
            stderr(&output)
        );
    }
}
