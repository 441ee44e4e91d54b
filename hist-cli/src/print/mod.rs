//! Takes a [`Snapshot`](crate::read::snapshot::Snapshot). Gives the text that `cat …/hist` would
//! print for it, byte for byte.

mod bytes;
mod hist;
mod modifier;

pub use hist::{blocks, hist};
