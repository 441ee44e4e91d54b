//! Two programs with a table each that take turns at one event, so that a full table can be read
//! and emptied while the other one counts.
//!
//! What is attached is a *stub*, which enters slot 0 of a program array. A swap writes another
//! program to the slot: each event finds one of the two there, so none is lost and none is counted
//! twice. Both programs and both tables are there from the start, for a process that has given up
//! its capabilities can load nothing, and one that is under attack shall not have to.
//!
//! A hit that finds no room goes on to slot 1: a program that counts without the keys that take it.
//!
//! The kernel checks what a program reads of an event's record when it is attached, which these
//! are not. The plan has checked that against the record's size, as the kernel's format file has it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aya::maps::MapData;
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY;
use hist_common::layout::SPILL_SLOT;

use super::attach::{new_table, program_type};
use super::barrier::Barrier;
use super::feeder::Feeder;
use super::focus::LiveFocus;
use super::maps::{OpenMaps, create};
use super::program::{self, ProgramType};
use super::table::Table;
use super::{Attached, AttachedTrigger, LoadError};
use crate::bpf::insn::{Insn, R2, R3, helper};
use crate::link::{MapDef, Object, Program};
use crate::plan::{Plan, Spill};
use crate::sys::bpf::RawMap;
use crate::sys::walk::{Fate, Way, walk};

/// Tail calls go by it.
const PROG_ARRAY: u32 = BPF_MAP_TYPE_PROG_ARRAY as u32;

/// The program that counts now, and the one that can take its place.
pub(super) struct Turns {
    /// Closing it empties it, even while a program uses it: the kernel keeps programs there only for as
    /// long as user space can reach them.
    slots: MapData,
    programs: [OwnedFd; 2],
    tables: [Arc<Table>; 2],
    /// Where hits without room are counted, and by what; the slot keeps the program.
    rest: (Arc<Table>, Plan),
    /// Which of the two counts.
    current: usize,
    /// The other table has counts that nobody has read yet.
    unread: AtomicBool,
    barrier: Arc<Barrier>,
}

/// Attaches one trigger whose table can be [renewed](AttachedTrigger::renew). `object` has the programs
/// of both plans, which look into the maps of the focus if they need some. It takes twice the memory.
///
/// # Errors
/// If the kernel refuses a map, a program or the attachment.
pub fn attach_renewable(
    object: &Object,
    plans: Spill,
    barrier: &Arc<Barrier>,
    focus: Option<&LiveFocus>,
) -> Result<Attached, LoadError> {
    let [program, rest] = &object.programs[..] else {
        return Err(LoadError::Internal("as many plans as programs are needed".to_owned()));
    };
    let Spill { main: plan, rest: rest_plan } = plans;
    let (turns, stub) = Turns::open((program, &plan), (rest, rest_plan), barrier.clone(), focus)?;
    let feeder = Arc::new(Feeder::new(&plan, stub));
    turns.tables[0].join(&feeder);
    let table = turns.tables[0].clone();
    if !plan.hist.paused {
        table.resume(&feeder)?;
    }
    let trigger = AttachedTrigger { plan, table, feeder, turns: Some(turns) };
    Ok(Attached::without_log(trigger))
}

impl Turns {
    /// Loads all programs and what leads to them; the first one is in the slot.
    fn open(
        (program, plan): (&Program, &Plan),
        (rest, rest_plan): (&Program, Plan),
        barrier: Arc<Barrier>,
        focus: Option<&LiveFocus>,
    ) -> Result<(Self, OwnedFd), LoadError> {
        let (event, kind) = (plan.hist.event.to_string(), program_type(plan));
        let slots = slots()?;
        let spill = program.maps.iter().find(|map| map.map_type == PROG_ARRAY);
        let spill = |name: &str| spill.filter(|map| map.name == name).map(|_| slots.fd().as_fd());
        let elsewhere = |name: &str| spill(name).or_else(|| focus?.map(name));
        let mut maps = OpenMaps::default();
        maps.open(program, |name| elsewhere(name).is_some())?;
        let first =
            program::load(program, kind, &event, |name| elsewhere(name).or_else(|| maps.fd(name)))?;
        let table = Arc::new(new_table(&mut maps, program, plan)?);
        // Constants and scratch space are its own, the loss counters are not.
        let mut maps = OpenMaps::default();
        let common = |name: &str| {
            let losses = (name == program.names.losses).then(|| table.losses_fd());
            losses.or_else(|| elsewhere(name))
        };
        maps.open(program, |name| common(name).is_some())?;
        let second =
            program::load(program, kind, &event, |name| common(name).or_else(|| maps.fd(name)))?;
        let twin = Arc::new(table.twin(maps.take(&program.names.hist)?));
        let mut maps = OpenMaps::default();
        maps.open(rest, |_| false)?;
        let third = program::load(rest, kind, &event, |name| maps.fd(name))?;
        let rest = (Arc::new(new_table(&mut maps, rest, &rest_plan)?), rest_plan);
        let failed = |source| LoadError::Map { name: SLOTS.to_owned(), source };
        let stub = stub(slots.fd().as_fd(), program, kind, &event)?;
        let (programs, tables) = ([first, second], [table, twin]);
        let unread = AtomicBool::new(false);
        let turns = Self { slots, programs, tables, rest, current: 0, unread, barrier };
        turns.put(SPILL_SLOT, &third).map_err(failed)?;
        turns.enter(0).map_err(failed)?;
        Ok((turns, stub))
    }

