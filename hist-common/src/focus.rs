//! What the programs that follow processes share with user space.

/// Name of the hash of followed processes: pid (u32) to what is known of it.
pub const MAP_PROCESSES: &str = "FOCUS_PIDS";
/// Name of the array holding one [`State`].
pub const MAP_STATE: &str = "FOCUS_STATE";
/// Name of the constant of type [`Facts`].
pub const FACTS_SYMBOL: &str = "FOCUS_FACTS";

/// What the programs and user space tell each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The pid that is to be in the set from its next exec on, as its own pid namespace has it; 0 for
    /// none.
    pub armed: u32,
    /// No padding hides.
    pub reserved: u32,
    /// How many processes found no room. Only grows.
    pub full: u64,
}

impl State {
    /// The bytes of a map's value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let words = [u64::from(self.armed) | u64::from(self.reserved) << 32, self.full];
        bytes(&words)
    }

    /// The state that a map's value holds.
    #[must_use]
    pub fn of_bytes(bytes: [u8; size_of::<Self>()]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let [first, full] = [words[0], words[1]].map(u64::from_le_bytes);
        Self { armed: first as u32, reserved: (first >> 32) as u32, full }
    }
}

/// What user space knows of the running kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The device of the pid namespace that armed pids are of, as the kernel has it.
    pub namespace_device: u64,
    /// Its inode.
    pub namespace_inode: u64,
    /// Where `task_struct` has `tgid`, an int: the process's pid (bytes from its start).
    pub task_tgid: u64,
    /// Where it has `signal`, a pointer.
    pub task_signal: u64,
    /// Where `signal_struct` has `live.counter`, an int: threads that have not begun to exit.
    pub signal_live: u64,
    /// Where the record of `task:task_newtask` has `pid`, an int: the new task's own number, which is
    /// the process's pid unless it is only a thread.
    pub record_pid: u64,
    /// Where it has `clone_flags`, the flags of clone(2), of which the low 32 bits count.
    pub record_clone_flags: u64,
}

impl Facts {
    /// What is compiled in.
    pub const UNKNOWN: Self = Self {
        namespace_device: 0,
        namespace_inode: 0,
        task_tgid: 0,
        task_signal: 0,
        signal_live: 0,
        record_pid: 0,
        record_clone_flags: 0,
    };

    /// The bytes of the constant.
    #[must_use]
    pub fn to_bytes(self) -> [u8; size_of::<Self>()] {
        bytes(&[
            self.namespace_device,
            self.namespace_inode,
            self.task_tgid,
            self.task_signal,
            self.signal_live,
            self.record_pid,
            self.record_clone_flags,
        ])
    }
}

/// Words as both sides have them in memory: little-endian. `N` is eight times `W`.
fn bytes<const W: usize, const N: usize>(words: &[u64; W]) -> [u8; N] {
    const { assert!(N == 8 * W) };
    let mut bytes = [0; N];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}
