//! Boots kernels with a guest program, and gathers what they report: of the tests, whether an engine
//! counts as each kernel's own hist triggers do.

use std::fs::{self, File};
use std::iter;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::cargo::target_dir;
use crate::command::succeed;
use crate::guest::Guest;
use crate::kernels::{self, Kernel};
use crate::lockdown;
use crate::parallel;
use crate::preemption;
use crate::qemu::{self, Accel, Machine, Outcome};
use crate::random;
use crate::setup;

/// What to do in virtual machines.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Compare an engine with each kernel's own hist triggers, byte for byte.
    Test(TestArgs),
    /// Compare random triggers, valid and invalid ones, with each kernel's own.
    Random(random::Args),
    /// Count on kernels that are locked down.
    Lockdown(lockdown::Args),
    /// Tell where each kernel could have been preempted when events occurred.
    Preemption(preemption::Args),
    /// Print files as they are on a kernel, such as the `format` of an event.
    Show(ShowArgs),
}

/// Which kernels, and how they are run.
#[derive(clap::Args)]
pub(crate) struct MachineArgs {
    /// Kernel version; may be repeated [default: all that are known]
    #[arg(long, value_name = "VERSION")]
    kernel: Vec<String>,
    /// Kernel image of your own; may be repeated
    #[arg(long, value_name = "PATH")]
    image: Vec<PathBuf>,
    /// How to run the guest [default: kvm where it works, else tcg]
    #[arg(long)]
    accel: Option<Accel>,
    /// Time that one machine may take, in seconds
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    timeout: u64,
}

impl MachineArgs {
    /// Some kernel was asked for.
    pub(crate) fn is_named(&self) -> bool {
        !self.kernel.is_empty() || !self.image.is_empty()
    }
}

/// Which events are looked at.
#[derive(clap::Args)]
pub(crate) struct EventArgs {
    /// Only that event or system; may be repeated
    #[arg(long, value_name = "SYSTEM[:EVENT]")]
    event: Vec<String>,
}

impl EventArgs {
    /// As the guest programs take them.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        self.event.iter().map(|event| format!("--event={event}"))
    }
}

#[derive(clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Absolute paths
    #[arg(required = true)]
    paths: Vec<String>,
}

#[derive(clap::Args)]
struct TestArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Only this case; may be repeated
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Only the scripts of operations on trigger files
    #[arg(long)]
    scripts: bool,
    /// Only the floods of events, by more threads than CPUs
    #[arg(long)]
    floods: bool,
    /// What is compared: `kernel` compares the kernel with itself, which tests the suite
    #[arg(long, default_value = "bpf")]
    engine: String,
    /// Machines that run at the same time
    #[arg(long, default_value_t = parallel::JOBS)]
    jobs: usize,
    /// Compare once more, by itself, each of up to six cases that differ: a classic tracepoint program
    /// is skipped while another one runs on that CPU, so events that also come from interrupts can
    /// differ when many cases are compared at once
    #[arg(long)]
    retry: bool,
}

/// Runs `cargo xtask vm …`.
///
/// # Errors
/// When something is missing that cannot be got, or a case fails.
pub(crate) fn run(args: Args) -> Result<()> {
    match args.action {
        Action::Test(args) => test(&args),
        Action::Preemption(args) => preemption::run(&args),
        Action::Random(args) => random::run(&args),
        Action::Lockdown(args) => lockdown::run(&args),
        Action::Show(args) => show(&args),
    }
}

fn show(args: &ShowArgs) -> Result<()> {
    let words: Vec<_> = iter::once("show".to_owned()).chain(args.paths.iter().cloned()).collect();
    for machine in machines(&args.machine, Guest::Tests, &words)? {
        let outcome = qemu::boot(&machine.machine).context(machine.kernel.name)?;
        print!("{}", outcome.results);
    }
    Ok(())
}

fn test(args: &TestArgs) -> Result<()> {
    let words = |cases: &[String]| guest_args(args, cases);
    let machines = machines(&args.machine, Guest::Tests, &words(&args.case))?;
    let mut failures = compare(&machines, args.jobs);
    if args.retry && may_be_chance(&failures) {
        print_failures(&failures);
        let again: Vec<_> =
            failures.iter().filter_map(|one| one.alone(&machines, &words)).collect();
        failures = compare(&again, 1);
    }
    verdict(&failures, args)
}

/// Boots them all, and says how each went.
fn compare(machines: &[Bootable], jobs: usize) -> Vec<Failure> {
    let failures = parallel::map(jobs, machines, |Bootable { kernel, machine }| {
        let start = Instant::now();
        let report = Report::of(kernel, qemu::boot(machine));
        println!("{} ({:.0} s)", report.summary, start.elapsed().as_secs_f32());
        report.failures
    });
    failures.into_iter().flatten().collect()
}

