//! Finds the place of a part in the text that is parsed, for nodes and errors.

use bstr::{BStr, BString};

use super::ast::Spanned;
use crate::diag::{Kind, Span, TriggerError};

/// The whole text that is parsed. Every part handed to its functions must be a slice of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub(super) &'a BStr);

impl Source<'_> {
    /// The place of `part`.
    pub(super) fn span(self, part: &BStr) -> Span {
        let start = part.as_ptr().addr() - self.0.as_ptr().addr();
        Span::new(start, start + part.len())
    }

    /// `part` as a string of its own.
    pub(super) fn text(self, part: &BStr) -> Spanned<BString> {
        self.node(part.to_owned(), part)
    }

    /// `node`, written as `part`.
    pub(super) fn node<T>(self, node: T, part: &BStr) -> Spanned<T> {
        Spanned { node, span: self.span(part) }
    }

    /// An error at `part`.
    pub(super) fn error(self, kind: Kind, part: &BStr) -> TriggerError {
        TriggerError::new(kind, self.span(part))
    }
}
