//! Takes a metric's snapshots, one after the other. Gives the families of samples that stand for it.

use std::collections::BTreeMap;

use super::bucket::{Bounds, bounds_up_to};
use super::config::MetricConfig;
use super::exposition::{Family, Histogram, Kind, Labels, Number, Point, Points};
use super::series::{OTHER, Series, Slot, Values};
use super::shape::{Shape, ValueFamily};
use crate::print::cell::{Cell, cell};
use crate::print::{self, readable};
use crate::read::snapshot::{KeyColumn, Row, Snapshot};
use crate::tracefs::symbols::Symbols;

/// A metric, and what its samples must be consistent with.
#[derive(Clone, Debug)]
pub struct Metric {
    /// What the file says.
    pub config: MetricConfig,
    shape: Shape,
    series: Series,
    bounds: Bounds,
    totals: Totals,
    /// How many entries are summed up as others.
    n_others: usize,
}

/// What the last snapshot had.
#[derive(Clone, Debug, Default)]
struct Totals {
    /// One per series.
    shown: Vec<Total>,
    /// None: there are no others.
    others: Option<Total>,
}

/// The sum of the entries that have the same labels.
#[derive(Clone, Debug, Default)]
struct Total {
    hits: u64,
    sums: Vec<u64>,
    /// Hits by bucket, which is known by its bound.
    buckets: BTreeMap<i128, u64>,
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
            totals: Totals::default(),
            n_others: 0,
        }
    }

    /// The same with what another file says, which [counts as](MetricConfig::counts_as) this one.
    /// Only another cap or bound makes it choose its series or buckets anew.
    #[must_use]
    pub fn renamed(self, config: MetricConfig, shape: Shape) -> Self {
        let is_same = (config.max_series, config.max) == (self.config.max_series, self.config.max);
        if is_same { Self { config, shape, ..self } } else { Self::new(config, shape) }
    }

    /// Takes a snapshot, for [`families`](Self::families) to show.
    pub fn update(&mut self, snapshot: &Snapshot, symbols: &Symbols) {
        let values = |row: &Row| {
            let columns = self.shape.labels.iter().map(|label| &snapshot.keys[label.key]);
            columns.map(|column| text(column, &cell(column, row, symbols))).collect()
        };
        let slots = self.series.place(&snapshot.rows, values);
        self.n_others = slots.iter().filter(|slot| **slot == Slot::Other).count();
        let empty = Total { sums: vec![0; snapshot.values.len()], ..Total::default() };
        let shown = vec![empty.clone(); self.series.shown().len().max(self.least_series())];
        let others = (self.n_others > 0).then_some(empty);
        self.totals = Totals { shown, others };
        for (row, slot) in snapshot.rows.iter().zip(slots) {
            self.add(snapshot, row, slot);
        }
    }

    /// Without labels there is a series from the start.
    fn least_series(&self) -> usize {
        usize::from(self.shape.labels.is_empty())
    }

    fn add(&mut self, snapshot: &Snapshot, row: &Row, slot: Slot) {
        let Some(total) = (match slot {
            Slot::Shown(number) => self.totals.shown.get_mut(number),
            Slot::Other => self.totals.others.as_mut(),
        }) else {
            return;
        };
        total.hits = total.hits.wrapping_add(row.hitcount);
        for (sum, more) in total.sums.iter_mut().zip(&row.sums) {
            *sum = sum.wrapping_add(*more);
        }
        if let Some(key) = self.shape.bucket {
            let bucket = key.buckets.bucket(row.word(snapshot.keys[key.key].offset));
            self.bounds.see(bucket);
            let hits = total.buckets.entry(bucket.high).or_default();
            *hits = hits.wrapping_add(row.hitcount);
        }
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
            None => Points::Numbers(self.points(|total| Number::Unsigned(total.hits))),
        };
        let kind = if self.shape.bucket.is_some() { Kind::Histogram } else { Kind::Counter };
        Family { name, help: help.into(), unit: unit.as_deref(), kind, points }
    }

    fn value<'a>(&'a self, value: &'a ValueFamily) -> Family<'a> {
        let number = |total: &Total| match value.signed {
            true => Number::Signed(total.sums[value.value].cast_signed()),
            false => Number::Unsigned(total.sums[value.value]),
        };
        let help = format!("{}: sum of {}", self.config.help, value.label);
        let kind = if value.signed { Kind::Gauge } else { Kind::Counter };
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
    fn labels<'a>(&'a self, values: Option<&'a Values>) -> Labels<'a> {
        let names = self.shape.labels.iter().map(|label| label.name.as_str());
        match values {
            Some(values) => names.zip(values.iter().map(String::as_str)).collect(),
            None => names.map(|name| (name, OTHER)).collect(),
        }
    }

    fn histogram(&self, total: &Total) -> Histogram {
        let mut rest = total.buckets.iter().peekable();
        let mut count = 0_u64;
        let mut buckets = Vec::new();
        for bound in self.bounds.iter() {
            while let Some((_, hits)) = rest.next_if(|(high, _)| **high <= bound) {
                count = count.wrapping_add(*hits);
            }
            buckets.push((bound as f64, count));
        }
        // A sum of negative numbers may fall, and OpenMetrics forbids it.
        let key = self.shape.bucket.filter(|_| !self.bounds.has_negative());
        let sum = key.and_then(|key| key.sum).map(|sum| total.sums[sum]);
        Histogram { buckets, count: total.hits, sum }
    }
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
