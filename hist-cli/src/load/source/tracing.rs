//! Programs on raw tracepoints whose arguments' types the verifier knows ("tp_btf"). The tracepoint is
//! named when the program is loaded.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{EventSource, Kind, raw_tracepoint};
use crate::load::program::ProgramType;
use crate::plan::BtfId;
use crate::sys::bpf;

/// To the kernel these programs run as other raw ones.
pub(super) const KIND: Kind = raw_tracepoint::KIND;

/// The typedef of a tracepoint's function in the kernel's BTF.
pub(super) struct Tracing(pub(super) BtfId);

impl EventSource for Tracing {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn program_type(&self) -> ProgramType {
        /// `BPF_PROG_TYPE_TRACING`; Linux include/uapi/linux/bpf.h.
        const TRACING: u32 = 26;
        /// `BPF_TRACE_RAW_TP` of `enum bpf_attach_type`.
        const TRACE_RAW_TP: u32 = 23;
        let BtfId(attach_btf_id) = self.0;
        ProgramType { number: TRACING, attach_type: TRACE_RAW_TP, attach_btf_id }
    }

    fn open(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        bpf::open_raw_tracepoint(None, program)
    }
}
