//! Keeps what a metric has counted over one snapshot after the other, and shows it as families of
//! samples.
//!
//! A sample is the sum of what is in the table now and of what is *kept*: the counts of tables that
//! have been renewed, and what changed places. So a table may lose its entries, and a series its
//! place, and no count is lost: the sum over all series is that of all hits, at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bucket::{Bounds, bounds_up_to};
use super::exposition::{Family, Histogram, Kind, Labels, Number, Point, Points};
use super::metric_config::MetricConfig;
use super::series::{LabelValues, OTHER, Series, Slot};
use super::shape::{Shape, ValueFamily};
use crate::kernel::symbols::Symbols;
use crate::print::cell::{Cell, cell};
use crate::print::{self, readable};
use crate::snapshot::counts::HITS;
use crate::snapshot::{Counts, Fold, KeyColumn, Row, Show, Snapshot};

/// A metric, and what its samples must be consistent with.
#[derive(Clone, Debug)]
pub struct Metric {
    /// What the file says.
    pub config: MetricConfig,
    shape: Shape,
    series: Series,
    bounds: Bounds,
    /// What is counted besides what the table has.
    kept: Totals,
    /// What the last snapshot had, with what is kept.
    totals: Totals,
    /// How many entries are summed up as others.
    n_others: usize,
    /// Hits of series whose place was taken, which are among the others since.
    evicted: u64,
}

/// Sums for all series.
#[derive(Clone, Debug, Default)]
struct Totals {
    /// One per series.
    shown: Vec<Total>,
    /// None: there are no others, and have never been.
    others: Option<Total>,
}

impl Totals {
    fn of(&mut self, slot: Slot, folds: &[Fold]) -> &mut Total {
        match slot {
            Slot::Shown(number) => {
                let n_shown = self.shown.len().max(number + 1);
                self.shown.resize_with(n_shown, || Total::nothing(folds));
                &mut self.shown[number]
            }
            Slot::Other => self.others.get_or_insert_with(|| Total::nothing(folds)),
        }
    }
}

/// What the entries that have the same labels count together.
#[derive(Clone, Debug)]
struct Total {
    counts: Counts,
    /// Hits by bucket, which is known by its bound.
    buckets: BTreeMap<i128, u64>,
}

/// What one entry counts.
struct Counted<'a> {
    counts: &'a Counts,
    /// The bound of its bucket.
    bucket: Option<i128>,
}

impl Total {
    fn nothing(folds: &[Fold]) -> Self {
        Self { counts: Counts::nothing(folds), buckets: BTreeMap::new() }
    }

    /// Adds what `other` has.
    fn add_total(&mut self, other: &Self, folds: &[Fold]) {
        self.counts.add(&other.counts, folds);
        for (bound, more) in &other.buckets {
            let hits = self.buckets.entry(*bound).or_insert(HITS.nothing());
            *hits = HITS.add(*hits, *more);
        }
    }

    /// Adds what an entry has.
    fn add(&mut self, counted: &Counted<'_>, folds: &[Fold]) {
        self.counts.add(counted.counts, folds);
        if let Some(bound) = counted.bucket {
            let hits = self.buckets.entry(bound).or_insert(HITS.nothing());
            *hits = HITS.add(*hits, counted.counts.hits);
        }
    }

    /// Takes away what an entry has. If it was not there, what is left is less than nothing, and
    /// wraps, until as much is added.
    fn subtract(&mut self, counted: &Counted<'_>, folds: &[Fold]) {
        self.counts.subtract(counted.counts, folds);
        if let Some(bound) = counted.bucket {
            let hits = self.buckets.entry(bound).or_insert(HITS.nothing());
            *hits = HITS.difference(*hits, counted.counts.hits);
        }
    }
}

impl Metric {
    /// A metric that has seen nothing.
    #[must_use]
    pub fn new(config: MetricConfig, shape: Shape) -> Self {
        let max = config.max.zip(shape.bucket);
        let given = max.and_then(|(max, bucket)| bounds_up_to(bucket.buckets, max));
        Self {
            series: Series::new(config.max_series),
            bounds: given.map_or_else(Bounds::default, Bounds::given),
            config,
            shape,
            kept: Totals::default(),
            totals: Totals::default(),
            n_others: 0,
            evicted: 0,
        }
    }

    /// The same with what another file says, which [counts as](MetricConfig::counts_as) this one.
    /// Only another cap or bound makes it choose its series or buckets anew.
    #[must_use]
    pub fn renamed(self, config: MetricConfig, shape: Shape) -> Self {
        if (config.max_series, config.max) == (self.config.max_series, self.config.max) {
            return Self { config, shape, ..self };
        }
        let mut anew = Self::new(config, shape);
        anew.evicted = self.evicted;
        anew.kept.others = self.kept.others;
        self.kept.shown.iter().for_each(|gone| anew.evict(gone));
        anew
    }

