//! Takes nothing. Gives what resolving a trigger needs to know of the running kernel.

use std::{fs, io};

use super::LoadError;
use crate::btf::Btf;
use crate::preemption::Preemption;
use crate::release::numbers;
use crate::resolve::Context;
use crate::tracefs::symbols::Symbols;

/// Where the kernel lists the CPUs that may ever be there, such as `0-3`.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
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
    /// The first two numbers of the release.
    release: Option<(u32, u32)>,
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
        let release = line_of(RELEASE);
        Ok(Self {
            symbols: Symbols::new(),
            possible_cpus,
            btf: Btf::at(Btf::VMLINUX),
            preemption: preemption(&release),
            release: numbers(&release),
        })
    }

    /// As resolve takes them.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        Context {
            symbols: Some(&self.symbols),
            possible_cpus: Some(self.possible_cpus),
            btf: Some(&self.btf),
            preemption: self.preemption,
            release: self.release,
        }
    }
}

fn preemption(release: &str) -> Preemption {
    Preemption::of(release, &line_of(VERSION), || fs::read_to_string(MODE).ok())
}

/// A line without its end. What cannot be read says nothing, and then programs count as preemptible.
fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
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
