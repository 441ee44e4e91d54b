//! Starts the command that follows `--`, keeps what it writes while the terminal is taken, and
//! translates its end into our exit code.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::fs::{Access, AtFlags, CWD, MemfdFlags, accessat, memfd_create};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::worker::Worker;
use crate::escape::name_of;
use crate::kernel::cause::of_files;
use crate::sys::gate::hold;
use crate::sys::rights::{as_user, hand_over};

/// Why the command does not start, as a shell would say it.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {name}: {source}{}", way_out(.source))]
pub(super) struct SpawnError {
    name: String,
    source: io::Error,
}

/// Some errors are not the program's fault.
fn way_out(source: &io::Error) -> String {
    of_files(source).map_or_else(String::new, |way_out| format!("; {way_out}"))
}

impl SpawnError {
    fn new(program: &OsStr, source: impl Into<io::Error>) -> Self {
        let name = if program.is_empty() { "''".to_owned() } else { name_of(program.as_ref()) };
        Self { name, source: source.into() }
    }

    /// 127 not found, 126 not executable.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self.source.kind() {
            io::ErrorKind::NotFound => ExitCode::from(127),
            _ => ExitCode::from(126),
        }
    }
}

/// Where programs are looked for without PATH (`_CS_PATH` of confstr(3)).
const USUAL_PATH: &str = "/bin:/usr/bin";

/// Tells, without running anything, whether the command can be found and executed. It may still
/// fail to start later: its interpreter may be missing, or the file gone by then.
///
/// # Errors
/// If there is no such program, or none that may be executed.
pub(super) fn check(words: &[OsString]) -> Result<(), SpawnError> {
    let program = program(words);
    let path = env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    as_user(|| find(program, &path)).map_err(|error| SpawnError::new(program, error))
}

/// Looks as execvp(3) does: a name with a slash is a path; else the first executable file of that
/// name counts, and one that may not be executed is told only if no other can.
fn find(program: &OsStr, path: &OsStr) -> io::Result<()> {
    if program.is_empty() {
        return Err(rustix::io::Errno::NOENT.into());
    }
    if program.as_bytes().contains(&b'/') {
        return is_executable(Path::new(program));
    }
    let mut result = Err(rustix::io::Errno::NOENT.into());
    for folder in env::split_paths(path) {
        match is_executable(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

fn is_executable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(rustix::io::Errno::ACCESS.into());
    }
    Ok(accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Starts the command. With `kept`, it reads nothing from the terminal and writes nothing there.
///
/// # Errors
/// If there is no such program or it cannot be executed.
pub(super) fn spawn(words: &[OsString], kept: Option<&Kept>) -> Result<Child, SpawnError> {
    let child = prepared(words, kept).and_then(|command| Command::from(command).spawn());
    child.map_err(|error| SpawnError::new(program(words), error))
}

/// Starts the command, but lets it execute its program only after `ready` has been told its pid.
/// The worker waits for that meanwhile.
///
/// # Errors
/// If `ready` fails; inside, if there is no such program or it cannot be executed.
pub(super) async fn spawn_after(
    words: &[OsString],
    kept: Option<&Kept>,
    worker: &Worker,
    ready: impl FnOnce(u32) -> anyhow::Result<()>,
) -> anyhow::Result<Result<Child, SpawnError>> {
    let mut command = prepared(words, kept).context("cannot start the command")?;
    let mut gate = hold(&mut command).context("cannot start the command")?;
    let runtime = Handle::current();
    let spawned = worker.start_job(move || {
        let _runtime = runtime.enter();
        Command::from(command).spawn()
    });
    if let Some(pid) = gate.wait().context("cannot start the command")? {
        ready(pid)?;
        gate.open().context("cannot start the command")?;
    }
    let child = spawned.await?;
    Ok(child.map_err(|error| SpawnError::new(program(words), error)))
}

/// The command, which is still to be started.
fn prepared(words: &[OsString], kept: Option<&Kept>) -> io::Result<std::process::Command> {
    let mut command = std::process::Command::new(program(words));
    command.args(&words[1..]);
    hand_over(&mut command);
    kept.map_or(Ok(()), |kept| kept.redirect(&mut command))?;
    Ok(command)
}

fn program(words: &[OsString]) -> &OsStr {
    words.first().expect("clap gives no empty command")
}

/// What a command has written while the terminal was not its own.
pub(super) struct Kept {
    /// In memory; standard output and standard error share its position.
    file: File,
    /// So much has been shown, in bytes.
    shown: u64,
}

impl Kept {
    /// Nothing yet.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("hist-bpf command", MemfdFlags::CLOEXEC)?;
        Ok(Self { file: file.into(), shown: 0 })
    }

    /// Standard error that goes elsewhere still does.
    fn redirect(&self, command: &mut std::process::Command) -> io::Result<()> {
        command.stdin(Stdio::null()).stdout(self.file.try_clone()?);
        if io::stderr().is_terminal() {
            command.stderr(self.file.try_clone()?);
        }
        Ok(())
    }

    /// What has been written since the last call.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn take(&mut self) -> io::Result<Vec<u8>> {
        let length = self.file.metadata()?.len().saturating_sub(self.shown);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.shown)?;
        self.shown += length;
        Ok(bytes)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn programs_are_found_as_execvp_finds_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        for (place, name, mode) in
            [(&first, "plain", 0o644), (&first, "both", 0o644), (&second, "both", 0o755)]
        {
            fs::create_dir_all(place).expect("a folder");
            let file = place.join(name);
            fs::write(&file, "").expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let path = env::join_paths([&first, &second]).expect("no colons");
        let kind = |name: &OsStr| find(name, &path).map_err(|error| error.kind());
        assert_eq!(kind("both".as_ref()), Ok(()));
        assert_eq!(kind("plain".as_ref()), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(kind("none".as_ref()), Err(io::ErrorKind::NotFound));
        assert_eq!(kind("".as_ref()), Err(io::ErrorKind::NotFound));
        assert_eq!(kind(second.join("both").as_ref()), Ok(()));
        assert_eq!(kind(second.as_ref()), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(kind(first.join("both").as_ref()), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(kind(first.join("none").as_ref()), Err(io::ErrorKind::NotFound));
    }
}
