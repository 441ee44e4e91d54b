//! Counts the events that a classic program never sees because perf drops them.
//!
//! perf drops an event of a tracepoint that occurs inside another handler of its own, before
//! anything counts it. A raw program on the same tracepoint is called all the same. So two small
//! programs keep a balance for each CPU: the raw one adds 1, and a classic one, which is skipped
//! and dropped with the one that counts, takes 1 off. What is left, plus what the raw one itself has
//! missed by the kernel's count, is what was missed for any reason.
//!
//! The two must begin and end between two events, not within one, or what is on its way would be
//! taken for a loss. A handler of an event runs to its end before another task gets the CPU. So the
//! thread that switches the balances goes to each CPU in turn. (It waits there for as long as a
//! real-time task keeps the CPU to itself, which the kernel's throttling bounds unless it is off.)

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};

use aya::maps::MapData;
use hist_common::sentinel::{Balance, MAP_BALANCE};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::maps::OpenMaps;
use super::outside::{Outside, missing};
use super::source::{EventSource as _, RawTracepoint, Tracepoint};
use super::{LoadError, locked, maps};
use crate::kernel::cpus;
use crate::link::{Fixed, MapDef, Program, fixed_programs, named_program};
use crate::plan::map::{MapId, Role};
use crate::sys::bpf;
use crate::sys::mmap::SharedWords;

/// The program on the raw tracepoint, which adds one.
const CALLED: &str = "watch_called";
/// The program on the classic one, which takes one off.
const RAN: &str = "watch_ran";
/// What they count in.
const BALANCES: MapId = MapId::shared(Role::Balance);
/// A balance of 0 while it counts; 0 itself means that it does not.
const EVEN: u64 = 1 << 63;
/// How often it is tried to begin while the raw program misses nothing.
const TRIES: usize = 5;

/// The two programs, loaded. All triggers on one tracepoint share them: the kernel takes few classic
/// programs there.
pub(super) struct Sentinel {
    /// The tracepoint's name.
    tracepoint: String,
    event_id: u32,
    called: OwnedFd,
    ran: OwnedFd,
    cells: SharedWords,
    /// What the array lives by.
    _array: MapData,
    running: Mutex<Option<Running>>,
}

/// The two programs while they count. Dropping it detaches them.
struct Running {
    /// How many triggers are watched.
    users: usize,
    /// What the kernel had counted of the raw program's misses when the balances began.
    before: u64,
    /// The raw one goes first: without the other it counts nothing any more.
    _called: OwnedFd,
    _ran: OwnedFd,
}

/// One trigger that is watched.
pub(super) struct Watching {
    sentinel: Arc<Sentinel>,
    /// What had been missed when it began.
    base: i64,
}

/// What was missed, and why that may not be all, if so.
pub(super) struct Missed {
    pub(super) events: u64,
    pub(super) problem: Option<io::Error>,
}

/// Those that there are, by the event's number.
static SENTINELS: Mutex<BTreeMap<u32, Weak<Sentinel>>> = Mutex::new(BTreeMap::new());

