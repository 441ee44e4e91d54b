//! What compiling a trigger needs to know of the running kernel, read once.

use std::fs;
use std::path::Path;

use super::Context;
use super::cpus::{self, CpusError};
use crate::kernel::btf::Btf;
use crate::kernel::preemption::Preemption;
use crate::kernel::release::numbers;
use crate::kernel::symbols::Symbols;

/// `uname -r` and `uname -v`, which say the same to every process: uname(2) makes up a release for
/// one that runs under `setarch --uname-2.6`.
const RELEASE: &str = "/proc/sys/kernel/osrelease";
const VERSION: &str = "/proc/sys/kernel/version";
/// The preemption model as it is now, if debugfs is mounted and may be read.
const MODE: &str = "/sys/kernel/debug/sched/preempt";

/// The running kernel's facts.
#[derive(Debug)]
pub struct Facts {
    /// Read when first needed.
    symbols: Symbols,
    /// One more than the highest number of a CPU.
    possible_cpus: u32,
    /// Read when first needed, as far as it is.
    btf: Btf,
    /// Whether programs on raw tracepoints can be preempted.
    preemption: Preemption,
    /// As [`release`] has it.
    release: String,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// If the list of possible CPUs cannot be read.
    pub fn read() -> Result<Self, CpusError> {
        Self::at(Path::new(cpus::POSSIBLE))
    }

    /// Reads them, with the list of possible CPUs in another file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn at(possible: &Path) -> Result<Self, CpusError> {
        // A process that may not make maps does not read per-CPU values either.
        let possible_cpus = cpus::listed(possible, cpus::count().ok())?;
        let release = release();
        Ok(Self {
            symbols: Symbols::new(),
            possible_cpus,
            btf: Btf::at(Btf::VMLINUX),
            preemption: preemption(&release),
            release,
        })
    }

    /// The same as of a kernel without BTF.
    #[must_use]
    pub fn without_types(self) -> Self {
        Self { btf: Btf::of_bytes(Vec::new()), ..self }
    }

    /// The kernel's [`release`].
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// As resolve takes them.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            symbols: Some(&self.symbols),
            possible_cpus: Some(self.possible_cpus),
            btf: Some(&self.btf),
            preemption: self.preemption,
            release: numbers(&self.release),
        }
    }
}

/// The running kernel's release, which `uname -r` shows; empty if /proc cannot be read.
#[must_use]
pub fn release() -> String {
    line_of(RELEASE)
}

fn preemption(release: &str) -> Preemption {
    Preemption::of(release, &line_of(VERSION), || fs::read_to_string(MODE).ok())
}

/// A line without its end. What cannot be read says nothing, and then programs count as preemptible.
fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
