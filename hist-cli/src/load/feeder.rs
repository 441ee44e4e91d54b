//! Takes a loaded program and what it is to be attached to. Gives a [`Feeder`], which can be
//! attached and detached.
//!
//! A trigger that counts nothing is detached: a flag that the program would have to look at would
//! cost every event that is counted, and every event of a paused trigger the whole way into the
//! program.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{LoadError, bpf, perf};
use crate::plan::{Attach, Plan};

/// A loaded program that feeds a table.
pub(super) struct Feeder {
    program: OwnedFd,
    attach: Attach,
    /// `system:event`
    event: String,
    /// Closing it detaches the program. There while the trigger counts.
    link: Mutex<Option<OwnedFd>>,
    /// What the kernel had counted of missed events when the table was cleared last.
    excused: AtomicU64,
}

impl Feeder {
    /// A program that is not attached yet, so it counts nothing and misses nothing.
    pub(super) fn new(plan: &Plan, program: OwnedFd) -> Self {
        Self {
            program,
            attach: plan.attach.clone(),
            event: plan.event_name(),
            link: Mutex::default(),
            excused: AtomicU64::new(0),
        }
    }

    pub(super) fn program_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    pub(super) fn is_attached(&self) -> bool {
        self.link().is_some()
    }

    /// Attached already, it stays so.
    pub(super) fn attach(&self) -> Result<(), LoadError> {
        let mut link = self.link();
        if link.is_none() {
            let failed = |source| LoadError::attaching(&self.event, source);
            *link = Some(open_link(&self.attach, self.program_fd()).map_err(failed)?);
        }
        Ok(())
    }

    /// No event calls the program any more; where it runs at this moment, it runs to its end.
    pub(super) fn detach(&self) {
        *self.link() = None;
    }

    /// How many events have passed the program while it was attached, because the kernel would not
    /// nest it, since they were forgotten last.
    pub(super) fn missed(&self) -> io::Result<u64> {
        Ok(self.kernels_misses()?.saturating_sub(self.excused.load(Ordering::Relaxed)))
    }

    pub(super) fn forget_misses(&self) -> io::Result<()> {
        self.excused.store(self.kernels_misses()?, Ordering::Relaxed);
        Ok(())
    }

    fn kernels_misses(&self) -> io::Result<u64> {
        bpf::recursion_misses(self.program_fd())
    }

    fn link(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        // It is there or not, whatever panicked while it was locked.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_link(attach: &Attach, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match attach {
        Attach::Tracepoint { id, .. } => perf::attach(*id, program),
        Attach::RawTracepoint { name, btf_id: None } => {
            bpf::open_raw_tracepoint(Some(&CString::new(name.as_str())?), program)
        }
        Attach::RawTracepoint { btf_id: Some(_), .. } => bpf::open_raw_tracepoint(None, program),
    }
}
