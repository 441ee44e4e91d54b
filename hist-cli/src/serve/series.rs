//! Gives each entry a place as it appears: a series of its own, or that of all others.
//! An entry keeps its place even if the name of what it is about changes, for a counter that loses
//! an entry would go down. Only a [ranking](Series::rank) gives a series' place to another one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::snapshot::counts::{self, HITS};
use crate::snapshot::{KeyBytes, Row};

/// What every label of the others is.
pub(super) const OTHER: &str = "other";

/// After that time a hit weighs half as much.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// So many times a series' weight must be hit what takes its place, or two that are hit about as
/// often would change places all the time.
const ADVANTAGE: f64 = 2.0;

/// The values of a series' labels.
pub(super) type LabelValues = Vec<String>;

/// Where an entry is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In a series of its own, by number.
    Shown(usize),
    /// In that of all others.
    Other,
}

/// What is known of an entry.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: Slot,
    /// Its hits when series were ranked last.
    ranked: u64,
}

/// The places of a metric's entries.
#[derive(Clone, Debug)]
pub(super) struct Series {
    max: usize,
    places: HashMap<KeyBytes, Place>,
    numbers: HashMap<LabelValues, usize>,
    shown: Vec<LabelValues>,
    /// Hits of each series, of which each weighs less the longer ago it was.
    weights: Vec<f64>,
}

impl Series {
    /// No places yet, and at most `max` series besides that of the others.
    pub(super) fn new(max: u64) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let (places, numbers) = (HashMap::new(), HashMap::new());
        Self { max, places, numbers, shown: Vec::new(), weights: Vec::new() }
    }

    /// The labels of the series that there are, by number.
    pub(super) fn shown(&self) -> &[LabelValues] {
        &self.shown
    }

    /// The place of each row. New ones get one, those with the most hits first; `values` gives
    /// their labels.
    pub(super) fn place(
        &mut self,
        rows: &[Row],
        values: impl Fn(&Row) -> LabelValues,
    ) -> Vec<Slot> {
        let fresh = groups(rows.iter().filter(|row| !self.places.contains_key(&row.key)), values);
        let mut fresh: Vec<_> = fresh
            .into_iter()
            .map(|(values, rows)| {
                (values, counts::hits(rows.iter().map(|row| row.counts.hits)), rows)
            })
            .collect();
        // A stable sort: what has as many hits is ordered by its labels.
        fresh.sort_by_key(|(_, hits, _)| std::cmp::Reverse(*hits));
        for (values, _, rows) in fresh {
            let place = Place { slot: self.slot(values), ranked: 0 };
            self.places.extend(rows.into_iter().map(|row| (row.key.clone(), place)));
        }
        rows.iter().map(|row| self.places[&row.key].slot).collect()
    }

    /// A series of its own as long as there is room.
    fn slot(&mut self, values: LabelValues) -> Slot {
        if let Some(number) = self.numbers.get(&values) {
            return Slot::Shown(*number);
        }
        if is_called_other(&values) || self.shown.len() >= self.max {
            return Slot::Other;
        }
        self.numbers.insert(values.clone(), self.shown.len());
        self.shown.push(values);
        self.weights.push(0.0);
        Slot::Shown(self.shown.len() - 1)
    }

    /// Gives the places of series that are hardly hit any more to labels among the others that have
    /// been hit more since the last ranking, `elapsed` ago: the most hit take those of the least.
    /// All `rows` have a [place](Self::place). Gives the numbers of the series that have become other
    /// ones.
    pub(super) fn rank(
        &mut self,
        rows: &[Row],
        values: impl Fn(&Row) -> LabelValues,
        elapsed: Duration,
    ) -> Vec<usize> {
        let candidates = self.weigh(rows, values, elapsed);
        let mut worst: Vec<usize> = (0..self.shown.len()).collect();
        worst.sort_by(|one, other| self.weights[*one].total_cmp(&self.weights[*other]));
        let pairs = candidates.into_iter().zip(worst);
        let changed = pairs
            .take_while(|((hits, ..), number)| *hits as f64 > ADVANTAGE * self.weights[*number]);
        let changed: Vec<_> = changed.collect();
        changed
            .into_iter()
            .map(|((hits, values, rows), number)| {
                self.replace(number, values, &rows);
                self.weights[number] = hits as f64;
                number
            })
            .collect()
    }

    /// Lets all weights sink and adds the new hits. Gives those of the labels among the others, the
    /// most hit first.
    fn weigh<'a>(
        &mut self,
        rows: &'a [Row],
        values: impl Fn(&Row) -> LabelValues,
        elapsed: Duration,
    ) -> Vec<(u64, LabelValues, Vec<&'a Row>)> {
        let rest = 0.5_f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.weights.iter_mut().for_each(|weight| *weight *= rest);
        let mut news: HashMap<&[u8], u64> = HashMap::new();
        let mut others = Vec::new();
        for row in rows {
            let Some(place) = self.places.get_mut(&row.key) else { continue };
            let new = HITS.difference(row.counts.hits, place.ranked);
            place.ranked = row.counts.hits;
            match place.slot {
                Slot::Shown(number) => self.weights[number] += new as f64,
                Slot::Other => {
                    news.insert(&row.key, new);
                    others.push(row);
                }
            }
        }
        let groups = groups(others.into_iter(), values).into_iter();
        let hits = |rows: &[&Row]| counts::hits(rows.iter().map(|row| news[&row.key[..]]));
        let groups = groups.filter(|(values, _)| !is_called_other(values));
        let groups = groups.filter(|(values, _)| !self.numbers.contains_key(values));
        let mut groups: Vec<_> = groups.map(|(values, rows)| (hits(&rows), values, rows)).collect();
        groups.sort_by_key(|(hits, ..)| std::cmp::Reverse(*hits));
        groups
    }

    /// Makes another series of one, which has `rows` alone.
    fn replace(&mut self, number: usize, values: LabelValues, rows: &[&Row]) {
        for place in self.places.values_mut().filter(|place| place.slot == Slot::Shown(number)) {
            place.slot = Slot::Other;
        }
        for row in rows {
            if let Some(place) = self.places.get_mut(&row.key) {
                place.slot = Slot::Shown(number);
            }
        }
        let before = std::mem::replace(&mut self.shown[number], values.clone());
        self.numbers.remove(&before);
        self.numbers.insert(values, number);
    }

    /// Another table takes the place of that which entries are in, and has those of `kept` alone,
    /// with no hits.
    pub(super) fn renew(&mut self, kept: &[Row]) {
        let places = std::mem::take(&mut self.places);
        let of = |row: &Row| Some((row.key.clone(), Place { ranked: 0, ..*places.get(&row.key)? }));
        self.places = kept.iter().filter_map(of).collect();
    }
}

