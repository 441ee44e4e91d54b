//! Writes: tables to stdout or a file, each whole and at once; messages to stderr.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, tell};

use crate::escape::{Charset, name_of, shown_lines};
use crate::sys::rights::as_user;

/// Where tables go.
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// A file, and its name for messages.
    File(File, PathBuf),
    /// Nowhere: there is nobody who wants them.
    Nowhere,
}

/// How writing went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it is written.
    Whole,
    /// Nobody reads any more.
    Closed,
}

/// How often it is looked whether somebody reads a named pipe.
pub(super) const PIPE_PERIOD: Duration = Duration::from_millis(50);

impl Output {
    /// Empties `path` and opens it, or takes stdout. If it is a named pipe, waits until somebody
    /// reads it, unless a signal ends the process.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout) };
        let mut is_told = false;
        loop {
            if let Some(output) = Self::open_pipe(path)? {
                return Ok(output);
            }
            if !std::mem::replace(&mut is_told, true) {
                say(&no_reader(path));
            }
            thread::sleep(PIPE_PERIOD);
        }
    }

    /// Does the same, but gives nothing if it is a named pipe that nobody reads. Others may write to
    /// the file or empty it meanwhile, such as logrotate with `copytruncate`: what is written goes to
    /// its end.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(super) fn open_pipe(path: &Path) -> anyhow::Result<Option<Self>> {
        let flags = (OFlags::APPEND | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = File::options();
        options.write(true).create(true).truncate(true).custom_flags(flags);
        let file = as_user(|| options.open(path));
        let file = match file {
            // The kernel says so of a pipe without a reader, and of a device that is not there.
            Err(error) if is_errno(&error, rustix::io::Errno::NXIO) && is_pipe(path) => {
                return Ok(None);
            }
            file => file.and_then(|file| blocking(&file).map(|()| file)),
        };
        match file {
            Ok(file) => Ok(Some(Self::File(file, path.to_owned()))),
            Err(error) => Err(anyhow!("cannot write {}: {error}", name_of(path))),
        }
    }

    /// Writes all of `text`. If a file cannot take all of it, it keeps none of it, unless others have
    /// written to it meanwhile: what is in it is whole.
    ///
    /// # Errors
    /// Any but a closed pipe.
    pub(super) fn write(&mut self, text: &[u8]) -> anyhow::Result<Written> {
        let (result, name) = match self {
            Self::Nowhere => return Ok(Written::Whole),
            Self::Stdout => (write_stdout(text), "standard output".to_owned()),
            Self::File(file, path) => (write_whole(file, text), name_of(path)),
        };
        match result {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Closed),
            Err(error) => Err(anyhow!("cannot write {name}: {error}")),
        }
    }
}

/// Whether it is a named pipe; false if its user cannot tell.
pub(super) fn is_pipe(path: &Path) -> bool {
    as_user(|| fs::metadata(path)).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// What is said while nobody reads the pipe.
pub(super) fn no_reader(path: &Path) -> String {
    format!("nobody reads {} yet: waiting", name_of(path))
}

/// The charset of the terminal that is written to: `path`, or stdout without a path. `None` if that
/// is not a terminal.
pub(super) fn terminal(path: Option<&Path>) -> Option<Charset> {
    let is_terminal = path.map_or_else(|| io::stdout().is_terminal(), is_terminal);
    is_terminal.then(Charset::of_environment)
}

/// Opens only devices that the user may open, and never makes one the controlling terminal.
fn is_terminal(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let looked = as_user(|| -> io::Result<bool> {
        let is_device = path.metadata()?.file_type().is_char_device();
        Ok(is_device && rustix::fs::open(path, flags, Mode::empty())?.is_terminal())
    });
    looked.unwrap_or(false)
}

/// Writes lines to stdout; on a terminal, control characters are escaped.
///
/// # Errors
/// Any but a closed pipe.
pub(super) fn print(text: &str) -> anyhow::Result<Written> {
    let shown = terminal(None).map(|charset| shown_lines(text.as_bytes(), charset));
    Output::Stdout.write(shown.as_deref().unwrap_or(text).as_bytes())
}

/// Writes a line to stderr; on a terminal, control characters are escaped. If stderr is closed or its
/// disk is full, there is no place for an error, and it is not a reason to stop.
pub(super) fn say(line: &str) {
    say_as_it_is(&clean(line));
}

/// The lines with control characters escaped, if stderr is a terminal.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    match io::stderr().is_terminal() {
        // Carets stay below what they mean.
        true => shown_lines(text.as_bytes(), Charset::Utf8).into(),
        false => text.into(),
    }
}