    /// The tables besides `table` that the programs feed.
    pub(super) fn besides(&self, table: &Arc<Table>) -> Vec<&Table> {
        let twins = self.tables.iter().filter(|twin| !Arc::ptr_eq(twin, table));
        twins.chain([&self.rest.0]).map(|table| &**table).collect()
    }

    /// All tables have been emptied.
    pub(super) fn cleared(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    /// From now on events find that one of the programs.
    fn enter(&self, which: usize) -> io::Result<()> {
        self.put(0, &self.programs[which])
    }

    fn put(&self, slot: u32, program: &OwnedFd) -> io::Result<()> {
        let slots = RawMap { fd: self.slots.fd().as_fd(), key_size: 4, value_size: 4 };
        slots.update(&slot.to_ne_bytes(), &program.as_raw_fd().to_ne_bytes())
    }

    /// Has the other program count, into a table that has the `seeds` alone.
    fn swap<'a>(&mut self, seeds: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> io::Result<()> {
        if *self.unread.get_mut() {
            return Ok(());
        }
        let next = 1 - self.current;
        let table = self.tables[next].hist();
        walk(table, (Fate::Go, Way::Best), |_, _| {})?;
        for (key, value) in seeds {
            table.update(key, value)?;
        }
        self.enter(next)?;
        (self.current, *self.unread.get_mut()) = (next, true);
        Ok(())
    }
}

impl AttachedTrigger {
    /// Its table can be renewed.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.turns.is_some()
    }

    /// The table of hits that have found no room, and what it was made from. There if the table can be
    /// renewed.
    pub(crate) fn rest(&self) -> Option<(&Table, &Plan)> {
        self.turns.as_ref().map(|turns| (&*turns.rest.0, &turns.rest.1))
    }

    /// Has all events from now on counted into an empty table, but for the entries of `seeds` (keys
    /// and values, the latter for all CPUs). Gives `read` the table before, in which nothing
    /// changes any more. None is lost, and none is in both.
    ///
    /// What `read` fails to read is there for the next call, which then swaps nothing.
    ///
    /// # Errors
    /// What bpf(2) or `read` says.
    pub(crate) fn renew<'a, T>(
        &mut self,
        seeds: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        read: impl FnOnce(&Table) -> io::Result<T>,
    ) -> io::Result<T> {
        let turns = self.turns.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        turns.swap(seeds)?;
        self.table = turns.tables[turns.current].clone();
        // A program that had been entered before may still count.
        turns.barrier.wait()?;
        let old = read(&turns.tables[1 - turns.current])?;
        *turns.unread.get_mut() = false;
        Ok(old)
    }
}

/// What the map of programs is called.
const SLOTS: &str = "SLOTS";

fn slots() -> Result<MapData, LoadError> {
    create(&MapDef {
        name: SLOTS.to_owned(),
        map_type: PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: SPILL_SLOT + 1,
        map_flags: 0,
    })
}

/// `bpf_tail_call(ctx, slots, 0)`. The program that is entered returns in its place.
fn stub(
    slots: BorrowedFd<'_>,
    program: &Program,
    kind: ProgramType,
    event: &str,
) -> Result<OwnedFd, LoadError> {
    let license = CStr::from_bytes_with_nul(&program.license)
        .map_err(|error| LoadError::Internal(format!("licence: {error}")))?;
    let [low, high] = Insn::ld_map_fd(R2, slots.as_raw_fd());
    let call = Insn::call(helper::TAIL_CALL);
    let insns = [low, high, Insn::mov64_imm(R3, 0), call, Insn::mov64_imm(0, 0), Insn::exit()];
    program::load_insns("hist_stub", &insns.map(Insn::encode), (kind, license), event)
}
