//! Boots every kernel locked down in each way, with the guest program, which counts there and checks
//! the messages.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::qemu::{self, Machine};
use crate::vm::{MachineArgs, machines};

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
    let mut failed = 0;
    for bootable in machines(&args.machine, &[])? {
        for (mode, kernel_options) in MODES {
            let start = Instant::now();
            let words = ["lockdown", mode].map(str::to_owned).to_vec();
            let machine = Machine { args: words, kernel_options, ..bootable.machine.clone() };
            let problem = match qemu::boot(&machine) {
                Ok(outcome) if outcome.status == 0 => None,
                Ok(outcome) => Some(outcome.results),
                Err(error) => Some(format!("{error:#}")),
            };
            failed += usize::from(problem.is_some());
            let verdict = problem.unwrap_or_else(|| "as it should be".to_owned());
            let seconds = start.elapsed().as_secs_f32();
            println!("{}, {mode}: {} ({seconds:.0} s)", bootable.kernel.name, verdict.trim_end());
        }
    }
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}
