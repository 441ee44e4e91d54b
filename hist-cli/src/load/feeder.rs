//! A loaded program that can be attached to its event source and detached again.
//!
//! A trigger that counts nothing is detached: a flag that the program would have to look at would
//! cost every event that is counted, and every event of a paused trigger the whole way into the
//! program.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::sentinel::{Missed, Sentinel, Watching};
use super::source::{self, EventSource};
use super::{LoadError, locked};
use crate::plan::{Guard, Plan};
use crate::sys::bpf;

/// A loaded program that feeds a table.
pub(super) struct Feeder {
    program: OwnedFd,
    source: Box<dyn EventSource>,
    /// `system:event`
    event: String,
    /// There while the trigger counts.
    link: Mutex<Option<Link>>,
    /// What counts events that perf drops, where that is wanted; or why it cannot.
    sentinel: Option<Result<Arc<Sentinel>, LoadError>>,
    /// Why some misses are not known, since the table was cleared last.
    unknown: Mutex<Option<Unknown>>,
    /// The most that has been missed by any reading: what is on its way makes one too low.
    highest: AtomicU64,
    /// What was missed while the program was attached earlier.
    settled: AtomicU64,
    /// What was missed when the table was cleared last.
    excused: AtomicU64,
    /// What had been missed when counting ended, where that was before the program was detached.
    held: Mutex<Option<u64>>,
}

/// Why some misses are not known.
struct Unknown {
    reason: String,
    /// They were counted until then.
    broke_off: bool,
}

/// A program that is attached.
struct Link {
    /// Closing it detaches the program.
    _program: OwnedFd,
    count: Misses,
}

/// What counts the missed events of one attachment.
enum Misses {
    /// The kernel, which had counted that many before.
    Kernel(u64),
    /// A sentinel.
    Sentinel(Watching),
}

impl Feeder {
    /// A program that is not attached yet, so it counts nothing and misses nothing.
    pub(super) fn new(plan: &Plan, program: OwnedFd) -> Self {
        let source = source::of(&plan.attach);
        let watched = source.perf_event().filter(|_| plan.guard == Guard::Watched);
        let sentinel = watched.map(|event| Sentinel::of(event.tracepoint, event.id));
        Self {
            program,
            source,
            event: plan.hist.event.to_string(),
            link: Mutex::default(),
            sentinel,
            unknown: Mutex::default(),
            highest: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            excused: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    pub(super) fn program_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// What calls the program.
    pub(super) fn source(&self) -> &dyn EventSource {
        &*self.source
    }

    pub(super) fn is_attached(&self) -> bool {
        locked(&self.link).is_some()
    }

    /// Why it is not known of all events whether they were missed although that was wanted, if so.
    pub(super) fn unwatched(&self) -> Option<String> {
        if let Some(Err(error)) = &self.sentinel {
            return Some(error.to_string());
        }
        locked(&self.unknown).as_ref().map(|unknown| unknown.reason.clone())
    }

    /// Some misses are not known, though those before were.
    pub(super) fn lost_track(&self) -> bool {
        locked(&self.unknown).as_ref().is_some_and(|unknown| unknown.broke_off)
    }

    fn not_known(&self, error: &dyn ToString, broke_off: bool) {
        let mut unknown = locked(&self.unknown);
        let broke_off = broke_off || unknown.as_ref().is_some_and(|before| before.broke_off);
        *unknown = Some(Unknown { reason: error.to_string(), broke_off });
    }

    /// Attached already, it stays so.
    pub(super) fn attach(&self) -> Result<(), LoadError> {
        let mut link = locked(&self.link);
        if link.is_none() {
            let failed = |source| self.source.refused(&self.event, source);
            let _program = self.source.open(self.program_fd()).map_err(failed)?;
            *link = Some(Link { _program, count: self.begin().map_err(failed)? });
            *locked(&self.held) = None;
        }
        Ok(())
    }

    /// Begins to count what is missed.
    fn begin(&self) -> io::Result<Misses> {
        if let Some(Ok(sentinel)) = &self.sentinel {
            match sentinel.begin() {
                Ok(watching) => return Ok(Misses::Sentinel(watching)),
                Err(error) => self.not_known(&error, false),
            }
        }
        Ok(Misses::Kernel(self.kernels_misses()?))
    }

    /// No event calls the program any more; where it runs at this moment, it runs to its end.
    pub(super) fn detach(&self) {
        let Some(Link { _program, count }) = locked(&self.link).take() else { return };
        let Missed { events, problem } = match count {
            // It ends first, for it would take what the program no longer sees for missed.
            Misses::Sentinel(watching) => watching.end(),
            Misses::Kernel(before) => {
                drop(_program);
                match self.kernels_misses() {
                    Ok(misses) => Missed { events: misses.saturating_sub(before), problem: None },
                    Err(error) => Missed { events: 0, problem: Some(error) },
                }
            }
        };
        self.settled.fetch_add(events, Ordering::Relaxed);
        if let Some(problem) = problem {
            self.not_known(&problem, true);
        }
    }

    /// Counting has ended, though the program is still attached: what is missed from now on does not
    /// count as lost. Held already, nothing changes.
    pub(super) fn hold_misses(&self) {
        match self.all_missed() {
            Ok(missed) => drop(locked(&self.held).get_or_insert(missed)),
            Err(error) => self.not_known(&error, true),
        }
    }

    /// How many events have passed the program while it was attached, because the kernel would not
    /// nest it, since they were forgotten last.
    pub(super) fn missed(&self) -> io::Result<u64> {
        let held = *locked(&self.held);
        let missed = held.map_or_else(|| self.all_missed(), Ok)?;
        Ok(missed.saturating_sub(self.excused.load(Ordering::Relaxed)))
    }

    pub(super) fn forget_misses(&self) -> io::Result<()> {
        let link = locked(&self.link);
        // What one attachment does not tell is not known before it ends.
        if link.is_none() {
            *locked(&self.unknown) = None;
        }
        drop(link);
        self.excused.store(self.all_missed()?, Ordering::Relaxed);
        Ok(())
    }

    /// Since the program was loaded.
    fn all_missed(&self) -> io::Result<u64> {
        let link = locked(&self.link);
        let now = match link.as_ref().map(|link| &link.count) {
            Some(Misses::Sentinel(watching)) => watching.missed()?,
            Some(Misses::Kernel(before)) => self.kernels_misses()?.saturating_sub(*before),
            None => 0,
        };
        let missed = self.settled.load(Ordering::Relaxed) + now;
        Ok(missed.max(self.highest.fetch_max(missed, Ordering::Relaxed)))
    }

    fn kernels_misses(&self) -> io::Result<u64> {
        bpf::recursion_misses(self.program_fd())
    }
}
