//! Makes events happen: a deterministic mix of system calls for each kind of event, with arguments
//! from a fixed seed.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::cpus;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// System calls with arguments of all sizes and signs.
    Syscalls,
    /// Many different arguments, to fill tables.
    Keys,
    /// Memory of the process and of the kernel.
    Memory,
    /// Processes: forked, renamed, ended.
    Tasks,
    /// Signals sent and received.
    Signals,
    /// Interval timers.
    Timers,
    /// Sockets that change their state.
    Sockets,
    /// Packets that the process sends to itself, and how it receives them.
    Packets,
    /// Strings of all shapes: names of tasks, paths, messages to the kernel's log.
    Strings,
    /// Threads on all CPUs, whose address space changes under them.
    Threads,
}

impl Workload {
    /// Its name in suite files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Syscalls => "syscalls",
            Workload::Keys => "keys",
            Workload::Memory => "memory",
            Workload::Tasks => "tasks",
            Workload::Signals => "signals",
            Workload::Timers => "timers",
            Workload::Sockets => "sockets",
            Workload::Packets => "packets",
            Workload::Strings => "strings",
            Workload::Threads => "threads",
        }
    }

    /// Does the work, one half of it on the first CPU, the other on the last: sums over CPUs count.
    ///
    /// # Errors
    /// When a file or CPU that it needs is not there; that single system calls fail is its purpose.
    pub fn run(self) -> Result<()> {
        let n_cpus = std::thread::available_parallelism()?.get();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for cpu in [0, n_cpus - 1] {
            cpus::pin([cpu])?;
            match self {
                Workload::Syscalls => syscalls(&mut random)?,
                Workload::Keys => keys()?,
                Workload::Memory => memory(&mut random)?,
                Workload::Tasks => tasks()?,
                Workload::Signals => signals(),
                Workload::Timers => timers(&mut random),
                Workload::Sockets => sockets(),
                Workload::Packets => packets(),
                Workload::Strings => strings()?,
                Workload::Threads => threads(cpu, n_cpus)?,
            }
        }
        Ok(())
    }
}

/// Numbers on both sides of what matters: signs, powers of two, the limits of each width.
const EDGES: [i64; 40] = [
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    10,
    15,
    16,
    17,
    63,
    64,
    65,
    100,
    127,
    128,
    129,
    255,
    256,
    1023,
    1024,
    1025,
    4095,
    4096,
    65536,
    i32::MAX as i64,
    1 << 31,
    u32::MAX as i64,
    1 << 32,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
    -1,
    -2,
    -100,
    -129,
    i32::MIN as i64,
];

/// xorshift64, <https://www.jstatsoft.org/article/view/v008i14>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `end`, exclusive.
    fn below(&mut self, end: u64) -> i64 {
        (self.next() % end).cast_signed()
    }

    fn edge(&mut self) -> i64 {
        EDGES[self.below(EDGES.len() as u64) as usize]
    }
}

/// A raw system call, since the libraries refuse most of these arguments. Its result is the
/// library's: -1 on any error.
///
/// # Panics
/// When there are more than six arguments.
pub(crate) fn sys(number: i64, args: &[i64]) -> i64 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let [a, b, c, d, e, f] = all;
    // SAFETY: callers pass calls that touch no memory of this process but what they own: their
    // pointers are to live buffers of the right size, null, or to memory that they mapped.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

fn fd_of(file: &File) -> i64 {
    i64::from(file.as_raw_fd())
}

/// A descriptor that is never open.
const NO_FD: i64 = 77;

fn syscalls(random: &mut Random) -> Result<()> {
    let file = File::create("/tmp/seek").context("the file to seek in")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let buffer = [0_u8; 64];
    let address = buffer.as_ptr().expose_provenance() as i64;
    for step in 0..150 {
        let (edge, whence) = (random.edge(), random.below(6));
        let fd = [fd_of(&file), fd_of(&null), -1, NO_FD][random.below(4) as usize];
        sys(libc::SYS_lseek, &[fd, edge, whence]);
        sys(
            libc::SYS_close,
            &[[-1, NO_FD, 1000 + step, i64::from(RawFd::MAX)][random.below(4) as usize]],
        );
        // /dev/null reads nothing of the buffer, whatever its length.
        sys(libc::SYS_write, &[fd_of(&null), address, random.below(5000)]);
        sys(libc::SYS_write, &[-1, address, edge]);
        sys(libc::SYS_getpid, &[edge; 6]);
        sys(libc::SYS_getppid, &[]);
        sys(libc::SYS_kill, &[i64::from(std::process::id())]);
        sys(libc::SYS_getpriority, &[random.below(5)]);
        sys(libc::SYS_madvise, &[0, 0, edge]);
        sys(libc::SYS_fcntl, &[-1, random.below(40), edge]);
        if step % 10 == 0 {
            sys(libc::SYS_sched_yield, &[]);
            // Numbers that no call has.
            sys(1000 + step, &[edge; 6]);
        }
    }
    Ok(())
}

