//! A [`Sheet`] is a snapshot as it is looked at: every key is text, and each row knows what has come
//! since the snapshot before.

use std::time::Duration;

use super::text::{Charset, shown, width};
use crate::kernel::symbols::Symbols;
use crate::modifier::Share;
use crate::print::cell::{Cell, Named, cell};
use crate::print::{Scale, part, scales, shown_number};
use crate::resolve::hist::SortBy;
use crate::snapshot::bucket::Buckets;
use crate::snapshot::delta::counterparts;
use crate::snapshot::{
    Counts, Fold, IntType, KeyBytes, KeyColumn, Losses, Row, Show, Snapshot, ValueColumn, folds,
};

/// A histogram at one moment, as it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// `system:event`
    pub event: String,
    /// The trigger line.
    pub trigger: String,
    /// It counts nothing at present.
    pub paused: bool,
    /// What can be shown and sorted by, from left to right.
    pub columns: Vec<Heading>,
    /// The values that are shown, by [`Column::Value`].
    pub values: Vec<ValueColumn>,
    /// The entries, as the kernel sorts them.
    pub rows: Vec<SheetRow>,
    /// What all entries together have counted.
    pub total: Counts,
    /// What has come to all of them since the table before.
    pub more: Counts,
    /// The largest of all entries, each by itself; of numbers with a sign, how far they are from 0.
    pub largest: Counts,
    /// What was lost.
    pub losses: Losses,
    /// How long after the table before it was read; none for the first one.
    pub elapsed: Option<Duration>,
    /// The trigger's own first sort key, and whether the largest are first by it.
    pub sort: (Column, bool),
    scales: Vec<Scale>,
}

/// The head of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// Of what.
    pub column: Column,
    /// Its name.
    pub label: String,
    /// What its widest cell takes, in terminal cells; rates are left out.
    pub width: usize,
}

/// Something that a row has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A key.
    Key(usize),
    /// The hitcount.
    Hits,
    /// A value.
    Value(usize),
    /// How fast the measure grows.
    Rate,
}

/// What rates and bars are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The hitcount.
    Hits,
    /// A value.
    Value(usize),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetRow {
    /// What it is known by: the raw key.
    pub id: KeyBytes,
    /// One for each key.
    pub keys: Vec<Key>,
    /// Since counting began.
    pub counts: Counts,
    /// Since the table before.
    pub more: Counts,
}

/// A key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// On one line; of a stack the functions, the innermost first.
    pub text: String,
    /// The frames of a stack; what else is known of others.
    pub lines: Vec<String>,
    /// The number, or the first one of its bucket; 0 if the key is something else.
    rank: i128,
}

impl Measure {
    /// What it is about, of these counts.
    #[must_use]
    pub fn of(self, counts: &Counts) -> u64 {
        match self {
            Self::Hits => counts.hits,
            Self::Value(index) => counts.values[index],
        }
    }
}

impl Key {
    /// Numbers by their order, all else by its text.
    pub(super) fn rank(&self) -> (i128, &str) {
        (self.rank, &self.text)
    }
}

impl Sheet {
    /// The table of `snapshot`, `before` being an earlier one of the same histogram and how long
    /// ago that was read.
    #[must_use]
    pub fn new(
        event: String,
        paused: bool,
        snapshot: &Snapshot,
        before: Option<(&Snapshot, Duration)>,
        (symbols, charset): (&Symbols, Charset),
    ) -> Self {
        let visible: Vec<_> = visible(snapshot).collect();
        let key = |row: &_| keys(snapshot, row, symbols, charset);
        let values: Vec<_> = visible.iter().map(|&index| snapshot.values[index].clone()).collect();
        let folds = folds(&values);
        let more = more(snapshot, before.map(|(before, _)| before), (&visible, &folds));
        let rows = rows(snapshot, &visible, key, more);
        let counts = || rows.iter().map(|row| &row.counts);
        let mut table = Self {
            event,
            trigger: shown(&snapshot.trigger, charset),
            paused,
            columns: columns(snapshot, values.len()),
            total: Counts::sum(counts(), &folds),
            more: Counts::sum(rows.iter().map(|row| &row.more), &folds),
            largest: largest(&rows, &values),
            scales: scales(&values, counts()),
            values,
            rows,
            losses: snapshot.losses,
            elapsed: before.map(|(_, elapsed)| elapsed),
            sort: own_sort(snapshot, &visible),
        };
        table.measure_widths(charset);
        table
    }

    /// What `row` shows in that column.
    #[must_use]
    pub fn cell(&self, row: &SheetRow, column: Column, measure: Measure) -> String {
        match column {
            Column::Key(index) => row.keys[index].text.clone(),
            Column::Hits => row.counts.hits.to_string(),
            Column::Value(index) => self.value(index, row.counts.values[index]),
            Column::Rate => rate_text(self.rate(row, measure)),
        }
    }

