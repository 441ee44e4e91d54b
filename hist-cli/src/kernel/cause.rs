//! Explains an error number of bpf(2), perf_event_open(2) or ioctl(2): what has really happened, and the
//! way out of it.
//!
//! One number means different things to different calls, so each call has its table.

use std::fs;
use std::io;

use crate::kernel::lockdown;

/// The kernel's own errno for what it cannot do (`ENOTSUPP` in Linux include/linux/errno.h).
const ENOTSUPP: i32 = 524;

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `BPF_MAP_CREATE`
    Map,
    /// `BPF_PROG_LOAD`, before the verifier has said a word.
    Program,
    /// `BPF_RAW_TRACEPOINT_OPEN`; or perf_event_open(2) and `PERF_EVENT_IOC_SET_BPF`.
    Attach,
    /// pidfd_open(2), or a process's entry in the map of those that are followed.
    Follow,
}

/// The error, its cause and the way out, for the end of a message.
pub(crate) fn explained(call: Call, source: &io::Error) -> String {
    match (call, source.raw_os_error()) {
        (_, Some(libc::EPERM)) | (Call::Map | Call::Program, Some(libc::EACCES)) => {
            format!("{source}; {}", forbidden())
        }
        (_, errno) => match of_files(source).or_else(|| known(call, errno?)) {
            Some(cause) => format!("{source}; {cause}"),
            None => source.to_string(),
        },
    }
}

/// It is the process that lacks something, or the machine: no other program would do.
pub(crate) fn is_lack(source: &io::Error) -> bool {
    let errno = source.raw_os_error();
    matches!(errno, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EPERM | ENOTSUPP))
}

fn known(call: Call, errno: i32) -> Option<&'static str> {
    Some(match (call, errno) {
        (Call::Map, libc::ENOMEM | libc::E2BIG) => "a smaller size= needs less memory",
        (Call::Map, libc::EINVAL) => "this kernel has no map of that kind and size",
        (Call::Program, libc::ENOMEM) => "there is no memory for the program",
        (Call::Program, libc::E2BIG) => "the program is too long for this kernel",
        (Call::Program, ENOTSUPP) => {
            "the kernel could not compile it: compiled programs may take no more memory \
             (sysctl net.core.bpf_jit_limit)"
        }
        (Call::Program, libc::EINVAL) => "this kernel does not know programs of that type",
        (Call::Attach, libc::ENOMEM) => "there is no memory for it",
        (Call::Attach, libc::EINVAL) => "this kind of event takes no tracepoint program",
        (Call::Attach, libc::EEXIST) => "the program is attached to it already",
        (Call::Attach, libc::EBUSY) => "another user of the event keeps it; try again",
        (Call::Attach, libc::ENOSYS | libc::EOPNOTSUPP) => {
            "this kernel has no perf events (CONFIG_PERF_EVENTS)"
        }
        (Call::Attach, libc::EACCES) => {
            "either perf events are forbidden (kernel.perf_event_paranoid, CAP_PERFMON) \
             or the program reads beyond the event's record"
        }
        (Call::Attach, libc::ENODEV) => "the kernel offers no perf event for it",
        (Call::Attach, libc::ENOENT) => "the kernel has no such tracepoint, or no longer has it",
        _ => return None,
    })
}

/// The way out where no more files can be opened, whatever was asked.
#[must_use]
pub fn of_files(source: &io::Error) -> Option<&'static str> {
    match source.raw_os_error() {
        Some(libc::EMFILE) => {
            Some("this process may have no more files open: raise the limit (ulimit -n)")
        }
        Some(libc::ENFILE) => {
            Some("the whole system may have no more files open: raise sysctl fs.file-max")
        }
        _ => None,
    }
}

/// Why the kernel forbids it although the capabilities are there, as far as /proc/self/status tells.
fn forbidden() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    if lockdown::is_confidential() {
        return lockdown::CONFIDENTIAL.to_owned();
    }
    why_forbidden(&read("/proc/self/uid_map"), &read("/proc/self/status")).to_owned()
}

fn why_forbidden(uid_map: &str, status: &str) -> &'static str {
    // The initial user namespace has all of them as they are.
    let is_initial = uid_map.is_empty() || uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    if !is_initial {
        "capabilities in a user namespace, such as a container's, do not count: they must be the host's"
    } else if mode.is_some_and(|mode| mode.trim() == "2") {
        "a seccomp filter, such as a container's, may forbid it: allow bpf and perf_event_open there"
    } else {
        "a security module (SELinux, AppArmor) may forbid it; before Linux 5.11, the limit on locked \
         memory may be too low (ulimit -l)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(call: Call, errno: i32) -> String {
        explained(call, &io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn too_many_open_files_was_the_verifiers_refusal() {
        for call in [Call::Map, Call::Program, Call::Attach, Call::Follow] {
            assert!(text(call, libc::EMFILE).contains("(ulimit -n)"), "{call:?}");
            assert!(text(call, libc::ENFILE).contains("fs.file-max"), "{call:?}");
        }
        assert!(is_lack(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_lack(&io::Error::from_raw_os_error(libc::EACCES)));
    }

    #[test]
    fn what_is_forbidden_has_its_cause() {
        let host = "         0          0 4294967295\n";
        for (uid_map, status, part) in [
            ("         0       1000          1\n", "Seccomp:\t2\n", "user namespace"),
            (host, "Seccomp:\t2\n", "seccomp"),
            (host, "Seccomp:\t0\n", "security module"),
            ("", "", "security module"),
        ] {
            let why = why_forbidden(uid_map, status);
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn what_is_not_known_is_told_as_it_is() {
        assert_eq!(text(Call::Map, libc::EIO), "Input/output error (os error 5)");
    }
}
