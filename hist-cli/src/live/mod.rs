//! The live view of a session's histograms on a terminal: [`Reader`] makes [`Sheet`]s, [`State`] is
//! what the user has made of them, [`draw`](mod@draw) puts that into cells, [`Screen`] brings these to the
//! terminal.
//!
//! All but `Reader` and `Screen` is plain data and does no I/O. No byte of a key reaches the
//! terminal as it is: [`text`] sees to it.

pub mod draw;
mod pane;
mod reader;
mod screen;
mod sheet;
mod state;
mod tab;
#[cfg(test)]
mod tests;
pub mod text;
mod tty;

pub use draw::{Look, draw};
pub use reader::{Change, Reader, Reading};
pub use screen::{Keyboard, Screen, Unfit, is_orphaned};
pub use sheet::{Column, Measure, Sheet};
pub use state::{Action, Mode, State};
pub use tab::Tab;
