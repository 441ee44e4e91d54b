//! Runs other programs, and says the whole command when one fails.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The command as it could be typed, without quotes.
pub(crate) fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    words.join(OsStr::new(" ")).display().to_string()
}

/// Runs a command and gives its stdout.
///
/// # Errors
/// When it cannot be started or fails; the message has the whole command and what it printed.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let line = line(command);
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("starting `{line}`"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        bail!("`{line}` ended with {status}:\n{stdout}{}", String::from_utf8_lossy(&stderr));
    }
    Ok(stdout)
}

/// Whether there is a program of that name.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
