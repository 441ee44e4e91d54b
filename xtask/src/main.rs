//! The project's own chores, a module for each.

mod apt;
mod arguments;
mod bench;
mod cargo;
mod check;
mod command;
mod dist;
mod ebpf;
mod fuzz;
mod guest;
mod initramfs;
mod kernels;
mod lockdown;
mod man;
mod parallel;
mod preemption;
mod prometheus;
mod qemu;
mod random;
mod setup;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare what `arguments.txt` says of fields with records, on live events.
    Arguments(arguments::Args),
    /// Measure what counting costs, here and in virtual machines.
    Bench(bench::Args),
    /// Check what must hold before pushing, or before a change lands.
    Check(check::Args),
    /// Build what is handed out: a static program, an archive, a Debian package.
    Dist(dist::Args),
    /// Rebuild the eBPF templates that are committed, or check them.
    Ebpf(ebpf::Args),
    /// Run the fuzz targets for a while.
    Fuzz(fuzz::Args),
    /// Write the manual pages.
    Man(man::Args),
    /// Let a real Prometheus scrape `hist-bpf serve` and answer queries.
    Prometheus,
    /// Install the programs that tests and checks would skip themselves without.
    Setup,
    /// Tests in virtual machines with other kernels.
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Arguments(args) => arguments::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Ebpf(args) => ebpf::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Prometheus => prometheus::run(),
        Command::Setup => setup::run(),
        Command::Vm(args) => vm::run(args),
    };
    if let Err(error) = result {
        // Not by returning it: that would add a backtrace to what should be a readable summary.
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
