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

use super::LoadError;
use super::barrier::Barrier;
use super::focus::LiveFocus;
use super::maps::{OpenMaps, create};
use super::outside::{Outside, missing};
use super::source;
use super::table::Table;
use crate::link::Program;
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

/// What a renewable table takes.
pub(super) struct Programs<'a> {
    /// What is attached, and enters one of the others.
    pub stub: &'a Program,
    /// What counts, by turns into either table.
    pub main: (&'a Program, &'a Plan),
    /// What counts the hits without room.
    pub rest: (&'a Program, Plan),
}

impl Turns {
    /// Loads all programs, the stub last; the first one is in the slot.
    ///
    /// # Errors
    /// If the kernel refuses a map or a program.
    pub(super) fn open(
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
        let table = Arc::new(Table::open(&mut maps, program, plan)?);
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
        let rest = (Arc::new(Table::open(&mut maps, rest, &rest_plan)?), rest_plan);
        let failed = |source| LoadError::Map { name: def.id.name(), source };
        let stub = OpenMaps::default().load(stub, kind, in_slots)?;
        let (programs, tables) = ([first, second], [table, twin]);
        let unread = AtomicBool::new(false);
        let turns = Self { slots, programs, tables, rest, current: 0, unread, barrier };
        turns.put(SPILL_SLOT, &third).map_err(failed)?;
        turns.enter(0).map_err(failed)?;
        Ok((turns, stub))
    }

    /// The table that is counted into.
    pub(super) fn current(&self) -> &Arc<Table> {
        &self.tables[self.current]
    }

    /// The table of hits without room, and what it was made from.
    pub(super) fn rest(&self) -> (&Table, &Plan) {
        (&self.rest.0, &self.rest.1)
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

    /// Has the other program count, into a table that has the `seeds` alone. Nothing changes while the
    /// other table has counts that nobody has read.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(super) fn swap<'a>(
        &mut self,
        seeds: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> io::Result<()> {
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

    /// Gives `read` the table that was counted into before, once nothing changes in it any more.
    ///
    /// # Errors
    /// What bpf(2) or `read` says; then its counts are still to be read.
    pub(super) fn read_other<T>(
        &mut self,
        read: impl FnOnce(&Table) -> io::Result<T>,
    ) -> io::Result<T> {
        // A program that had been entered before may still count.
        self.barrier.wait()?;
        let old = read(&self.tables[1 - self.current])?;
        *self.unread.get_mut() = false;
        Ok(old)
    }
}
