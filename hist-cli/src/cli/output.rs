//! Takes the texts of tables. Gives them to stdout or a file, each whole and at once; and
//! everything else to stderr.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::print::escape::{Charset, name_of, shown_lines};

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

impl Output {
    /// Opens `path` anew, or takes stdout.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout) };
        match File::create(path) {
            Ok(file) => Ok(Self::File(file, path.to_owned())),
            Err(error) => Err(anyhow::anyhow!("cannot write {}: {error}", name_of(path))),
        }
    }

    /// Writes all of `text`. If a file cannot take all of it, it keeps none of it: what is in it is
    /// whole.
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
            Err(error) => Err(anyhow::anyhow!("cannot write {name}: {error}")),
        }
    }
}

/// The charset of the terminal that is written to: `path`, or stdout without a path. `None` if that
/// is not a terminal.
pub(super) fn terminal(path: Option<&Path>) -> Option<Charset> {
    let is_terminal = path.map_or_else(|| io::stdout().is_terminal(), is_terminal);
    is_terminal.then(Charset::of_environment)
}

/// Opens only devices, and never makes one the controlling terminal.
fn is_terminal(path: &Path) -> bool {
    let is_device = |metadata: Metadata| metadata.file_type().is_char_device();
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    path.metadata().is_ok_and(is_device)
        && rustix::fs::open(path, flags, Mode::empty()).is_ok_and(|file| file.is_terminal())
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

fn write_whole(file: &mut File, text: &[u8]) -> io::Result<()> {
    let metadata = file.metadata()?;
    let result = file.write_all(text);
    if result.is_err() && metadata.is_file() {
        // What was written before remains. If even this fails, the first error is told.
        let _ = file.set_len(metadata.len());
    }
    result
}

fn write_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}
