//! Takes what is still to be done. Gives a process that has no other capabilities than it needs
//! for that, and can never get more.
//!
//! Reading a table takes nothing but its file descriptor from Linux 5.19 on, where bpf(2) began to
//! ask for capabilities only when something is created; before that, CAP_BPF wherever
//! `kernel.unprivileged_bpf_disabled` is set. Reading the addresses of symbols takes CAP_SYSLOG.
//! Attaching other triggers after a reload takes CAP_BPF and CAP_PERFMON, and CAP_DAC_READ_SEARCH
//! where tracefs belongs to another user.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::error::ServeError;

/// What is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Other triggers may be attached.
    pub reload: bool,
    /// Addresses are shown by their names.
    pub symbols: bool,
}

impl Privileges {
    /// The capabilities that it takes on a kernel of that release.
    fn capabilities(self, release: &str) -> CapabilitySet {
        let mut needed = CapabilitySet::empty();
        needed.set(CapabilitySet::SYSLOG, self.symbols || self.reload);
        needed.set(CapabilitySet::BPF, self.reload || reading_takes_bpf(release));
        needed.set(CapabilitySet::PERFMON | CapabilitySet::DAC_READ_SEARCH, self.reload);
        needed
    }
}

/// Whether bpf(2) asks for CAP_BPF whatever it is to do, as before 5.19. A release that does not
/// begin like one is taken for a new one.
fn reading_takes_bpf(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 19),
        _ => false,
    }
}

/// Gives up, for this thread and those that it starts, every capability but the needed ones that it
/// has, and the way to get others by executing a program.
///
/// # Errors
/// If the kernel refuses.
pub fn drop_privileges(wanted: Privileges) -> Result<(), ServeError> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    keep_only(wanted.capabilities(&release)).map_err(|errno| ServeError::Privileges(errno.into()))
}

fn keep_only(needed: CapabilitySet) -> Result<(), Errno> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let now = capabilities(None)?;
    if now.effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set(needed)?;
    }
    let kept = needed & now.permitted;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })
}

/// The kernel says EINVAL behind the last capability that it knows.
fn empty_bounding_set(needed: CapabilitySet) -> Result<(), Errno> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if needed.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Err(Errno::INVAL) => return Ok(()),
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_what_is_to_be_done_takes() {
        let needed =
            |reload, symbols, release| Privileges { reload, symbols }.capabilities(release);
        assert_eq!(needed(false, false, "6.12.9-amd64"), CapabilitySet::empty());
        assert_eq!(needed(false, false, "5.18.0"), CapabilitySet::BPF);
        assert_eq!(needed(false, true, "5.19.0"), CapabilitySet::SYSLOG);
        assert_eq!(needed(true, false, "6.12").bits().count_ones(), 4);
        assert!(!needed(true, true, "5.10").contains(CapabilitySet::SYS_ADMIN));
    }
}
