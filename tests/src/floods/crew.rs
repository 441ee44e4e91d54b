//! Makes floods of events: more threads than CPUs, so that they take the CPUs from each other in the
//! middle of whatever counts them.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::cpus;
use crate::workload::sys;

/// What counts the floods: on a CPU of its own, and in turns that only end when somebody waits.
///
/// Whoever reads a map with bpf(2) keeps classic programs from running on that CPU meanwhile; if
/// another task ran there before that is done, its events would be missed, and these are nobody's
/// in a flood. Dropping it ends that.
#[derive(Debug)]
pub struct Aside {
    _before: cpus::Kept,
}

/// Moves this thread, and the processes that it starts from now on, to that CPU.
///
/// # Errors
/// When there is no such CPU.
pub fn step_aside(cpu: usize) -> Result<Aside> {
    let aside = Aside { _before: cpus::keep()? };
    cpus::pin([cpu])?;
    set_policy(libc::SCHED_FIFO, 1)?;
    Ok(aside)
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It was so before.
        let _ = set_policy(libc::SCHED_OTHER, 0);
    }
}

/// How this thread is scheduled, see sched_setscheduler(2).
fn set_policy(policy: i32, priority: i32) -> Result<()> {
    let parameter = (&raw const priority).expose_provenance() as i64;
    let result = sys(libc::SYS_sched_setscheduler, &[0, policy.into(), parameter]);
    ensure!(result == 0, "scheduling: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The name of the threads, by which filters know their events.
pub const THREAD: &str = "flood";

/// What the threads do again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// getppid(2) and getsid(2) by turns.
    Calls,
    /// getppid(2) alone, so that every system call counts.
    Getppid,
    /// Pipes, made and closed: memory of the kernel.
    Memory,
    /// Naps, which end in interrupts while every third thread keeps its CPU busy.
    Naps,
}

impl Work {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Work::Calls => "calls",
            Work::Getppid => "getppid",
            Work::Memory => "memory",
            Work::Naps => "naps",
        }
    }
}

/// A flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// What the threads do.
    pub work: Work,
    /// On how many CPUs, from the first on.
    pub cpus: usize,
    /// How many they are.
    pub threads: usize,
    /// Iterations of a busy loop between one piece of work and the next.
    pub distance: u32,
}

/// How many system calls of each kind were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// getppid(2)
    pub getppid: u64,
    /// getsid(2)
    pub getsid: u64,
}

/// What the threads are to do.
const WAIT: u8 = 0;
const GO: u8 = 1;
const STOP: u8 = 2;
const END: u8 = 3;

#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    ready: AtomicUsize,
    stopped: AtomicUsize,
    getppid: AtomicU64,
    getsid: AtomicU64,
}

