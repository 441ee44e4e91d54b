//! Causes events that only a machine of one's own should have: every system call with arguments that
//! none takes, memory put in order, caches dropped.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rustix::mount::{MountFlags, mount};

use crate::workload::sys;

/// Makes them happen.
pub(super) fn run(end: Instant) -> Result<()> {
    prepare();
    let mut round = 0;
    while Instant::now() < end {
        calls(round);
        latency();
        // These keep a CPU busy for long.
        if round % 10 == 0 {
            memory();
        }
        round += 1;
    }
    Ok(())
}

/// Where it cannot be done, or has been, fewer events happen.
fn prepare() {
    let _ = fs::write("/proc/sys/kernel/sched_schedstats", "1");
}

/// Control groups for the other parts, before they begin.
///
/// # Errors
/// When they are not there and cannot be mounted.
pub(crate) fn groups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    if !root.join("cgroup.procs").exists() {
        mount("cgroup2", root, "cgroup2", MountFlags::empty(), None)?;
    }
    Ok(())
}

/// Calls that end the process, or its thread, or do not come back, or make another one; that change
/// whose process it is; that take any argument.
const LEFT_OUT: [i64; 27] = [
    libc::SYS_rt_sigreturn,
    libc::SYS_pause,
    libc::SYS_clone,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_reboot,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_personality,
    libc::SYS_vhangup,
    libc::SYS_sync,
    libc::SYS_alarm,
    libc::SYS_umask,
    libc::SYS_close_range,
    // uretprobe and uprobe: only the kernel's own trampolines may call them.
    335,
    336,
    libc::SYS_rt_sigsuspend,
    libc::SYS_setsid,
];

/// All others: no descriptor, process or key has such a number, no address is there.
fn calls(round: i64) {
    let first = 0x7fff_dead_7fff_0001;
    for number in (0..470).filter(|number| !LEFT_OUT.contains(number)) {
        let args = std::array::from_fn::<_, 6, _>(|n| first + ((round + n as i64) << 34));
        sys(number, &args);
    }
    // Those that take any argument and give a descriptor.
    sys(libc::SYS_close_range, &[3, i64::from(u32::MAX), 0]);
}

/// Memory for huge pages put together, caches dropped.
fn memory() {
    const SIZE: i64 = 4 << 20;
    const COLLAPSE: i64 = 25;
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let start = sys(libc::SYS_mmap, &[0, SIZE, protection.into(), flags.into(), -1]);
    if start > 0 {
        let aligned = (start + (2 << 20) - 1) & !((2 << 20) - 1);
        for page in 0..64 {
            let byte =
                std::ptr::with_exposed_provenance_mut::<u8>((aligned + (page << 12)) as usize);
            // SAFETY: these pages have just been mapped for writing, and nothing else knows of them.
            unsafe { byte.write_volatile(1) };
        }
        sys(libc::SYS_madvise, &[aligned, 2 << 20, COLLAPSE]);
        sys(libc::SYS_munmap, &[start, SIZE]);
    }
    // Not every kernel has them.
    let _ = fs::write("/proc/sys/vm/drop_caches", "2");
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
}

/// How long the CPUs may take to wake up, asked for and taken back.
fn latency() {
    let wish = || fs::write("/dev/cpu_dma_latency", 100_u32.to_ne_bytes());
    for _ in 0..10 {
        let _ = wish();
    }
}
