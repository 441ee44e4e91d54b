//! Takes a linked [`Object`](crate::link::Object). Gives [`Attached`]: programs that count in the
//! kernel until it is dropped, or until this process ends in whatever way.

mod attach;
mod barrier;
pub(crate) mod bpf;
mod cause;
mod control;
mod cpus;
mod error;
mod event;
mod facts;
mod features;
mod feeder;
mod focus;
mod gate;
mod log;
pub(crate) mod mapping;
mod maps;
mod misses;
mod perf;
mod privilege;
mod program;
pub mod rights;
mod sentinel;
mod signal;
mod table;
mod turns;
mod valve;
mod verifier;
pub(crate) mod walk;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use attach::{Attached, AttachedTrigger, Feeds, RunStats, attach, attach_to, attach_within};
pub use barrier::{Barrier, wait_for_programs};
pub use cause::of_files;
pub use control::{ControlError, Stopper};
pub use cpus::parse as parse_cpus;
pub use error::LoadError;
pub use event::refuse_unattachable;
pub use facts::{Facts, release};
pub use features::{Features, Found};
pub use focus::{FocusError, LiveFocus, WatchedEvents, started, tells_births};
pub use gate::{Gate, hold};
pub use misses::{INSIDE_PERF, Uncounted, counts_all_misses};
pub use privilege::missing_capabilities;
pub use signal::survive_file_size_limit;
pub use table::Table;
pub use turns::attach_renewable;
pub use verifier::telling_lines;

/// The lock of something that is whole at any time, whatever panicked while it was held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
