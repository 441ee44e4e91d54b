//! Runs the command under hostile conditions: files that lie, limits, and users who must not get
//! more rights than they have.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::support::*;

/// Somebody without rights; the same number as `nobody` has on most systems.
const NOBODY: &str = "65534";

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("it starts")
}

#[track_caller]
fn run_well(program: &str, arguments: &[&str]) {
    let output = run(Command::new(program).args(arguments));
    assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
}

/// Where the kernel lists its CPUs.
const CPUS: &str = "/sys/devices/system/cpu";

/// Checks of the heap, which come with glibc.
const MALLOC_CHECKS: &str = "libc_malloc_debug.so.0";

/// The machine says 1 CPU or 8, the kernel knows better. Look-ups wrote past their buffers, or took one
/// CPU's value for another's.
#[test]
fn a_list_of_too_few_cpus_corrupted_the_heap() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("possible");
    // The value is made on each CPU that there is, so that sums need all of them.
    let last = std::thread::available_parallelism().expect("a number").get() - 1;
    let calls = format!("sh -c '{SHELL}calls 500'");
    let script = format!("taskset -c 0 {calls}; taskset -c {last} {calls}");
    fs::write(folder.path().join("online"), "77\n").expect("a file");
    let lie = |name| format!("mount --bind {}/{name} {CPUS}/{name}", folder.path().display());
    let lies = ["possible", "online"].map(lie).join(" && ");
    for cpus in ["0\n", "0-7\n"] {
        fs::write(&list, cpus).expect("a file");
        // Hashes with a value for each CPU, and arrays: of powers of two, and of CPUs.
        for keys in ["common_pid,sig", "sig.log2", "common_cpu"] {
            let trigger = format!("hist:keys={keys}:vals=sig if sig==0");
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", &format!("{lies} && exec \"$@\""), "sh"]);
            command.args([env!("CARGO_BIN_EXE_hist-bpf"), "-q", "-i0", "--fail-on-loss"]);
            command.args(["--attach", "tracepoint", &trigger, "syscalls:sys_enter_kill"]);
            command.args(["--", "sh", "-c", &script]);
            // What was written past a buffer is found when it is freed. Since glibc 2.34 the check is
            // in a library of its own, without which the variable does nothing.
            command.env("LD_PRELOAD", MALLOC_CHECKS).env("MALLOC_CHECK_", "3");
            let output = run(&mut command);
            assert!(!stderr(&output).contains(MALLOC_CHECKS), "{}", stderr(&output));
            assert_eq!(output.status.code(), Some(0), "{cpus:?} {keys}: {}", stderr(&output));
            let table = stdout(&output);
            assert!(table.contains("Hits: 1000\n"), "{cpus:?} {keys}: {table}");
        }
    }
}

/// A copy of the command that gives those who run it rights that they do not have.
struct Raised {
    folder: TempDir,
    name: &'static str,
}

/// What setcap(8) gives to who shall count by symbols, too.
const CAPABILITIES: &str = "cap_bpf,cap_perfmon,cap_syslog,cap_dac_read_search+ep";

impl Raised {
    fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        };
        mode(folder.path(), 0o755);
        let path = folder.path().join(name);
        fs::copy(env!("CARGO_BIN_EXE_hist-bpf"), &path).expect("a copy");
        let raised = Self { folder, name };
        match name {
            "setuid" => mode(&path, 0o4755),
            _ => run_well("setcap", &[CAPABILITIES, &raised.path()]),
        }
        raised
    }

    fn path(&self) -> String {
        self.folder.path().join(self.name).display().to_string()
    }

    /// Run by somebody without rights.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(self.path());
        command
    }
}

/// With file capabilities, and with the set-user-ID bit.
fn each_raised(check: impl Fn(&Raised)) {
    if !needs::root() || !needs::program("setcap") {
        return;
    }
    ["capabilities", "setuid"].map(Raised::new).iter().for_each(check);
}

/// Who follows the messages, one after the other, must get there.
#[test]
fn with_the_file_capabilities_that_messages_name_anybody_counts() {
    each_raised(|raised| {
        if raised.name == "setuid" {
            return check_counts(raised);
        }
        let capability = |words: &[&str]| {
            run_well("setcap", &[&format!("{}+ep", words.join(",")), &raised.path()]);
            run(raised.command().args(["-q", "-d0.1", COUNT[0], COUNT[1]]))
        };
        let nothing = capability(&["cap_net_raw"]);
        assert!(stderr(&nothing).contains("missing CAP_PERFMON and CAP_BPF"), "{nothing:?}");
        let some = capability(&["cap_bpf", "cap_perfmon"]);
        let is_private = fs::metadata("/sys/kernel/tracing").expect("tracefs").mode() & 0o7 == 0;
        assert!(!is_private || stderr(&some).contains("CAP_DAC_READ_SEARCH"), "{some:?}");
        let most = capability(&["cap_bpf", "cap_perfmon", "cap_dac_read_search"]);
        assert!(most.status.success(), "{most:?}");
        check_counts(raised);
    });
}

