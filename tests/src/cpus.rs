//! Says on which CPUs this thread runs.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// From now on this thread, and what it starts, runs on these CPUs only.
///
/// # Errors
/// When none of them is there, or allowed.
pub fn pin(cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut set = CpuSet::new();
    let cpus: Vec<_> = cpus.into_iter().collect();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set).with_context(|| format!("moving to CPU {cpus:?}"))
}

/// The first CPU that this thread may run on.
///
/// # Errors
/// When the kernel does not say.
pub fn first() -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).context("no CPU is allowed")
}

/// Dropped in the same thread, it brings back the CPUs that were allowed when it was made.
#[derive(Debug)]
pub struct Kept(CpuSet);

/// Keeps in mind on which CPUs this thread may run.
///
/// # Errors
/// When the kernel does not say.
pub fn keep() -> Result<Kept> {
    Ok(Kept(sched_getaffinity(None)?))
}

impl Drop for Kept {
    fn drop(&mut self) {
        // They were allowed before. If one has gone since, that is of no concern here.
        let _ = sched_setaffinity(None, &self.0);
    }
}