    /// Keeps among the others what is kept of a series that has lost its place.
    fn evict(&mut self, gone: &Total) {
        self.evicted = HITS.add(self.evicted, gone.counts.hits);
        let folds = &self.shape.folds;
        self.kept.of(Slot::Other, folds).add_total(gone, folds);
    }

    /// Takes a snapshot, for [`families`](Self::families) to show.
    pub fn update(&mut self, snapshot: &Snapshot, symbols: &Symbols) {
        let slots = self.place(snapshot, symbols);
        self.n_others = slots.iter().filter(|slot| **slot == Slot::Other).count();
        let mut totals = self.kept.clone();
        let n_shown = self.series.shown().len().max(self.least_series());
        totals.shown.resize_with(n_shown, || Total::nothing(&self.shape.folds));
        for (row, slot) in snapshot.rows.iter().zip(slots) {
            let counted = counted(&self.shape, &mut self.bounds, snapshot, row);
            totals.of(slot, &self.shape.folds).add(&counted, &self.shape.folds);
        }
        self.totals = totals;
    }

    /// Adds hits that found no room in the table: of their keys only the bucket is known.
    pub fn add_rest(&mut self, rest: &Snapshot) {
        let slot = if self.shape.labels.is_empty() { Slot::Shown(0) } else { Slot::Other };
        for row in rest.rows.iter().filter(|row| row.counts.hits > 0) {
            let bucket = self.shape.bucket.map(|key| key.buckets);
            let bucket = bucket.map(|buckets| buckets.bucket(row.word(rest.keys[0].offset)));
            bucket.iter().for_each(|bucket| self.bounds.see(*bucket));
            let bucket = bucket.map(|bucket| bucket.high);
            let counted = Counted { counts: &row.counts, bucket };
            self.totals.of(slot, &self.shape.folds).add(&counted, &self.shape.folds);
        }
    }

    /// Has labels among the others that are hit often take the places of series that are hardly hit
    /// any more. `elapsed` is the time since the last ranking.
    ///
    /// The hits of such a series are among the others from now on, and the new one begins at 0: its
    /// hits until now stay among the others, which so never go down.
    pub fn rank(&mut self, snapshot: &Snapshot, symbols: &Symbols, elapsed: Duration) {
        if has_stacks(snapshot) {
            return;
        }
        let before = self.place(snapshot, symbols);
        let values = |row: &Row| label_values(&self.shape, snapshot, row, symbols);
        for number in self.series.rank(&snapshot.rows, values, elapsed) {
            let nothing = Total::nothing(&self.shape.folds);
            let gone = match self.kept.shown.get_mut(number) {
                Some(kept) => std::mem::replace(kept, nothing),
                None => nothing,
            };
            self.evict(&gone);
        }
        let after = self.place(snapshot, symbols);
        for ((row, before), after) in snapshot.rows.iter().zip(before).zip(after) {
            match (before, after) {
                (Slot::Shown(_), Slot::Other) => {
                    self.evicted = HITS.add(self.evicted, row.counts.hits);
                }
                (Slot::Other, Slot::Shown(_)) => {
                    let counted = counted(&self.shape, &mut self.bounds, snapshot, row);
                    let folds = &self.shape.folds;
                    self.kept.of(before, folds).add(&counted, folds);
                    self.kept.of(after, folds).subtract(&counted, folds);
                }
                _ => {}
            }
        }
    }

