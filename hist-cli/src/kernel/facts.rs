//! What compiling a trigger needs to know of the running kernel, read once.

use std::fs;
use std::path::Path;

use super::cpus::{self, CpusError};
use super::{Context, Needs};
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
    /// Opened when first needed.
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
            btf: Btf::unopened(Btf::VMLINUX),
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

    /// What there is of them once `needs` have been read. Types that have not been read are there, and
    /// every question to them is an error.
    #[must_use]
    pub fn context_with(&self, needs: Needs) -> Context<'_> {
        if needs.symbols {
            // What is wrong with it is in the context.
            let _ = self.symbols.table();
        }
        if needs.types {
            self.btf.open();
        }
        Context {
            symbols: self.symbols.table_if_read(),
            possible_cpus: Some(self.possible_cpus),
            btf: Some(&self.btf),
            preemption: self.preemption,
            release: numbers(&self.release),
        }
    }

    /// What planning takes in any case: the types, and not the symbols.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        self.context_with(Needs { symbols: false, types: true })
    }

    /// One more than the highest number of a CPU.
    #[must_use]
    pub const fn possible_cpus(&self) -> u32 {
        self.possible_cpus
    }

    /// Whether programs on raw tracepoints can be preempted.
    #[must_use]
    pub const fn preemption(&self) -> Preemption {
        self.preemption
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::BtfError;

    /// Resolving and planning open no files: what they need is asked for before.
    #[test]
    fn nothing_is_read_that_is_not_needed() {
        let facts = Facts::read().expect("the list of CPUs");
        let context = facts.context_with(Needs::default());
        let types = context.btf.expect("there are some");
        assert!(context.symbols.is_none());
        assert_eq!(types.compound("task_struct"), Err(BtfError::NotOpened));
        let needs = Needs { symbols: true, types: true };
        let context = facts.context_with(needs);
        assert!(context.symbols.is_some());
        let types = context.btf.expect("there are some");
        assert_ne!(types.compound("task_struct"), Err(BtfError::NotOpened));
    }
}