/// System calls that the script of `check_counts` makes, and little else does.
const COUNT: [&str; 2] = ["hist:keys=common_pid,sig if sig==0", "syscalls:sys_enter_kill"];

#[track_caller]
fn check_counts(raised: &Raised) {
    let mut command = raised.command();
    command.args(["-q", "-i0"]).args(COUNT);
    let output = run(command.args(["--", "sh", "-c", &format!("{SHELL}calls 25")]));
    assert!(stdout(&output).contains("Hits: 25\n"), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn files_that_a_user_names_were_opened_with_the_programs_rights() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = folder.path().join("ours");
    fs::write(&ours, "secret").expect("a file");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    let hidden = ours.to_str().expect("UTF-8");
    let trigger = ["hist:keys=common_pid", "raw_syscalls:sys_enter"];
    each_raised(|raised| {
        let new = raised.folder.path().join("new");
        let new = new.to_str().expect("UTF-8");
        for arguments in [
            &["-q", "-d0.1", "-o", new, trigger[0], trigger[1]][..],
            &["-q", "-d0.1", "-o", hidden, trigger[0], trigger[1]],
            &["--emit", "plan", "-o", hidden, trigger[0], trigger[1]],
            &["--emit", "plan", "--tracefs", hidden, trigger[0], trigger[1]],
            &["list", "--tracefs", hidden],
            &["explain", "--tracefs", hidden, trigger[0], trigger[1]],
            &["merge", hidden],
            &["serve", "-c", hidden],
            &["serve", "--check", "-c", hidden],
            &["--cgroup", hidden, trigger[0], trigger[1]],
            &["-q", "-i0", trigger[0], trigger[1], "--", hidden],
        ] {
            let output = run(raised.command().args(arguments));
            let said = stderr(&output);
            assert!(!output.status.success(), "{arguments:?}");
            let part = if arguments[0] == "--cgroup" { "cgroup" } else { "ermission denied" };
            let is_told = said.contains(part) || said.contains("which may be read by");
            assert!(is_told && !said.contains("secret"), "{}: {arguments:?}: {said}", raised.name);
        }
        assert!(!Path::new(new).exists());
    });
    assert_eq!(fs::read_to_string(&ours).expect("it is there"), "secret");
}

/// Gives whether somebody has opened the file since it was asked last.
fn opens(path: &Path) -> impl Fn() -> bool {
    let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
    let watch = inotify::init(flags).expect("root may have one");
    inotify::add_watch(&watch, path, WatchFlags::OPEN).expect("it is there");
    move || rustix::io::read(&watch, &mut [0; 1024]).is_ok()
}

/// A user's own tracefs has what the user likes: here a link to what the user may not read.
#[test]
fn the_format_of_all_system_calls_was_read_with_the_programs_rights() {
    each_raised(|raised| {
        let real = hist_cli::kernel::tracefs::find_or_mount().expect("root").root.join("events");
        let hidden = raised.folder.path().join("hidden");
        fs::copy(real.join("raw_syscalls/sys_enter/format"), &hidden).expect("a file");
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600)).expect("a mode");
        let [call, all] = ["syscalls/sys_enter_kill", "raw_syscalls/sys_enter"].map(|event| {
            let folder = raised.folder.path().join("events").join(event);
            fs::create_dir_all(&folder).expect("a folder");
            folder.join("format")
        });
        fs::copy(real.join("syscalls/sys_enter_kill/format"), &call).expect("a file");
        fs::set_permissions(&call, fs::Permissions::from_mode(0o644)).expect("a mode");
        std::os::unix::fs::symlink(&hidden, all).expect("a link");
        let has_opened = opens(&hidden);
        let mut command = raised.command();
        command.args(["--emit", "plan", "--tracefs"]).arg(raised.folder.path());
        let output = run(command.args(["hist:keys=pid", "syscalls:sys_enter_kill"]));
        assert!(output.status.success(), "{}: {}", raised.name, stderr(&output));
        assert!(!has_opened(), "{}", raised.name);
        // Where it is opened, that is seen.
        fs::read(&hidden).expect("this is root");
        assert!(has_opened());
    });
}