/// Rows by the labels that they have.
fn groups<'a>(
    rows: impl Iterator<Item = &'a Row>,
    values: impl Fn(&Row) -> LabelValues,
) -> BTreeMap<LabelValues, Vec<&'a Row>> {
    let mut groups: BTreeMap<LabelValues, Vec<&Row>> = BTreeMap::new();
    rows.for_each(|row| groups.entry(values(row)).or_default().push(row));
    groups
}

/// It cannot be told from the series of all others.
fn is_called_other(values: &LabelValues) -> bool {
    !values.is_empty() && values.iter().all(|value| value == OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Counts, Values};
    use proptest::prelude::*;

    fn row(key: u8, hitcount: u64) -> Row {
        Row {
            key: KeyBytes::from_slice(&[key]),
            counts: Counts::new(hitcount, Values::new()),
            comm: [0; 16],
        }
    }

    /// Two keys each have the same name.
    fn name(row: &Row) -> LabelValues {
        vec![format!("k{}", row.key[0] / 2)]
    }

    #[test]
    fn the_largest_come_first_and_stay() {
        let mut series = Series::new(2);
        let slots = series.place(&[row(0, 1), row(2, 5), row(4, 2), row(5, 2)], name);
        assert_eq!(slots, [Slot::Other, Slot::Shown(0), Slot::Shown(1), Slot::Shown(1)]);
        let slots = series.place(&[row(0, 100), row(3, 1), row(2, 5), row(8, 9)], name);
        assert_eq!(slots, [Slot::Other, Slot::Shown(0), Slot::Shown(0), Slot::Other]);
        assert_eq!(series.shown(), [["k1"], ["k2"]]);
    }

    #[test]
    fn what_is_called_other_is_one_of_them() {
        let mut series = Series::new(9);
        assert_eq!(series.place(&[row(0, 1)], |_| vec![OTHER.to_owned()]), [Slot::Other]);
        // Without labels there is one series.
        assert_eq!(series.place(&[row(1, 1)], |_| Vec::new()), [Slot::Shown(0)]);
    }

    #[test]
    fn entries_keep_their_place_when_their_name_changes() {
        let mut series = Series::new(9);
        let before = series.place(&[row(1, 1)], |_| vec!["module_function".into()]);
        assert_eq!(series.place(&[row(1, 2)], |_| vec!["0xffff".into()]), before);
    }

    proptest! {
        /// Sums per place never fall while counts do not.
        #[test]
        fn no_place_loses_anything(
            max in 1..6u64,
            steps in proptest::collection::vec(
                proptest::collection::vec((0..20u8, 1..9u64), 0..8), 1..8),
        ) {
            let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
            let mut series = Series::new(max);
            let mut before: HashMap<Option<usize>, u64> = HashMap::new();
            for step in steps {
                step.into_iter().for_each(|(key, more)| *counts.entry(key).or_default() += more);
                let rows: Vec<_> = counts.iter().map(|(key, count)| row(*key, *count)).collect();
                let mut now: HashMap<Option<usize>, u64> = HashMap::new();
                for (row, slot) in rows.iter().zip(series.place(&rows, name)) {
                    let slot = match slot { Slot::Shown(number) => Some(number), Slot::Other => None };
                    *now.entry(slot).or_default() += row.counts.hits;
                }
                prop_assert_eq!(now.values().sum::<u64>(), counts.values().sum::<u64>());
                prop_assert!(series.shown().len() as u64 <= max);
                for (slot, sum) in &before {
                    prop_assert!(now.get(slot) >= Some(sum));
                }
                before = now;
            }
        }
    }
}
