//! Boots every kernel locked down in each way, with the guest program, which counts there and checks
//! the messages.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::guest::Guest;
use crate::parallel;
use crate::qemu::{self, Machine};
use crate::vm::{Bootable, MachineArgs, machines};

/// Which kernels.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
}

/// The mode as the guest's argument has it, and the kernel's own word for it.
const MODES: [(&str, &str); 3] = [
    ("confidentiality", "lockdown=confidentiality"),
    ("integrity", "lockdown=integrity"),
    // The guest does it.
    ("late", ""),
];

/// Runs `cargo xtask vm lockdown …`.
///
/// # Errors
/// When a machine fails, or something is not as it should be there.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut runs = Vec::new();
    for bootable in machines(&args.machine, Guest::Tests, &[])? {
        runs.extend(MODES.map(|mode| (bootable.clone(), mode)));
    }
    let ended_well =
        parallel::map(parallel::JOBS, &runs, |(bootable, mode)| count(bootable, *mode));
    let failed = ended_well.into_iter().filter(|well| !well).count();
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Whether all is as it should be in that mode; says so.
fn count(bootable: &Bootable, (mode, kernel_options): (&str, &'static str)) -> bool {
    let start = Instant::now();
    let Bootable { kernel, machine } = bootable;
    let args = ["lockdown", mode].map(str::to_owned).to_vec();
    let dir = machine.dir.join(format!("lockdown-{mode}"));
    let problem = match qemu::boot(&Machine { args, kernel_options, dir, ..machine.clone() }) {
        Ok(outcome) if outcome.status == 0 => None,
        Ok(outcome) => Some(outcome.results),
        Err(error) => Some(format!("{error:#}")),
    };
    let is_well = problem.is_none();
    let verdict = problem.unwrap_or_else(|| "as it should be".to_owned());
    let seconds = start.elapsed().as_secs_f32();
    println!("{}, {mode}: {} ({seconds:.0} s)", kernel.name, verdict.trim_end());
    is_well
}
