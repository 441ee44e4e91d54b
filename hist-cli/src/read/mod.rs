//! Takes an attached trigger's maps. Gives a [`Snapshot`].

pub mod bucket;
mod columns;
pub mod delta;
mod entries;
mod percpu;
pub mod snapshot;
pub mod sort;
pub mod stack;
pub mod top;

use std::io;

use hist_common::layout;

use crate::load::{AttachedTrigger, Table};
use snapshot::{Losses, Snapshot};

pub use columns::empty;

/// Why a histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused to give the entries.
    #[error("cannot read the histogram's map: {0}")]
    Entries(#[source] io::Error),
    /// The kernel refused to give the loss counters.
    #[error("cannot read the loss counters: {0}")]
    Losses(#[source] io::Error),
}

/// Reads everything that the trigger has counted so far, unsorted. Counting goes on meanwhile.
/// Stacks are still as the program saw them: [`stack::settle`] makes them the kernel's.
///
/// # Errors
/// If the kernel refuses to give the maps' contents.
pub fn snapshot(trigger: &AttachedTrigger) -> Result<Snapshot, ReadError> {
    let table = trigger.table();
    let mut snapshot = columns::empty(&trigger.plan, trigger.is_paused());
    snapshot.rows = entries::read(table.hist(), &trigger.plan).map_err(ReadError::Entries)?;
    snapshot.losses = losses(table).map_err(ReadError::Losses)?;
    Ok(snapshot)
}

/// The loss counters, summed over CPUs.
fn losses(table: &Table) -> io::Result<Losses> {
    let map = table.losses();
    let mut value = vec![0; map.value_size];
    if !map.lookup(&0u32.to_ne_bytes(), &mut value)? {
        return Err(io::Error::other("the array has no first element"));
    }
    let mut sums = Vec::new();
    percpu::sums(&value, size_of::<layout::Losses>(), &mut sums);
    Ok(Losses { full: sums[0], busy: sums[1], missed: table.misses()? })
}
