//! A histogram's maps as a [`Table`], which one or more triggers feed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use aya::maps::MapData;
use hist_common::layout::Losses;

use super::feeder::Feeder;
use super::maps::OpenMaps;
use super::{Barrier, ControlError, LoadError, locked};
use crate::kernel::cpus;
use crate::link::Program;
use crate::plan::map::Role;
use crate::plan::{MapKind, MapPlan, Plan};
use crate::sys::bpf::{self, RawMap};
use crate::sys::walk::{Fate, Way, walk};

/// The entries of a histogram and its loss counters. It lives as long as anyone holds it, also
/// when nothing feeds it any more.
pub struct Table {
    /// Its sizes. A trigger that joins must have the same, the capacity aside.
    pub map: MapPlan,
    /// How many CPUs the kernel keeps values for.
    pub cpus: usize,
    hist: MapData,
    losses: Arc<MapData>,
    /// What feeds it. Who pauses, resumes, clears or joins holds the lock meanwhile.
    feeders: Arc<Mutex<Vec<Weak<Feeder>>>>,
    /// What those that have left it had missed.
    missed_by_others: Arc<AtomicU64>,
}

impl Table {
    /// A table of the maps that are open for `program`; nothing feeds it yet.
    ///
    /// # Errors
    /// If they are not open, or it is not known how many CPUs there may be.
    pub(super) fn open(
        maps: &mut OpenMaps,
        program: &Program,
        plan: &Plan,
    ) -> Result<Self, LoadError> {
        let cpus = cpus::count()?;
        let (hist, losses) = (maps.take(program, Role::Hist)?, maps.take(program, Role::Losses)?);
        Ok(Self::new(plan.map, cpus, hist, losses))
    }

    fn new(map: MapPlan, cpus: usize, hist: MapData, losses: MapData) -> Self {
        Self {
            map,
            cpus,
            hist,
            losses: Arc::new(losses),
            feeders: Arc::default(),
            missed_by_others: Arc::default(),
        }
    }

    /// A table with entries of its own in `hist` that has all else in common with this one: the loss
    /// counters, what feeds it, and the lock that pausing and clearing take.
    pub(super) fn twin(&self, hist: MapData) -> Self {
        let (feeders, missed_by_others) = (self.feeders.clone(), self.missed_by_others.clone());
        let (map, cpus, losses) = (self.map, self.cpus, self.losses.clone());
        Self { map, cpus, hist, losses, feeders, missed_by_others }
    }

