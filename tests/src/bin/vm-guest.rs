//! The first program of a virtual machine that tests: it reports verdicts on another kernel.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use hist_tests::differential::{self, Verdict};
use hist_tests::guest::{self, ChosenEvents, Work};
use hist_tests::version::Version;
use hist_tests::{
    attachment, command, engine, floods, focus, lockdown, nested, preemption, random, session,
    suite, surroundings,
};

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
    /// Count on a kernel that is locked down.
    Lockdown {
        /// How.
        mode: lockdown::Mode,
    },
    /// Tell where the kernel could have been preempted when events occurred.
    Preemption {
        #[command(flatten)]
        events: ChosenEvents,
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
    #[command(flatten)]
    Work(Work),
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

fn main() -> ExitCode {
    if let Some(code) = command::main() {
        return code;
    }
    guest::main(run)
}

fn run() -> Result<u8> {
    match Args::try_parse()?.command {
        Command::Test(args) => test(&args),
        Command::Random(args) => random(&args),
        Command::Show { paths } => show(&paths),
        Command::Lockdown { mode } => {
            guest::report_kernel();
            lockdown::run(mode).map(|()| 0)
        }
        Command::Preemption { events, disk, seconds } => {
            if disk {
                guest::mount_disk()?;
            }
            preemption(&events, Duration::from_secs(seconds))
        }
        Command::Limited { files, words } => surroundings::become_limited(files, &words).map(|_| 0),
        Command::Work(work) => work.run(),
    }
}

fn test(args: &TestArgs) -> Result<u8> {
    let version: Version = guest::report_kernel().parse()?;
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
    let version: Version = guest::report_kernel().parse()?;
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

/// One line for each event.
fn preemption(events: &ChosenEvents, time: Duration) -> Result<u8> {
    guest::report_kernel();
    for sites in preemption::watch(&|event| events.has(event), time)? {
        println!("SITES {sites}");
    }
    Ok(0)
}

fn show(paths: &[PathBuf]) -> Result<u8> {
    for path in paths {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        println!("==> {} <==\n{}", path.display(), String::from_utf8_lossy(&text));
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
