//! Takes nothing. Gives what resolving a trigger needs to know of the running kernel.

use std::{fs, io};

use super::LoadError;
use crate::btf::Btf;
use crate::resolve::Context;
use crate::tracefs::symbols::Symbols;

/// Where the kernel lists the CPUs that may ever be there, such as `0-3`.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

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
        let fail = |source| LoadError::PossibleCpus { path: POSSIBLE, source };
        let text = fs::read_to_string(POSSIBLE).map_err(fail)?;
        let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("`{}`", text.trim()));
        let possible_cpus = possible(&text).ok_or_else(|| fail(broken()))?;
        Ok(Self { symbols: Symbols::new(), possible_cpus, btf: Btf::at(Btf::VMLINUX) })
    }

    /// The same as of a kernel without BTF.
    #[must_use]
    pub fn without_types(self) -> Self {
        Self { btf: Btf::of_bytes(Vec::new()), ..self }
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

/// The last number of a list of CPUs, and one.
fn possible(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse::<u32>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::possible;

    #[test]
    fn the_highest_cpu_counts() {
        assert_eq!(possible("0-3\n"), Some(4));
        assert_eq!(possible("0\n"), Some(1));
        assert_eq!(possible("0-1,8-15\n"), Some(16));
        assert_eq!(possible("\n"), None);
    }
}
