//! Makes events of many kinds happen for a while: all workloads of the suite, and besides them
//! streams over loopback, files that are written and synced, and memory that is mapped.
//!
//! Each [`Part`] of it is a process of its own: [`happen`] starts this program again for each, with
//! the command line of [`crate::guest::Work`].

mod kinds;
mod machine;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;
use rustix::process::getpid;

use crate::differential::GO;
use crate::workload::Workload;

use kinds::Pressure;
pub(crate) use machine::groups;

/// Which events happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// What the suite's workloads do, processes and sleeps.
    Suite,
    /// Streams and files, in little memory.
    Own,
    /// Kinds that the suite does not have.
    Kinds,
    /// Packets that are sent again.
    Packets,
    /// What only a machine of one's own should have.
    Machine,
    /// Reads more than its memory has room for.
    Reader,
}

impl Part {
    /// What runs at the same time on any machine.
    pub const ALL: [Self; 4] = [Self::Suite, Self::Own, Self::Kinds, Self::Packets];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Own => "own",
            Self::Kinds => "kinds",
            Self::Packets => "packets",
            Self::Machine => "machine",
            Self::Reader => "reader",
        }
    }
}

/// Makes events of all kinds happen for that long.
///
/// # Errors
/// When a part of it cannot be started, or fails.
pub fn happen(time: Duration) -> Result<()> {
    let mut parts = Part::ALL.to_vec();
    // The first process is that of a virtual machine.
    if getpid().is_init() {
        groups()?;
        parts.push(Part::Machine);
    }
    let children: Vec<_> = parts.into_iter().map(|part| start(part, time)).collect();
    for child in children {
        let status = child?.wait()?;
        ensure!(status.success(), "the traffic failed: {status}");
    }
    Ok(())
}

/// This program again, making events happen.
fn start(part: Part, time: Duration) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["traffic", part.name(), &time.as_millis().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting the traffic")
}

/// Makes events happen until the time is over.
///
/// # Errors
/// If there is no directory for temporary files.
pub fn run(part: Part, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    match part {
        Part::Suite => {
            suite(end);
            Ok(())
        }
        Part::Own => own(end),
        Part::Kinds => in_directory(|dir| until(end, || kinds::quick(dir))),
        Part::Packets => packets(end),
        Part::Machine => machine::run(end),
        Part::Reader => kinds::reader(end),
    }
}

fn own(end: Instant) -> Result<()> {
    in_directory(|dir| {
        let pressure = Pressure::begin(dir);
        until(end, || {
            // In a machine that has just begun, the other part must raise loopback first.
            if let Err(error) = streams() {
                eprintln!("no streams yet: {error:#}");
                thread::sleep(Duration::from_millis(100));
            }
            files(dir)?;
            kinds::disk(dir)?;
            pressure.iter().for_each(Pressure::groups);
            Ok(())
        })
    })
}

/// Does it with a directory that is there for that long.
fn in_directory(act: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("traffic-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    act(&dir)?;
    fs::remove_dir(&dir)?;
    Ok(())
}

/// Again and again.
fn until(end: Instant, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    while Instant::now() < end {
        act()?;
    }
    Ok(())
}

fn packets(end: Instant) -> Result<()> {
    while Instant::now() < end {
        // As with streams.
        if kinds::repetitions(end).is_err() {
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn suite(end: Instant) {
    let mut limited = BTreeSet::new();
    while Instant::now() < end {
        for workload in Workload::value_variants() {
            // Some ask for more than every machine allows; there, fewer events happen.
            if let Err(error) = work(*workload)
                && limited.insert(workload.name())
            {
                eprintln!("the workload {} is cut short here: {error:#}", workload.name());
            }
        }
        sleeps();
    }
}

/// Once, in a process of its own: workloads close files that are not theirs.
fn work(workload: Workload) -> Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["workload", workload.name()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let told = child.stdin.take().context("its input")?.write_all(GO.as_bytes());
    let status = child.wait()?;
    told?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Connections over loopback: accepted, read, written and closed on both sides.
fn streams() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // A connection that is closed at once; without loopback it fails, before anybody waits.
    drop(TcpStream::connect(address)?);
    let server = thread::spawn(move || {
        for _ in 0..9 {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut buffer)? {
                    0 => break,
                    count => stream.write_all(&buffer[..count])?,
                }
            }
        }
        std::io::Result::Ok(())
    });
    for size in [1, 10, 100, 1000, 10_000, 50_000, 3, 7000] {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&vec![1; size])?;
        let mut back = vec![0; size];
        stream.read_exact(&mut back)?;
    }
    server.join().expect("the server panicked")?;
    Ok(())
}

/// Files that are made, written, synced, read again, cut, renamed and removed.
fn files(dir: &Path) -> Result<()> {
    for n in 0..4_usize {
        let (path, other) = (dir.join(format!("file-{n}")), dir.join(format!("other-{n}")));
        let mut file =
            File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        file.write_all(&vec![n as u8; 5000 * (n + 1)])?;
        file.sync_all()?;
        evict(&file);
        file.seek(SeekFrom::Start(100))?;
        file.read_exact(&mut [0; 4000])?;
        file.set_len(4096 * n as u64 + 17)?;
        file.sync_data()?;
        drop(file);
        fs::rename(&path, &other)?;
        fs::hard_link(&other, &path)?;
        fs::metadata(&path)?;
        read_dir(dir)?;
        fs::remove_file(&other)?;
        fs::remove_file(&path)?;
    }
    Ok(())
}

/// Forgets the file's pages, so that reading takes them from the disk.
pub(super) fn evict(file: &File) {
    // A hint: where it is not taken, fewer events happen.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

fn read_dir(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        entry?;
    }
    Ok(())
}

/// Waits that end by timers of all kinds, and CPUs that go idle.
fn sleeps() {
    for micros in [1, 50, 200, 1000, 5000] {
        thread::sleep(Duration::from_micros(micros));
    }
}
