//! What is wrong with a file, shown to people as `file:line:column: what` and the line with carets
//! under the place.

use std::fmt::Write as _;
use std::ops::Range;

use bstr::ByteSlice as _;

use crate::diag::{Span, TriggerError, marked};
use crate::parse;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the text, in bytes.
    pub at: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// The trigger that it is about, where that stands in the file with escapes, and where in it.
    pub inside: Option<(String, Span)>,
    /// Sentences that help.
    pub help: Vec<String>,
}

impl Problem {
    /// A problem without further help.
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), inside: None, help: Vec::new() }
    }

    /// What is wrong with a trigger. `value` is what the file makes of `text[at]`; if it stands
    /// there as it is, the carets are under the place in it.
    pub(super) fn trigger(text: &str, at: Range<usize>, value: &str, error: &TriggerError) -> Self {
        let source = parse::trim(value.as_bytes());
        let (start, end) = (error.span.start.min(source.len()), error.span.end.min(source.len()));
        let literal = text.as_bytes()[at.clone()].find(source).filter(|_| !source.is_empty());
        let (at, inside) = match literal {
            Some(offset) => (at.start + offset + start..at.start + offset + end, None),
            None => (at, Some((source.to_string(), error.span))),
        };
        Self { at, message: error.kind.text().to_owned(), inside, help: error.help.clone() }
    }

    /// The line and the column, from 1; columns are characters.
    #[must_use]
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = &text[..floor(text, self.at.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The message for people; ends in a newline.
    #[must_use]
    pub fn render(&self, file: &str, text: &str) -> String {
        let (line, column) = self.position(text);
        let start = floor(text, self.at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let source = text[line_start..].lines().next().unwrap_or("");
        let end = self.at.end.saturating_sub(line_start).min(source.len());
        let mut out = format!("{file}:{line}:{column}: {}\n", self.message);
        out.push_str(&marked(source.as_bytes(), Span::new(start - line_start, end)));
        if let Some((trigger, span)) = &self.inside {
            let _ = write!(out, "  which is the trigger\n{}", marked(trigger.as_bytes(), *span));
        }
        for sentence in &self.help {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  help: {sentence}");
        }
        out
    }
}

/// The last boundary of a character that is not behind `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// All that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// By place; never empty.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// The messages for people, in the order of the file.
    #[must_use]
    pub fn render(&self, file: &str, text: &str) -> String {
        self.problems.iter().map(|problem| problem.render(file, text)).collect()
    }
}
