//! The ways of attaching a program to what calls it: *event sources*, a file each.
//!
//! The plan's [`Attach`] says where a program belongs, as plain data. What has to be done for that is
//! asked of the [`EventSource`] that [`of`] chooses; nothing else in the loader tells the ways of
//! attaching apart. A new way is a file here with its verbs and its [`Kind`], and a line in [`of`] and
//! [`KINDS`].

mod raw_tracepoint;
mod tracepoint;
mod tracing;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

pub(super) use raw_tracepoint::RawTracepoint;
pub(super) use tracepoint::Tracepoint;
use tracing::Tracing;

use super::LoadError;
use super::program::ProgramType;
use crate::plan::Attach;
use crate::snapshot::stack::Cut;

/// What calls a program: one place, and the verbs of that way of attaching.
pub(super) trait EventSource: Send + Sync {
    /// What is true of all such places.
    fn kind(&self) -> &'static Kind;

    /// What the program is to the kernel.
    fn program_type(&self) -> ProgramType;

    /// Has `program` called from now on, until what is returned is closed.
    ///
    /// # Errors
    /// What the system calls say.
    fn open(&self, program: BorrowedFd<'_>) -> io::Result<OwnedFd>;

    /// What perf knows the place as, which drops events there; `None` if perf has no part in it.
    fn perf_event(&self) -> Option<PerfEvent<'_>> {
        None
    }

    /// Why a program for `event` (`system:event`) is not attached: [`open`](Self::open) has failed.
    fn refused(&self, event: &str, source: io::Error) -> LoadError {
        LoadError::Attach { event: event.to_owned(), source }
    }
}

/// A tracepoint and the event of the same name that perf makes of it.
pub(super) struct PerfEvent<'a> {
    /// The tracepoint's name, without system.
    pub tracepoint: &'a str,
    /// The event's number.
    pub id: u32,
}

/// What one way of attaching is like, wherever it is used.
pub(super) struct Kind {
    /// Whether a kernel of that release (`uname -r`) counts what its programs miss. A release that
    /// does not begin like one is taken for a new one.
    pub counts_misses: fn(release: &str) -> bool,
    /// How the functions begin that lie between the event and the program on a kernel stack.
    pub frames: &'static [&'static str],
}

/// All ways of attaching.
const KINDS: [&Kind; 3] = [&tracepoint::KIND, &raw_tracepoint::KIND, &tracing::KIND];

/// The functions of programs themselves, however they are attached.
const PROGRAM_FRAMES: [&str; 2] = ["bpf_prog_", "bpf_dispatcher_"];

/// The source of what is planned.
pub(super) fn of(attach: &Attach) -> Box<dyn EventSource> {
    match attach {
        Attach::Tracepoint { event, id } => Box::new(Tracepoint::of_event(event, *id)),
        Attach::RawTracepoint { name, btf_id: None } => Box::new(RawTracepoint::new(name)),
        Attach::RawTracepoint { btf_id: Some(id), .. } => Box::new(Tracing(*id)),
    }
}

/// Whether a kernel of that release (`uname -r`) counts what programs miss, however they are attached.
#[must_use]
pub fn counts_all_misses(release: &str) -> bool {
    KINDS.iter().all(|kind| (kind.counts_misses)(release))
}

/// What is to be cut off the stacks that programs see so that `depth` frames of the kernel's own are
/// left. Several sources may feed one table, so the frames of all of them go.
#[must_use]
pub fn stack_cut(depth: usize) -> Cut {
    let sources = KINDS.iter().flat_map(|kind| kind.frames);
    let mut tracing: Vec<_> = PROGRAM_FRAMES.iter().chain(sources).copied().collect();
    tracing.sort_unstable();
    tracing.dedup();
    Cut { tracing, depth }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::EventName;
    use crate::kernel::btf::TypeId;
    use crate::plan::BtfId;

    /// Stacks showed frames of tracing when one of these was left out.
    #[test]
    fn the_frames_of_every_way_of_attaching_are_known() {
        let expected = [
            "__bpf_trace_",
            "__traceiter_",
            "bpf_dispatcher_",
            "bpf_prog_",
            "bpf_trace_run",
            "perf_syscall_",
            "perf_trace_",
            "trace_call_bpf",
        ];
        assert_eq!(stack_cut(31).tracing, expected);
    }

    /// The section is chosen by the plan, the type by the loader: they must say the same. Numbers of
    /// `enum bpf_prog_type` in Linux include/uapi/linux/bpf.h.
    #[test]
    fn what_the_listing_calls_a_program_is_what_it_is_loaded_as() {
        let event = EventName::new("a", "b");
        let raw = |btf_id| Attach::RawTracepoint { name: "b".to_owned(), btf_id };
        for (attach, section, numbers) in [
            (Attach::Tracepoint { event, id: 1 }, "tracepoint", (5, 0, 0)),
            (raw(None), "raw_tp", (17, 0, 0)),
            (raw(Some(BtfId(7 as TypeId))), "tp_btf", (26, 23, 7)),
        ] {
            // Another way of attaching belongs into this list.
            match attach {
                Attach::Tracepoint { .. } | Attach::RawTracepoint { .. } => {}
            }
            let source = of(&attach);
            let is_known = |kind: &&Kind| kind.frames == source.kind().frames;
            assert!(KINDS.iter().any(is_known), "{attach} has no kind");
            let ProgramType { number, attach_type, attach_btf_id } = source.program_type();
            assert_eq!(
                (attach.section(), (number, attach_type, attach_btf_id)),
                (section, numbers)
            );
        }
    }
}
