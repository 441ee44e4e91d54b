//! Finds out how many CPUs there may be, for which the kernel keeps a value each in per-CPU maps.
//!
//! sysfs has a list, but what stands in for it in a container may be anything, and with too small a
//! number every look-up would write past its buffer. So the kernel itself is asked.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use super::cause::{Call, explained};
use crate::escape::{excerpt, name_of};
use crate::sys::bpf::{self, RawMap};

/// Why it is not known which CPUs there may be.
#[derive(Debug, thiserror::Error)]
pub enum CpusError {
    /// The kernel's list of them cannot be read, or is not one.
    #[error("cannot tell how many CPUs there may be: {path}: {source}")]
    List {
        /// The list, or what stands for it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The map that would show it could not be made.
    #[error("cannot create the map CPUS: {}", explained(Call::Map, .0))]
    Map(#[source] io::Error),
}

impl CpusError {
    /// What the system call said.
    #[must_use]
    pub const fn source(&self) -> &io::Error {
        match self {
            Self::List { source, .. } | Self::Map(source) => source,
        }
    }
}

/// Where the kernel lists the CPUs that may ever be there, such as `0-3`.
pub(crate) const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// More CPUs than any kernel can be built for: `NR_CPUS` is at most 8192 (arch/x86/Kconfig and
/// arch/powerpc/platforms/Kconfig.cputype in Linux).
const CPUS_MAX: usize = 8192 + 1;
/// What the buffer holds that the kernel writes to. A new map has zeros.
const UNTOUCHED: u64 = u64::MAX;

/// One more than the highest number of a CPU, by the list at `path`; at least `counted`, which is
/// what the kernel has said itself.
///
/// # Errors
/// If the list cannot be read, or is not a list of CPUs.
pub(crate) fn listed(path: &Path, counted: Option<usize>) -> Result<u32, CpusError> {
    let fail = |source| CpusError::List { path: name_of(path), source };
    let text = fs::read_to_string(path).map_err(fail)?;
    let broken = || {
        let shown = excerpt(text.trim());
        io::Error::new(io::ErrorKind::InvalidData, format!("`{shown}` is not a list of CPUs"))
    };
    let listed = parse(&text).ok_or_else(|| fail(broken()))?;
    // CPUs may be numbered with gaps, so the list may well have a higher number.
    Ok(listed.max(counted.and_then(|counted| u32::try_from(counted).ok()).unwrap_or(0)))
}

/// The highest number of a list of CPUs, and one.
///
/// A list is numbers and ranges with commas between them, as `%*pbl` prints them.
#[must_use]
pub fn parse(list: &str) -> Option<u32> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|cpu| (*cpu as usize) < CPUS_MAX);
    let last = |range: &str| match range.split_once('-') {
        Some((first, last)) => {
            number(last).filter(|last| number(first).is_some_and(|f| f <= *last))
        }
        None => number(range),
    };
    let ends: Option<Vec<u32>> = list.trim().split(',').map(last).collect();
    ends?.into_iter().max().map(|last| last + 1)
}

/// How many values a per-CPU map has for each key. Asks once.
///
/// # Errors
/// If the kernel refuses a map, or has more CPUs than there is room for.
pub(crate) fn count() -> Result<usize, CpusError> {
    static COUNT: OnceLock<usize> = OnceLock::new();
    if let Some(count) = COUNT.get() {
        return Ok(*count);
    }
    let map = bpf::create_per_cpu_array().map_err(CpusError::Map)?;
    let unread = |source| CpusError::List { path: "a per-CPU map".to_owned(), source };
    let count = written(map.as_fd()).map_err(unread)?;
    Ok(*COUNT.get_or_init(|| count))
}

/// Looks up a value in a new per-CPU array, to see how far the kernel writes.
fn written(map: BorrowedFd<'_>) -> io::Result<usize> {
    let mut buffer = UNTOUCHED.to_ne_bytes().repeat(CPUS_MAX);
    let map = RawMap { fd: map, key_size: 4, value_size: buffer.len() };
    map.lookup(&0u32.to_ne_bytes(), &mut buffer)?;
    let words = buffer.as_chunks::<8>().0;
    let count = words.iter().take_while(|word| u64::from_ne_bytes(**word) != UNTOUCHED).count();
    match count {
        1..CPUS_MAX => Ok(count),
        _ => Err(io::Error::other(format!("the kernel gave values of {count} CPUs"))),
    }
}

/// Has this thread run on that CPU alone from now on.
///
/// # Errors
/// If the CPU is off or beyond what can be asked for, or a cpuset does not have it.
pub(crate) fn move_to(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("CPU {cpu} is beyond what can be asked for")));
    }
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    // It may have gone off meanwhile.
    match sched_getcpu() == cpu {
        true => Ok(()),
        false => Err(io::Error::other(format!("CPU {cpu} does not take a thread"))),
    }
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use crate::kernel::Facts;

    #[test]
    fn the_highest_cpu_counts() {
        assert_eq!(parse("0-3\n"), Some(4));
        assert_eq!(parse("0\n"), Some(1));
        assert_eq!(parse("0-1,8-15\n"), Some(16));
        assert_eq!(parse("8-15,0-1\n"), Some(16));
    }

    #[test]
    fn what_is_no_list_of_cpus_was_taken_by_its_last_number() {
        for text in ["\n", "", "x,3", "3-1", "0-", "-3", "0,,1", "0-4294967294", "16384"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    /// The kernel wrote past the end of every buffer.
    #[test]
    fn a_list_of_too_few_cpus_made_buffers_too_small() {
        if !needs::root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("possible");
        fs::write(&file, "0\n").expect("a file");
        let (counted, real) = (count().expect("a map"), Facts::read().expect("the list"));
        let real = real.context().possible_cpus.expect("known");
        // This kernel's own list is right; with gaps it goes further.
        assert!(counted as u32 <= real, "{counted} of {real}");
        let lied = Facts::at(&file).expect("a list").context().possible_cpus;
        assert_eq!(lied, Some(counted as u32));
        assert_eq!(listed(&file, None).expect("a list"), 1);
    }
}
