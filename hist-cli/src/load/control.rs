//! Pauses, resumes, clears and stops an [`AttachedTrigger`] while it runs.

use std::io;
use std::sync::Arc;

use super::feeder::Feeder;
use super::turns::Turns;
use super::{AttachedTrigger, Barrier, ControlError, LiveFocus, Table};
use crate::plan::Plan;

/// Ends counting, also of triggers that another thread has at this moment, for reading them, say.
pub struct Stopper {
    /// What lets all of them count, if there is such.
    focus: Option<Arc<LiveFocus>>,
    triggers: Vec<(Arc<Table>, Arc<Feeder>)>,
}

impl Stopper {
    /// For these, which count within that focus.
    pub fn new<'a>(
        focus: Option<Arc<LiveFocus>>,
        triggers: impl Iterator<Item = &'a AttachedTrigger>,
    ) -> Self {
        let parts = |trigger: &AttachedTrigger| (trigger.table.clone(), trigger.feeder.clone());
        Self { focus, triggers: triggers.map(parts).collect() }
    }

    /// Has all of them end with the same event if there is a valve, and detaches them. A program that
    /// runs at this moment may still count its event.
    pub fn stop(&self) {
        if let Some(focus) = self.focus.as_ref().filter(|focus| focus.has_valve()) {
            focus.let_count(false);
            // Nothing is counted until all are detached, so nothing is lost either.
            self.triggers.iter().for_each(|(_, feeder)| feeder.hold_misses());
        }
        self.triggers.iter().for_each(|(table, feeder)| table.pause(feeder));
    }
}

impl AttachedTrigger {
    /// Stops this trigger's counting; others that feed its table go on. A program that runs at
    /// this moment may still count its event. Paused already, it stays so.
    pub fn pause(&self) {
        self.table.pause(&self.feeder);
    }

    /// To be called once the [valve](crate::load::LiveFocus::let_count) is closed: events that are missed
    /// from now on do not count as lost until it is attached again.
    pub fn hold_misses(&self) {
        self.feeder.hold_misses();
    }

    /// Does not count as lost what was missed until now: counting begins only now.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn forget_misses(&self) -> io::Result<()> {
        self.feeder.forget_misses()
    }

    /// Goes on counting into what is there. Events since [`pause`](Self::pause) are not counted,
    /// and they are no losses.
    ///
    /// # Errors
    /// If the program cannot be attached.
    pub fn resume(&self) -> Result<(), ControlError> {
        Ok(self.table.resume(&self.feeder)?)
    }

    /// It counts nothing at present.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        !self.feeder.is_attached()
    }

    /// Removes all entries of the table and zeroes the loss counters, for all triggers that feed
    /// it. Who was paused stays so.
    ///
    /// Nothing is counted from the call to its return, tens of milliseconds as a rule: the
    /// programs are detached and waited for, because an entry must not get a new key while one of
    /// them adds to it. The kernel stops its triggers for that, too. Entries that programs insert
    /// after the return, or that another process adds meanwhile, stay.
    ///
    /// # Errors
    /// If the kernel refuses any of it. The programs go on where that can be done; those that
    /// cannot be attached again [are paused](Self::is_paused).
    pub fn clear(&self) -> Result<(), ControlError> {
        self.clear_with(None)
    }

    /// Does what [`clear`](Self::clear) does, and needs nothing of the kernel to wait with if there is
    /// a barrier.
    ///
    /// # Errors
    /// As [`clear`](Self::clear).
    pub fn clear_with(&self, barrier: Option<&Barrier>) -> Result<(), ControlError> {
        let besides = self.turns.as_ref().map_or(Vec::new(), |turns| turns.besides(&self.table));
        self.table.clear(&self.plan.hist.event.to_string(), &besides, barrier)?;
        self.turns.iter().for_each(Turns::cleared);
        Ok(())
    }

    /// Its table can be renewed.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.turns.is_some()
    }

    /// The table of hits that have found no room, and what it was made from. There if the table can be
    /// renewed.
    pub(crate) fn rest(&self) -> Option<(&Table, &Plan)> {
        self.turns.as_ref().map(Turns::rest)
    }

    /// Has all events from now on counted into an empty table, but for the entries of `seeds` (keys
    /// and values, the latter for all CPUs). Gives `read` the table before, in which nothing
    /// changes any more. None is lost, and none is in both.
    ///
    /// What `read` fails to read is there for the next call, which then swaps nothing.
    ///
    /// # Errors
    /// What bpf(2) or `read` says.
    pub(crate) fn renew<'a, T>(
        &mut self,
        seeds: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        read: impl FnOnce(&Table) -> io::Result<T>,
    ) -> io::Result<T> {
        let turns = self.turns.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        turns.swap(seeds)?;
        self.table = turns.current().clone();
        turns.read_other(read)
    }
}
