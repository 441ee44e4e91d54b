//! Opens the perf event that runs a loaded program at a trace event.
//!
//! Layout and codes: Linux include/uapi/linux/perf_event.h.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `PERF_TYPE_TRACEPOINT`
const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_FLAG_FD_CLOEXEC`
const FLAG_FD_CLOEXEC: libc::c_ulong = 8;
/// `PERF_EVENT_IOC_SET_BPF`: `_IOW('$', 8, u32)`, as most architectures encode it, x86 and Arm
/// among them.
const IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// `struct perf_event_attr` as it was first (`PERF_ATTR_SIZE_VER0`); every kernel takes it.
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

const _: () = assert!(size_of::<Attr>() == 64);

/// Attaches a program of type TRACEPOINT to the event with that id, for all processes on all
/// CPUs; closing what is returned detaches it.
///
/// A perf event belongs to one CPU, but a program attached through it runs on all of them.
///
/// # Errors
/// `EINVAL` if such events take no such program, `EACCES` if perf events are forbidden or the
/// program reads beyond the record; otherwise what the system calls say.
pub(crate) fn attach(event_id: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let event = open_anywhere(event_id)?;
    set_bpf(event.as_fd(), program)?;
    Ok(event)
}

/// On the first CPU that is online; on the current one if the list of them is missing or wrong.
fn open_anywhere(event_id: u32) -> io::Result<OwnedFd> {
    let online = aya::util::online_cpus().ok().and_then(|cpus| cpus.first().copied());
    let first = online.map(|cpu| open(event_id, cpu));
    match first {
        Some(result) if !result.as_ref().is_err_and(may_be_offline) => result,
        _ => {
            open(event_id, u32::try_from(rustix::thread::sched_getcpu()).map_err(io::Error::other)?)
        }
    }
}

fn may_be_offline(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV))
}

/// A perf event that counts and takes no samples: a program needs no more.
fn open(event_id: u32, cpu: u32) -> io::Result<OwnedFd> {
    let attr = Attr {
        kind: TYPE_TRACEPOINT,
        size: size_of::<Attr>() as u32,
        config: u64::from(event_id),
        ..Attr::default()
    };
    let (all_processes, no_group) = (-1 as libc::pid_t, -1 as RawFd);
    // SAFETY: the kernel reads attr.size bytes, which are there.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            all_processes,
            cpu,
            no_group,
            FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is new, so nobody else owns it; the kernel's own type for it is int.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn set_bpf(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: this request takes a file descriptor and no pointer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), IOC_SET_BPF, program.as_raw_fd()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use crate::kernel::tracefs::find_or_mount;

    /// Else a program would count an event that is another one by then, or none.
    #[test]
    fn an_event_does_not_vanish_while_it_is_held() {
        if !needs::root() {
            return;
        }
        let root = find_or_mount().expect("tracefs").root;
        let list = root.join("uprobe_events");
        if !needs::file(&list, "uprobe events") {
            return;
        }
        let write = |text: &str| {
            let mut list = OpenOptions::new().append(true).open(&list)?;
            list.write_all(text.as_bytes())
        };
        write("p:hist_bpf_test/held /bin/true:0x1000").expect("an event");
        let id = fs::read_to_string(root.join("events/hist_bpf_test/held/id")).expect("its number");
        let held = open(id.trim().parse().expect("a number"), 0);
        let busy = write("-:hist_bpf_test/held");
        let is_held = held.is_ok();
        drop(held);
        let removed = write("-:hist_bpf_test/held");
        assert!(is_held);
        assert_eq!(busy.map_err(|error| error.raw_os_error()), Err(Some(libc::EBUSY)));
        removed.expect("nobody holds it any more");
    }
}
