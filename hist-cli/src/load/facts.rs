//! Takes nothing. Gives what resolving a trigger needs to know of the running kernel.

use std::path::Path;

use super::{LoadError, cpus};
use crate::btf::Btf;
use crate::resolve::Context;
use crate::tracefs::symbols::Symbols;

/// The running kernel's facts.
#[derive(Debug)]
pub struct Facts {
    /// Read when first needed.
    symbols: Symbols,
    /// One more than the highest number of a CPU.
    possible_cpus: u32,
    /// Read when first needed, as far as it is.
    btf: Btf,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// If the list of possible CPUs cannot be read.
    pub fn read() -> Result<Self, LoadError> {
        Self::at(Path::new(cpus::POSSIBLE))
    }

    /// Reads them, with the list of possible CPUs in another file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn at(possible: &Path) -> Result<Self, LoadError> {
        // Who may make no maps gets no per-CPU values either.
        let possible_cpus = cpus::listed(possible, cpus::count().ok())?;
        Ok(Self { symbols: Symbols::new(), possible_cpus, btf: Btf::at(Btf::VMLINUX) })
    }

    /// As resolve takes them.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            symbols: Some(&self.symbols),
            possible_cpus: Some(self.possible_cpus),
            btf: Some(&self.btf),
        }
    }
}