/// In a file, too: a log is read on a terminal later.
#[test]
fn a_files_name_in_a_message_could_colour_the_terminal_and_forge_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("\u{1b}[31m\nerror: forged\u{202e}");
    let (named, absent) = (path.to_str().expect("UTF-8"), path.join("absent"));
    let absent = absent.to_str().expect("UTF-8");
    fs::create_dir(&path).expect("a folder");
    let config = path.join("config");
    let config = config.to_str().expect("UTF-8");
    fs::write(config, "[[metric]]\n").expect("a file");
    let [trigger, event] = ["hist:keys=common_pid", "raw_syscalls:sys_enter"];
    for arguments in [
        &["merge", absent][..],
        &["merge", config],
        &["serve", "--check", "-c", absent],
        &["serve", "--check", "-c", config],
        &["list", "--tracefs", named],
        &["explain", "--tracefs", named, trigger, event],
        &["--emit", "plan", "--tracefs", named, trigger, event],
        &["--emit", "plan", "-o", named, trigger, event],
        &["-d0.1", "--cgroup", named, trigger, event],
        &["-d0.1", "--cgroup", absent, trigger, event],
        &["-d0.1", trigger, event, "--", absent],
    ] {
        let output = output(arguments);
        let said = stderr(&output);
        assert!(!output.status.success(), "{arguments:?}");
        let is_clean = !said.contains(['\u{1b}', '\u{202e}']) && !said.contains("\nerror: forged");
        assert!(is_clean, "{arguments:?}: {said:?}");
    }
}

/// Opening some does something: a watchdog's timer starts.
#[test]
fn a_device_that_a_user_names_was_opened_to_see_whether_it_is_a_terminal() {
    each_raised(|raised| {
        let device = raised.folder.path().join("device");
        let null = rustix::fs::makedev(1, 3);
        let (kind, mode) = (FileType::CharacterDevice, Mode::from(0o600));
        mknodat(CWD, &device, kind, mode, null).expect("root makes devices");
        let has_opened = opens(&device);
        let snapshot = raised.folder.path().join("snapshot");
        let [trigger, event] = ["hist:keys=common_pid", "raw_syscalls:sys_enter"];
        let document = output(&["-q", "-d0.1", "-f", "json", trigger, event]);
        fs::write(&snapshot, &document.stdout).expect("a file");
        let counting = &["-q", "-d0.1", trigger, event][..];
        let merging = &["merge", snapshot.to_str().expect("UTF-8")][..];
        for arguments in [counting, merging] {
            let output = run(raised.command().args(arguments).arg("-o").arg(&device));
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{}: {arguments:?}: {said}", raised.name);
            assert!(said.contains("ermission denied"), "{}: {arguments:?}: {said}", raised.name);
            assert!(!has_opened(), "{}: {arguments:?}", raised.name);
        }
        // Where it is opened, that is seen.
        fs::read(&device).expect("this is root");
        assert!(has_opened());
    });
}

#[test]
fn a_file_that_is_written_belongs_to_its_user() {
    each_raised(|raised| {
        let shared = tempfile::tempdir().expect("a folder");
        fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
        let file = shared.path().join("table");
        let mut command = raised.command();
        command.args(["-q", "-d0.1", "-o"]).arg(&file);
        let output = run(command.args(["hist:keys=common_pid", "raw_syscalls:sys_enter"]));
        assert!(output.status.success(), "{}", stderr(&output));
        let metadata = fs::metadata(&file).expect("a file");
        assert_eq!(
            (metadata.uid().to_string(), metadata.gid().to_string()),
            (NOBODY.into(), NOBODY.into())
        );
    });
}

/// What a command prints that was started. No shell: some give up by themselves what is not their user's.
fn printed(command: &mut Command, words: &[&str]) -> String {
    command.args([
        "-q",
        "-i0",
        "-o",
        "/dev/null",
        "hist:keys=common_pid",
        "raw_syscalls:sys_enter",
    ]);
    let output = run(command.arg("--").args(words));
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn a_command_had_the_programs_capabilities_and_ids() {
    each_raised(|raised| {
        let seen = printed(&mut raised.command(), &["cat", "/proc/self/status"]);
        let ids = [NOBODY; 4].join("\t");
        for line in [
            &format!("Uid:\t{ids}"),
            &format!("Gid:\t{ids}"),
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapAmb:\t0000000000000000",
        ] {
            assert!(seen.lines().any(|seen| seen == line), "{}: {line}\n{seen}", raised.name);
        }
        let files = printed(&mut raised.command(), &["ls", "-l", "/proc/self/fd"]);
        for ours in ["bpf", "perf_event", "anon_inode", "socket", "signalfd", "hist-bpf"] {
            assert!(!files.contains(ours), "{}: {ours}\n{files}", raised.name);
        }
        let variables = printed(raised.command().env("X", "kept").env("RUST_LOG", "too"), &["env"]);
        for kept in ["X=kept", "RUST_LOG=too"] {
            assert!(variables.lines().any(|line| line == kept), "{}: {variables}", raised.name);
        }
    });
}

/// As systemd's `AmbientCapabilities=` gives them.
#[test]
fn a_command_inherited_ambient_capabilities() {
    if !needs::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let copy = folder.path().join("hist-bpf");
    fs::copy(env!("CARGO_BIN_EXE_hist-bpf"), &copy).expect("a copy");
    let capabilities = "-all,+bpf,+perfmon,+dac_read_search";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]).arg(&copy);
    let seen = printed(&mut command, &["cat", "/proc/self/status"]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(seen.contains(&format!("{set}:\t0000000000000000")), "{set}\n{seen}");
    }
}

