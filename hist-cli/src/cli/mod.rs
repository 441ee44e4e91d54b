//! Takes the process's arguments. Gives its exit code: 0 done, 1 error, 2 usage, the command's own
//! behind `--`, 126 and 127 if that cannot be started, 130 after a second Ctrl-C.

mod args;
mod command;
mod count;
mod emit;
mod logger;
mod options;
mod output;
mod printer;
mod run;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use crate::load::LoadError;
use crate::session::SessionError;
use args::Args;
use options::Options;

/// Runs the whole command.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Args::try_parse().and_then(Options::try_from) {
        Ok(options) => options,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2. If neither can be
            // written, nobody is there to be told.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    logger::start(options.verbose);
    match run::run(&options) {
        Ok(code) => code,
        Err(error) => {
            report(&error, options.verbose);
            ExitCode::FAILURE
        }
    }
}

/// Errors below a typed one are part of its own text; anyhow's contexts are not.
fn report(error: &anyhow::Error, verbose: u8) {
    let text = format!("{error:#}");
    let text = text.trim_end();
    // A trigger's error brings its own head line and caret.
    let head = if text.starts_with("error: ") { "" } else { "error: " };
    eprintln!("{head}{text}");
    if let Some(SessionError::Load(LoadError::Verifier { log, .. })) = error.downcast_ref()
        && verbose > 0
    {
        eprintln!("the verifier's whole log:\n{log}");
    }
}
