//! Takes an attached trigger's maps. Gives a [`snapshot::Snapshot`].

pub mod snapshot;
pub mod sort;
