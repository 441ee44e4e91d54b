//! The valve of a command: a map that all its programs look at before they count, so that all of
//! them begin and end with the same event.
//!
//! Programs are attached and detached one after the other, and what happens in between is counted by
//! some and not by others. So they look at a byte for each CPU, and it is written by a thread that
//! runs on that CPU: as long as that thread runs there, no event is half counted there. (What the
//! kernel preempts between two programs of one event may be, once for each task; before Linux 7.0
//! programs of a tracepoint are not preempted.)

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aya::maps::MapData;
use rustix::param::page_size;

use super::LoadError;
use super::{locked, maps};
use crate::kernel::cpus;
use crate::link::MapDef;
use crate::plan::focus::{FocusMap, VALVE_SIZE};
use crate::sys::mmap::ArrayBytes;

/// How long CPUs get to turn it by themselves. One that is kept busy by a real-time task for longer
/// has it turned from outside.
const PATIENCE: Duration = Duration::from_secs(1);

/// The valve, closed at first. Dropping it ends its thread.
pub(super) struct Valve {
    map: MapData,
    bytes: Arc<ArrayBytes>,
    /// What the bytes shall be, for a thread that was kept from a CPU for long.
    wish: Arc<AtomicU8>,
    /// The same, as work for the thread.
    wishes: Sender<u8>,
    /// What they are, on each CPU that can be reached.
    turned: Mutex<Receiver<u8>>,
}

impl Valve {
    /// A closed valve, with a thread of its own: there may be none to be had later.
    ///
    /// # Errors
    /// If the kernel gives no map or no thread.
    pub(super) fn new() -> Result<Self, LoadError> {
        let def = MapDef::of_focus(FocusMap::Valve);
        // Whole pages can be mapped.
        let size = VALVE_SIZE.next_multiple_of(page_size() as u32);
        let map = maps::create(&MapDef { value_size: size, ..def })?;
        let failed = |source| LoadError::Map { name: FocusMap::Valve.name().to_owned(), source };
        let bytes = ArrayBytes::of_array(map.fd().as_fd(), size as usize).map_err(failed)?;
        let bytes = Arc::new(bytes);
        let (wishes, wished) = channel();
        let (turn, turned) = channel();
        let wish = Arc::new(AtomicU8::new(0));
        let (turning, latest) = (bytes.clone(), wish.clone());
        let work = move || {
            for wish in wished {
                turn_everywhere(&turning, &latest);
                // Nobody may be waiting any more.
                let _ = turn.send(wish);
            }
        };
        thread::Builder::new().name("valve".to_owned()).spawn(work).map_err(failed)?;
        Ok(Self { map, bytes, wish, wishes, turned: Mutex::new(turned) })
    }

    /// The map.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Lets programs count, or keeps them from counting, on all CPUs.
    pub(super) fn turn(&self, is_open: bool) {
        let wish = u8::from(is_open);
        let turned = locked(&self.turned);
        self.wish.store(wish, Ordering::SeqCst);
        if self.wishes.send(wish).is_ok() {
            // What was wished before may have taken too long. If it still does, the rest is done here.
            while turned.recv_timeout(PATIENCE).is_ok_and(|done| done != wish) {}
        }
        // For CPUs that could not be reached, and those that come later.
        (0..self.bytes.len()).for_each(|cpu| self.bytes.store(cpu, wish));
    }
}

/// Turns it on one CPU after the other, on that CPU itself.
fn turn_everywhere(bytes: &ArrayBytes, latest: &AtomicU8) {
    // Without the list, it is turned from outside.
    for cpu in aya::util::online_cpus().unwrap_or_default() {
        let cpu = cpu as usize;
        // A cpuset may forbid it.
        if cpu < bytes.len() && cpus::move_to(cpu).is_ok() {
            // A caller that gave up waiting may be writing this byte from another CPU right now.
            while {
                let now = latest.load(Ordering::SeqCst);
                bytes.store(cpu, now);
                latest.load(Ordering::SeqCst) != now
            } {}
        }
    }
}
