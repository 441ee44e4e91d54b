//! Waits for programs that are running at this moment.

use std::io;

use super::LoadError;
use crate::sys::bpf;

/// All that waiting takes, made ahead, so that it needs no new files.
pub struct Barrier(bpf::Barrier);

impl Barrier {
    /// Makes it ready.
    ///
    /// # Errors
    /// If the kernel gives no files for it.
    pub fn new() -> Result<Self, LoadError> {
        let failed = |source| LoadError::Map { name: "barrier".to_owned(), source };
        bpf::Barrier::new().map(Self).map_err(failed)
    }

    /// Waits until no BPF program runs that began before the call. What has been detached before has
    /// counted all that it will ever count.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub fn wait(&self) -> io::Result<()> {
        self.0.wait()
    }
}

/// Does the same at once.
///
/// # Errors
/// What bpf(2) says.
pub fn wait_for_programs() -> io::Result<()> {
    bpf::wait_for_programs()
}
