//! The `hist-bpf` command, from the process's arguments to its exit code: 0 done, 1 error, 2 usage,
//! 3 events were lost and `--fail-on-loss` was given, the command's own code with `--`, 126 and 127
//! if that command cannot be started, 130 after a second Ctrl-C.

mod args;
mod candidates;
mod color;
mod command;
mod completions;
mod count;
mod emit;
mod events;
mod explain;
mod focus;
mod input;
mod list;
mod logger;
mod merge;
mod options;
mod output;
mod printer;
mod run;
mod serve;
mod setup;
mod signals;
mod unique;
mod version;
mod view;
mod watch;
mod wishes;
mod worker;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::kernel::cause::of_files;
use crate::load::LoadError;
use crate::session::SessionError;
use crate::sys;
use crate::sys::rights;
use args::{CommandLine, Task};
use options::Options;

/// Runs the whole command.
#[must_use]
pub fn main() -> ExitCode {
    rights::begin();
    let words: Vec<OsString> = env::args_os().collect();
    color::set(color::wanted(&words));
    let CommandLine { task, args, .. } = match parse(&words) {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    // It would count everything, for ever: not what `-- $COMMAND` with an empty variable means.
    if task.is_none() && words.last().is_some_and(|word| word == "--") {
        let kind = ErrorKind::MissingRequiredArgument;
        return usage(&options::usage(kind, "there is no COMMAND behind `--`"));
    }
    let verbose = args.verbose;
    if let Err(error) = sys::signal::survive_file_size_limit() {
        report(&anyhow::Error::new(error).context("cannot catch SIGXFSZ"), verbose);
        return ExitCode::FAILURE;
    }
    let result = match task {
        None => match Options::try_from(args) {
            Ok(options) => {
                logger::start(verbose);
                run::run(&options)
            }
            Err(error) => return usage(&error),
        },
        Some(Task::List(args)) => list::run(&args),
        Some(Task::Explain(args)) => explain::run(&args),
        Some(Task::Merge(args)) => merge::run(&args),
        Some(Task::Completions(args)) => completions::run(&args),
        Some(Task::Complete(args)) => completions::complete(&args),
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

/// The definitions of all flags and subcommands; for man pages, too.
#[must_use]
pub fn definitions() -> Command {
    CommandLine::command().color(color::get())
}

fn parse(words: &[OsString]) -> Result<CommandLine, clap::Error> {
    let parse = |command: Command| command.try_get_matches_from(words);
    match parse(definitions()) {
        Ok(matches) => CommandLine::from_arg_matches(&matches),
        // What the kernel offers is only looked for when it is asked for.
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            Err(parse(definitions().long_version(version::long())).err().unwrap_or(error))
        }
        Err(error) => Err(error),
    }
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
    color::say(&format!("{head}{text}"));
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
    let mut text = text.trim_end().to_owned();
    let without_files = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    let mut without_files = without_files.filter_map(of_files);
    if let Some(way_out) = without_files.find(|way_out| !text.contains(way_out)) {
        text = format!("{text}; {way_out}");
    }
    text
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
            "cannot create the map HIST0: Too many open files (os error 24); this process may have no \
             more files open: raise the limit (ulimit -n)"
        );
        let error = Err::<(), _>(source()).context("cannot listen").expect_err("an error");
        assert_eq!(
            message(&error),
            "cannot listen: Too many open files (os error 24); this process may have no more files \
             open: raise the limit (ulimit -n)"
        );
    }
}