    /// Its map for that role, if it has one.
    pub(super) fn fd(&self, role: Role) -> Option<BorrowedFd<'_>> {
        match role {
            Role::Hist => Some(self.hist_fd()),
            Role::Losses => Some(self.losses_fd()),
            _ => None,
        }
    }

    /// The map of entries.
    pub fn hist_fd(&self) -> BorrowedFd<'_> {
        self.hist.fd().as_fd()
    }

    /// The per-CPU array holding one [`Losses`].
    pub fn losses_fd(&self) -> BorrowedFd<'_> {
        self.losses.fd().as_fd()
    }

    /// The map of entries; a value is that of all CPUs, one behind the other if each has one.
    pub(crate) fn hist(&self) -> RawMap<'_> {
        RawMap {
            fd: self.hist_fd(),
            key_size: self.map.key_size as usize,
            value_size: self.map.value_size as usize * self.map.copies(self.cpus),
        }
    }

    /// The loss counters of all CPUs.
    pub(crate) fn losses(&self) -> RawMap<'_> {
        let value_size = size_of::<Losses>() * self.cpus;
        RawMap { fd: self.losses_fd(), key_size: size_of::<u32>(), value_size }
    }

    /// How many events passed the programs that feed it or have fed it, because the kernel would
    /// not nest them, since the table was cleared last.
    pub(crate) fn misses(&self) -> io::Result<u64> {
        let feeders = locked(&self.feeders);
        let others = self.missed_by_others.load(Ordering::Relaxed);
        living(&feeders).iter().try_fold(others, |sum, feeder| Ok(sum + feeder.missed()?))
    }

    /// Counts what `feeder` feeds it as its own, from now on.
    pub(super) fn join(&self, feeder: &Arc<Feeder>) {
        let mut feeders = locked(&self.feeders);
        feeders.retain(|feeder| feeder.strong_count() > 0);
        feeders.push(Arc::downgrade(feeder));
    }

    /// Keeps what `feeder`, which runs no more, has missed.
    pub(super) fn leave(&self, feeder: &Arc<Feeder>) -> io::Result<()> {
        let mut feeders = locked(&self.feeders);
        feeders.retain(|other| other.as_ptr() != Arc::as_ptr(feeder));
        self.missed_by_others.fetch_add(feeder.missed()?, Ordering::Relaxed);
        Ok(())
    }

    /// Has one feeder count from now on.
    pub(super) fn resume(&self, feeder: &Feeder) -> Result<(), LoadError> {
        let _no_clearing_meanwhile = locked(&self.feeders);
        feeder.attach()
    }

    /// Has one feeder count no more.
    pub(super) fn pause(&self, feeder: &Feeder) {
        let _no_clearing_meanwhile = locked(&self.feeders);
        feeder.detach();
    }

    /// Removes every entry and zeroes the loss counters, also of the tables `besides` it that the
    /// same programs feed.
    ///
    /// All programs are detached, and those that run are waited for: one that had looked up an
    /// entry would add to it after another key has got its place.
    pub(super) fn clear(
        &self,
        event: &str,
        besides: &[&Self],
        barrier: Option<&Barrier>,
    ) -> Result<(), ControlError> {
        let feeders = locked(&self.feeders);
        let feeders = living(&feeders);
        let counting: Vec<_> = feeders.iter().filter(|feeder| feeder.is_attached()).collect();
        counting.iter().for_each(|feeder| feeder.detach());
        let cleared = self.clear_stopped((&feeders, besides), barrier);
        // Each of them, whatever has become of the others.
        let attached: Vec<_> = counting.iter().map(|feeder| feeder.attach()).collect();
        cleared.map_err(|source| ControlError::Clear { event: event.to_owned(), source })?;
        attached.into_iter().collect::<Result<_, _>>().map_err(ControlError::Reattach)
    }

    fn clear_stopped(
        &self,
        (feeders, besides): (&[Arc<Feeder>], &[&Self]),
        barrier: Option<&Barrier>,
    ) -> io::Result<()> {
        barrier.map_or_else(bpf::wait_for_programs, Barrier::wait)?;
        self.zero()?;
        besides.iter().try_for_each(|table| table.zero())?;
        self.missed_by_others.store(0, Ordering::Relaxed);
        feeders.iter().try_for_each(|feeder| feeder.forget_misses())
    }

    /// Nothing must feed it meanwhile.
    fn zero(&self) -> io::Result<()> {
        match self.map.kind {
            MapKind::PerCpuArray => zero_all(self.hist(), self.map.max_entries)?,
            MapKind::Hash | MapKind::PerCpuHash => {
                walk(self.hist(), (Fate::Go, Way::Best), |_, _| {})?;
            }
        }
        let losses = self.losses();
        losses.update(&0u32.to_ne_bytes(), &vec![0; losses.value_size])
    }
}

fn living(feeders: &[Weak<Feeder>]) -> Vec<Arc<Feeder>> {
    feeders.iter().filter_map(Weak::upgrade).collect()
}

/// Sets every element of an array to zero; its keys are numbers.
fn zero_all(map: RawMap<'_>, entries: u32) -> io::Result<()> {
    let zero = vec![0; map.value_size];
    (0..entries).try_for_each(|number| map.update(&number.to_ne_bytes(), &zero))
}
