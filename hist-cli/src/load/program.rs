//! Loads a linked program, with open maps in the places of their names.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::LoadError;
use super::outside::{Outside, missing};
use crate::bpf::insn::{INSN_SIZE, Insn, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE};
use crate::kernel::cause;
use crate::kernel::lockdown;
use crate::link::{Program, Target};
use crate::sys::bpf::{self, ProgramText};

/// What a program is to the kernel, and where that has to be known when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgramType {
    /// `enum bpf_prog_type`; Linux include/uapi/linux/bpf.h.
    pub(super) number: u32,
    /// `enum bpf_attach_type`; 0 where it does not matter.
    pub(super) attach_type: u32,
    /// The type in the kernel's BTF that it is attached to; 0 for none.
    pub(super) attach_btf_id: u32,
}

/// How often a load is tried that a signal cut short.
const TRIES: usize = 10;
/// What the verifier's log first has room for (bytes). It grows fourfold.
const LOG_SIZE: usize = 64 * 1024;
/// The largest log that every kernel takes (bytes): before 5.2 the bound was `UINT_MAX >> 8`.
const LOG_SIZE_MAX: usize = 16 * 1024 * 1024 - 1;

/// Loads `program`. `map` gives the map of a name; `event` is for errors.
///
/// # Errors
/// If the kernel's verifier refuses it; the error has its log.
pub(super) fn load<'fd>(
    program: &Program,
    program_type: ProgramType,
    event: &str,
    open: impl Fn(Outside<'_>) -> Option<BorrowedFd<'fd>>,
) -> Result<OwnedFd, LoadError> {
    let insns = resolve(program, |outside| open(outside).map(|fd| fd.as_raw_fd()))?;
    let license = CStr::from_bytes_with_nul(&program.license)
        .map_err(|error| LoadError::Internal(format!("licence: {error}")))?;
    load_insns(&program.name, &insns, (program_type, license), event)
}

/// Loads what refers to maps by file descriptor already.
///
/// # Errors
/// As [`load`].
pub(super) fn load_insns(
    name: &str,
    insns: &[[u8; INSN_SIZE]],
    (program_type, license): (ProgramType, &CStr),
    event: &str,
) -> Result<OwnedFd, LoadError> {
    let text = text(program_type, name, insns, license);
    load_text(&text).map_err(|source| refused(&text, source, event.to_owned()))
}

/// What bpf(2) takes.
pub(super) const fn text<'a>(
    program_type: ProgramType,
    name: &'a str,
    insns: &'a [[u8; INSN_SIZE]],
    license: &'a CStr,
) -> ProgramText<'a> {
    let ProgramType { number, attach_type, attach_btf_id } = program_type;
    ProgramText { program_type: number, attach_type, attach_btf_id, name, insns, license }
}

/// The verifier is to blame if it has something to say.
fn refused(text: &ProgramText<'_>, source: io::Error, event: String) -> LoadError {
    if source.raw_os_error() == Some(libc::ENOSYS) {
        return LoadError::NoBpf;
    }
    // A program that reads kernel memory is refused as one that calls what there is not.
    if lockdown::is_confidential() {
        return LoadError::LockedDown;
    }
    let log = if cause::is_lack(&source) { String::new() } else { log(text) };
    match log.is_empty() {
        true => LoadError::Program { event, source },
        false => LoadError::Verifier { event, source, log },
    }
}

