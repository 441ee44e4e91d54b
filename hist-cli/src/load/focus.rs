//! Sets up a focus in the kernel: the maps that programs look into, and the programs that keep the
//! set of its processes up to date while others count.
//!
//! The order matters: first [`open`](LiveFocus::open), then attach what counts, then
//! [`settle`](LiveFocus::settle), then name processes. So on a tracepoint that both use, the
//! one that lets a process in runs before what counts, and the one that takes it out after.

use std::fs::{self, File};
use std::io;
use std::iter;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use hist_common::focus::{FACTS_SYMBOL, Facts, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::maps::OpenMaps;
use super::outside::Outside;
use super::program;
use super::source::{EventSource, RawTracepoint, Tracepoint};
use super::valve::Valve;
use super::watch::{Watch, WatchedEvents};
use super::{LoadError, locked, maps};
use crate::bpf::helper;
use crate::bpf::insn::{Insn, R0, R1, Width};
use crate::kernel::btf::{Btf, BtfError};
use crate::kernel::cause::{Call, explained};
use crate::link::{Fixed, LinkError, MapDef, Program, fixed_programs, named_program};
use crate::plan::focus::{
    BirthOffsets, CLOCK_TICK, Focus, FocusMap, PROCESS_SIZE, PROCESSES_MAX, Processes, TaskOffsets,
};
use crate::plan::map::{MapId, Role};
use crate::sys::bpf::{self, RawMap};

/// This process's pid namespace.
const NAMESPACE: &str = "/proc/self/ns/pid";

/// Why a focus cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    /// Following processes takes the kernel's types.
    #[error(
        "cannot follow processes: {0}; use -p without --follow, or --system-wide to count everything"
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
    Link(#[from] LinkError),
    /// A map cannot be read or written.
    #[error("cannot {what}: {}", explained(Call::Follow, .source))]
    Map {
        /// What was tried.
        what: &'static str,
        /// What bpf(2) said.
        source: io::Error,
    },
    /// The errno's name misleads, so it is left out.
    #[error("{PROCESSES_MAX} processes can be followed at a time, and there are more")]
    Full,
    /// The process is gone.
    #[error("process {0} has ended")]
    Ended(u32),
    /// There is no telling when the process ends.
    #[error("cannot watch process {pid}: {}", explained(Call::Follow, .source))]
    Handle {
        /// Its number.
        pid: u32,
        /// What pidfd_open(2) said.
        source: io::Error,
    },
    /// It is not known which pid namespace this is.
    #[error("cannot read {NAMESPACE}: {0}")]
    Namespace(io::Error),
}

/// A focus that programs look into. Dropping it stops following processes.
pub struct LiveFocus {
    /// The pids that count, if programs do not name them.
    pids: Option<MapData>,
    followed: Option<Followed>,
    cgroup: Option<MapData>,
    /// What lets programs count, if they look at it.
    valve: Option<Valve>,
    /// Those that were named at the start and are not followed, if there are such, without those
    /// that are known to have ended.
    named: Option<Mutex<Vec<Named>>>,
}

/// A process, and a handle that no other one can get.
struct Named {
    pid: u32,
    /// When it started (ns since boot); 0 if that is of no interest.
    start: u64,
    handle: OwnedFd,
}

/// What follows processes.
struct Followed {
    state: MapData,
    /// What programs are attached to instead of raw tracepoints.
    events: Option<WatchedEvents>,
    /// Those that watch, with what they need to know of the kernel.
    programs: Vec<Program>,
    /// The programs' constants, which are the same for all of them.
    constants: Mutex<OpenMaps>,
    watching: Mutex<Vec<Watching>>,
    /// What programs have missed that watch no more.
    missed_before: AtomicU64,
}

/// A program that watches processes. Dropping it detaches it.
struct Watching {
    which: Watch,
    program: OwnedFd,
    _link: OwnedFd,
}

impl LiveFocus {
    /// Opens what the focus takes. `capacity` is how many processes can be followed at a time, as a
    /// rule [`PROCESSES_MAX`](crate::plan::focus::PROCESSES_MAX). The programs that follow them are on
    /// `events`, or on raw tracepoints if those lose nothing.
    ///
    /// # Errors
    /// If a process has ended, the kernel refuses, or its types are not known.
    pub fn open(
        focus: &Focus,
        cgroup: Option<&File>,
        btf: &Btf,
        capacity: u32,
        events: Option<WatchedEvents>,
    ) -> Result<Self, FocusError> {
        let capacity = match &focus.processes {
            Processes::Listed(pids) => u32::try_from(pids.len()).unwrap_or(u32::MAX),
            _ => capacity,
        };
        let in_map = matches!(focus.processes, Processes::Listed(_) | Processes::Set(_));
        let def = MapDef { max_entries: capacity, ..MapDef::of_focus(FocusMap::Processes) };
        let pids = in_map.then(|| maps::create(&def)).transpose()?;
        let (followed, named) = match &focus.processes {
            Processes::All => (None, None),
            Processes::Set(_) => (Some(Followed::new(btf, events)?), None),
            Processes::These(pids) | Processes::Listed(pids) => {
                let ticks = focus.birth.iter().flat_map(|birth| &birth.ticks);
                let ticks = ticks.copied().map(Some).chain(iter::repeat(None));
                let named = pids.iter().zip(ticks);
                let named = named.map(|(pid, ticks)| Named::of_start(*pid, ticks));
                let named = named.collect::<Result<_, _>>()?;
                (None, Some(Mutex::new(named)))
            }
        };
        let cgroup = cgroup.map(cgroup_map).transpose()?;
        let valve = focus.valve.then(Valve::new).transpose()?;
        let focus = Self { pids, followed, cgroup, valve, named };
        focus.watch(Watch::Exec)?;
        focus.watch(Watch::Fork)?;
        Ok(focus)
    }

    /// Everything that counts is attached: processes that were listed enter the set, and those that
    /// are followed leave it from now on when they exit.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn settle(&self) -> Result<(), FocusError> {
        if let (Some(pids), Some(named)) = (self.raw_pids(), &self.named) {
            for Named { pid, start, .. } in locked(named).iter() {
                insert(pids, *pid, *start)?;
            }
        }
        self.watch(Watch::Exit)
    }

    /// All that counts is attached and everything is settled: lets all programs begin with the same
    /// event, or end with the same one. Without a valve, nothing happens.
    pub fn let_count(&self, counts: bool) {
        if let Some(valve) = &self.valve {
            valve.turn(counts);
        }
    }

    /// Programs that are attached count only while [they are let](Self::let_count).
    #[must_use]
    pub const fn has_valve(&self) -> bool {
        self.valve.is_some()
    }

    /// Programs that count have been attached anew, after [`settle`](Self::settle), and so come after
    /// the one that lets processes leave, which would then leave before their exit is counted. That
    /// one is put behind them. Before `settle`, nothing happens.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn settle_again(&self) -> Result<(), FocusError> {
        let Some(followed) = &self.followed else { return Ok(()) };
        let old = locked(&followed.watching).iter().position(|one| one.which == Watch::Exit);
        let Some(old) = old else { return Ok(()) };
        // The new one comes first, for no process may exit unseen. To leave twice does no harm.
        self.watch(Watch::Exit)?;
        let old = locked(&followed.watching).remove(old);
        followed.missed_before.fetch_add(old.missed()?, Ordering::Relaxed);
        Ok(())
    }

    /// What a program may use of it.
    pub(super) fn fd(&self, outside: Outside<'_>) -> Option<BorrowedFd<'_>> {
        let pids = || self.pids.as_ref().map(|map| map.fd().as_fd());
        match outside {
            // To programs it is a section of variables.
            Outside::Data(section) if section == FocusMap::Valve.name() => {
                self.valve.as_ref().map(Valve::fd)
            }
            Outside::Map(MapId { role: Role::Focus(map), .. }) => match map {
                FocusMap::Processes => pids(),
                FocusMap::Cgroup => self.cgroup.as_ref().map(|map| map.fd().as_fd()),
                FocusMap::State => Some(self.followed.as_ref()?.state.fd().as_fd()),
                FocusMap::Valve => None,
            },
            _ => None,
        }
    }

    /// Puts a process into the set of those that are followed. What it has forked before is not
    /// followed by that.
    ///
    /// # Errors
    /// If it has ended, or the set is full.
    pub fn add(&self, pid: u32) -> Result<(), FocusError> {
        let Some(pids) = self.raw_pids() else { return Ok(()) };
        let named = Named::new(pid)?;
        insert(pids, pid, named.start)?;
        // It may have left before it entered.
        if named.has_ended() {
            remove(pids, pid)?;
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
        let Some(followed) = &self.followed else { return Ok(()) };
        let state = State { armed: pid, ..State::default() }.to_bytes();
        let failed = |source| FocusError::Map { what: "wait for the command", source };
        followed.raw_state().update(&0u32.to_ne_bytes(), &state).map_err(failed)
    }

    /// Only some processes are counted.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.followed.is_some() || self.named.is_some()
    }

    /// The processes are limited, and none of them is left.
    ///
    /// # Errors
    /// If the set cannot be read.
    pub fn is_over(&self) -> Result<bool, FocusError> {
        if let Some(named) = &self.named {
            return Ok(locked(named).iter().all(Named::has_ended));
        }
        let Some(pids) = self.raw_pids() else { return Ok(false) };
        let failed = |source| FocusError::Map { what: "read the processes", source };
        Ok(!pids.next_key(None, &mut [0; 4]).map_err(failed)?)
    }

    /// How many processes there are that [`forget_ended`](Self::forget_ended) is needed for.
    #[must_use]
    pub fn listed(&self) -> usize {
        let named = self.named.as_ref().filter(|_| self.pids.is_some());
        named.map_or(0, |named| locked(named).len())
    }

    /// Counts no more what has a pid of one that has ended: it may be another's by now. Gives those
    /// that have ended since the last call. Has to be called now and then while there are
    /// [`Processes::Listed`]: the kernel gives a pid away only after all others have had their turn.
    ///
    /// # Errors
    /// If the set cannot be written.
    pub fn forget_ended(&self) -> Result<Vec<u32>, FocusError> {
        let (Some(pids), Some(named)) = (self.raw_pids(), &self.named) else {
            return Ok(Vec::new());
        };
        let mut named = locked(named);
        let ended: Vec<_> = named.extract_if(.., |named| named.has_ended()).collect();
        ended
            .into_iter()
            .map(|named| {
                remove(pids, named.pid)?;
                Ok(named.pid)
            })
            .collect()
    }

    /// How many processes could not be followed: there was no room for them, or the kernel skipped
    /// the program that watches. Each of the latter may also have been of no interest.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn lost(&self) -> Result<u64, FocusError> {
        let Some(followed) = &self.followed else { return Ok(0) };
        let failed = |source| FocusError::Map { what: "read what was not followed", source };
        let mut state = State::default().to_bytes();
        followed.raw_state().lookup(&0u32.to_ne_bytes(), &mut state).map_err(failed)?;
        let watching = locked(&followed.watching);
        let missed = watching.iter().map(Watching::missed).sum::<Result<u64, _>>()?;
        Ok(State::of_bytes(state).full + missed + followed.missed_before.load(Ordering::Relaxed))
    }

    /// Attaches one more program that keeps the set up to date, if processes are followed.
    fn watch(&self, which: Watch) -> Result<(), FocusError> {
        let Some(followed) = &self.followed else { return Ok(()) };
        let event = &which.event().name;
        let number = followed.events.and_then(|events| events.number(which));
        let source: Box<dyn EventSource> = match number {
            Some(number) => Box::new(Tracepoint::of_ours(event, number)),
            None => Box::new(RawTracepoint::new(event)),
        };
        let program = named_program(&followed.programs, which.program(number.is_some()))?;
        let kind = (source.program_type(), event.as_str());
        let mut constants = locked(&followed.constants);
        let program = constants.load(program, kind, |outside| self.fd(outside))?;
        let link = source.open(program.as_fd()).map_err(|error| source.refused(event, error))?;
        locked(&followed.watching).push(Watching { which, program, _link: link });
        Ok(())
    }

    fn raw_pids(&self) -> Option<RawMap<'_>> {
        let map = self.pids.as_ref()?;
        Some(RawMap { fd: map.fd().as_fd(), key_size: 4, value_size: PROCESS_SIZE as usize })
    }
}

