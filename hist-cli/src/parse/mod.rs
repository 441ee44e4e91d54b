//! Reads the text of a trigger into an [`ast::Trigger`], whose parts keep the user's spelling and
//! their places. No name is looked up here.
//!
//! The kernel looks names up while it parses, values before keys before the filter. So what is
//! wrong inside of an expression, a sort key or a filter is kept in the tree at its place, and
//! `resolve` reports the error that the kernel would meet first. Only what is wrong with the
//! parameters as such is returned at once, for the kernel sees that before anything else.

pub mod ast;
mod command;
mod display;
mod expr;
mod filter;
mod kept;
mod listing;
mod number;
mod quote;
mod source;
mod trigger;

#[cfg(test)]
mod tests;

use crate::diag::TriggerError;
pub use command::trim;
pub use quote::{Quote, quote};
pub(crate) use trigger::nearest_keyword;

/// Nothing but white space is in the text.
#[must_use]
pub fn is_blank(text: &[u8]) -> bool {
    command::trim(text).is_empty()
}

/// Reads a whole command, as one write to a `trigger` file gives it; white space around it and
/// anything from a NUL on is ignored. It may hold any bytes, which mean what they mean to the kernel:
/// Latin-1 where it asks what is white space or a letter.
///
/// # Errors
///
/// The error of the scan of parameters. Its span points into the [trimmed](trim) text, which is
/// what [`TriggerError::render`] takes.
pub fn trigger(text: &(impl AsRef<[u8]> + ?Sized)) -> Result<ast::Trigger, TriggerError> {
    trigger::parse(text.as_ref())
}
