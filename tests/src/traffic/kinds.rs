//! Causes events of kinds that the suite's workloads do not have, some hundred at a time. What a
//! machine does not allow is left out: fewer events happen there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hist_cli::kernel::tracefs::cgroup2_root;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::cpus;
use crate::workload::sys;

/// Those that take no disk, a little of each.
pub(super) fn quick(dir: &Path) -> Result<()> {
    executions(dir)?;
    moves();
    names();
    locks(dir)?;
    intervals();
    refusals();
    Ok(())
}

/// Those of files.
pub(super) fn disk(dir: &Path) -> Result<()> {
    holes(dir)?;
    mapped(dir)?;
    sequential(dir)
}

/// The least program there is: an ELF header, one segment, and `exit(0)`.
fn least_program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // `mov eax, 60; xor edi, edi; syscall`
    const CODE: [u8; 9] = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05];
    let size = HEADERS + CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |elf: &mut Vec<u8>, numbers: &[u16]| {
        numbers.iter().for_each(|number| elf.extend(number.to_le_bytes()));
    };
    let word = |elf: &mut Vec<u8>, numbers: &[u32]| {
        numbers.iter().for_each(|number| elf.extend(number.to_le_bytes()));
    };
    let long = |elf: &mut Vec<u8>, numbers: &[u64]| {
        numbers.iter().for_each(|number| elf.extend(number.to_le_bytes()));
    };
    // Executable, x86-64; entry, program headers at 64, no sections.
    half(&mut elf, &[2, 62]);
    word(&mut elf, &[1]);
    long(&mut elf, &[BASE + HEADERS, 64, 0]);
    word(&mut elf, &[0]);
    half(&mut elf, &[64, 56, 1, 64, 0, 0]);
    // Loaded, readable and executable; offset, addresses, sizes, alignment.
    word(&mut elf, &[1, 5]);
    long(&mut elf, &[0, BASE, BASE, size, size, 0x1000]);
    elf.extend(CODE);
    elf
}

/// Programs executed.
fn executions(dir: &Path) -> Result<()> {
    let program = dir.join("least");
    fs::write(&program, least_program())?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for _ in 0..20 {
        let status = Command::new(&program).status().context("the least program")?;
        anyhow::ensure!(status.success(), "the least program: {status}");
    }
    fs::remove_file(&program)?;
    Ok(())
}

/// This thread goes from CPU to CPU.
fn moves() {
    let Ok(_before) = cpus::keep() else { return };
    let n_cpus = thread::available_parallelism().map_or(1, usize::from);
    for n in 0..60 {
        // Where a CPU is not ours, fewer events happen.
        let _ = cpus::pin([n % n_cpus]);
        sys(libc::SYS_sched_yield, &[]);
    }
}

/// This thread under other names, and what no name is.
fn names() {
    for n in 0..100_i64 {
        let name = ["short", "a-longer-name", "x", "fifteen-letters"][n as usize % 4];
        let name = format!("{name}\0");
        let at = name.as_ptr().expose_provenance() as i64;
        sys(libc::SYS_prctl, &[libc::PR_SET_NAME.into(), at]);
        sys(libc::SYS_prctl, &[123_456, n, 2 * n, 3 * n, 4 * n]);
    }
}

/// Files locked, both ways.
fn locks(dir: &Path) -> Result<()> {
    let path = dir.join("lock");
    let file = File::create(&path)?;
    for n in 0..20_i64 {
        flock(&file, FlockOperation::LockExclusive)?;
        flock(&file, FlockOperation::Unlock)?;
        let fd = i64::from(file.as_raw_fd());
        for kind in [libc::F_WRLCK, libc::F_UNLCK] {
            let lock =
                libc::flock { l_type: kind as i16, l_whence: 0, l_start: n, l_len: 10, l_pid: 0 };
            let at = (&raw const lock).expose_provenance() as i64;
            sys(libc::SYS_fcntl, &[fd, libc::F_SETLK.into(), at]);
        }
        // No lease is broken by the one who has it.
        sys(libc::SYS_fcntl, &[fd, libc::F_SETLEASE.into(), libc::F_WRLCK.into()]);
        sys(libc::SYS_fcntl, &[fd, libc::F_SETLEASE.into(), libc::F_UNLCK.into()]);
    }
    fs::remove_file(&path)?;
    Ok(())
}