impl Followed {
    fn new(btf: &Btf, events: Option<WatchedEvents>) -> Result<Self, FocusError> {
        let offsets = TaskOffsets::find(btf)?.ok_or(FocusError::OtherTypes)?;
        let (device, inode) = namespace().map_err(FocusError::Namespace)?;
        let facts = Facts {
            namespace_device: device,
            namespace_inode: inode,
            task_tgid: offsets.tgid.into(),
            task_signal: offsets.signal.into(),
            signal_live: offsets.live.into(),
            ..Facts::UNKNOWN
        };
        let facts = events.map_or(facts, |events| events.complete(facts)).to_bytes();
        let mut programs = fixed_programs(Fixed::Focus)?;
        programs.iter_mut().try_for_each(|program| program.set(FACTS_SYMBOL, &facts))?;
        let state = maps::create(&MapDef::of_focus(FocusMap::State))?;
        let (constants, watching) = (Mutex::default(), Mutex::default());
        let missed_before = AtomicU64::new(0);
        Ok(Self { state, events, programs, constants, watching, missed_before })
    }

    fn raw_state(&self) -> RawMap<'_> {
        let value_size = size_of::<State>();
        RawMap { fd: self.state.fd().as_fd(), key_size: 4, value_size }
    }
}

impl Watching {
    fn missed(&self) -> Result<u64, FocusError> {
        let failed = |source| FocusError::Map { what: "read what was not followed", source };
        bpf::recursion_misses(self.program.as_fd()).map_err(failed)
    }
}

