//! Takes a command line. Gives verdicts on the second serial port: the first program of a virtual
//! machine. On another machine it runs as an ordinary program and writes to stdout.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use hist_tests::differential::{self, Verdict};
use hist_tests::version::Version;
use hist_tests::workload::Workload;
use hist_tests::{
    attachment, bench, command, copies, engine, floods, focus, ftrace, lockdown, nested,
    preemption, random, session, suite, surroundings,
};
use rustix::mount::{MountFlags, mount};
use rustix::process::getpid;
use rustix::system::{RebootCommand, reboot, uname};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

/// What the guest does.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare an engine with this kernel's own hist triggers.
    Test(TestArgs),
    /// Compare random triggers with this kernel's own.
    Random(RandomArgs),
    /// Print files of this machine.
    Show {
        /// Their paths.
        paths: Vec<PathBuf>,
    },
    /// Measure what tracers add to an event.
    Bench {
        /// What the clock of this machine counts.
        unit: Unit,
    },
    /// Compare what raw tracepoints give with records.
    Arguments(ArgumentsArgs),
    /// Count on a kernel that is locked down.
    Lockdown {
        /// How.
        mode: lockdown::Mode,
    },
    /// Tell where the kernel could have been preempted when events occurred.
    Preemption {
        /// Only that event or system.
        #[arg(long)]
        event: Vec<String>,
        /// Work on this machine's disk.
        #[arg(long)]
        disk: bool,
        /// How long events happen, in seconds.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Become the command, allowed few open files.
    Limited {
        /// How many.
        files: u64,
        /// The command's arguments.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Make events of all kinds happen.
    Load {
        /// Which ones.
        part: copies::Part,
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// Be the process whose events are counted.
    Workload {
        /// What it does.
        name: Workload,
    },
}

/// The unit of the figures.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Unit {
    Instructions,
    Nanoseconds,
}

#[derive(clap::Args)]
struct TestArgs {
    /// What is compared.
    #[arg(long, default_value = "bpf")]
    engine: String,
    /// Only these cases.
    #[arg(long)]
    case: Vec<String>,
    /// Only the scripts of operations on trigger files.
    #[arg(long)]
    scripts: bool,
    /// Only the floods of events.
    #[arg(long)]
    floods: bool,
    /// Where the cases are.
    #[arg(long, default_value = "/suite")]
    suite: PathBuf,
}

#[derive(clap::Args)]
struct RandomArgs {
    /// What the triggers are made from.
    #[arg(long)]
    seed: u64,
    /// The first batch.
    #[arg(long)]
    first: u64,
    /// How many batches.
    #[arg(long)]
    batches: u64,
}

#[derive(clap::Args)]
struct ArgumentsArgs {
    /// Only that event or system.
    #[arg(long)]
    event: Vec<String>,
    /// Work on this machine's disk.
    #[arg(long)]
    disk: bool,
    /// What might be in the table, instead of what is.
    #[arg(long)]
    propose: bool,
    /// Only rows that no kernel has proven yet.
    #[arg(long)]
    unproven: bool,
    /// How long events happen for each batch, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
}

fn main() -> ExitCode {
    if let Some(code) = command::main() {
        return code;
    }
    let first = getpid().is_init();
    if first && let Err(error) = prepare() {
        eprintln!("preparing the machine: {error:#}");
        return ExitCode::FAILURE;
    }
    let code = run().unwrap_or_else(|error| {
        println!("ERROR {error:#}");
        2
    });
    if first && let Err(error) = power_off(code) {
        eprintln!("ending the machine: {error:#}");
    }
    ExitCode::from(code)
}

fn run() -> Result<u8> {
    match Args::try_parse()?.command {
        Command::Test(args) => test(&args),
        Command::Random(args) => random(&args),
        Command::Show { paths } => show(&paths),
        Command::Bench { unit } => measure(unit),
        Command::Arguments(args) => arguments(args),
        Command::Lockdown { mode } => {
            println!("KERNEL {}", uname().release().to_string_lossy());
            lockdown::run(mode).map(|()| 0)
        }
        Command::Preemption { event, disk, seconds } => {
            if disk {
                mount_disk()?;
            }
            preemption(&event, Duration::from_secs(seconds))
        }
        Command::Limited { files, words } => surroundings::become_limited(files, &words).map(|_| 0),
        Command::Load { part, millis } => {
            copies::run_load(part, Duration::from_millis(millis)).map(|()| 0)
        }
        Command::Workload { name } => differential::serve(name).map(|()| 0),
    }
}

fn test(args: &TestArgs) -> Result<u8> {
    let release = uname().release().to_string_lossy().into_owned();
    println!("KERNEL {release}");
    let version: Version = release.parse()?;
    let chosen = Chosen::of(args)?;
    let mut engine = engine::by_name(&args.engine, version)?;
    let mut failed = 0;
    let mut report = |name: &str, verdict: Verdict| {
        print_verdict(name, &verdict);
        failed |= u8::from(matches!(verdict, Verdict::Failed(_)));
    };
    differential::run(&chosen.cases, engine.as_mut(), version, &mut |case, verdict| {
        report(&case.name, verdict);
    })?;
    // Names of triggers are the kernel's own, so it cannot be compared with itself.
    if args.engine == "bpf" {
        session::run(&chosen.scripts, version, &mut |script, verdict| {
            report(&script.name, verdict);
        })?;
        floods::run(&chosen.floods, version, &mut report)?;
        for (name, check) in chosen.checks {
            report(name, check(version));
        }
    }
    Ok(failed)
}

/// What is to be tested.
#[derive(Default)]
struct Chosen {
    cases: Vec<suite::Case>,
    scripts: Vec<session::Script>,
    floods: Vec<floods::Case>,
    checks: Vec<Check>,
}

/// A case by itself: its name, and what it does.
type Check = (&'static str, fn(Version) -> Verdict);

/// In this order: the load of the last one leaves traces.
const CHECKS: [Check; 7] = [
    (attachment::NAME, attachment::verdict),
    ("focus", |_| focus::verdict()),
    (nested::NAME, nested::verdict),
    ("cpu-hotplug", surroundings::cpu_hotplug),
    ("pids-limit", surroundings::no_more_processes),
    ("files-limit", surroundings::few_files),
    ("preemption-off", preemption::check),
];

impl Chosen {
    /// All, unless the arguments say which.
    fn of(args: &TestArgs) -> Result<Self> {
        let is_all = !args.scripts && !args.floods;
        let mut chosen = Self::default();
        if is_all {
            chosen.cases = suite::load(&args.suite)?;
            chosen.checks = CHECKS.to_vec();
        }
        if is_all || args.scripts {
            chosen.scripts = session::load(&args.suite.join("sessions"))?;
        }
        if is_all || args.floods {
            chosen.floods = floods::cases().collect();
        }
        if !args.case.is_empty() {
            chosen.retain(|name| args.case.iter().any(|case| case == name));
            ensure!(chosen.count() == args.case.len(), "no such case among {:?}", args.case);
        }
        Ok(chosen)
    }

    fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.cases.retain(|case| is_wanted(&case.name));
        self.scripts.retain(|script| is_wanted(&script.name));
        self.floods.retain(|flood| is_wanted(&flood.to_string()));
        self.checks.retain(|(name, _)| is_wanted(name));
    }

    fn count(&self) -> usize {
        let Self { cases, scripts, floods, checks } = self;
        cases.len() + scripts.len() + floods.len() + checks.len()
    }
}

fn random(args: &RandomArgs) -> Result<u8> {
    let release = uname().release().to_string_lossy().into_owned();
    println!("KERNEL {release}");
    let version: Version = release.parse()?;
    let mut failed = 0;
    let mut times = random::Times::default();
    for number in args.first..args.first + args.batches {
        let batch = random::Batch { seed: args.seed, number };
        random::run(batch, version, &mut times, &mut |index, verdict| {
            print_random(index, &verdict);
            failed |= u8::from(matches!(verdict, random::Verdict::Failed(_)));
        })?;
    }
    println!("TIMES {times:.1?}");
    Ok(failed)
}

fn print_random(index: u64, verdict: &random::Verdict) {
    use random::Verdict as Random;
    match verdict {
        Random::Counted => println!("COUNTED {index}"),
        Random::Taken => println!("TAKEN {index}"),
        Random::Refused => println!("REFUSED {index}"),
        Random::Explained(reason) => println!("EXPLAINED {reason}"),
        Random::Failed(text) => {
            println!("FAIL {index}");
            for line in text.lines() {
                println!("  {line}");
            }
        }
    }
}

/// One line for each row: verdict, event, field, numbers, expression.
fn arguments(args: ArgumentsArgs) -> Result<u8> {
    println!("KERNEL {}", uname().release().to_string_lossy());
    let ArgumentsArgs { event: events, disk, propose, unproven, seconds } = args;
    if disk {
        mount_disk()?;
    }
    let wanted = copies::Wanted { events, propose, unproven, time: Duration::from_secs(seconds) };
    copies::run(&wanted, &mut |outcome| {
        let copies::Outcome { event, field, expression, verdict } = outcome;
        match verdict {
            copies::Verdict::Compared { same, different, values } => {
                let values = values.name();
                println!("ROW {event} {field} {same} {different} {values} {expression}");
            }
            copies::Verdict::Refused(reason) => {
                let reason = reason.replace('\n', " ");
                println!("NONE {event} {field} {expression}: {reason}");
            }
        }
    })?;
    Ok(0)
}

/// One line for each event.
fn preemption(events: &[String], time: Duration) -> Result<u8> {
    println!("KERNEL {}", uname().release().to_string_lossy());
    let is_wanted = |system: &str, event: &str| {
        let name = format!("{system}:{event}");
        events.is_empty() || events.iter().any(|one| *one == name || one == system)
    };
    for sites in preemption::watch(&is_wanted, time)? {
        println!("SITES {sites}");
    }
    Ok(0)
}

/// Puts the disk where temporary files are. Its driver may still be looking for it.
fn mount_disk() -> Result<()> {
    let disk = Path::new("/dev/nvme0n1");
    for _ in 0..100 {
        if disk.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    mount(disk, "/tmp", "ext4", MountFlags::empty(), None).context("mounting the disk on /tmp")
}

fn show(paths: &[PathBuf]) -> Result<u8> {
    for path in paths {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        println!("==> {} <==\n{}", path.display(), String::from_utf8_lossy(&text));
    }
    Ok(0)
}

fn measure(unit: Unit) -> Result<u8> {
    let release = uname().release().to_string_lossy().into_owned();
    println!("KERNEL {release}");
    let version = release.parse()?;
    let mut report = |line| println!("{line}");
    match unit {
        Unit::Instructions => bench::instructions(version, &mut report)?,
        Unit::Nanoseconds => bench::nanoseconds(version, &mut report)?,
    }
    Ok(0)
}

/// What belongs to a verdict follows it, indented.
fn print_verdict(name: &str, verdict: &Verdict) {
    match verdict {
        Verdict::Passed => println!("PASS {name}"),
        Verdict::LeftOut => println!("LEFT {name}"),
        Verdict::Failed(text) => {
            println!("FAIL {name}");
            for line in text.lines() {
                println!("  {line}");
            }
        }
    }
}

/// Mounts what the tests need and makes the second serial port stdout.
fn prepare() -> Result<()> {
    for (kind, target) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tracefs", ftrace::TRACEFS),
        ("tmpfs", "/tmp"),
    ] {
        mount(kind, Path::new(target), kind, MountFlags::empty(), None)
            .with_context(|| format!("mounting {kind} on {target}"))?;
    }
    let port = File::options().read(true).write(true).open("/dev/ttyS1").context("/dev/ttyS1")?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    rustix::stdio::dup2_stdout(&port)?;
    Ok(())
}

/// The last line, and the end.
fn power_off(code: u8) -> Result<()> {
    println!("EXIT {code}");
    std::io::stdout().flush()?;
    tcdrain(std::io::stdout())?;
    reboot(RebootCommand::PowerOff)?;
    Ok(())
}