/// The program's bytes with descriptors in the places of what it refers to.
fn resolve(
    program: &Program,
    fd: impl Fn(Outside<'_>) -> Option<i32>,
) -> Result<Vec<[u8; INSN_SIZE]>, LoadError> {
    let mut insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
    for reference in &program.references {
        let (outside, src, offset) = match &reference.target {
            Target::Map(map) => (Outside::Map(*map), PSEUDO_MAP_FD, 0),
            Target::Data { section, offset } => (Outside::Data(section), PSEUDO_MAP_VALUE, *offset),
            Target::Hole(hole) => return Err(missing(hole)),
        };
        let Some([low, high]) = insns.get_mut(reference.slot..reference.slot + 2) else {
            return Err(LoadError::Internal(format!("no instruction refers to {outside}")));
        };
        *low = Insn { src, imm: fd(outside).ok_or_else(|| missing(outside))?, ..*low };
        high.imm = offset.cast_signed();
    }
    Ok(insns.into_iter().map(Insn::encode).collect())
}

/// Loads without a log, which makes it quick.
fn load_text(text: &ProgramText<'_>) -> io::Result<OwnedFd> {
    match with_retries(|| bpf::load_program(text, &mut [])) {
        // Before 5.11 it may be the limit on locked memory; aya raises it for maps only.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            let unlimited = Rlimit { current: None, maximum: None };
            match setrlimit(Resource::Memlock, unlimited) {
                Ok(()) => with_retries(|| bpf::load_program(text, &mut [])),
                // The first error tells more.
                Err(_) => Err(error),
            }
        }
        result => result,
    }
}

/// The verifier gives up when a signal is pending.
fn with_retries<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let is_signal =
        |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR));
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if is_signal(&error) => {}
            result => return result,
        }
    }
    attempt()
}

/// What the verifier says of a program that it has refused; empty if it did not get to it.
fn log(text: &ProgramText<'_>) -> String {
    let mut size = LOG_SIZE;
    loop {
        let mut log = vec![0; size];
        let is_cut = match with_retries(|| bpf::load_program(text, &mut log)) {
            // It is refused whatever comes of a second try.
            Ok(_) => false,
            Err(error) => error.raw_os_error() == Some(libc::ENOSPC),
        };
        if !is_cut || size == LOG_SIZE_MAX {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            return String::from_utf8_lossy(&log[..end]).into_owned();
        }
        size = (size * 4).min(LOG_SIZE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{ProgramLine, Reference};
    use crate::plan::map::{MapId, Role};

    fn program(references: Vec<Reference>) -> Program {
        let wide = Insn::ld_imm64(1, 0);
        let insns = [wide[0], wide[1], wide[0], wide[1], Insn::exit()];
        let line = |insn: Insn| ProgramLine { insn, hole: None, note: String::new() };
        Program {
            name: "hist0".into(),
            section: "tracepoint".into(),
            lines: insns.into_iter().map(line).collect(),
            references,
            maps: vec![],
            data: vec![],
            license: b"GPL\0".to_vec(),
            stack: 0,
            rooms: vec![],
        }
    }

    const HIST: MapId = MapId::of_trigger(0, Role::Hist);

    fn fd(outside: Outside<'_>) -> Option<i32> {
        match outside {
            Outside::Map(HIST) => Some(258),
            Outside::Data(".bss.0") => Some(3),
            _ => None,
        }
    }

    #[test]
    fn references_become_descriptors_and_offsets() {
        let data = Target::Data { section: ".bss.0".into(), offset: 4 };
        let references = vec![
            Reference { slot: 0, target: Target::Map(HIST) },
            Reference { slot: 2, target: data },
        ];
        let insns = resolve(&program(references), fd).unwrap();
        let expected = [
            [0x18, 0x11, 0, 0, 2, 1, 0, 0],
            [0; 8],
            [0x18, 0x21, 0, 0, 3, 0, 0, 0],
            [0, 0, 0, 0, 4, 0, 0, 0],
            [0x95, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(insns, expected);
    }

    #[test]
    fn references_to_nothing_are_refused() {
        for (slot, target) in [
            (0, Target::Map(MapId::of_trigger(0, Role::Losses))),
            (4, Target::Map(HIST)),
            (0, Target::Hole("hist_hole_key")),
        ] {
            let result = resolve(&program(vec![Reference { slot, target }]), fd);
            assert!(matches!(result, Err(LoadError::Internal(_))), "{result:?}");
        }
    }

    #[test]
    fn only_signals_are_tried_again() {
        let attempts = |errno: i32, good_after: usize| {
            let mut count = 0;
            let result = with_retries(|| {
                count += 1;
                if count > good_after { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
            });
            (count, result.is_ok())
        };
        assert_eq!(attempts(libc::EAGAIN, 3), (4, true));
        assert_eq!(attempts(libc::EINTR, usize::MAX), (TRIES, false));
        assert_eq!(attempts(libc::EACCES, 3), (1, false));
    }
}
