//! Tries what the running kernel offers that makes counting cheaper.

use std::io;
use std::path::Path;

use super::cause::is_lack;
use crate::kernel::btf::Btf;
use crate::sys::bpf::{self, ProgramText};

/// Whether the kernel has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// This process may not try.
    NotAllowed,
    /// It could not be tried for lack of memory or files.
    NotKnown,
}

/// What a kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Its own types: raw tracepoints are used where they agree with the table of arguments.
    pub btf: Found,
    /// Programs on raw tracepoints.
    pub raw_tracepoints: Found,
    /// Many entries are read by one call; since Linux 5.6.
    pub batches: Found,
}

impl Features {
    /// Tries each. Loads a program that does nothing and attaches it nowhere.
    #[must_use]
    pub fn find() -> Self {
        Self {
            btf: if Path::new(Btf::VMLINUX).exists() { Found::Yes } else { Found::No },
            raw_tracepoints: found(&load_raw()),
            batches: found(&bpf::try_batch()),
        }
    }
}

fn found(result: &io::Result<()>) -> Found {
    match result {
        Ok(()) => Found::Yes,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Found::NotAllowed,
        Err(error) if is_lack(error) => Found::NotKnown,
        Err(_) => Found::No,
    }
}

fn load_raw() -> io::Result<()> {
    /// `BPF_PROG_TYPE_RAW_TRACEPOINT`
    const RAW_TRACEPOINT: u32 = 17;
    // `r0 = 0`, `exit`
    let insns = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let text = ProgramText {
        program_type: RAW_TRACEPOINT,
        attach_type: 0,
        attach_btf_id: 0,
        name: "probe",
        insns: &insns,
        license: c"Dual MIT/GPL",
    };
    bpf::load_program(&text, &mut []).map(drop)
}
