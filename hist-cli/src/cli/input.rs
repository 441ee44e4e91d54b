//! Reads a file that the user has named. If it is a named pipe without a writer, it says that it waits;
//! callers that must not wait get an error instead.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::output::{is_pipe, say};
use crate::escape::name_of;

/// How long it is waited for the rest of what somebody writes to a pipe, where something else waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads all of the file. If it is a pipe, waits for somebody to write to it, unless a signal ends the
/// process.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if is_pipe(path) { read_pipe(path, None) } else { fs::read(path) }
}

/// Reads all of the file, but does not wait for somebody to write to it.
///
/// # Errors
/// If it cannot be read, or is a pipe that nobody writes to.
pub(super) fn read_soon(path: &Path) -> io::Result<Vec<u8>> {
    if is_pipe(path) { read_pipe(path, Some(PATIENCE)) } else { fs::read(path) }
}

/// Reads until all who write to it have closed it, `within` that time if any.
fn read_pipe(path: &Path, within: Option<Duration>) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    let until = within.map(|within| Instant::now() + within);
    let (mut bytes, mut has_waited) = (Vec::new(), false);
    loop {
        match file.read_to_end(&mut bytes) {
            Ok(_) if bytes.is_empty() && !has_waited => match until {
                None => say(&format!("nobody writes to {} yet: waiting", name_of(path))),
                Some(_) => return Err(no_writer()),
            },
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        has_waited = true;
        wait(&file, until)?;
    }
}

fn no_writer() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it is a pipe, and nobody writes to it")
}

/// Waits for bytes, or for the last writer to close the pipe. One that had none from the start counts
/// as open.
fn wait(file: &File, until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(file, PollFlags::IN)], left.as_ref()) {
        Ok(0) => Err(no_writer()),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt as _;
    use std::thread;

    #[test]
    fn a_pipe_that_nobody_writes_to_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("coreutils");
        assert!(made.success() && path.metadata().expect("a pipe").file_type().is_fifo());
        let error = read_soon(&path).expect_err("nobody writes").to_string();
        assert_eq!(error, "it is a pipe, and nobody writes to it");
        // What comes in pieces is read to the end.
        let writer = {
            let path = path.clone();
            thread::spawn(move || {
                use std::io::Write as _;
                let mut file = File::options().write(true).open(path).expect("a pipe");
                file.write_all(b"one ").expect("a reader");
                thread::sleep(Duration::from_millis(50));
                file.write_all(b"two").expect("a reader");
            })
        };
        assert_eq!(read(&path).expect("both"), b"one two");
        writer.join().expect("no panic");
    }
}