impl Sentinel {
    /// That of a tracepoint and the event of the same name, loaded unless it is there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn of(tracepoint: &str, event_id: u32) -> Result<Arc<Self>, LoadError> {
        let mut sentinels = locked(&SENTINELS);
        if let Some(sentinel) = sentinels.get(&event_id).and_then(Weak::upgrade) {
            return Ok(sentinel);
        }
        let sentinel = Arc::new(Self::load(tracepoint, event_id)?);
        sentinels.retain(|_, sentinel| sentinel.strong_count() > 0);
        sentinels.insert(event_id, Arc::downgrade(&sentinel));
        Ok(sentinel)
    }

    fn load(tracepoint: &str, event_id: u32) -> Result<Self, LoadError> {
        let cpus = cpus::listed(Path::new(cpus::POSSIBLE), Some(cpus::count()?))?;
        let programs = fixed_programs(Fixed::Sentinel)?;
        let called = named_program(&programs, CALLED)?;
        let def = called.maps.iter().find(|def| def.id == BALANCES);
        let def = def.ok_or_else(|| missing(MAP_BALANCE))?;
        let array = maps::create(&MapDef { max_entries: cpus, ..def.clone() })?;
        let failed = |source| LoadError::Map { name: MAP_BALANCE.to_owned(), source };
        let cells = SharedWords::map(array.fd().as_fd(), cpus as usize, size_of::<Balance>());
        let cells = cells.map_err(failed)?;
        let balances =
            |outside: Outside<'_>| (outside == Outside::Map(BALANCES)).then(|| array.fd().as_fd());
        let load = |program: &Program, kind| {
            OpenMaps::default().load(program, (kind, tracepoint), balances)
        };
        let called = load(called, RawTracepoint::TYPE)?;
        let ran = load(named_program(&programs, RAN)?, Tracepoint::TYPE)?;
        let tracepoint = tracepoint.to_owned();
        let running = Mutex::default();
        Ok(Self { tracepoint, event_id, called, ran, cells, _array: array, running })
    }

    /// Watches one more trigger from now on.
    ///
    /// # Errors
    /// If they cannot be attached, or this process may not run on some CPU.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Watching, LoadError> {
        let mut running = locked(&self.running);
        let base = match &mut *running {
            None => {
                *running = Some(self.start()?);
                0
            }
            Some(running) => {
                let (balance, reached) = self.each_cell(|cell| balance(cell.load(Relaxed)));
                reached.map_err(LoadError::Affinity)?;
                let misses = self.misses_since(running.before).map_err(LoadError::Affinity)?;
                running.users += 1;
                balance.saturating_add_unsigned(misses)
            }
        };
        Ok(Watching { sentinel: self.clone(), base })
    }

    fn start(&self) -> Result<Running, LoadError> {
        let name = self.tracepoint.as_str();
        let (classic, raw) = (Tracepoint::of_ours(name, self.event_id), RawTracepoint::new(name));
        // In this order, the classic one runs first at each event, and a balance that is read
        // meanwhile is one too low and never one too high.
        let _ran =
            classic.open(self.ran.as_fd()).map_err(|source| classic.refused(name, source))?;
        let failed = |source| raw.refused(name, source);
        let _called = raw.open(self.called.as_fd()).map_err(failed)?;
        let mut before = self.raw_misses().map_err(failed)?;
        for _ in 0..TRIES {
            let (_, reached) = self.each_cell(|cell| balance(cell.swap(EVEN, Relaxed)));
            reached.map_err(LoadError::Affinity)?;
            // What the raw one missed between two CPUs' beginnings is not known to belong to either.
            let after = self.raw_misses().map_err(failed)?;
            if after == before {
                break;
            }
            before = after;
        }
        Ok(Running { users: 1, before, _called, _ran })
    }

    fn balance(&self) -> i64 {
        self.cells.iter().map(|cell| balance(cell.load(Relaxed))).sum()
    }

    fn misses_since(&self, before: u64) -> io::Result<u64> {
        Ok(self.raw_misses()?.saturating_sub(before))
    }

    fn raw_misses(&self) -> io::Result<u64> {
        bpf::recursion_misses(self.called.as_fd())
    }

    /// Does something with every CPU's word, on that CPU, and where that cannot be from outside. Gives
    /// the sum of what came of it, and whether all CPUs could be reached.
    fn each_cell(&self, visit: impl Fn(&AtomicU64) -> i64) -> (i64, io::Result<()>) {
        let home = sched_getaffinity(None);
        let (mut sum, mut reached) = (0, Ok(()));
        for (cpu, cell) in self.cells.iter().enumerate() {
            reached = reached.and(reach(cpu));
            sum += visit(cell);
        }
        let back = home.and_then(|home| sched_setaffinity(None, &home));
        (sum, reached.and(back.map_err(io::Error::from)))
    }
}

impl Watching {
    /// Watches the trigger no more. Gives what was missed since it began. Where this process may no
    /// longer run on some CPU, what is on its way there makes a difference of one.
    pub(super) fn end(self) -> Missed {
        let Self { sentinel, base } = self;
        let mut running = locked(&sentinel.running);
        let is_last = running.as_ref().is_none_or(|running| running.users == 1);
        let (balance, reached) = sentinel.each_cell(|cell| match is_last {
            true => balance(cell.swap(0, Relaxed)),
            false => balance(cell.load(Relaxed)),
        });
        let misses = match &mut *running {
            Some(running) => {
                running.users -= 1;
                sentinel.misses_since(running.before)
            }
            None => Ok(0),
        };
        if is_last {
            *running = None;
        }
        let (misses, problem) = match misses {
            Ok(misses) => (misses, reached.err()),
            Err(error) => (0, Some(error)),
        };
        Missed { events: sum(balance - base, misses), problem }
    }

    /// How many events were missed since it began; what is on its way may make it too low for a moment.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(super) fn missed(&self) -> io::Result<u64> {
        let sentinel = &self.sentinel;
        let before = locked(&sentinel.running).as_ref().map_or(0, |running| running.before);
        Ok(sum(sentinel.balance() - self.base, sentinel.misses_since(before)?))
    }
}

/// Goes to that CPU, unless it is off: no event occurs there then.
fn reach(cpu: usize) -> io::Result<()> {
    match cpus::move_to(cpu) {
        Err(error) if is_online(cpu)? => Err(error),
        _ => Ok(()),
    }
}

fn is_online(cpu: usize) -> io::Result<bool> {
    let online = aya::util::online_cpus().map_err(|(_, error)| error)?;
    Ok(online.iter().any(|number| *number as usize == cpu))
}

const fn balance(word: u64) -> i64 {
    if word == 0 { 0 } else { word.wrapping_sub(EVEN).cast_signed() }
}

fn sum(balance: i64, misses: u64) -> u64 {
    u64::try_from(balance.saturating_add_unsigned(misses)).unwrap_or(0)
}
