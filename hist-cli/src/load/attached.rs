//! Programs that count, and what can be seen of them from outside.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::feeder::Feeder;
use super::log::ProgramLog;
use super::table::Table;
use super::turns::Turns;
use crate::plan::Plan;
use crate::sys::bpf;

/// Programs that count. Dropping it detaches them; so does the end of this process in whatever
/// way, for the kernel holds them by file descriptors only.
pub struct Attached {
    /// One per trigger, in the order of the plans.
    pub triggers: Vec<AttachedTrigger>,
    /// What programs of [`Template::HistLog`](crate::plan::Template::HistLog) write.
    pub(super) log: Option<ProgramLog>,
}

/// One trigger's program, and the table that it feeds. Dropping it detaches this one.
pub struct AttachedTrigger {
    /// What it was made from.
    pub plan: Plan,
    pub(super) table: Arc<Table>,
    pub(super) feeder: Arc<Feeder>,
    /// There if the table can be renewed.
    pub(super) turns: Option<Turns>,
}

impl Drop for AttachedTrigger {
    fn drop(&mut self) {
        // Not while the table is cleared, which attaches again what it has detached.
        self.table.pause(&self.feeder);
        if let Err(error) = self.table.leave(&self.feeder) {
            log::warn!("cannot tell what {} has missed: {error}", self.plan.hist.event);
        }
    }
}

impl AttachedTrigger {
    /// The table that it feeds, for others to feed it, too.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How many CPUs the kernel keeps values for.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.table.cpus
    }

    /// The map of entries.
    pub fn hist_fd(&self) -> BorrowedFd<'_> {
        self.table.hist_fd()
    }

    /// The per-CPU array of loss counters.
    pub fn losses_fd(&self) -> BorrowedFd<'_> {
        self.table.losses_fd()
    }

    /// The program.
    pub fn program_fd(&self) -> BorrowedFd<'_> {
        self.feeder.program_fd()
    }

    /// Why events that perf drops are not counted although [that was wanted](crate::plan::Guard), if
    /// so.
    #[must_use]
    pub fn unwatched(&self) -> Option<String> {
        self.feeder.unwatched()
    }

    /// From some moment on, missed events could not be counted: a cpuset may have changed.
    #[must_use]
    pub fn has_lost_track(&self) -> bool {
        self.feeder.lost_track()
    }

    /// What running the program has cost so far.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn run_stats(&self) -> io::Result<RunStats> {
        let (nanoseconds, runs) = bpf::run_stats(self.program_fd())?;
        Ok(RunStats { time: Duration::from_nanos(nanoseconds), runs })
    }
}

/// What a program's runs have cost. The kernel counts only while `kernel.bpf_stats_enabled` is 1
/// or some process has asked for it; else all stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Spent in the program, on all CPUs together.
    pub time: Duration,
    /// How often it ran.
    pub runs: u64,
}

impl Attached {
    /// Passes on what the programs have logged since the last call. Only programs of
    /// [`Template::HistLog`](crate::plan::Template::HistLog) log anything.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// How many events should have been logged and were not; exact once all programs have stopped and
    /// the log was passed on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn unlogged(&self) -> io::Result<u64> {
        self.log.as_ref().map_or(Ok(0), ProgramLog::lost)
    }
}