/// The most cases that may be compared once more.
const AGAIN: usize = 6;

/// Whether each can have failed only because others ran at the same time. Floods run by themselves
/// already: what they lose is lost.
fn may_be_chance(failures: &[Failure]) -> bool {
    let is_case =
        |failure: &Failure| failure.case.as_deref().is_some_and(|case| !case.starts_with("flood-"));
    (1..=AGAIN).contains(&failures.len()) && failures.iter().all(is_case)
}

/// What a guest has written: its kernel's release, and all other lines as word and rest.
///
/// # Errors
/// If one of the lines is an error.
pub(crate) fn tagged_lines(results: &str) -> Result<(String, Vec<(&str, &str)>)> {
    let (mut kernel, mut lines) = (String::new(), Vec::new());
    for line in results.lines() {
        match line.split_once(' ') {
            Some(("KERNEL", release)) => kernel = release.to_owned(),
            Some(("ERROR", rest)) => bail!("{rest}"),
            Some(tagged) => lines.push(tagged),
            None => {}
        }
    }
    Ok((kernel, lines))
}

/// A kernel and the machine that boots it.
#[derive(Clone)]
pub(crate) struct Bootable {
    pub(crate) kernel: Kernel,
    pub(crate) machine: Machine,
}

impl Bootable {
    /// Boots it with a disk that has an empty file system with a journal.
    ///
    /// # Errors
    /// When the disk cannot be made, or as [`qemu::boot`].
    pub(crate) fn boot_with_disk(&self) -> Result<Outcome> {
        /// Bytes, of which few are ever written.
        const SIZE: u64 = 512 << 20;
        let mut machine = self.machine.clone();
        fs::create_dir_all(&machine.dir)?;
        let path = machine.dir.join("disk.img");
        File::create(&path)?.set_len(SIZE)?;
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&path);
        succeed(&mut mkfs).context("e2fsprogs has mkfs.ext4")?;
        machine.disk = Some(path);
        qemu::boot(&machine)
    }
}

/// One machine for each kernel, whose guest program gets `words`; gets and builds whatever they
/// need.
///
/// # Errors
/// When something is missing that cannot be got.
pub(crate) fn machines(
    args: &MachineArgs,
    guest: Guest,
    words: &[String],
) -> Result<Vec<Bootable>> {
    setup::qemu()?;
    let kernels = kernels_of(args)?;
    let initramfs = guest.image()?;
    let accel = args.accel.map_or_else(qemu::best_accel, Ok)?;
    let bootable = |kernel: Kernel| {
        let machine = Machine {
            kernel: kernel.image.clone(),
            initramfs: initramfs.clone(),
            args: words.to_vec(),
            kernel_options: "",
            dir: target_dir().join("vm").join(kernel.name.replace('/', "_")),
            accel,
            icount: false,
            disk: None,
            timeout: Duration::from_secs(args.timeout),
        };
        Bootable { kernel, machine }
    };
    Ok(kernels.into_iter().map(bootable).collect())
}

fn kernels_of(args: &MachineArgs) -> Result<Vec<Kernel>> {
    let all = args.kernel.is_empty() && args.image.is_empty();
    let versions = if all { kernels::versions() } else { args.kernel.clone() };
    let mut kernels: Vec<_> = versions.iter().map(|v| kernels::find(v)).collect::<Result<_>>()?;
    for image in &args.image {
        let image = image.canonicalize().with_context(|| image.display().to_string())?;
        kernels.push(Kernel { name: image.display().to_string(), image });
    }
    Ok(kernels)
}

/// What the guest program is to do with these cases, or with all if there are none.
fn guest_args(args: &TestArgs, cases: &[String]) -> Vec<String> {
    let mut guest = vec!["test".into(), format!("--engine={}", args.engine)];
    guest.extend(cases.iter().map(|name| format!("--case={name}")));
    guest.extend(args.scripts.then(|| "--scripts".to_owned()));
    guest.extend(args.floods.then(|| "--floods".to_owned()));
    guest
}

/// What one machine reported, ready to be printed.
struct Report {
    summary: String,
    failures: Vec<Failure>,
}

/// A case, or a whole machine, that failed.
struct Failure {
    kernel: String,
    /// `None` if the machine itself failed.
    case: Option<String>,
    /// What went wrong: a diff, the end of a log.
    text: String,
}