/// Writes a line to stderr unchanged, colours included.
pub(super) fn say_as_it_is(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

fn is_errno(error: &io::Error, errno: rustix::io::Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// From now on writing waits for who reads.
fn blocking(file: &File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?)
}

fn write_whole(file: &mut File, text: &[u8]) -> io::Result<()> {
    let metadata = file.metadata()?;
    let (written, result) = write_counted(file, text);
    if result.is_err() && metadata.is_file() {
        // What was written before remains. If even this fails, the first error is reported.
        let _ = take_back(file, metadata.len(), written);
    }
    result
}

/// Writes all of `text`; gives how many bytes of it are written.
fn write_counted(file: &mut impl Write, text: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < text.len() {
        match file.write(&text[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Cuts the `written` bytes off a file that had `length` before. If it has another length than these
/// make, others have written to it or emptied it meanwhile, and nothing of theirs may be cut.
fn take_back(file: &mut File, length: u64, written: usize) -> io::Result<()> {
    if file.metadata()?.len() == length + written as u64 {
        file.set_len(length)?;
        // Where it is not written to the end whatever comes, as by `>` of a shell.
        file.seek(SeekFrom::Start(length))?;
    }
    Ok(())
}

fn write_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    // Nothing else writes there, so nothing is in the buffer; a copy of the descriptor has the same
    // position.
    let file = stdout.as_fd().try_clone_to_owned().map(File::from);
    match file {
        Ok(mut file) if is_at_end(&file) => write_whole(&mut file, text),
        _ => {
            stdout.write_all(text)?;
            stdout.flush()
        }
    }
}

/// A regular file, written to its end.
fn is_at_end(file: &File) -> bool {
    match (file.metadata(), tell(file)) {
        (Ok(metadata), Ok(position)) if metadata.is_file() => {
            position == metadata.len() || is_appending(file)
        }
        _ => false,
    }
}

fn is_appending(file: &File) -> bool {
    fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file was written on where it had ended before, and began with zeros.
    #[test]
    fn a_file_that_is_emptied_by_others_has_no_hole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("table");
        fs::write(&path, "old").expect("a file");
        let mut output = Output::open(Some(&path)).expect("it is there");
        assert_eq!(output.write(b"first").expect("room"), Written::Whole);
        File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("a file");
        assert_eq!(output.write(b"second").expect("room"), Written::Whole);
        assert_eq!(fs::read(&path).expect("a file"), b"second");
    }

    /// What others had appended meanwhile was cut off with it.
    #[test]
    fn a_torn_table_took_what_others_had_written_with_it() {
        /// Writes half of what it is given, then has no room.
        struct Full<'a>(&'a mut File);
        impl Write for Full<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if bytes.len() == 1 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.write(&bytes[..bytes.len() / 2])
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("table");
        for (others, want) in [("", "before"), ("theirs", "beforetabletheirs")] {
            fs::write(&path, "before").expect("a file");
            let appending = || File::options().append(true).open(&path).expect("a file");
            let mut ours = appending();
            let (written, result) = write_counted(&mut Full(&mut ours), b"tables");
            assert_eq!(result.expect_err("no room").kind(), io::ErrorKind::StorageFull);
            appending().write_all(others.as_bytes()).expect("room");
            take_back(&mut ours, 6, written).expect("a file");
            assert_eq!(fs::read_to_string(&path).expect("a file"), want, "{others:?}");
        }
        // Nor does one grow that was emptied.
        fs::write(&path, "").expect("a file");
        let mut ours = File::options().append(true).open(&path).expect("a file");
        take_back(&mut ours, 6, 4).expect("a file");
        assert_eq!(ours.metadata().expect("a file").len(), 0);
    }
}
