//! The `hist-bpf` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hist_cli::cli::main()
}
