//! Takes a [`Snapshot`](crate::read::snapshot::Snapshot). Gives the text that `cat …/hist` would
//! print for it, byte for byte.
