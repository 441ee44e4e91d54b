//! The type of a focus, whose events are counted at all, whatever the triggers say; and where the
//! kernel's types keep what following processes needs.
//!
//! Whose an event is, is asked of the CPU when it fires, as for `common_pid`: the task that runs
//! there. So an interrupt belongs to whom it interrupts, and `sched_switch` to the one that goes.

use std::fmt;

use hist_common::focus::{MAP_PROCESSES, MAP_STATE, State};

use crate::kernel::btf::{Btf, BtfError, TypeId};

/// Whose events are counted; by default everybody's. All parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// Only what happens on these CPUs: runs from the first to the last one, ascending.
    pub cpus: Option<Vec<(u32, u32)>>,
    /// Only these processes.
    pub processes: Processes,
    /// Only processes in this cgroup or below, as the user calls it.
    pub cgroup: Option<String>,
    /// What distinguishes named processes from later ones with their pids; none where the kernel's types
    /// do not say.
    pub birth: Option<Birth>,
    /// Programs count only while [`FocusMap::Valve`] is open, so that all of them begin and end with
    /// the same event. Not what the user asks for, so it is not shown.
    pub valve: bool,
}

/// What tells a process from another one that gets its pid later: when it started. By that no
/// stranger is counted, not even while the process that forgets pids is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Where the kernel keeps it.
    pub offsets: BirthOffsets,
    /// When each of the processes started, in their order: [`CLOCK_TICK`]s since boot, as
    /// /proc/PID/stat tells.
    pub ticks: Vec<u64>,
}

/// Where the kernel keeps when a process started (bytes from the start of `task_struct`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BirthOffsets {
    /// `task_struct.group_leader`, a pointer to a task: the process's first thread.
    pub group_leader: u32,
    /// `task_struct.start_boottime`, a u64 (ns since boot).
    pub start_boottime: u32,
}

/// What /proc counts time in (ns): a hundredth of a second, `USER_HZ` in Linux
/// include/asm-generic/param.h.
pub const CLOCK_TICK: u32 = 10_000_000;

impl BirthOffsets {
    /// Those of the kernel that `btf` describes; `None` if it has other types.
    ///
    /// # Errors
    /// If there is no BTF or it is damaged.
    pub fn find(btf: &Btf) -> Result<Option<Self>, BtfError> {
        let Some(task) = btf.compound("task_struct")? else { return Ok(None) };
        let leader = offset(btf, task, "group_leader")?;
        // Since Linux 5.5 it has that name.
        let start = offset(btf, task, "start_boottime")?;
        let both = leader.zip(start);
        Ok(both.map(|(group_leader, start_boottime)| Self { group_leader, start_boottime }))
    }
}

/// Which processes, all their threads included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Processes {
    /// All there are.
    #[default]
    All,
    /// These few, by pid (the kernel's tgid, in the initial namespace), for as long as programs
    /// count. So it is for processes whose end ends counting: a pid may become another's.
    These(Vec<u32>),
    /// These few, each in [`FocusMap::Processes`] until it has ended.
    Listed(Vec<u32>),
    /// Those in [`FocusMap::Processes`], which changes while programs count; in words.
    Set(String),
}

/// A map that all programs of a focus share. Whoever loads them has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FocusMap {
    /// A hash whose keys are the pids of processes. A value is when the process started (ns since
    /// boot, a u64); it means nothing but where the focus has a [`Birth`].
    Processes,
    /// An array of one cgroup.
    Cgroup,
    /// An array of one [`State`].
    State,
    /// An array of one element: a byte for each CPU, by number, which is 0 while nothing counts there.
    Valve,
}

/// Bytes of a valve: no Linux has more CPUs (`NR_CPUS_RANGE_END` in Linux arch/x86/Kconfig).
pub const VALVE_SIZE: u32 = 8192;

/// Bytes of what is known of a process.
pub const PROCESS_SIZE: u32 = 8;
/// How many processes can be followed at a time: 1 MiB, and more than a machine has as a rule.
pub const PROCESSES_MAX: u32 = 16384;

