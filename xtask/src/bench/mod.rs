//! Measures what counting costs, in one table beside what it may cost.
//!
//! Two parts. In a virtual machine the clock counts guest instructions, which are the same on
//! every machine, so these figures can be gated on ([`kept`]). On this machine figures are times
//! and memory; they are shown, and gate nothing.

mod guest;
mod host;
mod instructions;
mod kept;
mod process;
mod sample;
mod table;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::setup;
use table::Table;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this part [default: both]
    #[arg(long)]
    only: Option<Part>,
    /// Kernel version to count instructions on; may be repeated
    #[arg(long, value_name = "VERSION", default_value = "6.12")]
    kernel: Vec<String>,
    /// Fail when an instruction ratio is worse than the one that is kept
    #[arg(long)]
    check: bool,
    /// Keep the instruction ratios of this run
    #[arg(long, conflicts_with = "check")]
    bless: bool,
}

/// Where figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A virtual machine: guest instructions.
    Vm,
    /// This machine: times and memory.
    Host,
}

/// Runs `cargo xtask bench`.
///
/// # Errors
/// When a measurement fails, or with `--check` when a ratio is worse than the one kept.
pub(crate) fn run(args: &Args) -> Result<()> {
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let mut tables = Vec::new();
    let mut worse = Vec::new();
    if wanted(Part::Vm) {
        vm(args, &mut tables, &mut worse)?;
    }
    if wanted(Part::Host) {
        tables.push(host::measure()?);
    }
    print!("{}", table::blocks(&tables));
    if args.check && !worse.is_empty() {
        bail!("worse than kept in {}:\n{}", kept::FILE, worse.join("\n"));
    }
    Ok(())
}

/// Without QEMU there is nothing to measure, which is said; a check then has nothing to go by.
fn vm(args: &Args, tables: &mut Vec<Table>, worse: &mut Vec<String>) -> Result<()> {
    match setup::qemu() {
        Ok(()) => {}
        Err(error) if args.check || args.bless => return Err(error),
        Err(error) => {
            tables.push(instructions::skipped(&format!("{error:#}")));
            return Ok(());
        }
    }
    for (kernel, figures) in args.kernel.iter().zip(instructions::measure(&args.kernel)?) {
        if args.bless {
            kept::keep(kernel, &figures.ratios())?;
        }
        let kept = kept::read(kernel)?;
        let complaints = kept.complaints(&figures.ratios());
        worse.extend(complaints.into_iter().map(|complaint| format!("  {kernel}, {complaint}")));
        tables.push(instructions::table(kernel, &figures, &kept));
    }
    Ok(())
}
