//! Programs on raw tracepoints: the tracepoint calls them with its arguments.

use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{EventSource, Kind};
use crate::load::program::ProgramType;
use crate::sys::bpf;

/// The kernel skips these programs only when they would nest in themselves, and counts that.
pub(super) const KIND: Kind =
    Kind { counts_misses: |_| true, frames: &["__traceiter_", "__bpf_trace_", "bpf_trace_run"] };

/// A tracepoint, by its name without system.
pub(in crate::load) struct RawTracepoint(String);

impl RawTracepoint {
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`; Linux include/uapi/linux/bpf.h.
    pub(in crate::load) const TYPE: ProgramType =
        ProgramType { number: 17, attach_type: 0, attach_btf_id: 0 };

    /// The tracepoint of that name.
    pub(in crate::load) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl EventSource for RawTracepoint {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn program_type(&self) -> ProgramType {
        Self::TYPE
    }

    fn open(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        bpf::open_raw_tracepoint(Some(&CString::new(self.0.as_str())?), program)
    }
}
