//! A [`Document`] is a sorted snapshot, or some of its rows, without raw bytes: every name is looked
//! up, so that it means the same on another machine.

use std::ops::Range;
use std::time::SystemTime;

use super::error::ExportError;
use super::names;
use crate::kernel::symbols::Symbols;
use crate::print::cell::{Cell, Named, cell};
use crate::print::readable;
use crate::resolve::hist::Sort;
use crate::snapshot::{
    Counts, Fold, IntType, KeyColumn, KeyOrder, KeyShow, Losses, Snapshot, ValueShow, counts,
};

/// Where and when a snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// `system:event`.
    pub event: String,
    /// The machines whose hits are counted, sorted, each once; one unless it is a sum.
    pub sources: Vec<Source>,
    /// When counting began or, for a difference, when the snapshot before was taken.
    pub since: SystemTime,
    /// When the snapshot was taken.
    pub time: SystemTime,
}

/// A running kernel.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Source {
    /// The machine's node name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// Which boot (`/proc/sys/kernel/random/boot_id`): addresses mean the same within it alone.
    pub boot: String,
}

/// A histogram's contents, for other programs and machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where and when.
    pub meta: Meta,
    /// The canonical trigger line with its filter, without `[active]` or `[paused]`.
    pub trigger: String,
    /// Nothing was counted at the time.
    pub paused: bool,
    /// The parts of the key.
    pub keys: Vec<Key>,
    /// The numbers besides the hits.
    pub values: Vec<Value>,
    /// The kernel's text shows the hitcount.
    pub show_hitcount: bool,
    /// What the rows are ordered by.
    pub sort: Vec<Sort>,
    /// The entries, in order.
    pub rows: Vec<DocumentRow>,
    /// The hitcounts of all entries, those included that are not among the rows.
    pub hits: u64,
    /// How many entries there are, those included that are not among the rows.
    pub entries: u64,
    /// Hits that were not counted.
    pub losses: Losses,
    /// A `size=` with which the table would not have been full since counting began; absent if it
    /// was not, or if none is certain to be large enough.
    pub enough_size: Option<u32>,
}

/// One part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its label, or that with a number behind it if another key has the same.
    pub name: String,
    /// What the kernel's text calls it.
    pub label: String,
    /// How that shows it.
    pub show: KeyShow,
    /// What its numbers mean; of powers of two and buckets, the numbers that they divide. Where
    /// `order` is absent, they are shown as having 64 bits.
    pub number: IntType,
    /// How the kernel compares it; absent in documents of earlier versions.
    pub order: Option<KeyOrder>,
}

/// One number besides the hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its label, or that with a number behind it if another value has the same.
    pub name: String,
    /// What the kernel's text calls it.
    pub label: String,
    /// How that shows it.
    pub show: ValueShow,
    /// It is there to sort by, and is not shown.
    pub hidden: bool,
    /// How the numbers of several hits are put together.
    pub fold: Fold,
    /// Its numbers have a sign; absent in documents of earlier versions, which show all sums without.
    pub signed: Option<bool>,
}

impl Key {
    /// The number itself may be negative: exponents have no sign whatever they are exponents of.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.number.signed && self.show != KeyShow::Log2
    }
}

