//! Gives up every capability that the process does not need for what is still to be done, so that
//! it can never get them back.
//!
//! Reading a table takes nothing but its file descriptor from Linux 5.19 on, where bpf(2) began to
//! ask for capabilities only when something is created; before that, CAP_BPF wherever
//! `kernel.unprivileged_bpf_disabled` is set. Reading the addresses of symbols takes CAP_SYSLOG.
//! Attaching other triggers after a reload takes CAP_BPF and CAP_PERFMON, and CAP_DAC_READ_SEARCH
//! where tracefs, or the file of metrics, belongs to another user.
//!
//! Linux keeps user and capabilities for each thread, and those of others cannot be changed. So
//! they are given up while there is one thread, and those that come later have no more.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::error::ServeError;
use crate::kernel::release::numbers;

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
    numbers(release).is_some_and(|version| version < (5, 19))
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// Where users and groups are listed: passwd(5), group(5).
const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

impl User {
    /// The user of `NAME`, `UID`, `NAME:GROUP` or `UID:GID`; without a group, the user's own.
    ///
    /// # Errors
    /// If there is none of that name, or no group is known; in words.
    pub fn find(text: &str) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::find_in(text, &read(PASSWD), &read(GROUP))
    }

    fn find_in(text: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, of_group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let entry = user_entry(passwd, user);
        let uid = id(user).or(entry.map(|(uid, _)| uid));
        let uid = uid.ok_or_else(|| format!("{PASSWD} has no user `{user}`; a number will do"))?;
        let gid = match of_group {
            Some(name) => id(name)
                .or_else(|| group_entry(group, name))
                .ok_or_else(|| format!("{GROUP} has no group `{name}`; a number will do"))?,
            None => entry.map(|(_, gid)| gid).ok_or_else(|| {
                format!("{PASSWD} has no user {uid}, so name the group, too: {uid}:GROUP")
            })?,
        };
        Ok(Self { uid, gid })
    }
}

/// A number that can be a user's or group's: the highest one means none (chown(2)).
fn id(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_number && *id != u32::MAX)
}

/// User and group of a line such as `nobody:x:65534:65534:nobody:/:/sbin/nologin`, by name or number.
fn user_entry(passwd: &str, user: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let gid = fields.next()?;
        (name == user || id(user).is_some() && id(user) == id(number))
            .then(|| Some((id(number)?, id(gid)?)))?
    })
}

/// The number in a line such as `nogroup:x:65534:`.
fn group_entry(groups: &str, group: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == group).then(|| id(fields.nth(1)?))?
    })
}

/// Becomes that user, if any, and gives up every capability but those that the process has and that
/// are needed on a kernel of that release, and the way to get others by executing a program.
///
/// # Errors
/// If there are other threads, which would keep what they have, or the kernel refuses.
pub fn drop_privileges(
    wanted: Privileges,
    user: Option<User>,
    release: &str,
) -> Result<(), ServeError> {
    let threads = fs::read_dir("/proc/self/task").map_err(ServeError::Privileges)?.count();
    if threads > 1 {
        return Err(ServeError::Threads(threads));
    }
    let needed = wanted.capabilities(release);
    prepare(needed).map_err(|errno| ServeError::Privileges(errno.into()))?;
    if let Some(user) = user {
        become_user(user).map_err(|errno| ServeError::User(errno.into()))?;
    }
    keep_only(needed).map_err(|errno| ServeError::Privileges(errno.into()))
}

/// What no program that is executed can get any more.
fn prepare(needed: CapabilitySet) -> Result<(), Errno> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    match capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        true => empty_bounding_set(needed),
        false => Ok(()),
    }
}

/// Capabilities stay, for the time being.
fn become_user(user: User) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_keep_capabilities(false)
}

fn keep_only(needed: CapabilitySet) -> Result<(), Errno> {
    let kept = needed & capabilities(None)?.permitted;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })
}

/// The kernel says EINVAL after the last capability that it knows.
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

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\n\
                      metrics:x:990:991::/:/sbin/nologin\n77:x:5:6::/:/bin/false\n";
        let group = "root:x:0:\nprom:x:44:metrics\n";
        let find = |text| User::find_in(text, passwd, group).map(|user| (user.uid, user.gid));
        for (text, want) in [
            ("metrics", (990, 991)),
            ("990", (990, 991)),
            ("metrics:prom", (990, 44)),
            ("1234:4321", (1234, 4321)),
            ("0", (0, 0)),
        ] {
            assert_eq!(find(text), Ok(want), "{text}");
        }
        for (text, part) in [
            ("nobody", "has no user `nobody`"),
            ("", "has no user ``"),
            ("1234", "name the group, too: 1234:GROUP"),
            ("metrics:wheel", "has no group `wheel`"),
            ("metrics:", "has no group ``"),
            ("4294967295:0", "has no user `4294967295`"),
            ("+1:0", "has no user `+1`"),
        ] {
            assert!(find(text).is_err_and(|error| error.contains(part)), "{text}");
        }
    }
}
