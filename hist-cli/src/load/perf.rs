//! Takes an event's id and a loaded program. Gives the perf event that runs the program.
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
pub(super) fn attach(event_id: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let cpus = aya::util::online_cpus().map_err(|(_, error)| error)?;
    let event = open(event_id, cpus.first().copied().unwrap_or(0))?;
    set_bpf(event.as_fd(), program)?;
    Ok(event)
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
