//! Measures where events happen, on this machine or as the first program of a virtual one: the half
//! of `cargo xtask bench` and of `cargo xtask arguments` that runs there.

mod arguments;
mod bench;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use hist_tests::guest::{self, ChosenEvents, Work};

/// What is measured.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what tracers add to an event.
    Bench {
        /// What the clock of this machine counts.
        unit: Unit,
    },
    /// Compare what raw tracepoints give with records.
    Arguments(ArgumentsArgs),
    #[command(flatten)]
    Work(Work),
}

/// The unit of the figures.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Unit {
    Instructions,
    Nanoseconds,
}

#[derive(clap::Args)]
struct ArgumentsArgs {
    #[command(flatten)]
    events: ChosenEvents,
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
    guest::main(run)
}

fn run() -> Result<u8> {
    match Args::try_parse()?.command {
        Command::Bench { unit } => measure(unit),
        Command::Arguments(args) => prove(args),
        Command::Work(work) => work.run(),
    }
}

fn measure(unit: Unit) -> Result<u8> {
    let version = guest::report_kernel().parse()?;
    let mut report = |line| println!("{line}");
    match unit {
        Unit::Instructions => bench::instructions(version, &mut report)?,
        Unit::Nanoseconds => bench::nanoseconds(version, &mut report)?,
    }
    Ok(0)
}

/// One line for each row: verdict, event, field, numbers, expression.
fn prove(args: ArgumentsArgs) -> Result<u8> {
    guest::report_kernel();
    let ArgumentsArgs { events, disk, propose, unproven, seconds } = args;
    if disk {
        guest::mount_disk()?;
    }
    let time = Duration::from_secs(seconds);
    let wanted = arguments::Wanted { events, propose, unproven, time };
    arguments::run(&wanted, &mut |outcome| println!("{outcome}"))?;
    Ok(0)
}
