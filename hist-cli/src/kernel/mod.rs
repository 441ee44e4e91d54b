//! What the running kernel says of itself, as plain values: the events and formats of tracefs, symbols,
//! system calls, types, and what it can do for programs.

pub mod attachable;
pub mod btf;
pub mod capabilities;
pub mod cause;
pub mod cpus;
pub mod error;
mod event;
pub mod facts;
pub mod features;
pub mod format;
pub mod lockdown;
pub mod preemption;
pub mod release;
pub mod symbols;
pub mod syscalls;
pub mod tracefs;

use btf::Btf;
use error::SymbolsError;
use preemption::Preemption;
use symbols::SymbolTable;

pub use event::{EventName, EventNameError};
pub use facts::Facts;

/// What takes time to read of the kernel, and not every step needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The list of symbols: resolving a filter with `.function` needs it.
    pub symbols: bool,
    /// The kernel's types: planning to use raw tracepoints needs them.
    pub types: bool,
}

/// What the meaning of a trigger depends on besides the event. What is absent is refused where it
/// is needed.
///
/// All of it is read before, as far as the trigger [needs](Needs) it. The types alone are a handle: their
/// file is open, and each question reads where the answer lies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The kernel's symbols, or why they cannot be had; for filters with `.function`.
    pub symbols: Option<Result<&'a SymbolTable, &'a SymbolsError>>,
    /// One more than the highest number that a CPU can have; for `CPUS{}`.
    pub possible_cpus: Option<u32>,
    /// The kernel's types. Resolving does not need them, but planning does to use raw tracepoints.
    pub btf: Option<&'a Btf>,
    /// Whether programs on raw tracepoints can be preempted. Only planning needs it.
    pub preemption: Preemption,
    /// The first two numbers of its release, if they are known. Only planning needs them.
    pub release: Option<(u32, u32)>,
}

impl Context<'_> {
    /// The same without what says something of this kernel's tracepoints: for formats from
    /// elsewhere, which are another kernel's.
    #[must_use]
    pub fn elsewhere(self) -> Self {
        Self { btf: None, preemption: Preemption::default(), release: None, ..self }
    }
}
