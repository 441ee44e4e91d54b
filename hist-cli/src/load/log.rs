//! Takes a loaded program that logs every event. Gives what it logs to the process's logger, and how
//! much of it was lost on the way.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::feeder::Feeder;
use super::{LoadError, bpf};

/// What a program has logged, and how often it was to.
pub(super) struct ProgramLog {
    reader: EbpfLogger<Arc<Counted>>,
    counted: Arc<Counted>,
    feeder: Arc<Feeder>,
    /// Keeps the kernel counting the program's runs, each of which logs once.
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
    /// Begins to read what the program of `feeder` logs, which has not run yet.
    pub(super) fn open(feeder: &Arc<Feeder>) -> Result<Self, LoadError> {
        let runs = bpf::count_runs().map_err(|error| LoadError::logging(&error))?;
        let id =
            bpf::program_id(feeder.program_fd()).map_err(|error| LoadError::logging(&error))?;
        let counted = Arc::new(Counted::default());
        let reader = EbpfLogger::init_from_id_with_logger(id, counted.clone());
        let reader = reader.map_err(|error| LoadError::logging(&error))?;
        Ok(Self { reader, counted, feeder: feeder.clone(), _runs: runs })
    }

    /// Passes on what has been logged since the last call.
    pub(super) fn flush(&mut self) {
        self.reader.flush();
    }

    /// How many events are not in the log: there was no room, because it was not read as fast as it
    /// was written. Exact once the program has been stopped and the log passed on.
    pub(super) fn lost(&self) -> io::Result<u64> {
        let (_, runs) = bpf::run_stats(self.feeder.program_fd())?;
        Ok(runs.saturating_sub(self.counted.0.load(Ordering::Relaxed)))
    }
}