    /// The entries that matter most, of which at most `most`, for the table that comes next: those
    /// of series, the most hit first.
    #[must_use]
    pub fn seeds(&mut self, snapshot: &Snapshot, symbols: &Symbols, most: usize) -> Vec<Row> {
        if has_stacks(snapshot) {
            return Vec::new();
        }
        let slots = self.place(snapshot, symbols);
        let rows = snapshot.rows.iter().zip(slots).filter(|(_, slot)| *slot != Slot::Other);
        let mut rows: Vec<&Row> = rows.map(|(row, _)| row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.counts.hits));
        rows.into_iter().take(most).cloned().collect()
    }

    /// Takes the last snapshot of a table whose place another one has taken, which began with
    /// `seeds` that have no hits.
    pub fn renew(&mut self, last: &Snapshot, symbols: &Symbols, seeds: &[Row]) {
        let slots = self.place(last, symbols);
        for (row, slot) in last.rows.iter().zip(slots) {
            let counted = counted(&self.shape, &mut self.bounds, last, row);
            self.kept.of(slot, &self.shape.folds).add(&counted, &self.shape.folds);
        }
        self.series.renew(seeds);
    }

    fn place(&mut self, snapshot: &Snapshot, symbols: &Symbols) -> Vec<Slot> {
        let values = |row: &Row| label_values(&self.shape, snapshot, row, symbols);
        self.series.place(&snapshot.rows, values)
    }

    /// Without labels there is a series from the start.
    fn least_series(&self) -> usize {
        usize::from(self.shape.labels.is_empty())
    }

    /// How many series there are, that of the others aside.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.totals.shown.len()
    }

    /// How many entries of the table are summed up as others.
    #[must_use]
    pub const fn n_others(&self) -> usize {
        self.n_others
    }

    /// Hits of series that have lost their place, which are among the others since.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What the last snapshot had.
    #[must_use]
    pub fn families(&self) -> Vec<Family<'_>> {
        let hits = self.shape.hits.then(|| self.hits());
        hits.into_iter().chain(self.shape.values.iter().map(|value| self.value(value))).collect()
    }

    fn hits(&self) -> Family<'_> {
        let MetricConfig { name, help, unit, .. } = &self.config;
        let points = match self.shape.bucket {
            Some(_) => Points::Histograms(self.points(|total| self.histogram(total))),
            None => Points::Numbers(self.points(|total| Number::Unsigned(total.counts.hits))),
        };
        let kind = if self.shape.bucket.is_some() { Kind::Histogram } else { Kind::Counter };
        Family { name, help: help.into(), unit: unit.as_deref(), kind, points }
    }

    fn value<'a>(&'a self, value: &'a ValueFamily) -> Family<'a> {
        let number = |total: &Total| match value.signed {
            true => Number::Signed(total.counts.values[value.value].cast_signed()),
            false => Number::Unsigned(total.counts.values[value.value]),
        };
        let help = format!("{}: {} of {}", self.config.help, value.fold.name(), value.label);
        let kind = if value.may_fall() { Kind::Gauge } else { Kind::Counter };
        let points = Points::Numbers(self.points(number));
        Family { name: &value.name, help: help.into(), unit: None, kind, points }
    }

    fn points<T>(&self, value: impl Fn(&Total) -> T) -> Vec<Point<'_, T>> {
        let shown = self.totals.shown.iter().enumerate();
        let shown = shown.map(|(number, total)| Point {
            labels: self.labels(self.series.shown().get(number)),
            value: value(total),
        });
        let others = self.totals.others.as_ref();
        let others = others.map(|total| Point { labels: self.labels(None), value: value(total) });
        shown.chain(others).collect()
    }

    /// Those of the others if there are no values.
    fn labels<'a>(&'a self, values: Option<&'a LabelValues>) -> Labels<'a> {
        let names = self.shape.labels.iter().map(|label| label.name.as_str());
        match values {
            Some(values) => names.zip(values.iter().map(String::as_str)).collect(),
            None => names.map(|name| (name, OTHER)).collect(),
        }
    }

    fn histogram(&self, total: &Total) -> Histogram {
        let mut rest = total.buckets.iter().peekable();
        let mut count = HITS.nothing();
        let mut buckets = Vec::new();
        for bound in self.bounds.iter() {
            while let Some((_, hits)) = rest.next_if(|(high, _)| **high <= bound) {
                count = HITS.add(count, *hits);
            }
            buckets.push((bound as f64, count));
        }
        // A sum of negative numbers may fall, and OpenMetrics forbids it.
        let key = self.shape.bucket.filter(|_| !self.bounds.has_negative());
        let sum = key.and_then(|key| key.sum).map(|sum| total.counts.values[sum]);
        Histogram { buckets, count: total.counts.hits, sum }
    }
}

/// What a row adds to its series; its bucket is one that is seen from now on.
fn counted<'a>(
    shape: &Shape,
    bounds: &mut Bounds,
    snapshot: &Snapshot,
    row: &'a Row,
) -> Counted<'a> {
    let key = shape.bucket.filter(|_| row.counts.hits > 0);
    let bucket = key.map(|key| {
        let bucket = key.buckets.bucket(row.word(snapshot.keys[key.key].offset));
        bounds.see(bucket);
        bucket.high
    });
    Counted { counts: &row.counts, bucket }
}

/// What is shown of a stack depends on the symbols of the moment: its key is not the one that the
/// table has, and need not be the same the next time.
fn has_stacks(snapshot: &Snapshot) -> bool {
    snapshot.keys.iter().any(|key| key.show == Show::Stack)
}

/// The values of the labels of a row.
fn label_values(shape: &Shape, snapshot: &Snapshot, row: &Row, symbols: &Symbols) -> LabelValues {
    let columns = shape.labels.iter().map(|label| &snapshot.keys[label.key]);
    columns.map(|column| text(column, &cell(column, row, symbols))).collect()
}

/// What a label says of a key. Several keys may get the same text, and are added up then: all
/// call sites in a function, all threads of a name.
fn text(column: &KeyColumn, cell: &Cell<'_>) -> String {
    match cell {
        Cell::Number(word) => print::shown_number(column.show, column.number, *word),
        Cell::Named(named) => readable(&named.name),
        Cell::Text(text) => readable(text),
        Cell::Stack(frames) => {
            let frames = frames.iter().rev().map(|frame| readable(&frame.name));
            frames.collect::<Vec<_>>().join(";")
        }
    }
}

#[cfg(test)]
mod tests;
