//! The sizes, names of maps and records that templates and user space share (bytes, little-endian,
//! naturally aligned).

/// Room for the key on a template's stack (bytes): one 256-byte string slot, two numbers and a
/// spare word. Larger keys need a template that builds them in a map.
pub const KEY_ROOM: usize = 280;

/// Room for the key in the map of the template for large keys (bytes): two strings, or a string
/// and a stack.
pub const LARGE_KEY_ROOM: usize = 1024;

/// Return addresses that a stack in a key holds: the 31 that the kernel shows, and the frames of
/// tracing itself that reading drops.
pub const STACK_DEPTH: usize = 34;

/// Room for a new entry's value on a template's stack (bytes): hitcount, two sums, and up to
/// three 16-byte task names.
pub const VALUE_ROOM: usize = 72;

/// Name of the one-entry per-CPU array in which large keys are built.
pub const MAP_SCRATCH: &str = "SCRATCH";
/// Name of the histogram map in a template; link gives each trigger its own.
pub const MAP_HIST: &str = "HIST";
/// Name of the per-CPU array holding one [`Losses`].
pub const MAP_LOSSES: &str = "LOSSES";
/// Name of the array of programs by which a hit that finds no room goes on to another table.
pub const MAP_SPILL: &str = "SPILL";
/// Name of the array of programs that a stub goes on to.
pub const MAP_SLOTS: &str = "SLOTS";
/// Which of those programs counts.
pub const COUNT_SLOT: u32 = 0;
/// Which of those programs counts such hits.
pub const SPILL_SLOT: u32 = 1;

/// Hits that one CPU could not count. Events; monotonic.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// New key, table full: what ftrace calls `Dropped`.
    pub full: u64,
    /// The map refused for another reason, such as its bucket being locked on this CPU.
    pub busy: u64,
}
