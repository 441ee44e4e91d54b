//! Puts what was [built](crate::pipeline::Built) into the kernel, where it counts until [`Attached`] is
//! dropped, or until this process ends in whatever way.

mod attach;
mod attached;
mod barrier;
mod control;
mod error;
mod feeder;
mod focus;
mod log;
mod maps;
mod misses;
mod outside;
mod program;
mod sentinel;
mod source;
mod table;
mod turns;
mod valve;
mod verifier;
mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use attach::{Among, Feeds, attach, attach_among};
pub use attached::{Attached, AttachedTrigger, RunStats};
pub use barrier::{Barrier, wait_for_programs};
pub use control::Stopper;
pub use error::{ControlError, LoadError};
pub use focus::{FocusError, LiveFocus, started, tells_births};
pub use misses::{INSIDE_PERF, Uncounted};
pub use source::{counts_all_misses, stack_cut};
pub use table::Table;
pub use verifier::telling_lines;
pub use watch::WatchedEvents;

/// The lock of something that is whole at any time, whatever panicked while it was held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
