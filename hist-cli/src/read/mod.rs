//! Reads the maps of an attached trigger: its entries, and what it has lost.

mod columns;
mod entries;
mod percpu;

use std::io;

use hist_common::layout;

use crate::load::{AttachedTrigger, Table};
use crate::snapshot::counts::HITS;
use crate::snapshot::{Losses, Row, Snapshot};
use crate::sys::walk::{Fate, Way, walk};

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
/// Stacks are still as the program saw them: [`stack::settle`](crate::snapshot::stack::settle) makes them the kernel's.
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

/// Has the trigger count into an empty table from now on, but for the keys of `seeds`, which are there
/// without hits. Gives what was in the one before, unsorted: no hit is in both, and none in neither.
///
/// # Errors
/// If the kernel refuses. What has not been read then is read by the next call.
pub fn renew(trigger: &mut AttachedTrigger, seeds: &[Row]) -> Result<Snapshot, ReadError> {
    let mut snapshot = columns::empty(&trigger.plan, trigger.is_paused());
    let plan = trigger.plan.clone();
    let copies = plan.map.copies(trigger.cpus());
    let values: Vec<_> = seeds.iter().map(|row| entries::unhit(row, &plan, copies)).collect();
    let seeds = seeds.iter().zip(&values).map(|(row, value)| (&row.key[..], &value[..]));
    let read = |table: &Table| Ok((entries::read(table.hist(), &plan)?, losses(table)?));
    (snapshot.rows, snapshot.losses) = trigger.renew(seeds, read).map_err(ReadError::Entries)?;
    Ok(snapshot)
}

/// Reads what the trigger has counted of hits that found no room in its table; nothing if it does not
/// count them. Their keys are the plan's bucket alone, or nothing.
///
/// # Errors
/// If the kernel refuses to give the map's contents.
pub fn rest(trigger: &AttachedTrigger) -> Result<Option<Snapshot>, ReadError> {
    let Some((table, plan)) = trigger.rest() else { return Ok(None) };
    let mut snapshot = columns::empty(plan, trigger.is_paused());
    snapshot.rows = entries::read(table.hist(), plan).map_err(ReadError::Entries)?;
    Ok(Some(snapshot))
}

/// How many entries the trigger's table has, and what has been lost; quicker than a [`snapshot`].
///
/// # Errors
/// If the kernel refuses to give the map's contents.
pub fn fill(trigger: &AttachedTrigger) -> Result<(usize, Losses), ReadError> {
    let mut entries = 0;
    let count = |_: &[u8], _: &[u8]| entries += 1;
    walk(trigger.table().hist(), (Fate::Stay, Way::Best), count).map_err(ReadError::Entries)?;
    Ok((entries, losses(trigger.table()).map_err(ReadError::Losses)?))
}

/// The loss counters, summed over CPUs.
fn losses(table: &Table) -> io::Result<Losses> {
    let map = table.losses();
    let mut value = vec![0; map.value_size];
    if !map.lookup(&0u32.to_ne_bytes(), &mut value)? {
        return Err(io::Error::other("the array has no first element"));
    }
    let mut words = Vec::new();
    percpu::words(&value, size_of::<layout::Losses>(), &[HITS; 2], &mut words);
    Ok(Losses { full: words[0], busy: words[1], missed: table.misses()? })
}
