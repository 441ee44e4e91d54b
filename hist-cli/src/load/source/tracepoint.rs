//! Programs on classic tracepoints: perf calls them with the event's record.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{EventSource, Kind, PerfEvent};
use crate::kernel::EventName;
use crate::kernel::release::numbers;
use crate::load::LoadError;
use crate::load::program::ProgramType;
use crate::sys::perf;

/// The kernel skips these programs whenever another one of perf's runs on the CPU, and counts that
/// since Linux 6.7 (`trace_call_bpf()` in kernel/trace/bpf_trace.c).
pub(super) const KIND: Kind = Kind {
    counts_misses: |release| numbers(release).is_none_or(|version| version >= (6, 7)),
    frames: &["__traceiter_", "perf_trace_", "perf_syscall_", "trace_call_bpf"],
};

/// A trace event, as perf knows it.
pub(in crate::load) struct Tracepoint {
    /// What errors call it.
    label: String,
    /// The tracepoint's name, without system.
    name: String,
    /// The event's number.
    id: u32,
}

impl Tracepoint {
    /// `BPF_PROG_TYPE_TRACEPOINT`; Linux include/uapi/linux/bpf.h.
    pub(in crate::load) const TYPE: ProgramType =
        ProgramType { number: 5, attach_type: 0, attach_btf_id: 0 };

    /// An event of a trigger.
    pub(super) fn of_event(event: &EventName, id: u32) -> Self {
        Self { label: event.to_string(), name: event.name.clone(), id }
    }

    /// The event `id` of a tracepoint, for a program of ours.
    pub(in crate::load) fn of_ours(name: &str, id: u32) -> Self {
        Self { label: name.to_owned(), name: name.to_owned(), id }
    }
}

impl EventSource for Tracepoint {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn program_type(&self) -> ProgramType {
        Self::TYPE
    }

    fn open(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        perf::attach(self.id, program)
    }

    fn perf_event(&self) -> Option<PerfEvent<'_>> {
        Some(PerfEvent { tracepoint: &self.name, id: self.id })
    }

    /// What is full is this event, which may be another than the trigger's.
    fn refused(&self, event: &str, source: io::Error) -> LoadError {
        match source.raw_os_error() {
            Some(libc::E2BIG) => LoadError::Full { event: self.label.clone() },
            _ => LoadError::Attach { event: event.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event was named whose trigger it is, on which there may be no program at all.
    #[test]
    fn another_event_than_the_full_one_was_named() {
        let place = Tracepoint::of_event(&EventName::new("raw_syscalls", "sys_enter"), 1);
        let full = io::Error::from_raw_os_error(libc::E2BIG);
        let error = place.refused("syscalls:sys_enter_openat", full).to_string();
        assert!(error.starts_with("raw_syscalls:sys_enter cannot be attached: 64 "), "{error}");
        let other = io::Error::from_raw_os_error(libc::ENOMEM);
        let error = place.refused("syscalls:sys_enter_openat", other).to_string();
        assert!(error.starts_with("syscalls:sys_enter_openat cannot be attached: "), "{error}");
    }
}
