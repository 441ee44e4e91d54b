//! Takes a linked [`Object`](crate::link::Object). Gives [`Attached`]: programs that count in the
//! kernel until it is dropped, or until this process ends in whatever way.

mod attach;
pub(crate) mod bpf;
mod control;
mod error;
mod event;
mod facts;
mod features;
mod feeder;
mod focus;
mod gate;
pub(crate) mod mapping;
mod maps;
mod misses;
mod perf;
mod privilege;
mod program;
mod table;
mod turns;
mod verifier;
pub(crate) mod walk;

pub use attach::{Attached, AttachedTrigger, Feeds, RunStats, attach, attach_to, attach_within};
pub use bpf::Barrier;
pub use control::ControlError;
pub use error::LoadError;
pub use event::refuse_unattachable;
pub use facts::Facts;
pub use features::{Features, Found};
pub use focus::{FocusError, LiveFocus};
pub use gate::{Gate, hold};
pub use misses::counts_misses;
pub use privilege::missing_capabilities;
pub use table::Table;
pub use turns::attach_renewable;
pub use verifier::telling_lines;
