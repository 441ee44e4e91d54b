//! Makes a system call all the time, in a thread on another CPU.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::Call;

/// The thread; dropping it ends it.
pub(super) struct Companion {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Calls between two looks at whether it is to end.
const CALLS: u64 = 100;

impl Companion {
    /// Starts it on the first CPU that this process may use besides the one at hand.
    pub(super) fn start(call: Call) -> Result<Self> {
        let other = other_cpu()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            sched_setaffinity(None, &other).expect("a CPU that was allowed a moment ago");
            while !stopped.load(Ordering::Relaxed) {
                call.make(CALLS);
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn other_cpu() -> Result<CpuSet> {
    // This thread has been bound to one CPU; its parent still has the choice.
    let allowed = sched_getaffinity(Some(Pid::INIT))?;
    let here = sched_getcpu();
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu) && *cpu != here);
    let mut one = CpuSet::new();
    one.set(cpus.next().context("only one CPU")?);
    Ok(one)
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the other CPU's calls");
        }
    }
}
