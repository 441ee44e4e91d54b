//! Takes kernels and names of cases. Gives a verdict: boots every kernel with the guest program,
//! which compares an engine with the kernel's own hist triggers, and gathers what they report.

use std::env;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::initramfs::Initramfs;
use crate::kernels::{self, Kernel};
use crate::lockdown;
use crate::preemption;
use crate::qemu::{self, Accel, Machine, Outcome};
use crate::random;
use crate::setup::{self, succeed, target_dir, workspace};

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
    #[arg(long, default_value_t = 2)]
    jobs: usize,
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
    for machine in machines(&args.machine, &words)? {
        let outcome = qemu::boot(&machine.machine).context(machine.kernel.name)?;
        print!("{}", outcome.results);
    }
    Ok(())
}

fn test(args: &TestArgs) -> Result<()> {
    let machines = machines(&args.machine, &guest_args(args))?;
    let queue = Mutex::new(machines.iter());
    let failures = Mutex::new(Vec::new());
    let worker = || {
        loop {
            let next = queue.lock().expect("a worker died").next();
            let Some(Bootable { kernel, machine }) = next else { break };
            let start = Instant::now();
            let report = Report::of(kernel, qemu::boot(machine));
            println!("{} ({:.0} s)", report.summary, start.elapsed().as_secs_f32());
            failures.lock().expect("a worker died").extend(report.failures);
        }
    };
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(worker);
        }
    });
    verdict(&failures.into_inner().expect("a worker died"), args)
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
pub(crate) struct Bootable {
    pub(crate) kernel: Kernel,
    pub(crate) machine: Machine,
}

/// One machine for each kernel, whose guest program gets `words`; gets and builds whatever they
/// need.
///
/// # Errors
/// When something is missing that cannot be got.
pub(crate) fn machines(args: &MachineArgs, words: &[String]) -> Result<Vec<Bootable>> {
    setup::qemu()?;
    let kernels = kernels_of(args)?;
    let initramfs = guest_image(&target_dir().join("vm").join("initramfs.cpio"))?;
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

fn guest_args(args: &TestArgs) -> Vec<String> {
    let mut guest = vec!["test".into(), format!("--engine={}", args.engine)];
    guest.extend(args.case.iter().map(|name| format!("--case={name}")));
    guest.extend(args.scripts.then(|| "--scripts".to_owned()));
    guest.extend(args.floods.then(|| "--floods".to_owned()));
    guest
}

/// Builds the guest program and writes an initramfs at `path` that has it as `/init`, and the suite.
///
/// # Errors
/// When the program does not compile or a file cannot be read or written.
pub(crate) fn guest_image(path: &Path) -> Result<PathBuf> {
    let program = build_guest()?;
    let mut image = Initramfs::new();
    for dir in ["proc", "sys", "tmp", "suite", "suite/sessions"] {
        image.directory(dir);
    }
    image.file("init", &fs::read(&program).with_context(|| program.display().to_string())?);
    for dir in ["suite", "suite/sessions"] {
        add_files(&mut image, dir)?;
    }
    let dir = path.parent().context("the initramfs needs a directory")?;
    fs::create_dir_all(dir)?;
    fs::write(path, image.finish())?;
    Ok(path.to_owned())
}

/// Adds the files in a directory of the tests, at the same place below the root.
fn add_files(image: &mut Initramfs, dir: &str) -> Result<()> {
    for entry in fs::read_dir(workspace().join("tests").join(dir))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = format!("{dir}/{}", entry.file_name().display());
            image.file(&name, &fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Builds the guest program.
///
/// Static, since the guest has no libraries; in a directory of its own, since other flags would
/// have cargo build everything else again.
///
/// # Errors
/// When it does not compile.
pub(crate) fn build_guest() -> Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let dir = target_dir().join("guest");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--quiet", "--package", "hist-tests", "--bin", "vm-guest"])
        .args(["--profile", "guest", "--target", TARGET, "--target-dir"])
        .arg(&dir);
    succeed(&mut build)?;
    Ok(dir.join(TARGET).join("guest/vm-guest"))
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
    for failure in failures {
        let case = failure.case.as_deref().unwrap_or("the machine itself");
        println!("\n--- {}: {case}\n{}", failure.kernel, failure.text.trim_end());
    }
    println!("\nAgain:");
    for failure in failures {
        println!("  {}", replay(failure, &args.engine));
    }
    bail!("{} failed", failures.len())
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

    #[test]
    fn a_bad_exit_status_is_a_failure() {
        let kernel = Kernel { name: "6.1".into(), image: PathBuf::new() };
        let outcome = Outcome { results: "PASS a\n".into(), status: 2 };
        assert_eq!(Report::of(&kernel, Ok(outcome)).failures.len(), 1);
    }
}
