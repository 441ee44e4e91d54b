//! Takes the words behind `--`. Gives a running child, and the exit code that its end means.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Why the command did not start, as a shell would say it.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {name}: {source}")]
pub(super) struct SpawnError {
    name: String,
    source: io::Error,
}

impl SpawnError {
    /// 127 not found, 126 not executable.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self.source.kind() {
            io::ErrorKind::NotFound => ExitCode::from(127),
            _ => ExitCode::from(126),
        }
    }
}

/// Starts the command.
///
/// # Errors
/// If there is no such program or it cannot be executed.
pub(super) fn spawn(words: &[OsString]) -> Result<Child, SpawnError> {
    let (program, arguments) = words.split_first().expect("clap gives no empty command");
    Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|source| SpawnError { name: program.to_string_lossy().into_owned(), source })
}

/// Asks a child that is still running to end.
///
/// # Errors
/// If the signal cannot be sent.
pub(super) fn terminate(child: &Child) -> io::Result<()> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    match pid {
        Some(pid) => Ok(kill_process(pid, Signal::TERM)?),
        None => Ok(()),
    }
}

/// The command's own code, or 128 + signal.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
