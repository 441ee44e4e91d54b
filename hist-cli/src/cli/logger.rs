//! Writes log records to stderr, in blocks: most come from programs that log every event.

use std::fmt::Write as _;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::output::say;

/// Lines that are kept before they are written, in bytes.
const KEPT: usize = 64 * 1024;

/// Keeps lines until they are [passed on](pass_on). A line that is written at once may be an event itself, such
/// as a system call: the log of that event would be written, and so on without end.
struct Stderr {
    lines: Mutex<String>,
}

impl Stderr {
    fn lines(&self) -> MutexGuard<'_, String> {
        // Text is whole whatever panicked while it was locked.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What aya itself has to say below a warning is for who works on aya.
        let is_wanted = metadata.level() <= Level::Warn || !metadata.target().starts_with("aya");
        is_wanted && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut lines = self.lines();
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}", record.args());
        let is_urgent = record.level() <= Level::Warn || lines.len() >= KEPT;
        drop(lines);
        if is_urgent {
            pass_on();
        }
    }

    /// Nothing: aya-log calls it after every record.
    fn flush(&self) {}
}

/// Writes the lines that have been kept.
pub(super) fn pass_on() {
    let lines = mem::take(&mut *STDERR.lines());
    if !lines.is_empty() {
        say(lines.trim_end_matches('\n'));
    }
}

static STDERR: Stderr = Stderr { lines: Mutex::new(String::new()) };

/// Starts logging; `verbose` 2 shows what the eBPF programs log.
pub(super) fn start(verbose: u8) {
    log::set_max_level(if verbose >= 2 { LevelFilter::Debug } else { LevelFilter::Warn });
    // Only a second call can fail, and there is one.
    let first = log::set_logger(&STDERR).is_ok();
    debug_assert!(first);
}
