//! Takes entries as they appear. Gives each a place: a series of its own, or that of all others.
//! An entry keeps its place whatever comes later, even if the name of what it is about changes,
//! for a counter that loses an entry would go down.

use std::collections::{BTreeMap, HashMap};

use crate::read::snapshot::{KeyBytes, Row};

/// What every label of the others is.
pub(super) const OTHER: &str = "other";

/// The values of a series' labels.
pub(super) type Values = Vec<String>;

/// Where an entry is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In a series of its own, by number.
    Shown(usize),
    /// In that of all others.
    Other,
}

/// The places of a metric's entries.
#[derive(Clone, Debug)]
pub(super) struct Series {
    max: usize,
    places: HashMap<KeyBytes, Slot>,
    numbers: HashMap<Values, usize>,
    shown: Vec<Values>,
}

impl Series {
    /// No places yet, and at most `max` series besides that of the others.
    pub(super) fn new(max: u64) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Self { max, places: HashMap::new(), numbers: HashMap::new(), shown: Vec::new() }
    }

    /// The labels of the series that there are, by number.
    pub(super) fn shown(&self) -> &[Values] {
        &self.shown
    }

    /// The place of each row. New ones get one, those with the most hits first; `values` gives
    /// their labels.
    pub(super) fn place(&mut self, rows: &[Row], values: impl Fn(&Row) -> Values) -> Vec<Slot> {
        let mut fresh: BTreeMap<Values, (u64, Vec<&Row>)> = BTreeMap::new();
        for row in rows.iter().filter(|row| !self.places.contains_key(&row.key)) {
            let (hits, rows) = fresh.entry(values(row)).or_default();
            *hits = hits.wrapping_add(row.hitcount);
            rows.push(row);
        }
        let mut fresh: Vec<_> = fresh.into_iter().collect();
        // A stable sort: what has as many hits is ordered by its labels.
        fresh.sort_by_key(|(_, (hits, _))| std::cmp::Reverse(*hits));
        for (values, (_, rows)) in fresh {
            let slot = self.slot(values);
            self.places.extend(rows.into_iter().map(|row| (row.key.clone(), slot)));
        }
        rows.iter().map(|row| self.places[&row.key]).collect()
    }

    /// Series never go, so once there is no room for more there never will be.
    fn slot(&mut self, values: Values) -> Slot {
        if let Some(number) = self.numbers.get(&values) {
            return Slot::Shown(*number);
        }
        let is_called_other = !values.is_empty() && values.iter().all(|value| value == OTHER);
        if is_called_other || self.shown.len() >= self.max {
            return Slot::Other;
        }
        self.numbers.insert(values.clone(), self.shown.len());
        self.shown.push(values);
        Slot::Shown(self.shown.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::snapshot::Sums;
    use proptest::prelude::*;

    fn row(key: u8, hitcount: u64) -> Row {
        Row { key: KeyBytes::from_slice(&[key]), hitcount, sums: Sums::new(), comm: [0; 16] }
    }

    /// Two keys each have the same name.
    fn name(row: &Row) -> Values {
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
                    *now.entry(slot).or_default() += row.hitcount;
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