/// The threads. Between [`Crew::prepare`] and [`Crew::end`] they make no system call but those that
/// are counted: they wait by spinning.
pub struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Crew {
    /// Starts the threads, which wait.
    ///
    /// # Errors
    /// When a thread or a CPU is not to be had.
    pub fn prepare(flood: Flood) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut crew = Self { shared, threads: Vec::new() };
        for index in 0..flood.threads {
            let shared = Arc::clone(&crew.shared);
            let body = move || work(flood, index, &shared);
            crew.threads.push(thread::Builder::new().name(THREAD.to_owned()).spawn(body)?);
        }
        while crew.shared.ready.load(Ordering::SeqCst) < flood.threads {
            ensure_running(&crew)?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(crew)
    }

    /// Lets them work for that long. Gives what all have done.
    #[must_use]
    pub fn go(&self, time: Duration) -> Calls {
        self.start();
        thread::sleep(time);
        self.stop()
    }

    /// Lets them work.
    pub fn start(&self) {
        self.shared.phase.store(GO, Ordering::SeqCst);
    }

    /// Waits until they have stopped, which is once: they can only be ended then. Gives what all
    /// have done.
    #[must_use]
    pub fn stop(&self) -> Calls {
        self.shared.phase.store(STOP, Ordering::SeqCst);
        while self.shared.stopped.load(Ordering::SeqCst) < self.threads.len() {
            thread::sleep(Duration::from_millis(1));
        }
        let Shared { getppid, getsid, .. } = &*self.shared;
        Calls { getppid: getppid.load(Ordering::SeqCst), getsid: getsid.load(Ordering::SeqCst) }
    }

    /// Ends them.
    ///
    /// # Errors
    /// When a thread had failed.
    pub fn end(mut self) -> Result<()> {
        self.shared.phase.store(END, Ordering::SeqCst);
        let threads = std::mem::take(&mut self.threads);
        threads.into_iter().try_for_each(join)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.phase.store(END, Ordering::SeqCst);
    }
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

/// A thread that cannot have its CPU ends before it is ready.
fn ensure_running(crew: &Crew) -> Result<()> {
    let ended = crew.threads.iter().any(JoinHandle::is_finished);
    if ended { Err(anyhow!("a thread cannot have its CPUs")) } else { Ok(()) }
}

fn work(flood: Flood, index: usize, shared: &Shared) -> Result<()> {
    cpus::pin(0..flood.cpus)?;
    set_policy(libc::SCHED_OTHER, 0)?;
    let mut calls = Calls::default();
    shared.ready.fetch_add(1, Ordering::SeqCst);
    wait_while(shared, WAIT);
    while shared.phase.load(Ordering::Relaxed) == GO {
        piece(flood, index, &mut calls);
        busy(flood.distance);
    }
    shared.getppid.fetch_add(calls.getppid, Ordering::SeqCst);
    shared.getsid.fetch_add(calls.getsid, Ordering::SeqCst);
    shared.stopped.fetch_add(1, Ordering::SeqCst);
    wait_while(shared, STOP);
    Ok(())
}

fn wait_while(shared: &Shared, phase: u8) {
    while shared.phase.load(Ordering::Relaxed) == phase {
        spin_loop();
    }
}

fn busy(iterations: u32) {
    for n in 0..iterations {
        black_box(n);
    }
}

/// How long a nap is, in nanoseconds.
const NAP: i64 = 200_000;

fn piece(flood: Flood, index: usize, calls: &mut Calls) {
    match flood.work {
        Work::Getppid => {
            sys(libc::SYS_getppid, &[]);
            calls.getppid += 1;
        }
        Work::Calls => {
            sys(libc::SYS_getppid, &[]);
            busy(flood.distance);
            // No descriptor: it fails at once.
            sys(libc::SYS_getsid, &[0]);
            calls.getppid += 1;
            calls.getsid += 1;
        }
        Work::Memory => pipe(),
        Work::Naps if index.is_multiple_of(3) => busy(1000),
        Work::Naps => {
            let time = [0_i64, NAP];
            sys(libc::SYS_nanosleep, &[time.as_ptr().expose_provenance() as i64, 0]);
        }
    }
}

fn pipe() {
    let mut ends = [0_i32; 2];
    sys(libc::SYS_pipe2, &[ends.as_mut_ptr().expose_provenance() as i64, 0]);
    for end in ends {
        sys(libc::SYS_close, &[end.into()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crew_counts_what_it_does() {
        let flood = Flood { work: Work::Calls, cpus: 1, threads: 3, distance: 0 };
        let crew = Crew::prepare(flood).unwrap();
        let calls = crew.go(Duration::from_millis(50));
        assert!(calls.getppid > 0 && calls.getppid == calls.getsid, "{calls:?}");
        crew.end().unwrap();
    }

    #[test]
    fn cpus_that_are_not_there_are_an_error() {
        let flood = Flood { work: Work::Calls, cpus: 0, threads: 1, distance: 0 };
        assert!(Crew::prepare(flood).is_err());
    }
}
