//! Takes an attached trigger's maps. Gives a [`Snapshot`].

mod columns;
mod entries;
mod percpu;
pub mod snapshot;
pub mod sort;
pub mod stack;

use std::io;

use hist_common::layout;

use entries::ValueShape;

use crate::load::AttachedTrigger;
use crate::load::bpf::{RawMap, recursion_misses};
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
    let mut snapshot = columns::empty(&trigger.plan, trigger.paused);
    let map = RawMap {
        fd: trigger.hist_fd(),
        key_size: trigger.plan.map.key_size as usize,
        value_size: trigger.plan.map.value_size as usize * trigger.cpus,
    };
    let shape = ValueShape {
        per_cpu: trigger.plan.map.value_size as usize,
        n_sums: trigger.plan.values.len(),
        comm: trigger.plan.comm.map(|offset| offset as usize),
    };
    snapshot.rows = entries::read(map, shape).map_err(ReadError::Entries)?;
    snapshot.losses = losses(trigger).map_err(ReadError::Losses)?;
    Ok(snapshot)
}

/// The loss counters, summed over CPUs.
fn losses(trigger: &AttachedTrigger) -> io::Result<Losses> {
    let per_cpu = size_of::<layout::Losses>();
    let map = RawMap {
        fd: trigger.losses_fd(),
        key_size: size_of::<u32>(),
        value_size: per_cpu * trigger.cpus,
    };
    let mut value = vec![0; map.value_size];
    if !map.lookup(&0u32.to_ne_bytes(), &mut value)? {
        return Err(io::Error::other("the array has no first element"));
    }
    let sums = percpu::sums(&value, per_cpu);
    let missed = recursion_misses(trigger.program_fd())?;
    Ok(Losses { full: sums[0], busy: sums[1], missed })
}
