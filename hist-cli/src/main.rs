//! Takes the command line. Gives an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hist_cli::cli::main()
}
