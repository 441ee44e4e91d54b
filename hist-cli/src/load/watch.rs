//! Decides which programs watch processes, and on which events they do so.

use hist_common::focus::Facts;

use crate::kernel::EventName;
use crate::kernel::error::EventError;
use crate::kernel::tracefs::Tracefs;

/// A program that keeps the set of followed processes up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// The armed process executes.
    Exec,
    /// A process of the set forks.
    Fork,
    /// A process of the set exits.
    Exit,
}

impl Watch {
    /// Its event, whose tracepoint has the same name.
    pub(super) fn event(self) -> EventName {
        match self {
            Self::Exec => EventName::new("sched", "sched_process_exec"),
            Self::Fork => EventName::new("task", "task_newtask"),
            Self::Exit => EventName::new("sched", "sched_process_exit"),
        }
    }

    /// The program's name, on the classic event or on the raw tracepoint.
    pub(super) const fn program(self, is_classic: bool) -> &'static str {
        match self {
            Self::Exec => "focus_exec",
            Self::Fork if is_classic => "focus_fork",
            Self::Fork => "focus_fork_raw",
            Self::Exit => "focus_exit",
        }
    }
}

/// The classic events of the programs that watch processes. Where raw programs can be preempted, the
/// kernel would skip one while another task is inside it, and that task's child would not be followed.
///
/// Where what is counted is one of these events, what lets a process in must run before what counts. All
/// classic programs of an event run where perf's handler stands among the raw ones, and it may stand
/// there already, for another process's sake: then a raw program would come too late for a classic one.
/// Of classic ones the first attached runs first.
#[derive(Clone, Copy, Debug)]
pub struct WatchedEvents {
    exec: u32,
    fork: u32,
    /// `None`: a raw program, which comes after every classic one that is attached before it.
    exit: Option<u32>,
    /// Where the record of a fork has the new task's number and the flags of clone(2) (bytes from its
    /// start); `None` if it has not both.
    record: Option<(u32, u32)>,
}

impl WatchedEvents {
    /// Those that `tracefs` describes.
    ///
    /// # Errors
    /// If one is not there or cannot be read.
    pub fn find(tracefs: &Tracefs) -> Result<Self, EventError> {
        let event = |watch: Watch| tracefs.event(&watch.event());
        let (exec, fork, exit) = (event(Watch::Exec)?, event(Watch::Fork)?, event(Watch::Exit)?);
        let offset = |name| fork.field(name).map(|field| field.offset);
        let record = offset("pid").zip(offset("clone_flags"));
        Ok(Self { exec: exec.id, fork: fork.id, exit: Some(exit.id), record })
    }

    /// The same, for those alone that let processes in.
    #[must_use]
    pub fn of_entries(self) -> Self {
        Self { exit: None, ..self }
    }

    /// A process enters the set when that event occurs.
    #[must_use]
    pub fn lets_in(event: &EventName) -> bool {
        [Watch::Exec, Watch::Fork].iter().any(|watch| watch.event() == *event)
    }

    /// The event's number, unless its record does not have what the program needs.
    pub(super) fn number(&self, watch: Watch) -> Option<u32> {
        match watch {
            Watch::Exec => Some(self.exec),
            Watch::Exit => self.exit,
            Watch::Fork => self.record.map(|_| self.fork),
        }
    }

    /// The same facts, with what the record of a fork has.
    pub(super) fn complete(&self, facts: Facts) -> Facts {
        let (pid, clone_flags) = self.record.unwrap_or_default();
        Facts { record_pid: pid.into(), record_clone_flags: clone_flags.into(), ..facts }
    }
}
