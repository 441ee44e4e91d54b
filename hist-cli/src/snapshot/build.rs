//! Makes snapshots by hand, column by column: for the tests of all that is done with them. Those that
//! count come from [`crate::read`].

use super::{
    Counts, Fold, IntType, KeyBytes, KeyColumn, KeyOrder, Losses, Row, Show, Snapshot, ValueColumn,
};
use crate::resolve::hist::{Sort, SortBy};

impl Snapshot {
    /// One without columns and rows, that lost nothing and shows hitcounts.
    #[must_use]
    pub fn named(trigger: &str) -> Self {
        Self {
            trigger: trigger.into(),
            keys: Vec::new(),
            values: Vec::new(),
            show_hitcount: true,
            sort: Vec::new(),
            rows: Vec::new(),
            losses: Losses::default(),
        }
    }

    /// With one more key, of `size` bytes after those of the others. Its order says of how many bytes
    /// its numbers are, and whether they have a sign.
    #[must_use]
    pub fn with_key(mut self, label: &str, size: usize, show: Show, order: KeyOrder) -> Self {
        let offset = self.keys.last().map_or(0, |last| last.offset + last.size);
        let (signed, bits) = match order {
            KeyOrder::Signed(bytes) => (true, 8 * bytes),
            KeyOrder::Unsigned(bytes) => (false, 8 * bytes),
            KeyOrder::Text | KeyOrder::None => (false, 64),
        };
        let number = IntType { signed, bits };
        self.keys.push(KeyColumn { label: label.into(), offset, size, show, order, number });
        self
    }

    /// With one more key of 8 bytes that is a number with a sign.
    #[must_use]
    pub fn with_number(self, label: &str, show: Show) -> Self {
        self.with_key(label, 8, show, KeyOrder::Signed(8))
    }

    /// With one more value, a sum.
    #[must_use]
    pub fn with_value(mut self, label: &str, show: Show, number: IntType) -> Self {
        let (label, fold) = (label.into(), Fold::Sum);
        self.values.push(ValueColumn { label, show, hidden: false, fold, number });
        self
    }

    /// With one more sort key.
    #[must_use]
    pub fn sorted_by(mut self, by: SortBy, descending: bool) -> Self {
        self.sort.push(Sort { by, descending });
        self
    }

    /// With more rows.
    #[must_use]
    pub fn with_rows(mut self, rows: impl IntoIterator<Item = Row>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// With that lost.
    #[must_use]
    pub fn with_losses(self, losses: Losses) -> Self {
        Self { losses, ..self }
    }
}

impl Row {
    /// One of nobody's name.
    #[must_use]
    pub fn new(key: &[u8], hits: u64, values: &[u64]) -> Self {
        let counts = Counts::new(hits, values);
        Self { key: KeyBytes::from_slice(key), counts, comm: [0; 16] }
    }

    /// One whose key is of such words.
    #[must_use]
    pub fn of_words(words: &[u64], hits: u64, values: &[u64]) -> Self {
        let key: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self::new(&key, hits, values)
    }

    /// The same with a task's name, of which the first 16 bytes are taken.
    #[must_use]
    pub fn of_task(mut self, name: &[u8]) -> Self {
        self.comm = [0; 16];
        self.comm.iter_mut().zip(name).for_each(|(byte, letter)| *byte = *letter);
        self
    }
}
