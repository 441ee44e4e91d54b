//! Takes an [`Object`] and the plans it was linked from. Gives running programs.
//!
//! aya's loader does the work, in this file alone, so that another can take its place.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Array, Map, MapData, MapError};
use aya::programs::{ProgramError, ProgramFd, TracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;

use super::LoadError;
use crate::link::{Object, ProgramNames};
use crate::plan::{Attach, Plan, Template};

/// Programs that count. Dropping it detaches them; so does the end of this process in whatever
/// way, for the kernel holds them by file descriptors only.
pub struct Attached {
    /// One per trigger, in the order of the plans.
    pub triggers: Vec<AttachedTrigger>,
    /// Holds the links.
    _ebpf: Ebpf,
    /// What programs of [`Template::HistLog`] write.
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
}

/// One trigger's program and maps.
pub struct AttachedTrigger {
    /// What it was made from.
    pub plan: Plan,
    /// It counts nothing at present.
    pub paused: bool,
    /// How many CPUs the kernel keeps values for.
    pub cpus: usize,
    hist: MapData,
    losses: MapData,
    program: ProgramFd,
}

impl AttachedTrigger {
    pub(crate) fn hist_fd(&self) -> BorrowedFd<'_> {
        self.hist.fd().as_fd()
    }

    pub(crate) fn losses_fd(&self) -> BorrowedFd<'_> {
        self.losses.fd().as_fd()
    }

    pub(crate) fn program_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

impl Attached {
    /// Passes on what the programs have logged since the last call. Only programs of
    /// [`Template::HistLog`] log anything.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

/// Loads every program, then attaches every one: either all of them count or none.
///
/// # Errors
/// If the kernel refuses a map, a program or an attachment.
pub fn attach(object: &Object, plans: Vec<Plan>) -> Result<Attached, LoadError> {
    let mut ebpf = EbpfLoader::new().load(&object.bytes).map_err(map_error)?;
    let cpus = aya::util::nr_cpus()
        .map_err(|(path, error)| LoadError::Internal(format!("{path}: {error}")))?;
    let names = object.programs.iter().map(|program| &program.names);
    let named: Vec<_> = names.zip(plans).collect();
    for (names, plan) in &named {
        load(&mut ebpf, names, plan)?;
    }
    let logger = start_logger(&mut ebpf, named.iter().map(|(_, plan)| plan))?;
    for (names, plan) in &named {
        attach_one(&mut ebpf, names, plan)?;
    }
    let triggers = named
        .into_iter()
        .map(|(names, plan)| take(&mut ebpf, names, plan, cpus))
        .collect::<Result<_, _>>()?;
    Ok(Attached { triggers, _ebpf: ebpf, logger })
}

fn event_name(plan: &Plan) -> String {
    format!("{}:{}", plan.hist.system, plan.hist.event)
}

fn missing(name: &str) -> LoadError {
    LoadError::Internal(format!("the linked object has no {name}"))
}

fn map_error(error: EbpfError) -> LoadError {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => {
            if io_error.raw_os_error() == Some(libc::ENOSYS) {
                return LoadError::NoBpf;
            }
            LoadError::Map { name, source: io_error }
        }
        error => LoadError::Aya(error),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, names: &ProgramNames) -> Result<&'a mut TracePoint, LoadError> {
    let program = ebpf.program_mut(&names.program).ok_or_else(|| missing(&names.program))?;
    program.try_into().map_err(|error: ProgramError| LoadError::Internal(error.to_string()))
}

fn load(ebpf: &mut Ebpf, names: &ProgramNames, plan: &Plan) -> Result<(), LoadError> {
    program(ebpf, names)?.load().map_err(|error| match error {
        ProgramError::LoadError { io_error, verifier_log } => LoadError::Verifier {
            event: event_name(plan),
            source: io_error,
            log: verifier_log.to_string(),
        },
        error => LoadError::Aya(error.into()),
    })?;
    if plan.hist.paused {
        pause(ebpf, names)?;
    }
    Ok(())
}

/// Sets the flag that the program tests first.
fn pause(ebpf: &mut Ebpf, names: &ProgramNames) -> Result<(), LoadError> {
    let map = ebpf.map_mut(&names.paused).ok_or_else(|| missing(&names.paused))?;
    let mut flag: Array<_, u32> = map.try_into().map_err(EbpfError::from)?;
    flag.set(0, 1, 0).map_err(EbpfError::from)?;
    Ok(())
}

fn attach_one(ebpf: &mut Ebpf, names: &ProgramNames, plan: &Plan) -> Result<(), LoadError> {
    let Attach::Tracepoint { system, event } = &plan.attach;
    let failed = |source| LoadError::Attach { event: event_name(plan), source };
    match program(ebpf, names)?.attach(system, event) {
        Ok(_link) => Ok(()),
        Err(ProgramError::SyscallError(error)) => Err(failed(error.io_error)),
        Err(error) => Err(LoadError::Aya(error.into())),
    }
}

fn take(
    ebpf: &mut Ebpf,
    names: &ProgramNames,
    plan: Plan,
    cpus: usize,
) -> Result<AttachedTrigger, LoadError> {
    let fd = program(ebpf, names)?.fd().and_then(|fd| Ok(fd.try_clone()?));
    Ok(AttachedTrigger {
        paused: plan.hist.paused,
        cpus,
        hist: take_map(ebpf, &names.hist)?,
        losses: take_map(ebpf, &names.losses)?,
        program: fd.map_err(EbpfError::from)?,
        plan,
    })
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<MapData, LoadError> {
    match ebpf.take_map(name) {
        Some(Map::PerCpuHashMap(data) | Map::PerCpuArray(data)) => Ok(data),
        _ => Err(missing(name)),
    }
}

/// One logger reads for all programs of an object: they share the ring buffer.
fn start_logger<'a>(
    ebpf: &mut Ebpf,
    mut plans: impl Iterator<Item = &'a Plan>,
) -> Result<Option<EbpfLogger<&'static dyn log::Log>>, LoadError> {
    if !plans.any(|plan| plan.template == Template::HistLog) {
        return Ok(None);
    }
    EbpfLogger::init_with_logger(ebpf, log::logger())
        .map(Some)
        .map_err(|error| LoadError::Internal(format!("aya-log: {error}")))
}
