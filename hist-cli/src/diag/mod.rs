//! What can be wrong with a trigger, at which place in its text, and what of it people and the
//! kernel's `error_log` get to see.
//!
//! The kernel has one table of errors for parsing and resolving, hence so have we.

mod draw;
mod kind;
mod nearest;
mod rejection;

use std::fmt::{self, Write as _};

use bstr::{BStr, ByteSlice as _};

pub(crate) use draw::marked;
pub use kind::{Caret, Kind, Origin};
pub use nearest::nearest;
pub use rejection::{Logged, Rejection};

/// A half-open range of bytes in a trigger's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The text that the span covers, or nothing if it lies outside of `source`.
    #[must_use]
    pub fn of(self, source: &(impl AsRef<[u8]> + ?Sized)) -> &BStr {
        source.as_ref().get(self.start..self.end).unwrap_or_default().as_bstr()
    }
}

/// One thing wrong with a trigger, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerError {
    /// What is wrong.
    pub kind: Kind,
    /// Where in the trigger's text. What the kernel's caret needs of it is said at [`Caret`].
    pub span: Span,
    /// Sentences that help: the nearest name, what would be accepted.
    pub help: Vec<String>,
}

impl TriggerError {
    /// An error without help.
    #[must_use]
    pub const fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span, help: Vec::new() }
    }

    /// The message for people: what is wrong, the trigger with carets below the place, help. Ends
    /// in a newline. `source` is what the span points into; bytes that are not UTF-8 are shown as
    /// U+FFFD.
    #[must_use]
    pub fn render(&self, source: &(impl AsRef<[u8]> + ?Sized)) -> String {
        let marked = marked(source.as_ref(), self.span);
        let mut message = format!("error: {}\n{marked}", self.kind.text());
        for sentence in &self.help {
            // Writing to a String cannot fail.
            let _ = writeln!(message, "  help: {sentence}");
        }
        message
    }

    /// The same error with one more sentence of help.
    #[must_use]
    pub fn help(mut self, sentence: impl Into<String>) -> Self {
        self.help.push(sentence.into());
        self
    }
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())
    }
}

impl std::error::Error for TriggerError {}
