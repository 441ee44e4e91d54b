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

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use aya::maps::MapData;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::mapping::SharedWords;
use super::program::{self, ProgramType};
use super::{LoadError, bpf, cpus, maps, perf};
use crate::codegen::insn::{INSN_SIZE, Insn};
use crate::codegen::sentinel::{Sentinel as Which, sentinel};
use crate::link::MapDef;

/// A cache line for each CPU (bytes).
const STRIDE: u32 = 64;
/// A balance of 0 while it counts; 0 itself means that it does not.
const EVEN: u64 = 1 << 63;
/// How often it is tried to begin while the raw program misses nothing.
const TRIES: usize = 5;

/// The two programs, loaded.
pub(super) struct Sentinel {
    /// The tracepoint's name.
    tracepoint: CString,
    event_id: u32,
    called: OwnedFd,
    ran: OwnedFd,
    cells: SharedWords,
    /// What the array lives by.
    _array: MapData,
}

/// The two programs while they count. Dropping it detaches them.
pub(super) struct Watching {
    /// What the kernel had counted of the raw program's misses when the balances began.
    before: u64,
    /// The raw one goes first: without the other it counts nothing any more.
    _called: OwnedFd,
    _ran: OwnedFd,
}

impl Sentinel {
    /// Loads them for a tracepoint and the event of the same name.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn load(tracepoint: &str, event_id: u32) -> Result<Self, LoadError> {
        let cpus = cpus::listed(Path::new(cpus::POSSIBLE), Some(cpus::count()?))?;
        let def = MapDef {
            name: "watch_balance".to_owned(),
            map_type: BPF_MAP_TYPE_ARRAY as u32,
            key_size: 4,
            value_size: STRIDE,
            max_entries: cpus,
            map_flags: MapDef::MMAPABLE,
        };
        let array = maps::create(&def)?;
        let failed = |source| LoadError::Map { name: def.name.clone(), source };
        let cells =
            SharedWords::map(array.fd().as_fd(), cpus as usize, STRIDE as usize).map_err(failed)?;
        let load =
            |which, program_type| load_one(which, (program_type, tracepoint), array.fd().as_fd());
        let called = load(Which::Called, ProgramType::RawTracepoint)?;
        let ran = load(Which::Ran, ProgramType::Tracepoint)?;
        let tracepoint = CString::new(tracepoint)
            .map_err(|error| LoadError::Internal(format!("a tracepoint's name: {error}")))?;
        Ok(Self { tracepoint, event_id, called, ran, cells, _array: array })
    }

    /// Counts from now on.
    ///
    /// # Errors
    /// If they cannot be attached, or this process may not run on some CPU.
    pub(super) fn begin(&self) -> Result<Watching, LoadError> {
        let failed = |source| LoadError::attaching_to(&self.tracepoint.to_string_lossy(), source);
        // In this order, the classic one runs first at each event, and a balance that is read
        // meanwhile is one too low and never one too high.
        let _ran = perf::attach(self.event_id, self.ran.as_fd()).map_err(failed)?;
        let called = bpf::open_raw_tracepoint(Some(&self.tracepoint), self.called.as_fd());
        let _called = called.map_err(failed)?;
        let mut before = self.raw_misses().map_err(failed)?;
        for _ in 0..TRIES {
            self.set_all(EVEN).map_err(LoadError::Affinity)?;
            // What the raw one missed between two CPUs' beginnings is not known to belong to either.
            let after = self.raw_misses().map_err(failed)?;
            if after == before {
                break;
            }
            before = after;
        }
        Ok(Watching { before, _called, _ran })
    }

    /// Counts no more. Gives how many events were missed since it began.
    ///
    /// # Errors
    /// If the kernel does not tell, or this process may no longer run on some CPU.
    pub(super) fn end(&self, watching: Watching) -> io::Result<u64> {
        let balance = self.set_all(0)?;
        let misses = self.raw_misses()?.saturating_sub(watching.before);
        Ok(sum(balance, misses))
    }

    /// How many events were missed since it began.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(super) fn missed(&self, watching: &Watching) -> io::Result<u64> {
        let balance = self.cells.iter().map(|cell| balance(cell.load(Ordering::Relaxed))).sum();
        Ok(sum(balance, self.raw_misses()?.saturating_sub(watching.before)))
    }

    fn raw_misses(&self) -> io::Result<u64> {
        bpf::recursion_misses(self.called.as_fd())
    }

    /// Sets every CPU's word, on that CPU. Gives the sum of the balances that were there.
    fn set_all(&self, word: u64) -> io::Result<i64> {
        let home = sched_getaffinity(None)?;
        let set = || -> io::Result<i64> {
            let mut sum = 0;
            for (cpu, cell) in self.cells.iter().enumerate() {
                // No event occurs on a CPU that is off.
                if is_online(cpu)?
                    && let Err(error) = cpus::move_to(cpu)
                    && is_online(cpu)?
                {
                    return Err(error);
                }
                sum += balance(cell.swap(word, Ordering::Relaxed));
            }
            Ok(sum)
        };
        let result = set();
        sched_setaffinity(None, &home)?;
        result
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

fn load_one(
    which: Which,
    (program_type, event): (ProgramType, &str),
    array: BorrowedFd<'_>,
) -> Result<OwnedFd, LoadError> {
    /// The same as the templates'.
    const LICENSE: &CStr = c"Dual MIT/GPL";
    let code = sentinel(which, array.as_raw_fd())
        .map_err(|error| LoadError::Internal(error.to_string()))?;
    let insns: Vec<[u8; INSN_SIZE]> =
        code.lines.iter().map(|line| Insn::encode(line.insn)).collect();
    program::load_insns(which.name(), &insns, (program_type, LICENSE), event)
}
