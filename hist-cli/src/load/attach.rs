//! Attaches what was [`Built`].
//!
//! aya makes the maps, but its loader does not take part: in 0.14 `EbpfLoader::new()` reads all
//! of the kernel's BTF, whatever it is given. So the programs are loaded straight from the plain data
//! that was built, and the ELF is for those who want the file, and for the test that aya's
//! loader takes it: once that reads BTF only when needed, it can take this folder's place.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::LoadError;
use super::barrier::Barrier;
use super::feeder::Feeder;
use super::focus::LiveFocus;
use super::log::ProgramLog;
use super::maps::{OpenMaps, Outside};
use super::source;
use super::table::Table;
use super::turns::{self, Turns};
use crate::kernel::cpus;
use crate::link::Program;
use crate::pipeline::Built;
use crate::plan::map::{MapId, Owner, Role};
use crate::plan::{MapPlan, Plan, Template};
use crate::sys::bpf;

/// Programs that count. Dropping it detaches them; so does the end of this process in whatever
/// way, for the kernel holds them by file descriptors only.
pub struct Attached {
    /// One per trigger, in the order of the plans.
    pub triggers: Vec<AttachedTrigger>,
    /// What programs of [`Template::HistLog`] write.
    log: Option<ProgramLog>,
}

/// One trigger's program, and the table that it feeds. Dropping it detaches this one.
pub struct AttachedTrigger {
    /// What it was made from.
    pub plan: Plan,
    pub(super) table: Arc<Table>,
    pub(super) feeder: Arc<Feeder>,
    /// There if the table can be renewed.
    pub(super) turns: Option<Turns>,
}

impl Drop for AttachedTrigger {
    fn drop(&mut self) {
        // Not while the table is cleared, which attaches again what it has detached.
        self.table.pause(&self.feeder);
        if let Err(error) = self.table.leave(&self.feeder) {
            log::warn!("cannot tell what {} has missed: {error}", self.plan.hist.event);
        }
    }
}

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

impl AttachedTrigger {
    /// The table that it feeds, for others to feed it, too.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How many CPUs the kernel keeps values for.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.table.cpus
    }

    /// The map of entries.
    pub fn hist_fd(&self) -> BorrowedFd<'_> {
        self.table.hist_fd()
    }

    /// The per-CPU array of loss counters.
    pub fn losses_fd(&self) -> BorrowedFd<'_> {
        self.table.losses_fd()
    }

    /// The program.
    pub fn program_fd(&self) -> BorrowedFd<'_> {
        self.feeder.program_fd()
    }

    /// Why events that perf drops are not counted although [that was wanted](crate::plan::Guard), if
    /// so.
    #[must_use]
    pub fn unwatched(&self) -> Option<String> {
        self.feeder.unwatched()
    }

    /// From some moment on, missed events could not be counted: a cpuset may have changed.
    #[must_use]
    pub fn has_lost_track(&self) -> bool {
        self.feeder.lost_track()
    }

    /// What running the program has cost so far.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn run_stats(&self) -> io::Result<RunStats> {
        let (nanoseconds, runs) = bpf::run_stats(self.program_fd())?;
        Ok(RunStats { time: Duration::from_nanos(nanoseconds), runs })
    }
}

/// What a program's runs have cost. The kernel counts only while `kernel.bpf_stats_enabled` is 1
/// or some process has asked for it; else all stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunStats {
    /// Spent in the program, on all CPUs together.
    pub time: Duration,
    /// How often it ran.
    pub runs: u64,
}

impl Attached {
    /// One trigger whose program logs nothing.
    pub(super) fn without_log(trigger: AttachedTrigger) -> Self {
        Self { triggers: vec![trigger], log: None }
    }

    /// Passes on what the programs have logged since the last call. Only programs of
    /// [`Template::HistLog`] log anything.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// How many events should have been logged and were not; exact once all programs have stopped and
    /// the log was passed on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn unlogged(&self) -> io::Result<u64> {
        self.log.as_ref().map_or(Ok(0), ProgramLog::lost)
    }
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
        return turns::attach(&stub, &object, plans, among);
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
        None => Arc::new(new_table(maps, program, &plan)?),
    };
    let feeder = Arc::new(Feeder::new(&plan, fd));
    table.join(&feeder);
    Ok(Loaded { plan, table, feeder })
}

pub(super) fn new_table(
    maps: &mut OpenMaps,
    program: &Program,
    plan: &Plan,
) -> Result<Table, LoadError> {
    let cpus = cpus::count()?;
    let (hist, losses) = (maps.take(program, Role::Hist)?, maps.take(program, Role::Losses)?);
    Ok(Table::new(plan.map, cpus, hist, losses))
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
