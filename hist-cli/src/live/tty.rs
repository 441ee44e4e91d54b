//! Writes to the terminal as fast as that takes bytes, and never waits for it: one that nobody
//! reads, as when a connection hangs, keeps neither signals nor counting from going on.

use std::cell::RefCell;
use std::fs::File;
use std::future::pending;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{QueueSelector, tcflush};
use tokio::net::unix::pipe::Sender;

use crate::sys::rights::as_user;

/// How long the terminal may take nothing before its last words are given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Stdout, opened anew: whether writing waits is a matter of the description, and that of stdout
/// is shared with the shell.
static OWN: OnceLock<Arc<File>> = OnceLock::new();

/// The terminal, and what it has not taken yet.
pub(super) struct Tty {
    /// To wait with, which it does for anything that can be polled.
    sender: Sender,
    outbox: Outbox,
}

/// What shall be written.
#[derive(Clone, Default)]
pub(super) struct Outbox(Rc<RefCell<Vec<u8>>>);

impl Tty {
    /// The terminal that stdout is.
    ///
    /// # Errors
    /// If it cannot be opened or waited for.
    pub(super) fn open() -> io::Result<Self> {
        let sender = Sender::from_file_unchecked(own()?.try_clone()?)?;
        Ok(Self { sender, outbox: Outbox::default() })
    }

    /// Where to put what shall be written.
    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// All that was to be written has been.
    pub(super) fn is_idle(&self) -> bool {
        self.outbox.0.borrow().is_empty()
    }

    /// Forgets what has not been written.
    pub(super) fn forget(&self) {
        self.outbox.0.borrow_mut().clear();
    }

    /// Ends when all has been written; never if nothing is to be. May be dropped at any time.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) async fn written(&self) -> io::Result<()> {
        if self.is_idle() {
            return pending().await;
        }
        while !self.is_idle() {
            self.sender.writable().await?;
            let result = self.sender.try_write(&self.outbox.0.borrow());
            match result {
                Ok(length) => drop(self.outbox.0.borrow_mut().drain(..length)),
                // It was ready for less than there is.
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn own() -> io::Result<Arc<File>> {
    if let Some(file) = OWN.get() {
        return Ok(file.clone());
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let again = || Ok::<_, io::Error>(open("/proc/self/fd/1", flags, Mode::empty())?);
    let file = match as_user(again) {
        Ok(file) => file,
        // Another user's terminal, for instance: writing may wait then.
        Err(_) => io::stdout().as_fd().try_clone_to_owned()?,
    };
    Ok(OWN.get_or_init(|| Arc::new(file.into())).clone())
}

/// Writes the last words. If the terminal does not take them in time, all that it has not shown yet
/// is thrown away to make room for them.
///
/// # Errors
/// If it did not take them in time, which is `TimedOut`, or is gone.
pub(super) fn write_last(mut words: &[u8]) -> io::Result<()> {
    let file = own()?;
    let mut until = Instant::now() + PATIENCE;
    while !words.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        // It may say that it is writable, and then take nothing.
        if left.is_zero() || !is_writable(&file, left)? {
            tcflush(&file, QueueSelector::OFlush)?;
            // Whether it takes them now or not: it has not shown what it was to.
            let _ = (&*file).write(words);
            let message = "it has taken nothing for a second, so nothing more is printed";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        match (&*file).write(words) {
            Ok(length) => (words, until) = (&words[length..], Instant::now() + PATIENCE),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

fn is_writable(file: &File, within: Duration) -> io::Result<bool> {
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    let within = Timespec::try_from(within).map_err(io::Error::other)?;
    match poll(&mut files, Some(&within)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}
