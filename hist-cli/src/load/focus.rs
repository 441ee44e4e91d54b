//! Takes a focus. Gives the maps that its programs look into, and the programs that keep the set of
//! its processes up to date while others count.
//!
//! The order matters: first [`open`](LiveFocus::open), then attach what counts, then
//! [`settle`](LiveFocus::settle), then name processes. So on a tracepoint that both use, the
//! one that lets a process in runs before what counts, and the one that takes it out after.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::PoisonError;

use aya::maps::MapData;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::bpf::{self, RawMap};
use super::program::{self, ProgramType};
use super::{LoadError, maps};
use crate::btf::{Btf, BtfError};
use crate::codegen::CodegenError;
use crate::codegen::code::HoleCode;
use crate::codegen::insn::{INSN_SIZE, Insn};
use crate::codegen::watch::{Surroundings, Watch, watch};
use crate::link::MapDef;
use crate::plan::focus::{
    FOCUS_STATE_SIZE, Focus, FocusMap, Processes, STATE_ARMED, STATE_FULL, TaskOffsets,
};

/// This process's pid namespace.
const NAMESPACE: &str = "/proc/self/ns/pid";

/// Why a focus cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    /// Following processes takes the kernel's types.
    #[error(
        "cannot follow processes: {0}; without that, -p counts single processes, and \
         --system-wide everything"
    )]
    Types(#[from] BtfError),
    /// The kernel's types are others.
    #[error("cannot follow processes: this kernel's task_struct is not known")]
    OtherTypes,
    /// The kernel refuses.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Our defect.
    #[error("internal error: {0}")]
    Codegen(#[from] CodegenError),
    /// A map cannot be read or written.
    #[error("cannot {what}: {source}")]
    Map {
        /// What was tried.
        what: &'static str,
        /// What bpf(2) said.
        source: io::Error,
    },
    /// The process is gone.
    #[error("process {0} has ended")]
    Ended(u32),
    /// It is not known which pid namespace this is.
    #[error("cannot read {NAMESPACE}: {0}")]
    Namespace(io::Error),
}

/// A focus that programs look into. Dropping it stops following processes.
pub struct LiveFocus {
    processes: Option<Set>,
    cgroup: Option<MapData>,
    /// Those that are named in the programs themselves.
    these: Vec<OwnedFd>,
}

/// The processes that are followed.
struct Set {
    pids: MapData,
    state: MapData,
    around: Surroundings,
    /// The programs and what attaches them.
    watching: Mutex<Vec<(OwnedFd, OwnedFd)>>,
}

impl LiveFocus {
    /// Opens what the focus takes. `capacity` is how many processes can be followed at a time, as a
    /// rule [`PROCESSES_MAX`](crate::plan::focus::PROCESSES_MAX).
    ///
    /// # Errors
    /// If a process has ended, the kernel refuses, or its types are not known.
    pub fn open(
        focus: &Focus,
        cgroup: Option<&File>,
        btf: &Btf,
        capacity: u32,
    ) -> Result<Self, FocusError> {
        let processes = match focus.processes {
            Processes::Set(_) => Some(Set::open(btf, capacity)?),
            _ => None,
        };
        let these = match &focus.processes {
            Processes::These(pids) => pids.iter().copied().map(handle).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        Ok(Self { processes, cgroup: cgroup.map(cgroup_map).transpose()?, these })
    }

    /// Everything that counts is attached: from now on processes leave the set when they exit.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn settle(&self) -> Result<(), FocusError> {
        self.processes.as_ref().map_or(Ok(()), |set| set.watch(Watch::Exit))
    }

    /// The map of that name.
    pub(super) fn map(&self, name: &str) -> Option<BorrowedFd<'_>> {
        let set = self.processes.as_ref().map(|set| &set.pids);
        let maps = [(FocusMap::Processes, set), (FocusMap::Cgroup, self.cgroup.as_ref())];
        let (_, map) = maps.into_iter().find(|(map, _)| map.name() == name)?;
        Some(map?.fd().as_fd())
    }

    /// Puts a process into the set. What it has forked before is not followed by that.
    ///
    /// # Errors
    /// If it has ended, or the set is full.
    pub fn add(&self, pid: u32) -> Result<(), FocusError> {
        let Some(set) = &self.processes else { return Ok(()) };
        let handle = handle(pid)?;
        let failed = |source| FocusError::Map { what: "follow a process", source };
        set.raw_pids().update(&pid.to_ne_bytes(), &1u32.to_ne_bytes()).map_err(failed)?;
        // It may have left before it entered.
        if has_ended(&handle) {
            set.raw_pids().delete(&pid.to_ne_bytes()).map_err(failed)?;
            return Err(FocusError::Ended(pid));
        }
        Ok(())
    }

    /// Lets a process enter the set when it next executes a program. The pid is as this process's
    /// own pid namespace has it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn arm(&self, pid: u32) -> Result<(), FocusError> {
        let Some(set) = &self.processes else { return Ok(()) };
        let mut state = [0; FOCUS_STATE_SIZE as usize];
        state[STATE_ARMED as usize..][..4].copy_from_slice(&pid.to_ne_bytes());
        let failed = |source| FocusError::Map { what: "wait for the command", source };
        set.raw_state().update(&0u32.to_ne_bytes(), &state).map_err(failed)
    }

    /// Only some processes are counted.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.processes.is_some() || !self.these.is_empty()
    }

    /// The processes are limited, and none of them is left.
    ///
    /// # Errors
    /// If the set cannot be read.
    pub fn is_over(&self) -> Result<bool, FocusError> {
        if let Some(set) = &self.processes {
            let failed = |source| FocusError::Map { what: "read the processes", source };
            return Ok(!set.raw_pids().next_key(None, &mut [0; 4]).map_err(failed)?);
        }
        Ok(self.is_limited() && self.these.iter().all(has_ended))
    }

    /// How many processes could not be followed: there was no room for them, or the kernel skipped
    /// the program that watches. Each of the latter may also have been of no interest.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn lost(&self) -> Result<u64, FocusError> {
        let Some(set) = &self.processes else { return Ok(0) };
        let failed = |source| FocusError::Map { what: "read what was not followed", source };
        let mut state = [0; FOCUS_STATE_SIZE as usize];
        set.raw_state().lookup(&0u32.to_ne_bytes(), &mut state).map_err(failed)?;
        let mut full = [0; 8];
        full.copy_from_slice(&state[STATE_FULL as usize..][..8]);
        let watching = set.watching.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = watching.iter().map(|(program, _)| bpf::recursion_misses(program.as_fd()));
        let missed = missed.sum::<io::Result<u64>>().map_err(failed)?;
        Ok(u64::from_ne_bytes(full) + missed)
    }
}