/// Interval timers that expire; nobody listens.
fn intervals() {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    for micros in [300_i64, 500] {
        let spec = [0, micros, 0, micros];
        sys(libc::SYS_setitimer, &[0, spec.as_ptr().expose_provenance() as i64]);
        thread::sleep(Duration::from_millis(20));
    }
    let off = [0_i64; 4];
    sys(libc::SYS_setitimer, &[0, off.as_ptr().expose_provenance() as i64]);
}

/// Connections that are refused or reset, datagrams that nobody takes.
fn refusals() {
    for n in 0..20 {
        // Nobody listens at these.
        let _ = TcpStream::connect(("127.0.0.1", 2 + n));
        let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return };
        let _ = socket.send_to(b"nobody", ("127.0.0.1", 2 + n));
        let _ = socket.send_to(b"nobody", ("127.0.0.1", 2 + n));
    }
    // More than the socket keeps.
    let full = || -> std::io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (address, text) = (socket.local_addr()?, [0; 8000]);
        (0..80).try_for_each(|_| socket.send_to(&text, address).map(drop))
    };
    let _ = full();
    let reset = || -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        for size in [1, 100, 5000] {
            let mut stream = TcpStream::connect(listener.local_addr()?)?;
            stream.write_all(&vec![1; size])?;
            // Closed with what has come still unread.
            drop(listener.accept()?);
            let _ = stream.read(&mut [0; 10]);
        }
        Ok(())
    };
    let _ = reset();
}

/// Space allocated and taken away in a file.
fn holes(dir: &Path) -> Result<()> {
    let path = dir.join("holes");
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    for n in 0..4_u64 {
        let flags = FallocateFlags::KEEP_SIZE;
        // Not every file system can do each.
        let _ = fallocate(&file, flags, 0, (64 + n) << 12);
        let _ = fallocate(&file, flags | FallocateFlags::PUNCH_HOLE, 4096 * n, 8192);
        let _ = fallocate(&file, FallocateFlags::ZERO_RANGE, 4096 * (n + 3), 4096);
        let _ = fallocate(&file, FallocateFlags::INSERT_RANGE, 4096, 4096);
        let _ = fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 4096, 8192);
        (&file).write_all(&[1; 10_000])?;
        file.sync_data()?;
    }
    drop(file);
    fs::remove_file(&path)?;
    Ok(())
}

/// A file's pages written through a mapping and synced.
fn mapped(dir: &Path) -> Result<()> {
    let path = dir.join("mapped");
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    file.set_len(16 << 12)?;
    let (protection, length) = (libc::PROT_READ | libc::PROT_WRITE, 16 << 12);
    let fd = i64::from(file.as_raw_fd());
    let start =
        sys(libc::SYS_mmap, &[0, length, protection.into(), libc::MAP_SHARED.into(), fd, 0]);
    anyhow::ensure!(start > 0, "mapping a file");
    for page in 0..16 {
        let byte = std::ptr::with_exposed_provenance_mut::<u8>((start + (page << 12)) as usize);
        // SAFETY: these pages have just been mapped for writing, and nothing else knows of them.
        unsafe { byte.write_volatile(page as u8) };
    }
    sys(libc::SYS_msync, &[start, length, libc::MS_SYNC.into()]);
    sys(libc::SYS_munmap, &[start, length]);
    drop(file);
    fs::remove_file(&path)?;
    Ok(())
}

/// A file so long that it is read ahead, and its blocks go to the disk together.
fn sequential(dir: &Path) -> Result<()> {
    let path = dir.join("long");
    let mut file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    file.write_all(&vec![7; 1 << 20])?;
    file.sync_all()?;
    super::evict(&file);
    let mut again = File::open(&path)?;
    while again.read(&mut [0; 8192])? > 0 {}
    drop((file, again));
    fs::remove_file(&path)?;
    Ok(())
}

