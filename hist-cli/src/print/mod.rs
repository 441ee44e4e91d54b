//! Prints a [`Snapshot`](crate::snapshot::Snapshot) as `cat …/hist` would, byte for byte.

mod bytes;
pub mod cell;
mod hist;
mod modifier;

pub(crate) use bytes::{Bytes, readable};
pub(crate) use hist::{EntryLine, entry, head, scales, totals};
pub use hist::{blocks, hist, hist_on};
pub(crate) use modifier::{Scale, number, part, shown_name, shown_number};
