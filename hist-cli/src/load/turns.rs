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

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aya::maps::MapData;
use hist_common::layout::SPILL_SLOT;

use super::attach::{Among, new_table};
use super::barrier::Barrier;
use super::feeder::Feeder;
use super::focus::LiveFocus;
use super::maps::{OpenMaps, Outside, create, missing};
use super::source;
use super::table::Table;
use super::{Attached, AttachedTrigger, LoadError};
use crate::link::{Object, Program};
use crate::plan::Plan;
use crate::plan::map::Role;
use crate::sys::bpf::RawMap;
use crate::sys::walk::{Fate, Way, walk};

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

/// Attaches one trigger whose table can be [renewed](AttachedTrigger::renew): the stub, which enters
/// the first program; the second one counts what that has no room for. It takes twice the memory.
///
/// # Errors
/// If the kernel refuses a map, a program or the attachment.
pub(super) fn attach(
    stub: &Program,
    object: &Object,
    plans: Vec<Plan>,
    among: Among<'_>,
) -> Result<Attached, LoadError> {
    let ([program, rest], Ok([plan, rest_plan])) =
        (&object.programs[..], <[Plan; 2]>::try_from(plans))
    else {
        return Err(LoadError::Internal("a renewable table takes two plans".to_owned()));
    };
    let barrier = among.barrier.cloned().map_or_else(|| Barrier::new().map(Arc::new), Ok)?;
    let programs = Programs { stub, main: (program, &plan), rest: (rest, rest_plan) };
    let (turns, stub) = Turns::open(programs, barrier, among.focus)?;
    let feeder = Arc::new(Feeder::new(&plan, stub));
    turns.tables[0].join(&feeder);
    let table = turns.tables[0].clone();
    if !plan.hist.paused {
        table.resume(&feeder)?;
    }
    let trigger = AttachedTrigger { plan, table, feeder, turns: Some(turns) };
    Ok(Attached::without_log(trigger))
}

/// What a renewable table takes.
struct Programs<'a> {
    stub: &'a Program,
    main: (&'a Program, &'a Plan),
    rest: (&'a Program, Plan),
}

impl Turns {
    /// Loads all programs, the stub last; the first one is in the slot.
    fn open(
        Programs { stub, main: (program, plan), rest: (rest, rest_plan) }: Programs<'_>,
        barrier: Arc<Barrier>,
        focus: Option<&LiveFocus>,
    ) -> Result<(Self, OwnedFd), LoadError> {
        let event = plan.hist.event.to_string();
        let kind = (source::of(&plan.attach).program_type(), event.as_str());
        let def = program.slots().ok_or_else(|| missing("map of programs"))?;
        let slots = create(def)?;
        let in_slots =
            |outside: Outside<'_>| (outside == Outside::Map(def.id)).then(|| slots.fd().as_fd());
        let elsewhere = |outside: Outside<'_>| in_slots(outside).or_else(|| focus?.fd(outside));
        let mut maps = OpenMaps::default();
        let first = maps.load(program, kind, elsewhere)?;
        let table = Arc::new(new_table(&mut maps, program, plan)?);
        // Constants and scratch space are its own, the loss counters are not.
        let mut maps = OpenMaps::default();
        let own_losses = program.own(Role::Losses).map(Outside::Map);
        let common = |outside: Outside<'_>| {
            let losses = (Some(outside) == own_losses).then(|| table.losses_fd());
            losses.or_else(|| elsewhere(outside))
        };
        let second = maps.load(program, kind, common)?;
        let twin = Arc::new(table.twin(maps.take(program, Role::Hist)?));
        let mut maps = OpenMaps::default();
        let third = maps.load(rest, kind, |_| None)?;
        let rest = (Arc::new(new_table(&mut maps, rest, &rest_plan)?), rest_plan);
        let failed = |source| LoadError::Map { name: def.id.name(), source };
        let stub = OpenMaps::default().load(stub, kind, in_slots)?;
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
