//! Takes a text and a part of it. Gives the part's place, or an error there.

use nom::Offset;

use super::ast::Spanned;
use crate::diag::{Kind, Span, TriggerError};

/// The whole text that is parsed. Every part handed to its functions must be a slice of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub(super) &'a str);

impl Source<'_> {
    /// The place of `part`.
    pub(super) fn span(self, part: &str) -> Span {
        let start = self.0.offset(part);
        Span::new(start, start + part.len())
    }

    /// `part` as a string of its own.
    pub(super) fn text(self, part: &str) -> Spanned<String> {
        self.node(part.to_owned(), part)
    }

    /// `node`, written as `part`.
    pub(super) fn node<T>(self, node: T, part: &str) -> Spanned<T> {
        Spanned { node, span: self.span(part) }
    }

    /// An error at `part`.
    pub(super) fn error(self, kind: Kind, part: &str) -> TriggerError {
        TriggerError::new(kind, self.span(part))
    }
}