fn keys() -> Result<()> {
    let file = File::create("/tmp/seek").context("the file to seek in")?;
    for n in 0..400 {
        sys(libc::SYS_lseek, &[fd_of(&file), (n * 7919) % 1000]);
    }
    for n in 0..400 {
        sys(libc::SYS_lseek, &[fd_of(&file), -(n % 300)]);
    }
    Ok(())
}

fn memory(random: &mut Random) -> Result<()> {
    const PAGE: i64 = 4096;
    for step in 0..60 {
        let pages = 1 + random.below(12);
        let (read_write, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let length = pages * PAGE;
        let start = sys(libc::SYS_mmap, &[0, length, read_write.into(), private.into(), -1]);
        if start > 0 {
            touch(start, pages, PAGE);
            sys(libc::SYS_mprotect, &[start, PAGE, libc::PROT_READ.into()]);
            sys(libc::SYS_munmap, &[start, length]);
        }
        // Refused: no length, or more than there is.
        sys(
            libc::SYS_mmap,
            &[0, [0, -PAGE, i64::MAX][random.below(3) as usize], 0, private.into(), -1],
        );
        drop(std::io::pipe()?);
        if step % 4 == 0 {
            fs::metadata("/no/such/file").expect_err("there is no such file");
            drop(File::open("/proc/self/stat")?);
        }
    }
    Ok(())
}

/// Writes to each of `pages` pages, so that the kernel must find memory for them.
fn touch(start: i64, pages: i64, page: i64) {
    for n in 0..pages {
        let byte = std::ptr::with_exposed_provenance_mut::<u8>((start + n * page) as usize);
        // SAFETY: the caller has just mapped these pages for reading and writing, and nothing else
        // knows of them.
        unsafe { byte.write_volatile(1) };
    }
}

fn tasks() -> Result<()> {
    for n in 0..20_i64 {
        fork_and_exit((n % 4) as i32);
        set_name(&format!("worker-{n}"));
        let score = [-1000, -500, -1, 0, 1, 500, 1000][(n % 7) as usize];
        fs::write("/proc/self/oom_score_adj", score.to_string())?;
    }
    fs::write("/proc/self/oom_score_adj", "0")?;
    Ok(())
}

/// A child that does nothing, and its end.
fn fork_and_exit(code: i32) {
    // SAFETY: this process has one thread, so that the child may do what it likes; it only ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: ends the process without touching anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    sys(libc::SYS_wait4, &[pid.into()]);
}

/// As the kernel has it in `include/uapi/asm-generic/siginfo.h`: 128 bytes, three words first.
#[repr(C)]
struct SignalInfo {
    signal: i32,
    errno: i32,
    code: i32,
    rest: [i32; 29],
}

extern "C" fn on_signal(_: i32) {}

fn signals() {
    let me = i64::from(std::process::id());
    let handler = on_signal as extern "C" fn(i32) as libc::sighandler_t;
    // SAFETY: the handler does nothing, so that it may run at any point.
    unsafe { libc::signal(libc::SIGUSR1, handler) };
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    for n in 0..40_i32 {
        sys(libc::SYS_kill, &[me, libc::SIGUSR1.into()]);
        sys(libc::SYS_kill, &[me, libc::SIGUSR2.into()]);
        sys(libc::SYS_tgkill, &[me, me, libc::SIGUSR1.into()]);
        let signal = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH]
            [n as usize % 5];
        let info = SignalInfo { signal, errno: n * 3 - 40, code: -(n % 8) - 1, rest: [0; 29] };
        let info = (&raw const info).expose_provenance() as i64;
        sys(libc::SYS_rt_sigqueueinfo, &[me, signal.into(), info]);
    }
}