impl Set {
    fn open(btf: &Btf, capacity: u32) -> Result<Self, FocusError> {
        let around = Surroundings {
            offsets: TaskOffsets::find(btf)?.ok_or(FocusError::OtherTypes)?,
            namespace: namespace().map_err(FocusError::Namespace)?,
        };
        let of = MapDef::of_focus;
        let set = Self {
            pids: maps::create(&MapDef { max_entries: capacity, ..of(FocusMap::Processes) })?,
            state: maps::create(&of(FocusMap::State))?,
            around,
            watching: Mutex::default(),
        };
        set.watch(Watch::Exec)?;
        set.watch(Watch::Fork)?;
        Ok(set)
    }

    /// Attaches one more program that keeps the set up to date.
    fn watch(&self, which: Watch) -> Result<(), FocusError> {
        let code = watch(which, &self.around)?;
        let insns = self.resolve(&code);
        let event = which.tracepoint();
        let how = (ProgramType::RawTracepoint, c"Dual MIT/GPL");
        let program = program::load_insns(which.name(), &insns, how, event)?;
        let link = CString::new(event)
            .map_err(io::Error::from)
            .and_then(|name| bpf::open_raw_tracepoint(Some(&name), program.as_fd()))
            .map_err(|source| LoadError::Attach { event: event.to_owned(), source })?;
        self.watching.lock().unwrap_or_else(PoisonError::into_inner).push((program, link));
        Ok(())
    }

    /// The program's bytes with maps in the places of their names.
    fn resolve(&self, code: &HoleCode) -> Vec<[u8; INSN_SIZE]> {
        let mut insns: Vec<_> = code.lines.iter().map(|line| line.insn).collect();
        for (line, map) in &code.map_uses {
            let map = if *map == FocusMap::State { &self.state } else { &self.pids };
            insns[*line] = Insn { imm: map.fd().as_fd().as_raw_fd(), ..insns[*line] };
        }
        insns.into_iter().map(Insn::encode).collect()
    }

    fn raw_pids(&self) -> RawMap<'_> {
        RawMap { fd: self.pids.fd().as_fd(), key_size: 4, value_size: 4 }
    }

    fn raw_state(&self) -> RawMap<'_> {
        let value_size = FOCUS_STATE_SIZE as usize;
        RawMap { fd: self.state.fd().as_fd(), key_size: 4, value_size }
    }
}

/// An array of that one cgroup.
fn cgroup_map(cgroup: &File) -> Result<MapData, FocusError> {
    let map = maps::create(&MapDef::of_focus(FocusMap::Cgroup))?;
    let fd = cgroup.as_raw_fd().to_ne_bytes();
    let raw = RawMap { fd: map.fd().as_fd(), key_size: 4, value_size: 4 };
    raw.update(&0u32.to_ne_bytes(), &fd)
        .map_err(|source| FocusError::Map { what: "look into the cgroup", source })?;
    Ok(map)
}

/// A handle on a process, which no other process can get.
fn handle(pid: u32) -> Result<OwnedFd, FocusError> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(FocusError::Ended(pid))?;
    pidfd_open(raw, PidfdFlags::empty()).map_err(|_| FocusError::Ended(pid))
}

/// All threads of the process have exited.
fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// The device, as the kernel has it, and the inode of this process's pid namespace.
fn namespace() -> io::Result<(u64, u64)> {
    /// `MINORBITS` in Linux include/linux/kdev_t.h
    const MINOR_BITS: u32 = 20;
    let metadata = fs::metadata(NAMESPACE)?;
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok((u64::from(major) << MINOR_BITS | u64::from(minor), metadata.ino()))
}
