//! Takes log records, most of them from programs that log every event. Gives lines on stderr.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts logging; `verbose` 2 shows what the eBPF programs log.
pub(super) fn start(verbose: u8) {
    log::set_max_level(if verbose >= 2 { LevelFilter::Debug } else { LevelFilter::Warn });
    // Only a second call can fail, and there is one.
    let first = log::set_logger(&Stderr).is_ok();
    debug_assert!(first);
}