impl Value {
    /// What its numbers mean.
    #[must_use]
    pub fn number(&self) -> IntType {
        IntType { signed: self.signed.unwrap_or(false), bits: 64 }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRow {
    /// One per [`Document::keys`].
    pub cells: Vec<Cell<'static>>,
    /// Its hits; one of the values for each of [`Document::values`].
    pub counts: Counts,
}

impl Document {
    /// The document of some rows of a snapshot; its totals are those of all.
    #[must_use]
    pub fn new(snapshot: &Snapshot, rows: Range<usize>, symbols: &Symbols, meta: Meta) -> Self {
        let trigger = readable(&snapshot.trigger);
        let (trigger, paused) = without_state(&trigger);
        let row = |row| DocumentRow::new(snapshot, row, symbols);
        Self {
            meta,
            trigger: trigger.to_owned(),
            paused,
            keys: keys(&snapshot.keys),
            values: values(snapshot),
            show_hitcount: snapshot.show_hitcount,
            sort: snapshot.sort.clone(),
            rows: rows.map(row).collect(),
            hits: snapshot.hits(),
            entries: snapshot.rows.len() as u64,
            losses: snapshot.losses,
            enough_size: None,
        }
    }

    /// The trigger line with its state, as the kernel's text has it.
    #[must_use]
    pub fn trigger_line(&self) -> String {
        format!("{} [{}]", self.trigger, self.state())
    }

    /// How each of the values is put together.
    #[must_use]
    pub fn folds(&self) -> Vec<Fold> {
        self.values.iter().map(|value| value.fold).collect()
    }

    /// The hits of its rows.
    #[must_use]
    pub fn hits_of_rows(&self) -> u64 {
        counts::hits(self.rows.iter().map(|row| row.counts.hits))
    }

    /// `active` or `paused`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.paused { "paused" } else { "active" }
    }

    /// The values that the kernel's text shows, each with its place.
    pub(super) fn shown_values(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.values.iter().enumerate().filter(|(_, value)| !value.hidden)
    }

    /// What the value of that name, or else the hitcount, is for an entry.
    pub(super) fn weight(
        &self,
        name: Option<&str>,
    ) -> Result<impl Fn(&DocumentRow) -> i128, ExportError> {
        let name = name.filter(|name| *name != "hitcount");
        let index = name.map(|name| self.values.iter().position(|value| value.name == name));
        match (name, index) {
            (Some(name), Some(None)) => Err(ExportError::NoSuchValue {
                name: name.to_owned(),
                values: self.values.iter().map(|value| value.name.clone()).collect(),
            }),
            (_, index) => Ok(move |row: &DocumentRow| match index.flatten() {
                Some(index) => self.values[index].number().value(row.counts.values[index]),
                None => row.counts.hits.into(),
            }),
        }
    }
}

impl DocumentRow {
    fn new(snapshot: &Snapshot, row: usize, symbols: &Symbols) -> Self {
        let row = &snapshot.rows[row];
        let cells = snapshot.keys.iter().map(|column| owned(cell(column, row, symbols)));
        Self { cells: cells.collect(), counts: row.counts.clone() }
    }
}

/// Parts the line from what stands in brackets at its end.
fn without_state(line: &str) -> (&str, bool) {
    let active = line.strip_suffix(" [active]").map(|line| (line, false));
    let paused = || line.strip_suffix(" [paused]").map(|line| (line, true));
    active.or_else(paused).unwrap_or((line, false))
}

fn keys(columns: &[KeyColumn]) -> Vec<Key> {
    let names = names::unique(columns.iter().map(|column| &*column.label));
    let keys = columns.iter().zip(names).map(|(column, name)| Key {
        name,
        label: column.label.clone(),
        show: column.show,
        number: column.number,
        order: Some(column.order),
    });
    keys.collect()
}

fn values(snapshot: &Snapshot) -> Vec<Value> {
    let names = names::unique(snapshot.values.iter().map(|column| &*column.label));
    let values = snapshot.values.iter().zip(names).map(|(column, name)| Value {
        name,
        label: column.label.clone(),
        show: column.show,
        hidden: column.hidden,
        fold: column.fold,
        signed: Some(column.number.signed),
    });
    values.collect()
}

fn owned(cell: Cell<'_>) -> Cell<'static> {
    let named =
        |Named { name, number }: Named<'_>| Named { name: name.into_owned().into(), number };
    match cell {
        Cell::Number(number) => Cell::Number(number),
        Cell::Named(one) => Cell::Named(named(one)),
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
        Cell::Stack(frames) => Cell::Stack(frames.into_iter().map(named).collect()),
    }
}
