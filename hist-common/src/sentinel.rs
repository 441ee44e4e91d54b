//! What the programs that count dropped events share with user space.

/// Name of the array with a [`Balance`] for each CPU.
pub const MAP_BALANCE: &str = "watch_balance";

/// How many events one CPU's raw program has been called for and its classic one has not run for. A
/// cache line long, so that CPUs do not wait for each other.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// While it is 0, nothing is counted: to start it, user space writes a number that the balance never
    /// reaches.
    pub number: u64,
    /// No padding hides.
    pub reserved: [u64; 7],
}
