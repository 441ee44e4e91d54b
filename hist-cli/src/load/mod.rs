//! Takes a linked [`Object`](crate::link::Object). Gives [`Attached`]: programs that count in the
//! kernel until it is dropped, or until this process ends in whatever way.

mod attach;
mod barrier;
mod control;
mod error;
mod feeder;
mod focus;
mod log;
mod maps;
mod misses;
mod program;
mod sentinel;
mod table;
mod turns;
mod valve;
mod verifier;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use attach::{Attached, AttachedTrigger, Feeds, RunStats, attach, attach_to, attach_within};
pub use barrier::{Barrier, wait_for_programs};
pub use control::{ControlError, Stopper};
pub use error::LoadError;
pub use focus::{FocusError, LiveFocus, WatchedEvents, started, tells_births};
pub use misses::{INSIDE_PERF, Uncounted, counts_all_misses};
pub use table::Table;
pub use turns::attach_renewable;
pub use verifier::telling_lines;

/// The lock of something that is whole at any time, whatever panicked while it was held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
