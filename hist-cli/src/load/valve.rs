//! Takes the map that all programs of a command look at before they count. Gives a valve, which lets
//! all of them begin and end with the same event.
//!
//! Programs are attached and detached one after the other, and what happens in between is counted by
//! some and not by others. So they look at a byte for each CPU, and it is written by a thread that
//! runs on that CPU: as long as that thread runs there, no event is half counted there. (What the
//! kernel preempts between two programs of one event may be, once for each task; before Linux 7.0
//! programs of a tracepoint are not preempted.)

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::LoadError;
use super::bpf::RawMap;
use super::{cpus, maps};
use crate::link::MapDef;
use crate::plan::focus::{FocusMap, VALVE_SIZE};
use aya::maps::MapData;

/// How long CPUs get to turn it by themselves. One that is kept busy by a real-time task for longer
/// has it turned from outside.
const PATIENCE: Duration = Duration::from_secs(1);

/// The valve, closed at first. Dropping it ends its thread.
pub(super) struct Valve {
    map: Arc<MapData>,
    /// What the bytes shall be.
    wishes: Sender<u8>,
    /// That they are, from each CPU that can be reached.
    turned: Mutex<Receiver<()>>,
}

impl Valve {
    /// A closed valve, with a thread of its own: there may be none to be had later.
    ///
    /// # Errors
    /// If the kernel gives no map or no thread.
    pub(super) fn new() -> Result<Self, LoadError> {
        let map = Arc::new(maps::create(&MapDef::of_focus(FocusMap::Valve))?);
        let (wishes, wished) = channel();
        let (turn, turned) = channel();
        let turning = map.clone();
        thread::Builder::new()
            .name("valve".to_owned())
            .spawn(move || {
                let mut bytes = vec![0; VALVE_SIZE as usize];
                for wish in wished {
                    turn_everywhere(&turning, &mut bytes, wish);
                    // Who does not wait any more does not need to know.
                    let _ = turn.send(());
                }
            })
            .map_err(|source| LoadError::Map { name: FocusMap::Valve.name().to_owned(), source })?;
        Ok(Self { map, wishes, turned: Mutex::new(turned) })
    }

    /// The map.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Lets programs count, or keeps them from counting, on all CPUs.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub(super) fn turn(&self, is_open: bool) -> io::Result<()> {
        let (byte, start) = (u8::from(is_open), Instant::now());
        let turned = self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wishes.send(byte).is_ok() {
            // Else what follows does it.
            let _ = turned.recv_timeout(PATIENCE.saturating_sub(start.elapsed()));
        }
        // For CPUs that could not be reached, and those that come later.
        raw(&self.map).update(&KEY, &vec![byte; VALVE_SIZE as usize])
    }
}

/// An array's only element.
const KEY: [u8; 4] = [0; 4];

fn raw(map: &MapData) -> RawMap<'_> {
    RawMap { fd: map.fd().as_fd(), key_size: 4, value_size: VALVE_SIZE as usize }
}

/// Turns it on one CPU after the other, on that CPU itself.
fn turn_everywhere(map: &MapData, bytes: &mut [u8], wish: u8) {
    // Without the list, it is turned from outside.
    for cpu in aya::util::online_cpus().unwrap_or_default() {
        let cpu = cpu as usize;
        // A cpuset may forbid it.
        if cpu < bytes.len() && cpus::move_to(cpu).is_ok() {
            bytes[cpu] = wish;
            // What fails here fails again where it is told.
            let _ = raw(map).update(&KEY, bytes);
        }
    }
    bytes.fill(wish);
}
