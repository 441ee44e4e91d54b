//! Says whether the kernel may leave out events of a classic tracepoint without counting them, and
//! what is done about it.
//!
//! A classic program runs inside a handler of perf's, and perf handles one tracepoint at a time per
//! CPU and level (task, soft interrupt, interrupt, NMI): an event that occurs inside such a handler
//! at its own level is dropped before anything counts it (`perf_swevent_get_recursion_context()`
//! in Linux kernel/events/core.c). So it is with a page fault that another classic program takes.

use super::Attach;
use super::access::arguments::rows::has_preemption_off;
use crate::kernel::preemption::Preemption;
use crate::resolve::hist::Hist;

/// What is known of events that perf's recursion guard drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// No events are dropped: raw programs are not called through perf, and some events never occur inside
    /// a handler.
    Harmless,
    /// They are counted as missed, by a [sentinel](crate::load) beside the program.
    Watched,
    /// Nothing counts them.
    Unwatched,
    /// Nothing can count them: the kernel may preempt a sentinel, and then skips it.
    Unwatchable,
}

/// Whose losses are counted although the kernel does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Only of events that are known to occur inside handlers.
    #[default]
    Usual,
    /// Of all events that may occur inside handlers.
    Nested,
    /// Of all events: this kernel does not even count what it skips for other reasons.
    All,
}

/// What [`Guard::Watched`] means, for people.
pub const SENTINEL: &str = "two small programs beside it count the events that occur inside another perf handler and are dropped";

/// Systems whose events other programs cause by what they do themselves: a read of memory that is
/// not there, a map's lock that another CPU holds.
const CAUSED_BY_PROGRAMS: [&str; 2] = ["exceptions", "lock"];

/// Events that never occur inside a handler, which makes no system call, forks, executes and exits
/// nothing, and does not sleep.
const NEVER_NESTED: [(&str, &str); 4] = [
    ("sched", "sched_switch"),
    ("sched", "sched_process_fork"),
    ("sched", "sched_process_exec"),
    ("sched", "sched_process_exit"),
];

/// What is to be done for a program of `hist` that is attached that way.
pub(super) fn guard(hist: &Hist, attach: &Attach, proof: Proof, preemption: Preemption) -> Guard {
    if !attach.is_called_by_perf() {
        return Guard::Harmless;
    }
    let (system, event) = (hist.event.system.as_str(), hist.event.name.as_str());
    let watched = match preemption.loses(has_preemption_off(&hist.event)) {
        false => Guard::Watched,
        true => Guard::Unwatchable,
    };
    if system != "syscalls" && (proof == Proof::All || CAUSED_BY_PROGRAMS.contains(&system)) {
        return watched;
    }
    if matches!(system, "syscalls" | "raw_syscalls") || NEVER_NESTED.contains(&(system, event)) {
        return Guard::Harmless;
    }
    match proof {
        Proof::Usual => Guard::Unwatched,
        Proof::Nested | Proof::All => watched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Context;
    use crate::kernel::format;
    use crate::pipeline;
    use crate::plan::{AttachWish, Wishes};

    fn guard_of(system: &str, event: &str, proof: Proof) -> Guard {
        guard_on(Preemption::Never, system, event, proof)
    }

    fn guard_on(preemption: Preemption, system: &str, event: &str, proof: Proof) -> Guard {
        let text = format!(
            "name: {event}\nID: 1\nformat:\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
             \tfield:long id;\toffset:8;\tsize:8;\tsigned:1;\n\nprint fmt: \"\"\n"
        );
        let format = format::parse(system, &text).expect("a format");
        let wishes = Wishes { attach: AttachWish::Tracepoint, proof, ..Wishes::default() };
        let context = Context { preemption, ..Context::default() };
        let built = pipeline::plan("hist:keys=id", &format, &context, wishes);
        built.expect("a plan").guard
    }

    #[test]
    fn events_that_programs_cause_are_always_watched() {
        for proof in [Proof::Usual, Proof::Nested, Proof::All] {
            assert_eq!(guard_of("exceptions", "page_fault_kernel", proof), Guard::Watched);
            assert_eq!(guard_of("lock", "contention_begin", proof), Guard::Watched);
        }
    }

    #[test]
    fn losses_that_are_to_be_proven_are_watched_where_they_can_be() {
        let guards = |system, event| {
            [Proof::Usual, Proof::Nested, Proof::All].map(|proof| guard_of(system, event, proof))
        };
        use Guard::{Harmless, Unwatched, Watched};
        assert_eq!(guards("kmem", "kmalloc"), [Unwatched, Watched, Watched]);
        assert_eq!(guards("sched", "sched_switch"), [Harmless, Harmless, Watched]);
        assert_eq!(guards("raw_syscalls", "sys_enter"), [Harmless, Harmless, Watched]);
        // They have no tracepoint of their own for a raw program.
        assert_eq!(guards("syscalls", "sys_enter_openat"), [Harmless, Harmless, Harmless]);
    }

    #[test]
    fn a_sentinel_that_could_be_preempted_proves_nothing() {
        let on = |event| guard_on(Preemption::Preemptible, "exceptions", event, Proof::Nested);
        assert_eq!(on("page_fault_kernel"), Guard::Watched);
        assert_eq!(on("some_other"), Guard::Unwatchable);
        let guard = guard_on(Preemption::Preemptible, "kmem", "kmalloc", Proof::Usual);
        assert_eq!(guard, Guard::Unwatched);
        let guard = guard_on(Preemption::Preemptible, "kmem", "kmalloc", Proof::Nested);
        assert_eq!(guard, Guard::Unwatchable);
    }
}