impl Named {
    fn new(pid: u32) -> Result<Self, FocusError> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(FocusError::Ended(pid))?;
        let handle = pidfd_open(raw, PidfdFlags::empty()).map_err(|error| match error {
            Errno::SRCH => FocusError::Ended(pid),
            error => FocusError::Handle { pid, source: error.into() },
        })?;
        Ok(Self { pid, start: 0, handle })
    }

    /// The process of that pid that started then, in [`CLOCK_TICK`]s.
    fn of_start(pid: u32, ticks: Option<u64>) -> Result<Self, FocusError> {
        let named = Self::new(pid)?;
        let Some(ticks) = ticks else { return Ok(named) };
        // From the handle's being there on, this is about its process.
        let found = started(pid).map_err(|source| FocusError::Handle { pid, source })?;
        match found == Some(ticks) && !named.has_ended() {
            true => Ok(Self { start: ticks * u64::from(CLOCK_TICK), ..named }),
            false => Err(FocusError::Ended(pid)),
        }
    }

    /// All its threads have exited.
    fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }
}

/// Whether the kernel lets programs find out when the process started that runs: tried by loading one
/// that does. `bpf_get_current_task_btf` came with Linux 5.11. Gives true if this process may load no
/// programs at all.
#[must_use]
pub fn tells_births(offsets: BirthOffsets) -> bool {
    let place = |offset: u32| i16::try_from(offset).ok();
    let (Some(leader), Some(start)) = (place(offsets.group_leader), place(offsets.start_boottime))
    else {
        return false;
    };
    let insns = [
        Insn::call(helper::GET_CURRENT_TASK_BTF),
        Insn::load(Width::Dw, R1, R0, leader),
        Insn::load(Width::Dw, R1, R1, start),
        Insn::mov64_imm(R0, 0),
        Insn::exit(),
    ]
    .map(Insn::encode);
    let text = program::text(Tracepoint::TYPE, "hist_try", &insns, c"Dual MIT/GPL");
    match bpf::load_program(&text, &mut []) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

/// When the process of that pid started, in [`CLOCK_TICK`]s since boot; `None` if there is none.
///
/// # Errors
/// If /proc does not tell.
pub fn started(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        // It may end while it is read.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
            return Ok(None);
        }
        result => result?,
    };
    start_of(&stat).map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The 22nd field of /proc/PID/stat (proc_pid_stat(5)). The second one is the task's name in
