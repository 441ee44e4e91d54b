//! The contents of a histogram at one moment, as plain data: all that print and export ever see, and what
//! is done with it before: sorted, compared with an earlier one, cut to its largest rows.

pub mod bucket;
pub mod counts;
pub mod delta;
pub mod sort;
pub mod stack;
pub mod top;

use bstr::BString;
use smallvec::SmallVec;

pub use counts::{Counts, Losses, Values};

/// How the numbers of several hits are put together.
pub use crate::resolve::Fold;
/// The sign and width of numbers.
pub use crate::resolve::IntType;
/// How keys are compared when the kernel sorts by them.
pub use crate::resolve::hist::Order as KeyOrder;

/// A histogram's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The canonical trigger line, with filter and `[active]` or `[paused]`.
    pub trigger: BString,
    /// How the key bytes of a row are divided and shown.
    pub keys: Vec<KeyColumn>,
    /// The numbers besides the hits.
    pub values: Vec<ValueColumn>,
    /// Entries show their hitcount.
    pub show_hitcount: bool,
    /// 1 or 2 sort keys.
    pub sort: Vec<crate::resolve::hist::Sort>,
    /// The entries, in any order until sorted.
    pub rows: Vec<Row>,
    /// Hits that were not counted.
    pub losses: Losses,
}

impl Snapshot {
    /// How each of the values is put together.
    #[must_use]
    pub fn folds(&self) -> Vec<Fold> {
        folds(&self.values)
    }

    /// The hits of all rows.
    #[must_use]
    pub fn hits(&self) -> u64 {
        counts::hits(self.rows.iter().map(|row| row.counts.hits))
    }

    /// Every address that is shown by its symbol; zeros may be among them.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        let columns = self.keys.iter().filter(|column| {
            matches!(column.show, KeyShow::Sym | KeyShow::SymOffset | KeyShow::Stack)
        });
        columns.flat_map(|column| {
            let offsets = (column.offset..column.offset + column.size).step_by(8);
            self.rows.iter().flat_map(move |row| offsets.clone().map(|offset| row.word(offset)))
        })
    }
}

/// The raw key of an entry, as the kernel's own table would hold it: little-endian, zero padded. A
/// large table has many of them, so short ones lie in the row itself.
pub type KeyBytes = SmallVec<[u8; 16]>;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The raw key.
    pub key: KeyBytes,
    /// Its hits; one of the values for each of [`Snapshot::values`].
    pub counts: Counts,
    /// The current task's name at the first hit, NUL-padded; empty if nothing shows it.
    pub comm: [u8; 16],
}

impl Row {
    /// The key's `size` bytes from `offset` on, up to the first NUL.
    #[must_use]
    pub fn text(&self, offset: usize, size: usize) -> &[u8] {
        let end = self.key.len().min(offset + size);
        let bytes = self.key.get(offset..end).unwrap_or_default();
        bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The number in the key's 8 bytes from `offset` on; bytes past its end count as zero.
    #[must_use]
    pub fn word(&self, offset: usize) -> u64 {
        let bytes = self.key.get(offset..).unwrap_or_default();
        match bytes.first_chunk() {
            Some(&word) => u64::from_le_bytes(word),
            None => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        }
    }
}

/// One part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// What entries call it.
    pub label: String,
    /// From the key's start, in bytes.
    pub offset: usize,
    /// In bytes, padding included.
    pub size: usize,
    /// How it is shown.
    pub show: KeyShow,
    /// How the kernel compares it.
    pub order: KeyOrder,
    /// What its numbers mean; of powers of two and buckets, the numbers that they divide. ftrace's
    /// own text shows them all without a sign.
    pub number: IntType,
}

/// How a key is shown. The formats are those of `hist_trigger_print_key()` in the kernel's
/// trace_events_hist.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShow {
    /// `%10llu`
    Decimal,
    /// `%llx`
    Hex,
    /// `[%llx] %-45ps`
    Sym,
    /// `[%llx] %-55pS`
    SymOffset,
    /// `~ 2^%-2llu`
    Log2,
    /// `~ %llu-%llu`, the width given
    Buckets(u64),
    /// `%-16s[%10llu]`, the name being [`Row::comm`]
    Execname,
    /// `%-30s[%3llu]`
    Syscall,
    /// One `%pS` a line
    Stack,
    /// `%-50s`
    Text,
}

/// One number besides the hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueColumn {
    /// What entries call it.
    pub label: String,
    /// How it is shown.
    pub show: ValueShow,
    /// Entries leave it out; sorting knows it.
    pub hidden: bool,
    /// How the numbers of several hits are put together.
    pub fold: Fold,
    /// What its numbers mean. ftrace's own text shows and sorts them all without a sign.
    pub number: IntType,
}

/// How each of these values is put together.
#[must_use]
pub fn folds(values: &[ValueColumn]) -> Vec<Fold> {
    values.iter().map(|value| value.fold).collect()
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueShow {
    /// ` N: %10llu`
    Decimal,
    /// ` N: %10llx`
    Hex,
    /// ` N (%): %3u.%02u`, of the sum over all entries
    Percent,
    /// ` N: %20s`, a bar relative to the largest entry
    Graph,
}