fn timers(random: &mut Random) {
    for n in 0..60_i64 {
        // Interval and value, each in seconds and microseconds; too long to ever expire.
        let spec = [random.below(3), random.below(1_000_000), 1000 + n, random.below(8) * 1000];
        let spec_at = spec.as_ptr().expose_provenance() as i64;
        sys(libc::SYS_setitimer, &[n % 3, spec_at]);
        if n % 4 == 3 {
            let off = [0_i64; 4];
            sys(libc::SYS_setitimer, &[n % 3, off.as_ptr().expose_provenance() as i64]);
        }
    }
    let off = [0_i64; 4];
    for which in 0..3 {
        sys(libc::SYS_setitimer, &[which, off.as_ptr().expose_provenance() as i64]);
    }
}

fn sockets() {
    for n in 0..30_u16 {
        let family = [libc::AF_INET, libc::AF_INET6][usize::from(n % 2)];
        let fd = sys(libc::SYS_socket, &[family.into(), libc::SOCK_STREAM.into()]);
        // sockaddr_in and sockaddr_in6 begin with family and port; zeros are any address.
        let mut address = [0_u8; 28];
        address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        address[2..4].copy_from_slice(&(1000 + n * 700).to_be_bytes());
        let at = address.as_ptr().expose_provenance() as i64;
        sys(libc::SYS_bind, &[fd, at, address.len() as i64]);
        sys(libc::SYS_listen, &[fd, 1 + i64::from(n)]);
        sys(libc::SYS_close, &[fd]);
    }
}

/// As the kernel has it in `include/uapi/linux/if.h`: 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Sizes of datagrams, in bytes: with 28 bytes of IP and UDP headers, the packets are shorter than,
/// as long as, and longer than 256 and 4096 bytes.
const DATAGRAMS: [i64; 9] = [1, 100, 227, 228, 229, 1000, 4068, 4069, 20_000];

fn packets() {
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK;
    let fd = sys(libc::SYS_socket, &[libc::AF_INET.into(), kind.into()]);
    raise_loopback(fd);
    // sockaddr_in: family, port and 127.0.0.1; the socket is its own peer.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    address[2..8].copy_from_slice(&[0x4e, 0x20, 127, 0, 0, 1]);
    let at = address.as_ptr().expose_provenance() as i64;
    sys(libc::SYS_bind, &[fd, at, address.len() as i64]);
    sys(libc::SYS_connect, &[fd, at, address.len() as i64]);
    let mut buffer = vec![0_u8; 32 << 10];
    let buffer_at = buffer.as_mut_ptr().expose_provenance() as i64;
    for (size, n) in DATAGRAMS.into_iter().cycle().zip(0..40) {
        sys(libc::SYS_write, &[fd, buffer_at, size]);
        let room = [size, 4096, 16, buffer.len() as i64][n % 4];
        let flags = i64::from(libc::MSG_DONTWAIT);
        match n % 3 {
            0 => sys(libc::SYS_read, &[fd, buffer_at, room]),
            _ => sys(libc::SYS_recvfrom, &[fd, buffer_at, room, flags]),
        };
        // Nothing is left to receive.
        sys(libc::SYS_recvfrom, &[fd, buffer_at, 16, flags]);
    }
    sys(libc::SYS_close, &[fd]);
    fork_and_exit(0);
}

/// Has the kernel carry packets from this machine to itself; where they are carried already, nothing
/// changes.
fn raise_loopback(fd: i64) {
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let mut request = InterfaceRequest { name: [0; 16], flags, rest: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    let at = (&raw const request).expose_provenance() as i64;
    sys(libc::SYS_ioctl, &[fd, libc::SIOCSIFFLAGS as i64, at]);
}

/// Names of tasks. The kernel compares bytes that an earlier, longer name left behind a shorter one;
/// so that this shows in no case, what is searched for begins at the second byte at the latest,
/// and no name is shorter.
const NAMES: [&str; 18] = [
    "plain",
    "ab",
    "abc",
    "abneedle",
    "abneedlexyz",
    "needle",
    "fifteen-letters",
    "here-end-at-end",
    "a*b",
    "a?b",
    "[x]y",
    "a\\b",
    "1*",
    "1abc",
    "UPPER case",
    "with space",
    "!not",
    "last",
];

/// Texts of all lengths, with a word to be found within the first 64 bytes, across their end,
/// behind them, and behind what the kernel looks at.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        "/",
        "/etc/none",
        "/etc/needle.conf",
        "/no/such/dir/needle",
        "/no/such/needle/dir/needle",
        "needless",
        "need",
        "relative/path.so.6",
        "1*",
        "a[b]c\\d",
    ]
    .map(str::to_owned)
    .to_vec();
    for length in [57, 58, 61, 63, 64, 65, 122, 127, 128, 129, 200, 255, 300, 900] {
        texts.push(format!("{}needle", "x".repeat(length)));
        texts.push(format!("{}needle{}", "x".repeat(length), "y".repeat(70)));
        texts.push("z".repeat(length));
    }
    texts
}

