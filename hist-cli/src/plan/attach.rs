//! How a program gets its events, as plain data, and what of that shows outside of the loader.
//!
//! One thing has one name everywhere: [`AttachWish`] is what the caller asks for, [`Attach`] what the
//! plan chose, and an *event source* (`load/source`, a file for each way of attaching) does it.

use std::fmt;

use crate::kernel::EventName;
use crate::kernel::btf::TypeId;

/// How programs are to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachWish {
    /// By the cheapest way that is known to be right.
    #[default]
    Auto,
    /// To the raw tracepoint, or not at all.
    Raw,
    /// To the classic tracepoint.
    Tracepoint,
}

/// How a program gets its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// As a program of type TRACEPOINT; the context is the record.
    Tracepoint {
        /// The event, which may be another than the trigger's.
        event: EventName,
        /// The event's number, by which the kernel knows it.
        id: u32,
    },
    /// As a program of type RAW_TRACEPOINT; the context is the tracepoint's arguments, 8 bytes
    /// each.
    RawTracepoint {
        /// The tracepoint's name, without system.
        name: String,
        /// By which the kernel's verifier knows the arguments' types, as a program of type TRACING
        /// ("tp_btf"): it may follow pointers.
        btf_id: Option<BtfId>,
    },
}

/// How a program of type TRACING is told its tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfId(pub TypeId);

impl Attach {
    /// The program's context is the event's record.
    #[must_use]
    pub const fn has_record(&self) -> bool {
        matches!(self, Self::Tracepoint { .. })
    }

    /// The program knows its arguments' types, and may follow pointers.
    #[must_use]
    pub const fn is_typed(&self) -> bool {
        matches!(self, Self::RawTracepoint { btf_id: Some(_), .. })
    }

    /// perf calls the program, and drops events that occur inside another handler of its own.
    #[must_use]
    pub const fn is_called_by_perf(&self) -> bool {
        matches!(self, Self::Tracepoint { .. })
    }

    /// The ELF section of such programs, which tells their type, as libbpf and aya have it.
    #[must_use]
    pub const fn section(&self) -> &'static str {
        match self {
            Self::Tracepoint { .. } => "tracepoint",
            Self::RawTracepoint { btf_id: None, .. } => "raw_tp",
            Self::RawTracepoint { btf_id: Some(_), .. } => "tp_btf",
        }
    }

    /// To what it is attached, in a sentence: `the classic tracepoint kmem:kmalloc`.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Tracepoint { event, .. } => format!("the classic tracepoint {event}"),
            Self::RawTracepoint { name, .. } => format!("the raw tracepoint {name}"),
        }
    }
}

/// `raw tracepoint kmalloc, with types`
impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint { event, .. } => write!(f, "tracepoint {event}"),
            Self::RawTracepoint { name, btf_id: None } => write!(f, "raw tracepoint {name}"),
            Self::RawTracepoint { name, btf_id: Some(_) } => {
                write!(f, "raw tracepoint {name}, with types")
            }
        }
    }
}
