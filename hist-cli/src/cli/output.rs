//! Takes the texts of tables. Gives them to stdout or a file, each whole and at once; and
//! everything else to stderr.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::load::rights::as_user;

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
        match as_user(|| File::create(path)) {
            Ok(file) => Ok(Self::File(file, path.to_owned())),
            Err(error) => Err(anyhow::anyhow!("cannot write {}: {error}", path.display())),
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
            Self::File(file, path) => (write_whole(file, text), path.display().to_string()),
        };
        match result {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Closed),
            Err(error) => Err(anyhow::anyhow!("cannot write {name}: {error}")),
        }
    }
}

/// Writes a line to stderr. If nobody reads that or its disk is full, there is nobody to be told,
/// and it is no reason to stop.
pub(super) fn say(line: &str) {
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