fn strings() -> Result<()> {
    let texts = texts();
    for name in NAMES {
        set_name(name);
        sys(libc::SYS_getppid, &[]);
        fork_and_exit(0);
        drop(std::io::pipe()?);
    }
    for text in &texts {
        open(&format!("{text}\0"));
        log(text)?;
        // Sleeps for a microsecond.
        let time = [0_i64, 1000];
        sys(libc::SYS_nanosleep, &[time.as_ptr().expose_provenance() as i64, 0]);
    }
    // The kernel looks at 1023 bytes.
    for (length, end) in [(1016, "needle"), (1017, "needle"), (1018, "needle"), (1100, "needle")] {
        open(&format!("{}{end}\0", "x".repeat(length)));
        open(&format!("{}{end}{}\0", "x".repeat(length), "y".repeat(500)));
    }
    // Nothing is there.
    for address in [0, 8, i64::MIN + 8, -8] {
        sys(libc::SYS_openat, &[libc::AT_FDCWD.into(), address, 0]);
    }
    Ok(())
}

fn set_name(name: &str) {
    let name = format!("{name}\0");
    sys(libc::SYS_prctl, &[libc::PR_SET_NAME.into(), name.as_ptr().expose_provenance() as i64]);
}

/// Opens what is not there.
fn open(path: &str) {
    let path = path.as_ptr().expose_provenance() as i64;
    sys(libc::SYS_openat, &[-1, path, libc::O_RDONLY.into()]);
}

/// A debug message of user space. Each file may write few of them, so each gets its own.
fn log(text: &str) -> Result<()> {
    let mut file = File::options().write(true).open("/dev/kmsg").context("/dev/kmsg")?;
    file.write_all(format!("<15>{text}").as_bytes()).context("writing to /dev/kmsg")
}

/// All other CPUs run threads of this process while its memory is protected: they must be told.
fn threads(own: usize, n_cpus: usize) -> Result<()> {
    let (stop, running) = (AtomicBool::new(false), AtomicUsize::new(0));
    let others: Vec<_> = (0..n_cpus).filter(|cpu| *cpu != own).collect();
    thread::scope(|scope| {
        for cpu in &others {
            let (stop, running) = (&stop, &running);
            scope.spawn(move || {
                let moved = cpus::pin([*cpu]);
                running.fetch_add(1, Ordering::SeqCst);
                while moved.is_ok() && !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                moved
            });
        }
        while running.load(Ordering::SeqCst) < others.len() {
            thread::yield_now();
        }
        let result = (0..40).try_for_each(|_| change_mapping());
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Maps a page, writes to it, and takes it away.
fn change_mapping() -> Result<()> {
    const PAGE: i64 = 4096;
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let start = sys(libc::SYS_mmap, &[0, PAGE, protection.into(), flags.into(), -1]);
    ensure!(start > 0, "mapping a page");
    touch(start, 1, PAGE);
    sys(libc::SYS_mprotect, &[start, PAGE, libc::PROT_READ.into()]);
    sys(libc::SYS_munmap, &[start, PAGE]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_suite_files() {
        for workload in Workload::value_variants() {
            let text = format!("workload = '{}'", workload.name());
            let table: std::collections::BTreeMap<String, Workload> =
                toml::from_str(&text).unwrap();
            assert_eq!(table["workload"], *workload);
        }
    }

    #[test]
    fn random_repeats() {
        let numbers = |mut random: Random| [random.next(), random.next(), random.next()];
        assert_eq!(numbers(Random(1)), numbers(Random(1)));
    }
}
