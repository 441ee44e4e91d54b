//! Passes what programs log of every event on to the process's logger, and counts how much of it
//! was lost on the way.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::LoadError;
use super::feeder::Feeder;
use crate::sys::bpf;

/// What the programs of an object have logged, and how often they were to.
pub(super) struct ProgramLog {
    reader: EbpfLogger<Arc<Counted>>,
    counted: Arc<Counted>,
    /// All that write into it.
    feeders: Vec<Arc<Feeder>>,
    /// Keeps the kernel counting the programs' runs, each of which logs once.
    _runs: OwnedFd,
}

/// The process's logger, and how many records it has got.
#[derive(Default)]
struct Counted(AtomicU64);

impl Log for Counted {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        log::logger().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        log::logger().log(record);
    }

    fn flush(&self) {
        log::logger().flush();
    }
}

impl ProgramLog {
    /// Begins to read what the programs of `feeders` log, which have not run yet and have one ring
    /// buffer in common; `None` if there are no such programs.
    pub(super) fn open(feeders: Vec<Arc<Feeder>>) -> Result<Option<Self>, LoadError> {
        let Some(first) = feeders.first() else { return Ok(None) };
        let runs = bpf::count_runs().map_err(|error| LoadError::logging(&error))?;
        let id = bpf::program_id(first.program_fd()).map_err(|error| LoadError::logging(&error))?;
        let counted = Arc::new(Counted::default());
        let reader = EbpfLogger::init_from_id_with_logger(id, counted.clone());
        let reader = reader.map_err(|error| LoadError::logging(&error))?;
        Ok(Some(Self { reader, counted, feeders, _runs: runs }))
    }

    /// Passes on what has been logged since the last call.
    pub(super) fn flush(&mut self) {
        self.reader.flush();
    }

    /// How many events are not in the log: there was no room, because it was not read as fast as it
    /// was written. Exact once the programs have been stopped and the log passed on.
    pub(super) fn lost(&self) -> io::Result<u64> {
        let runs = self.feeders.iter().try_fold(0, |sum, feeder| {
            let (_, runs) = bpf::run_stats(feeder.program_fd())?;
            io::Result::Ok(sum + runs)
        })?;
        Ok(runs.saturating_sub(self.counted.0.load(Ordering::Relaxed)))
    }
}