/// Of those that the program handles itself, and of SIGPIPE, which Rust ignores, too.
#[test]
fn a_command_had_other_signals_than_its_user_gave() {
    if !needs::root() {
        return;
    }
    let counting = [env!("CARGO_BIN_EXE_hist-bpf"), "-q", "-i0", "-o", "/dev/null"];
    let counting =
        [&counting[..], &["hist:keys=common_pid", "raw_syscalls:sys_enter", "--"]].concat();
    let masks = |ignored: &str, before: &[&str]| {
        let mut command = Command::new("env");
        command.args(["--default-signal", &format!("--ignore-signal={ignored}")]);
        command.arg("--block-signal=USR2").args(before).args(["cat", "/proc/self/status"]);
        let output = run(&mut command);
        // 32 and 33 are libc's own; with threads it handles them.
        ["SigIgn:", "SigBlk:"].map(|name| mask(stdout(&output), name) & !(0b11 << 31))
    };
    for ignored in ["INT,PIPE,HUP,USR1,TERM", "WINCH", "PIPE"] {
        let direct = masks(ignored, &[]);
        assert!(direct.iter().all(|mask| *mask != 0));
        assert_eq!(masks(ignored, &counting), direct, "{ignored}");
    }
}

/// A service manager's socket, for instance, which the user may not write to.
#[test]
fn variables_that_a_user_sets_decided_what_the_program_does() {
    each_raised(|raised| {
        let socket = "/nonexistent/notify";
        let config = raised.folder.path().join("config.toml");
        fs::write(&config, "").expect("a file");
        let mut command = raised.command();
        command.env("NOTIFY_SOCKET", socket).args(["serve", "-c"]).arg(&config);
        let output = run(&mut command);
        assert!(!stderr(&output).contains("NOTIFY_SOCKET"), "{}", stderr(&output));
    });
}

/// Whose capabilities are all there, and worth nothing.
#[test]
fn in_a_user_namespace_the_message_names_the_host() {
    if !needs::root() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_hist-bpf"), "-d0.1"]);
    let output = run(command.args(["hist:keys=common_pid", "raw_syscalls:sys_enter"]));
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("do not count: they must be the host's"), "{said}");
}

/// Each of the calls that open something may be the one that gets no number.
#[test]
fn too_many_open_files_were_the_verifiers_refusal() {
    if !needs::root() {
        return;
    }
    let mut refused = 0;
    for limit in 18..60 {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(env!("CARGO_BIN_EXE_hist-bpf"));
        command
            .args(["-q", "-i0"])
            .args(["hist:keys=id if common_pid==1", "raw_syscalls:sys_enter"]);
        command.args(["hist:keys=common_pid.execname", "raw_syscalls:sys_exit", "--", "true"]);
        let output = run(&mut command);
        if !output.status.success() {
            let said = stderr(&output);
            assert!(said.contains("ulimit -n"), "{limit}: {said}");
            assert!(!said.contains("verifier") && !said.contains("panicked"), "{limit}: {said}");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn the_65th_classic_program_was_an_argument_list_too_long() {
    if !needs::root() {
        return;
    }
    let triggers: Vec<_> =
        (0..65).map(|id| format!("hist:keys=common_pid if newprio=={id}")).collect();
    let mut command = hist_bpf();
    command.args(["-q", "-d0.1", "--attach", "tracepoint"]);
    for trigger in &triggers {
        command.args([trigger, "sched:sched_pi_setprio"]);
    }
    let output = run(&mut command);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sched:sched_pi_setprio cannot be attached: 64 programs"), "{said}");
    assert!(!said.contains("Argument list"), "{said}");
}
