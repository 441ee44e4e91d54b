//! Holds a command between fork and exec until it is let go, so that its pid is known before it
//! does anything of its own.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::pipe::{PipeFlags, pipe_with};

/// Holds a child back. Dropping it unopened ends the child before it executes anything.
#[derive(Debug)]
pub struct Gate {
    pid: File,
    go: File,
}

impl Gate {
    /// Waits for the child. Gives its pid, `None` if it did not come to be: whoever spawned it has
    /// the error. Spawning waits for the gate to open, so it goes on in another thread; that thread
    /// must drop the command if it fails.
    ///
    /// # Errors
    /// If the pipe cannot be read.
    pub fn wait(&mut self) -> io::Result<Option<u32>> {
        let mut pid = [0; 4];
        match self.pid.read_exact(&mut pid) {
            Ok(()) => Ok(Some(u32::from_ne_bytes(pid))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the child execute its program.
    ///
    /// # Errors
    /// If the child is gone.
    pub fn open(mut self) -> io::Result<()> {
        self.go.write_all(&[1])
    }
}

/// Makes the command's child wait for the gate.
///
/// # Errors
/// If there are no pipes to be had.
pub fn hold(command: &mut Command) -> io::Result<Gate> {
    let (pid, childs_pid) = pipe()?;
    let (childs_go, go) = pipe()?;
    let ours = go.as_raw_fd();
    let wait = move || {
        // The child's copy of our end; with it, the pipe would stay open when we are gone.
        // SAFETY: the descriptor is open, and nothing in the child knows of it: it is about to
        // execute a program or to exit.
        unsafe { libc::close(ours) };
        rustix::io::write(&childs_pid, &std::process::id().to_ne_bytes())?;
        let mut byte = [0];
        match rustix::io::retry_on_intr(|| rustix::io::read(&childs_go, &mut byte))? {
            // Only an error number gets from the child to who spawned it.
            0 => Err(rustix::io::Errno::PIPE.into()),
            _ => Ok(()),
        }
    };
    // SAFETY: in the child it calls close, getpid, write and read only, which are safe after a fork
    // of a process with threads, and it neither allocates nor takes locks.
    unsafe { command.pre_exec(wait) };
    Ok(Gate { pid: File::from(pid), go: File::from(go) })
}

/// The end to read and the end to write. A child's program gets neither.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &std::path::Path) -> Command {
        let mut command = Command::new("touch");
        command.arg(path);
        command
    }

    #[test]
    fn a_child_waits_for_the_gate() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let mut command = touch(&file);
        let mut gate = hold(&mut command).expect("a gate");
        let spawning = std::thread::spawn(move || command.spawn());
        let pid = gate.wait().expect("a pipe").expect("a child");
        assert!(!file.exists());
        gate.open().expect("a child");
        let mut child = spawning.join().expect("no panic").expect("touch");
        assert_eq!(child.id(), pid);
        assert!(child.wait().expect("a child").success());
        assert!(file.exists());
    }

    #[test]
    fn a_gate_that_is_dropped_ends_the_child() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let mut command = touch(&file);
        let mut gate = hold(&mut command).expect("a gate");
        let spawning = std::thread::spawn(move || command.spawn());
        gate.wait().expect("a pipe").expect("a child");
        drop(gate);
        let error = spawning.join().expect("no panic").expect_err("it was not let go");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!file.exists());
    }

    #[test]
    fn a_program_that_is_not_there_is_the_spawners_error() {
        let mut command = Command::new("/nowhere/program");
        let mut gate = hold(&mut command).expect("a gate");
        let spawning = std::thread::spawn(move || command.spawn());
        gate.wait().expect("a pipe").expect("a child");
        gate.open().expect("a child");
        let error = spawning.join().expect("no panic").expect_err("no program");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