impl Failure {
    /// A machine that compares this case alone.
    fn alone(
        &self,
        machines: &[Bootable],
        words: &dyn Fn(&[String]) -> Vec<String>,
    ) -> Option<Bootable> {
        let mut alone = machines.iter().find(|one| one.kernel.name == self.kernel)?.clone();
        alone.machine.args = words(&[self.case.clone()?]);
        Some(alone)
    }
}

impl Report {
    fn of(kernel: &Kernel, outcome: Result<Outcome>) -> Report {
        let whole = |text: String| Failure { kernel: kernel.name.clone(), case: None, text };
        match outcome {
            Err(error) => Report {
                summary: format!("{}: the machine failed", kernel.name),
                failures: vec![whole(format!("{error:#}"))],
            },
            Ok(outcome) => {
                let mut report = Report::parse(&kernel.name, &outcome.results);
                if outcome.status != 0 && report.failures.is_empty() {
                    let text = format!("exit status {}\n{}", outcome.status, outcome.results);
                    report.failures.push(whole(text));
                }
                report
            }
        }
    }

    /// Lines that begin with a verdict open a case; what follows, indented, belongs to it.
    fn parse(kernel: &str, results: &str) -> Report {
        let mut release = "?";
        let (mut passed, mut left_out) = (0, 0);
        let mut failures: Vec<Failure> = Vec::new();
        for line in results.lines() {
            match line.split_once(' ') {
                Some(("KERNEL", name)) => release = name,
                Some(("PASS", _)) => passed += 1,
                Some(("LEFT", _)) => left_out += 1,
                Some(("FAIL", case)) => failures.push(Failure {
                    kernel: kernel.to_owned(),
                    case: Some(case.to_owned()),
                    text: String::new(),
                }),
                _ => {
                    if let Some(last) = failures.last_mut() {
                        last.text += line;
                        last.text.push('\n');
                    }
                }
            }
        }
        let failed = failures.len();
        let mut summary = format!("{kernel} ({release}): {passed} passed, {failed} failed");
        if left_out > 0 {
            summary += &format!(", {left_out} for other kernels");
        }
        Report { summary, failures }
    }
}

/// All failures in full, then how to see each again.
fn verdict(failures: &[Failure], args: &TestArgs) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    print_failures(failures);
    println!("\nAgain:");
    for failure in failures {
        println!("  {}", replay(failure, &args.engine));
    }
    bail!("{} failed", failures.len())
}

fn print_failures(failures: &[Failure]) {
    for failure in failures {
        let case = failure.case.as_deref().unwrap_or("the machine itself");
        println!("\n--- {}: {case}\n{}", failure.kernel, failure.text.trim_end());
    }
}

/// The option that names a kernel.
pub(crate) fn option_of(kernel: &str) -> &'static str {
    if kernel.starts_with('/') { "--image" } else { "--kernel" }
}

fn replay(failure: &Failure, engine: &str) -> String {
    let kernel = &failure.kernel;
    let option = option_of(kernel);
    let mut line = format!("cargo xtask vm test --engine {engine} {option} {kernel}");
    if let Some(case) = &failure.case {
        line += &format!(" --case {case}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_counts_and_gathers() {
        let results = "KERNEL 6.1.0\nPASS a\nFAIL b\n  -x\n  +y\nPASS c\nLEFT d\n";
        let report = Report::parse("6.1", results);
        assert_eq!(report.summary, "6.1 (6.1.0): 2 passed, 1 failed, 1 for other kernels");
        assert_eq!(report.failures[0].text, "  -x\n  +y\n");
        assert_eq!(
            replay(&report.failures[0], "kernel"),
            "cargo xtask vm test --engine kernel --kernel 6.1 --case b"
        );
    }

    /// The machine's own failure, a flood and too many at once are no chance.
    #[test]
    fn only_a_few_cases_are_compared_once_more() {
        let failed = |case: Option<&str>| Failure {
            kernel: "6.1".into(),
            case: case.map(str::to_owned),
            text: String::new(),
        };
        let of = |cases: &[Option<&str>]| {
            may_be_chance(&cases.iter().map(|case| failed(*case)).collect::<Vec<_>>())
        };
        assert!(of(&[Some("a"), Some("b")]));
        assert!(of(&[Some("a"); AGAIN]));
        assert!(!of(&[Some("a"); AGAIN + 1]));
        assert!(!of(&[]));
        assert!(!of(&[Some("a"), None]));
        assert!(!of(&[Some("a"), Some("flood-x")]));
    }

    #[test]
    fn a_bad_exit_status_is_a_failure() {
        let kernel = Kernel { name: "6.1".into(), image: PathBuf::new() };
        let outcome = Outcome { results: "PASS a\n".into(), status: 2 };
        assert_eq!(Report::of(&kernel, Ok(outcome)).failures.len(), 1);
    }
}