/// parentheses, which may hold anything.
fn start_of(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_whitespace().nth(22 - 3)?.parse().ok()
}

fn insert(pids: RawMap<'_>, pid: u32, start: u64) -> Result<(), FocusError> {
    let result = pids.update(&pid.to_ne_bytes(), &start.to_ne_bytes());
    result.map_err(|source| match source.raw_os_error() {
        Some(libc::E2BIG) => FocusError::Full,
        _ => FocusError::Map { what: "follow a process", source },
    })
}

fn remove(pids: RawMap<'_>, pid: u32) -> Result<(), FocusError> {
    let result = pids.delete(&pid.to_ne_bytes());
    result.map(drop).map_err(|source| FocusError::Map { what: "let a process go", source })
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

/// The device, as the kernel has it, and the inode of this process's pid namespace.
fn namespace() -> io::Result<(u64, u64)> {
    /// `MINORBITS` in Linux include/linux/kdev_t.h
    const MINOR_BITS: u32 = 20;
    let metadata = fs::metadata(NAMESPACE)?;
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok((u64::from(major) << MINOR_BITS | u64::from(minor), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use crate::kernel::Facts as Kernel;

    /// Three programs, and each made, filled and froze the same maps again.
    #[test]
    fn programs_that_follow_processes_had_constants_of_their_own() {
        if !needs::root() {
            return;
        }
        let kernel = Kernel::read().expect("the list of CPUs");
        let btf = kernel.context().btf.expect("the kernel's types");
        let focus = Focus { processes: Processes::Set("these".to_owned()), ..Focus::default() };
        let live = LiveFocus::open(&focus, None, btf, 1, None).expect("a focus");
        live.settle().expect("settled");
        let followed = live.followed.as_ref().expect("processes are followed");
        let constants = locked(&followed.constants);
        for which in [Watch::Exec, Watch::Fork, Watch::Exit] {
            let program = named_program(&followed.programs, which.program(false)).expect("whole");
            assert!(!program.data.is_empty());
            for section in &program.data {
                assert!(constants.fd(Outside::Data(&section.name)).is_some(), "{section:?}");
            }
        }
    }

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let rest = (3..=22).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(start_of(format!("12 (a) b) {rest} 23\n").as_bytes()), Some(22));
        assert_eq!(start_of(b"12 (a) S 1"), None);
        assert_eq!(start_of(b""), None);
        let now = started(std::process::id()).expect("it is told");
        assert!(now.is_some_and(|ticks| ticks > 0), "{now:?}");
        assert_eq!(started(1 << 23).expect("none"), None);
    }
}