impl FocusMap {
    /// The map's name in the kernel and in objects.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => MAP_PROCESSES,
            Self::Cgroup => "FOCUS_CGROUP",
            Self::State => MAP_STATE,
            Self::Valve => ".bss.valve",
        }
    }

    /// Bytes of a key and of a value, and how many there are.
    #[must_use]
    pub const fn sizes(self) -> (u32, u32, u32) {
        match self {
            Self::Processes => (4, PROCESS_SIZE, PROCESSES_MAX),
            Self::Cgroup => (4, 4, 1),
            Self::State => (4, size_of::<State>() as u32, 1),
            Self::Valve => (4, VALVE_SIZE, 1),
        }
    }
}

impl Focus {
    /// Everything is in it.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.cpus.is_none() && matches!(self.processes, Processes::All) && self.cgroup.is_none()
    }
}

impl fmt::Display for Focus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = match &self.processes {
            Processes::All => None,
            Processes::These(pids) | Processes::Listed(pids) => Some(match pids[..] {
                [pid] => format!("process {pid}"),
                _ => format!("processes {}", joined(pids)),
            }),
            Processes::Set(who) => Some(who.clone()),
        };
        let cpus = self.cpus.as_ref().map(|runs| {
            let one = matches!(runs[..], [(first, last)] if first == last);
            let runs: Vec<_> = runs.iter().map(run).collect();
            format!("{} {}", if one { "CPU" } else { "CPUs" }, runs.join(","))
        });
        let cgroup = self.cgroup.as_ref().map(|path| format!("cgroup {path} and below"));
        let parts: Vec<_> = [processes, cgroup, cpus].into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

fn run((first, last): &(u32, u32)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn joined(pids: &[u32]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Runs of numbers, first and last, of ascending ones.
#[must_use]
pub fn runs(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// Where the kernel keeps what following processes takes (bytes from the struct's start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// `task_struct.tgid`, an int: the process's pid.
    pub tgid: u32,
    /// `task_struct.signal`, a pointer.
    pub signal: u32,
    /// `signal_struct.live.counter`, an int: threads that have not begun to exit.
    pub live: u32,
}

impl TaskOffsets {
    /// Those of the kernel that `btf` describes; `None` if it has other types.
    ///
    /// # Errors
    /// If there is no BTF or it is damaged.
    pub fn find(btf: &Btf) -> Result<Option<Self>, BtfError> {
        let (Some(task), Some(signal)) =
            (btf.compound("task_struct")?, btf.compound("signal_struct")?)
        else {
            return Ok(None);
        };
        let (tgid, pointer) = (offset(btf, task, "tgid")?, offset(btf, task, "signal")?);
        // `atomic_t` begins with its only member.
        let live = offset(btf, signal, "live")?;
        let (Some(tgid), Some(signal), Some(live)) = (tgid, pointer, live) else {
            return Ok(None);
        };
        Ok(Some(Self { tgid, signal, live }))
    }
}

fn offset(btf: &Btf, compound: TypeId, name: &str) -> Result<Option<u32>, BtfError> {
    Ok(btf.member(compound, name)?.map(|member| member.bit_offset / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_focus_is_told_in_words() {
        let mut focus = Focus::default();
        assert!(focus.is_all());
        assert_eq!(focus.to_string(), "everything");
        focus.cpus = Some(runs(&[0]));
        assert_eq!(focus.to_string(), "CPU 0");
        focus.cpus = Some(runs(&[0, 1, 2, 5, 7, 8]));
        focus.processes = Processes::These(vec![12, 7]);
        focus.cgroup = Some("/a".to_owned());
        assert!(!focus.is_all());
        assert_eq!(focus.to_string(), "processes 12, 7; cgroup /a and below; CPUs 0-2,5,7-8");
        focus = Focus { processes: Processes::These(vec![12]), ..Focus::default() };
        assert_eq!(focus.to_string(), "process 12");
        focus.processes = Processes::Listed(vec![12, 7]);
        assert_eq!(focus.to_string(), "processes 12, 7");
    }
}
