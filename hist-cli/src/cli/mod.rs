//! Takes the process's arguments. Gives its exit code: 0 done, 1 error, 2 usage, 3 lost events if
//! they are to fail it, the command's own behind `--`, 126 and 127 if that cannot be started, 130
//! after a second Ctrl-C.

mod args;
mod command;
mod count;
mod emit;
mod logger;
mod merge;
mod options;
mod output;
mod printer;
mod run;
mod serve;
mod signals;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::load::LoadError;
use crate::session::SessionError;
use args::{CommandLine, Task};
use options::Options;

/// Runs the whole command.
#[must_use]
pub fn main() -> ExitCode {
    let CommandLine { task, args } = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    let verbose = args.verbose;
    let result = match task {
        None => match Options::try_from(args) {
            Ok(options) => {
                logger::start(verbose);
                run::run(&options)
            }
            Err(error) => return usage(&error),
        },
        Some(Task::Merge(args)) => merge::run(&args),
        Some(Task::Serve(args)) => {
            logger::start(0);
            serve::run(&args)
        }
    };
    result.unwrap_or_else(|error| {
        report(&error, verbose);
        ExitCode::FAILURE
    })
}

/// Help and version go to stdout with 0, mistakes to stderr with 2.
fn usage(error: &clap::Error) -> ExitCode {
    // If neither can be written, nobody is there to be told.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn report(error: &anyhow::Error, verbose: u8) {
    let text = message(error);
    // A trigger's error brings its own head line and caret.
    let head = if text.starts_with("error: ") { "" } else { "error: " };
    output::say(&format!("{head}{text}"));
    if let Some(SessionError::Load(LoadError::Verifier { log, .. })) = error.downcast_ref()
        && verbose > 0
    {
        output::say(&format!("the verifier's whole log:\n{log}"));
    }
}

/// The error and its causes, but for those that are part of the text already.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(cause.trim_end()) {
            text = format!("{text}: {cause}");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::message;
    use crate::load::LoadError;

    /// Typed errors name their source, and it was told once more.
    #[test]
    fn each_cause_is_told_once() {
        let source = || io::Error::from_raw_os_error(libc::EMFILE);
        let error = LoadError::Map { name: "HIST0".into(), source: source() };
        assert_eq!(
            message(&error.into()),
            "cannot create the map HIST0: Too many open files (os error 24)"
        );
        let error = Err::<(), _>(source()).context("cannot listen").expect_err("an error");
        assert_eq!(message(&error), "cannot listen: Too many open files (os error 24)");
    }
}
