//! Takes a linked [`Object`](crate::link::Object). Gives [`Attached`]: programs that count in the
//! kernel until it is dropped, or until this process ends in whatever way.

mod attach;
pub(crate) mod bpf;
mod error;
mod event;
mod facts;
mod privilege;
mod verifier;

pub use attach::{Attached, AttachedTrigger, attach};
pub use error::LoadError;
pub use event::refuse_unattachable;
pub use facts::Facts;
pub use privilege::missing_capabilities;
pub use verifier::telling_lines;
