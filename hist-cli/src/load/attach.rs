//! Attaches what was [`Built`].
//!
//! aya makes the maps, but its loader does not take part: in 0.14 `EbpfLoader::new()` reads all
//! of the kernel's BTF, whatever it is given. So the programs are loaded straight from the plain data
//! that was built, and the ELF is for those who want the file, and for the test that aya's
//! loader takes it: once that reads BTF only when needed, it can take this folder's place.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::barrier::Barrier;
use super::feeder::Feeder;
use super::focus::LiveFocus;
use super::log::ProgramLog;
use super::maps::OpenMaps;
use super::outside::Outside;
use super::source;
use super::table::Table;
use super::turns::{Programs, Turns};
use super::{Attached, AttachedTrigger, LoadError};
use crate::link::{Object, Program};
use crate::pipeline::Built;
use crate::plan::map::{MapId, Owner};
use crate::plan::{MapPlan, Plan, Template};

/// Which table a trigger feeds.
#[derive(Clone, Default)]
pub enum Feeds {
    /// One of its own.
    #[default]
    New,
    /// That of an earlier trigger of the same call, by index.
    Earlier(usize),
    /// One that others feed already, or have fed.
    Open(Arc<Table>),
}

/// What is there already when programs are attached.
#[derive(Clone, Default)]
pub struct Among<'a> {
    /// Which tables the triggers feed, in their order; each one of its own where nothing is said. A
    /// table that can be renewed is always new.
    pub feeds: Vec<Feeds>,
    /// The maps of a focus. Without it, programs that look into such maps find nothing there.
    pub focus: Option<&'a LiveFocus>,
    /// What waiting for programs takes, for tables that can be renewed; without it they make their own.
    pub barrier: Option<&'a Arc<Barrier>>,
}

/// Loads every program, then attaches every one that is not to begin paused: either all of them
/// count or none. Each gets a table of its own.
///
/// # Errors
/// If the kernel refuses a map, a program or an attachment.
pub fn attach(built: Built) -> Result<Attached, LoadError> {
    attach_among(built, Among::default())
}

/// Does what [`attach`] does, among what is there already.
///
/// # Errors
/// As [`attach`], and if keys or values have another size than those of the table.
pub fn attach_among(built: Built, among: Among<'_>) -> Result<Attached, LoadError> {
    let Built { segments, object, stub } = built;
    let plans: Vec<_> = segments.into_iter().map(|segment| segment.plan).collect();
    if let Some(stub) = stub {
        return attach_renewable(&stub, &object, plans, among);
    }
    if object.programs.len() != plans.len() {
        return Err(LoadError::Internal("as many plans as programs are needed".to_owned()));
    }
    let mut maps = OpenMaps::default();
    let mut loaded: Vec<Loaded> = Vec::new();
    for (index, (program, plan)) in object.programs.iter().zip(plans).enumerate() {
        let feeds = among.feeds.get(index).unwrap_or(&Feeds::New);
        let table = existing(feeds, &plan, &loaded)?;
        let others = Others { loaded: &loaded, focus: among.focus };
        let one = load((&mut maps, &others), program, plan, table)?;
        loaded.push(one);
    }
    let log = open_log(&loaded)?;
    let triggers = loaded.into_iter().map(attach_one).collect::<Result<_, _>>()?;
    Ok(Attached { triggers, log })
}

/// Attaches one trigger whose table can be [renewed](AttachedTrigger::renew): the stub, which enters
/// the first program; the second one counts what that has no room for. It takes twice the memory.
///
/// # Errors
/// If the kernel refuses a map, a program or the attachment.
fn attach_renewable(
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
    let table = turns.current().clone();
    table.join(&feeder);
    if !plan.hist.paused {
        table.resume(&feeder)?;
    }
    let trigger = AttachedTrigger { plan, table, feeder, turns: Some(turns) };
    Ok(Attached { triggers: vec![trigger], log: None })
}

/// A program that could run.
struct Loaded {
    plan: Plan,
    table: Arc<Table>,
    feeder: Arc<Feeder>,
}

/// What programs may use besides what they bring along.
struct Others<'a> {
    /// The earlier triggers, by their numbers.
    loaded: &'a [Loaded],
    focus: Option<&'a LiveFocus>,
}

impl Others<'_> {
    fn fd(&self, outside: Outside<'_>) -> Option<BorrowedFd<'_>> {
        match outside {
            Outside::Map(MapId { owner: Owner::Trigger(number), role }) => {
                self.loaded.get(number)?.table.fd(role)
            }
            _ => self.focus?.fd(outside),
        }
    }
}

/// The table that the trigger is to join, if any.
fn existing(
    feeds: &Feeds,
    plan: &Plan,
    loaded: &[Loaded],
) -> Result<Option<Arc<Table>>, LoadError> {
    let table = match feeds {
        Feeds::New => return Ok(None),
        Feeds::Open(table) => table,
        Feeds::Earlier(index) => match loaded.get(*index) {
            Some(earlier) => &earlier.table,
            None => return Err(LoadError::Internal(format!("no earlier trigger {index}"))),
        },
    };
    let (wanted, found) = (plan.map, table.map);
    let shape = |map: MapPlan| (map.kind, map.key_size, map.value_size);
    if shape(wanted) != shape(found) {
        return Err(LoadError::OtherTable { event: plan.hist.event.to_string(), wanted, found });
    }
    Ok(Some(table.clone()))
}

fn load(
    (maps, others): (&mut OpenMaps, &Others<'_>),
    program: &Program,
    plan: Plan,
    table: Option<Arc<Table>>,
) -> Result<Loaded, LoadError> {
    let joined = |outside: Outside<'_>| match outside {
        Outside::Map(map) if program.own(map.role) == Some(map) => table.as_ref()?.fd(map.role),
        _ => None,
    };
    let elsewhere = |outside: Outside<'_>| joined(outside).or_else(|| others.fd(outside));
    let (event, program_type) =
        (plan.hist.event.to_string(), source::of(&plan.attach).program_type());
    let fd = maps.load(program, (program_type, &event), elsewhere)?;
    let table = match table {
        Some(table) => table,
        None => Arc::new(Table::open(maps, program, &plan)?),
    };
    let feeder = Arc::new(Feeder::new(&plan, fd));
    table.join(&feeder);
    Ok(Loaded { plan, table, feeder })
}

/// A trigger that begins paused is not attached before it is resumed.
fn attach_one(loaded: Loaded) -> Result<AttachedTrigger, LoadError> {
    let Loaded { plan, table, feeder } = loaded;
    if !plan.hist.paused {
        table.resume(&feeder)?;
    }
    Ok(AttachedTrigger { plan, table, feeder, turns: None })
}

/// There is one log for all programs of an object: they share the ring buffer. Those that a session
/// attaches have an object each.
fn open_log(loaded: &[Loaded]) -> Result<Option<ProgramLog>, LoadError> {
    let logs = loaded.iter().filter(|one| one.plan.template == Template::HistLog);
    ProgramLog::open(logs.map(|one| one.feeder.clone()).collect())
}
