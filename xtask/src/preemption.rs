//! Tells by machines with other kernels where these could have been preempted when events occurred,
//! which is what the marks `preemption-off` of the table of copies rest on.

use anyhow::{Context, Result, bail};

use crate::arguments::disk;
use crate::qemu::{self, Machine};
use crate::vm::{Bootable, MachineArgs, machines};

/// Which kernels and events, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Only that event or system; may be repeated
    #[arg(long, value_name = "SYSTEM[:EVENT]")]
    event: Vec<String>,
    /// How long events happen, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Runs `cargo xtask vm preemption`.
///
/// # Errors
/// When a machine fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut words =
        vec!["preemption".to_owned(), format!("--seconds={}", args.seconds), "--disk".to_owned()];
    words.extend(args.event.iter().map(|event| format!("--event={event}")));
    for Bootable { kernel, machine } in machines(&args.machine, &words)? {
        let disk = Some(disk(&machine.dir)?);
        let outcome = qemu::boot(&Machine { disk, ..machine }).context(kernel.name.clone())?;
        if let Some(error) = outcome.results.lines().find_map(|line| line.strip_prefix("ERROR ")) {
            bail!("{}: {error}", kernel.name);
        }
        print!("{}", outcome.results);
    }
    Ok(())
}
