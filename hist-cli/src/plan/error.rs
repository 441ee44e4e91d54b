//! What can go wrong in planning.

use super::size::size_text;

/// Why a histogram cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Keys or values are larger than a template's stack allows.
    #[error("the {what} take {size} bytes together; the eBPF program has room for {room}")]
    NoRoom {
        /// `keys` or `values`.
        what: &'static str,
        /// Bytes wanted.
        size: u32,
        /// Bytes there are.
        room: usize,
    },
    /// Large keys have no logging template.
    #[error("keys of {size} bytes together cannot be logged; leave out one -v")]
    NoLog {
        /// Bytes wanted.
        size: u32,
    },
    /// There is not memory enough for all entries.
    #[error(
        "{entries} entries take {} even with one value for all CPUs, and --memory allows {}; {}",
        size_text(*.needed), size_text(*.budget), memory_hint(*.fitting, *.needed)
    )]
    Memory {
        /// What there is, in bytes.
        budget: u64,
        /// How many were asked for.
        entries: u32,
        /// What they take, in bytes.
        needed: u64,
        /// The largest size that fits, if any does.
        fitting: Option<u32>,
    },
    /// A load would lie outside of the record, or in its first 8 bytes, which the kernel hides.
    #[error(
        "`{label}` lies at bytes {start}..{end} of the event's record; \
         a program may read bytes 8..{record_size}"
    )]
    OutsideRecord {
        /// The key, value or filter field.
        label: String,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Length of the record.
        record_size: u32,
    },
    /// A field's size is none that a program can load.
    #[error("`{label}` is {size} bytes long; a number has 1, 2, 4 or 8")]
    FieldSize {
        /// The key, value or filter field.
        label: String,
        /// Bytes.
        size: u32,
    },
    /// A pattern is longer than the automaton that matches it can be.
    #[error("`{label}`: a pattern may have {max} parts, this one has {parts}")]
    PatternTooLong {
        /// The predicate.
        label: String,
        /// Parts there are.
        parts: usize,
        /// Parts there may be.
        max: usize,
    },
    /// The verifier would give up.
    #[error(
        "the filter's patterns are too many or too long: the kernel's verifier would need about \
         {amount} {what}, and gives up after {max}; use fewer, or compare whole strings or \
         beginnings (`~ \"text*\"`)"
    )]
    FilterTooComplex {
        /// What there are too many of.
        what: &'static str,
        /// How many, estimated.
        amount: u64,
        /// How many we dare.
        max: u64,
    },
    /// Only a raw tracepoint is wished, which has no record.
    #[error(
        "{event} cannot be counted on its raw tracepoint: {reasons}; leave out --attach raw, or \
         leave out what needs the record"
    )]
    NeedsRecord {
        /// `system:event`
        event: String,
        /// Field by field.
        reasons: String,
    },
}

/// The way out, if memory does not do.
fn memory_hint(fitting: Option<u32>, needed: u64) -> String {
    let enough = needed.div_ceil(1024);
    match fitting {
        Some(size) => format!("size={size} fits, or use --memory {enough}K"),
        None => format!("no size fits: use --memory {enough}K"),
    }
}