/// Connections whose packets are dropped by one side, so that the other sends them again.
pub(super) fn repetitions(end: Instant) -> Result<()> {
    // `struct sock_filter` of one instruction: return 0, which is to keep nothing of a packet.
    let filter = [6_u64];
    let program = [1_u64, filter.as_ptr().expose_provenance() as u64];
    let at = program.as_ptr().expose_provenance() as i64;
    while Instant::now() < end {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut both = Vec::new();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(listener.local_addr()?)?;
            let (peer, _) = listener.accept()?;
            let option = i64::from(libc::SO_ATTACH_FILTER);
            let fd = i64::from(peer.as_raw_fd());
            sys(libc::SYS_setsockopt, &[fd, libc::SOL_SOCKET.into(), option, at, 16]);
            stream.write_all(b"never arrives")?;
            both.push((OwnedFd::from(stream), OwnedFd::from(peer)));
        }
        // Again after 0.2 s, 0.4 s, 0.8 s.
        thread::sleep(
            Duration::from_millis(1800).min(end.saturating_duration_since(Instant::now())),
        );
    }
    Ok(())
}

/// A control group with little memory, and a process in it that reads more than that.
pub(super) struct Pressure {
    group: PathBuf,
    reader: Option<Child>,
}

impl Pressure {
    /// Begins, where groups may have limits.
    pub(super) fn begin(dir: &Path) -> Option<Self> {
        let (root, limit) = limited()?;
        let group = root.join(format!("hist-tests-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let mut pressure = Self { group, reader: None };
        fs::write(pressure.group.join(limit), (12 << 20).to_string()).ok()?;
        let mut reader = Command::new("/proc/self/exe");
        reader.args(["traffic", "reader", "600000"]).env("TMPDIR", dir);
        let reader = reader.stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
        let id = reader.id().to_string();
        pressure.reader = Some(reader);
        fs::write(pressure.group.join("cgroup.procs"), id).ok()?;
        Some(pressure)
    }

    /// Groups made and removed in it.
    pub(super) fn groups(&self) {
        for n in 0..10 {
            let inner = self.group.join(format!("inner-{n}"));
            let _ = fs::create_dir(&inner);
            let _ = fs::remove_dir(&inner);
        }
    }
}

/// Where groups may have little memory, and the name of the limit's file.
fn limited() -> Option<(PathBuf, &'static str)> {
    let first = PathBuf::from("/sys/fs/cgroup/memory");
    if first.join("memory.limit_in_bytes").exists() {
        return Some((first, "memory.limit_in_bytes"));
    }
    let root = cgroup2_root()?;
    // It may be on already, or not allowed: then the limit cannot be set either.
    let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
    Some((root, "memory.max"))
}

impl Drop for Pressure {
    fn drop(&mut self) {
        if let Some(reader) = &mut self.reader {
            // It may have ended by itself.
            let _ = reader.kill();
            let _ = reader.wait();
        }
        // A group whose last process has just ended may be busy for a moment.
        for _ in 0..20 {
            if fs::remove_dir(&self.group).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Reads and writes a file of 48 MiB until the time is over.
pub(super) fn reader(end: Instant) -> Result<()> {
    let path = std::env::temp_dir().join(format!("pressure-{}", std::process::id()));
    let mut file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    // Gone with its last descriptor, however this process ends.
    fs::remove_file(&path)?;
    let block = vec![3; 1 << 20];
    for _ in 0..48 {
        file.write_all(&block)?;
    }
    let mut buffer = vec![0; 64 << 10];
    while Instant::now() < end {
        std::io::Seek::rewind(&mut file)?;
        while file.read(&mut buffer)? > 0 && Instant::now() < end {}
        std::io::Seek::rewind(&mut file)?;
        (0..4).try_for_each(|_| file.write_all(&block))?;
    }
    Ok(())
}