    fn value(&self, index: usize, word: u64) -> String {
        let ValueColumn { show, number, .. } = self.values[index];
        match show {
            Show::Digits(digits) => number.digits(digits, word),
            Show::Share(Share::Percent) => {
                percent(number, word, self.scales[index].total).unwrap_or("[ERROR]".to_owned())
            }
            Show::Share(Share::Graph)
            | Show::Bucket(_)
            | Show::Name(_)
            | Show::Stack
            | Show::Text => number.decimal(word),
        }
    }

    /// What the numbers of a measure mean.
    #[must_use]
    pub fn number(&self, measure: Measure) -> IntType {
        match measure {
            Measure::Hits => IntType::U64,
            Measure::Value(index) => self.values[index].number,
        }
    }

    /// A second's worth of what the measure grew by; none where there is no sheet before, and of a
    /// measure that does not [grow](Fold::grows).
    #[must_use]
    pub fn rate(&self, row: &SheetRow, measure: Measure) -> Option<f64> {
        self.per_second(measure, &row.more)
    }

    /// The rate of all rows together.
    #[must_use]
    pub fn total_rate(&self, measure: Measure) -> Option<f64> {
        self.per_second(measure, &self.more)
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with five digits")]
    fn per_second(&self, measure: Measure, more: &Counts) -> Option<f64> {
        let grows = match measure {
            Measure::Hits => true,
            Measure::Value(index) => self.values[index].fold.grows(),
        };
        let seconds = self.elapsed?.as_secs_f64();
        let more = self.number(measure).value(measure.of(more));
        (grows && seconds > 0.0).then(|| more as f64 / seconds)
    }

    /// The name of a measure.
    #[must_use]
    pub fn measure_label(&self, measure: Measure) -> &str {
        match measure {
            Measure::Hits => "hitcount",
            Measure::Value(index) => &self.values[index].label,
        }
    }

    /// The row of that raw key.
    #[must_use]
    pub fn row(&self, id: &[u8]) -> Option<&SheetRow> {
        self.rows.iter().find(|row| *row.id == *id)
    }

    /// Every cell is looked at once a table, so that drawing needs the visible ones only.
    fn measure_widths(&mut self, charset: Charset) {
        for index in 0..self.columns.len() {
            let column = self.columns[index].column;
            let widest = match column {
                Column::Rate => 0,
                Column::Key(key) => {
                    self.rows.iter().map(|row| width(&row.keys[key].text)).max().unwrap_or(0)
                }
                // What is shown of a number is ASCII and longest for the largest, but for parts,
                // none of which is longer than the whole.
                Column::Hits => self.largest.hits.to_string().len(),
                Column::Value(value) if !self.values[value].number.signed => {
                    self.value(value, self.largest.values[value]).len()
                }
                // With a sign, for the largest on one of the two sides of 0.
                Column::Value(value) => {
                    let rank = |word: &u64| self.values[value].number.rank(*word);
                    let words = self.rows.iter().map(|row| row.counts.values[value]);
                    let ends = [words.clone().min_by_key(rank), words.max_by_key(rank)];
                    let widths =
                        ends.into_iter().flatten().map(|word| self.value(value, word).len());
                    widths.max().unwrap_or(0)
                }
            };
            let heading = &mut self.columns[index];
            heading.label = shown(heading.label.as_bytes(), charset);
            heading.width = widest.max(width(&heading.label) + 2);
        }
    }
}

/// A rate with as many digits as are of use.
#[must_use]
pub(super) fn rate_text(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 1000.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

/// A part of the whole; `None` where there is no whole. Parts of numbers with a sign may be
/// negative, and more than the whole.
fn percent(number: IntType, sum: u64, whole: u64) -> Option<String> {
    if !number.signed {
        return part(sum, whole).map(|part| format!("{}.{:02}%", part / 100, part % 100));
    }
    let (sum, whole) = (number.value(sum), number.value(whole));
    let part = if sum == 0 { Some(0) } else { (sum * 10_000).checked_div(whole) }?;
    let sign = if part < 0 { "-" } else { "" };
    let part = part.unsigned_abs();
    Some(format!("{sign}{}.{:02}%", part / 100, part % 100))
}

fn largest(rows: &[SheetRow], values: &[ValueColumn]) -> Counts {
    let mut largest = Counts { hits: 0, values: values.iter().map(|_| 0).collect() };
    for SheetRow { counts, .. } in rows {
        largest.hits = largest.hits.max(counts.hits);
        for ((largest, &word), column) in largest.values.iter_mut().zip(&counts.values).zip(values)
        {
            *largest = (*largest).max(column.number.magnitude(word));
        }
    }
    largest
}

/// The indices of the values that are shown.
fn visible(snapshot: &Snapshot) -> impl Iterator<Item = usize> {
    let values = snapshot.values.iter().enumerate();
    values.filter(|(_, value)| !value.hidden).map(|(index, _)| index)
}

fn columns(snapshot: &Snapshot, n_values: usize) -> Vec<Heading> {
    let heading = |column, label: &str| Heading { column, label: label.to_owned(), width: 0 };
    let keys = snapshot.keys.iter().enumerate();
    let keys = keys.map(|(index, key)| heading(Column::Key(index), &key.label));
    let hits = snapshot.show_hitcount.then(|| heading(Column::Hits, "hitcount"));
    let values = snapshot.values.iter().filter(|value| !value.hidden).enumerate();
    let values = values.map(|(index, value)| heading(Column::Value(index), &value.label));
    debug_assert_eq!(values.clone().count(), n_values);
    keys.chain(hits).chain(values).chain([heading(Column::Rate, "rate/s")]).collect()
}

/// Of a column that is not shown, the hitcount, or the value that is.
fn own_sort(snapshot: &Snapshot, visible: &[usize]) -> (Column, bool) {
    let hits = if snapshot.show_hitcount { Column::Hits } else { Column::Rate };
    let place = |value: usize| visible.iter().position(|&index| index == value);
    match snapshot.sort.first().map(|sort| (sort.by, sort.descending)) {
        Some((SortBy::Key(index), descending)) => (Column::Key(index), descending),
        Some((SortBy::Value(index), _)) => (place(index).map_or(hits, Column::Value), true),
        Some((SortBy::Hitcount, _)) | None => (hits, true),
    }
}

fn counts(row: &Row, visible: &[usize]) -> Counts {
    let values = visible.iter().map(|&index| row.counts.values[index]);
    Counts { hits: row.counts.hits, values: values.collect() }
}

fn rows(
    snapshot: &Snapshot,
    visible: &[usize],
    keys: impl Fn(&Row) -> Vec<Key>,
    more: Vec<Counts>,
) -> Vec<SheetRow> {
    let rows = snapshot.rows.iter().zip(more).map(|(row, more)| SheetRow {
        id: row.key.clone(),
        keys: keys(row),
        counts: counts(row, visible),
        more,
    });
    rows.collect()
}

/// What has come since `before` for each row: all of it if that had no such row, nothing if there
/// is no `before`.
fn more(
    snapshot: &Snapshot,
    before: Option<&Snapshot>,
    (visible, folds): (&[usize], &[Fold]),
) -> Vec<Counts> {
    let now = snapshot.rows.iter().map(|row| counts(row, visible));
    let Some(before) = before else {
        return now.map(|_| Counts::nothing(folds)).collect();
    };
    let Some(old) = counterparts(before, snapshot) else { return now.collect() };
    let more = now.zip(old).map(|(mut now, old)| {
        old.iter().for_each(|old| now.subtract(&counts(old, visible), folds));
        now
    });
    more.collect()
}

fn keys(snapshot: &Snapshot, row: &Row, symbols: &Symbols, charset: Charset) -> Vec<Key> {
    let keys = snapshot.keys.iter();
    keys.map(|column| key(column, &cell(column, row, symbols), charset)).collect()
}

fn key(column: &KeyColumn, cell: &Cell<'_>, charset: Charset) -> Key {
    let bytes = |bytes: &[u8]| shown(bytes, charset);
    match cell {
        Cell::Number(word) => {
            let bucket = Buckets::of(column.show, column.number).map(|all| all.bucket(*word).low);
            let rank = bucket.unwrap_or_else(|| column.number.value(*word));
            let text = shown_number(column.show, column.number, *word);
            Key { text, lines: Vec::new(), rank }
        }
        Cell::Named(named) => named_key(column, named, charset),
        Cell::Text(text) => Key { text: bytes(text), lines: Vec::new(), rank: 0 },
        Cell::Stack(frames) => {
            let names: Vec<_> = frames.iter().map(|frame| bytes(function(&frame.name))).collect();
            let lines = frames.iter().map(|frame| bytes(&frame.name)).collect();
            Key { text: names.join(" < "), lines, rank: 0 }
        }
    }
}

fn named_key(column: &KeyColumn, named: &Named<'_>, charset: Charset) -> Key {
    let name = shown(&named.name, charset);
    match (column.show, named.number) {
        (Show::Name(naming), Some(number)) if !naming.is_symbol() => {
            let number = column.number.decimal(number);
            Key { text: format!("{name}[{number}]"), lines: Vec::new(), rank: 0 }
        }
        (_, number) => {
            let lines = number.map(|address| format!("[{address:x}] {name}"));
            Key { text: name, lines: lines.into_iter().collect(), rank: 0 }
        }
    }
}

/// `name+0x12/0x34` without the place in it.
fn function(frame: &[u8]) -> &[u8] {
    frame.split(|byte| *byte == b'+').next().unwrap_or(frame)
}
