//! Makes a [`Document`] of a [`Snapshot`](crate::snapshot::Snapshot) and its [`Meta`], where and
//! when it was taken, and writes documents in formats for other programs and for eyes.

mod csv;
mod document;
mod error;
mod folded;
mod ftrace;
mod json;
mod merge;
pub(crate) mod names;
mod ndjson;
mod order;
mod plot;
mod read;
mod rows;
mod time;

pub use document::{Document, DocumentRow, Key, Meta, Source, Value};
pub use error::{ExportError, MergeError, ReadError};
pub use merge::{check_same, check_whole, merge};
pub use read::{Documents, read};
pub use time::text as time_text;

use crate::escape::{Charset, shown_json};

/// How documents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What the kernel's `hist` file would have.
    Ftrace,
    /// One document a snapshot, each on a line.
    Json,
    /// One object an entry, each on a line, and one for the totals.
    Ndjson,
    /// One record an entry, RFC 4180.
    Csv,
    /// One line a stack, the outermost frame first.
    Folded,
    /// Bars.
    Plot,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ftrace, Self::Json, Self::Ndjson, Self::Csv, Self::Folded, Self::Plot];

    /// What stands between two documents: for eyes, blank lines.
    #[must_use]
    pub const fn separator(self) -> &'static [u8] {
        match self {
            Self::Ftrace => b"\n\n",
            Self::Plot => b"\n",
            Self::Json | Self::Ndjson | Self::Csv | Self::Folded => b"",
        }
    }
}

/// Writes documents one after the other in one format.
#[derive(Clone, Debug)]
pub struct Exporter {
    format: Format,
    /// What stacks and bars measure: the name of a value; the hitcount if absent.
    weight: Option<String>,
    /// Columns of the terminal.
    width: usize,
    /// The charset, if documents go to a terminal: control characters are escaped then.
    terminal: Option<Charset>,
    /// The header has been written.
    headed: bool,
}

impl Exporter {
    /// An exporter that has written nothing yet. `weight` names the value that stacks and bars
    /// measure instead of the hitcount; `width` is how many columns bars may take.
    #[must_use]
    pub const fn new(format: Format, weight: Option<String>, width: usize) -> Self {
        Self { format, weight, width, terminal: None, headed: false }
    }

    /// The same with control characters escaped, if it writes to a terminal of that charset.
    #[must_use]
    pub fn on_terminal(self, terminal: Option<Charset>) -> Self {
        Self { terminal, ..self }
    }

    /// From now on bars may take that many columns.
    pub const fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// Whether documents with such columns can be written at all.
    ///
    /// # Errors
    /// If the format needs a key or a value that the document does not have.
    pub fn check(&self, document: &Document) -> Result<(), ExportError> {
        match self.format {
            Format::Ftrace | Format::Json | Format::Ndjson | Format::Csv => Ok(()),
            Format::Folded => self.folded(document).map(drop),
            Format::Plot => self.plot(document).map(drop),
        }
    }

    /// The document's bytes; in a format with a header, behind that the first time.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn write(&mut self, document: &Document) -> Result<Vec<u8>, ExportError> {
        let follows = std::mem::replace(&mut self.headed, true);
        Ok(match self.format {
            Format::Ftrace => ftrace::ftrace(document, self.terminal),
            Format::Json => self.json(json::json(document)),
            Format::Ndjson => self.json(ndjson::ndjson(document)),
            Format::Csv => csv::csv(document, !follows, self.terminal),
            Format::Folded => self.folded(document)?,
            Format::Plot => self.plot(document)?,
        })
    }

    fn folded(&self, document: &Document) -> Result<Vec<u8>, ExportError> {
        folded::folded(document, self.weight.as_deref(), self.terminal)
    }

    /// Names are escaped for files as well: a newline in a name would break the lines.
    fn plot(&self, document: &Document) -> Result<Vec<u8>, ExportError> {
        let charset = self.terminal.unwrap_or(Charset::Utf8);
        plot::plot(document, self.weight.as_deref(), self.width, charset)
    }

    fn json(&self, text: Vec<u8>) -> Vec<u8> {
        match (self.terminal, std::str::from_utf8(&text)) {
            (Some(charset), Ok(json)) => shown_json(json, charset).into_bytes(),
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests;
