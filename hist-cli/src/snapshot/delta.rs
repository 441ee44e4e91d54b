//! What a histogram has counted between two snapshots of it.
//!
//! The table itself is left alone: differences of snapshots are exact, and neither an event nor
//! another reader notices them.

use std::collections::HashMap;

use super::{Fold, Row, Snapshot};

/// What `now` has more than `before`, an earlier snapshot of the same table. Entries without a
/// change are left out; the order stays. Numbers that do not [grow](Fold::grows) stay as they are
/// `now`. Sums are modulo 2^64, as they are counted.
///
/// A table that has been cleared in between is told by an entry that is gone or by a count that
/// fell, and then all of `now` is new. One that has since passed every count that it had before
/// cannot be told.
#[must_use]
pub fn delta(before: &Snapshot, now: Snapshot) -> Snapshot {
    let Some(old) = counterparts(before, &now) else { return now };
    let folds = now.folds();
    let rows = now.rows.into_iter().zip(old).filter_map(|(row, old)| match old {
        Some(old) => difference(old, row, &folds),
        None => Some(row),
    });
    Snapshot { rows: rows.collect(), losses: now.losses.difference(before.losses), ..now }
}

/// For each row of `now` the one of the same key in `before`, if that had one. `None` if the table
/// has been cleared in between.
pub(crate) fn counterparts<'a>(
    before: &'a Snapshot,
    now: &Snapshot,
) -> Option<Vec<Option<&'a Row>>> {
    let old: HashMap<&[u8], &Row> = before.rows.iter().map(|row| (&*row.key, row)).collect();
    let old: Vec<_> = now.rows.iter().map(|row| old.get(&*row.key).copied()).collect();
    (!was_cleared(&old, before, now)).then_some(old)
}

/// `now` less `old`; `None` if nothing has changed.
fn difference(old: &Row, mut now: Row, folds: &[Fold]) -> Option<Row> {
    if now.counts == old.counts {
        return None;
    }
    now.counts.subtract(&old.counts, folds);
    Some(now)
}

fn was_cleared(old: &[Option<&Row>], before: &Snapshot, now: &Snapshot) -> bool {
    let known = old.iter().zip(&now.rows).filter_map(|(old, row)| Some(((*old)?.counts.hits, row)));
    let (mut n_known, mut fell) = (0, false);
    for (before, row) in known {
        n_known += 1;
        fell |= row.counts.hits < before;
    }
    fell || n_known < before.rows.len() || now.losses.fell(before.losses)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::snapshot::{Counts, IntType, Losses, ValueColumn, ValueShow};
    use proptest::prelude::*;

    /// Key → hitcount and sum.
    type Entries = BTreeMap<u8, (u64, u64)>;

    fn snapshot(counts: &Entries, losses: Losses) -> Snapshot {
        let row = |(&key, &(hitcount, sum)): (&u8, &(u64, u64))| Row {
            key: vec![key; 8].into(),
            counts: Counts::new(hitcount, [sum].as_slice()),
            comm: [0; 16],
        };
        let sum = ValueColumn {
            label: "v".into(),
            show: ValueShow::Decimal,
            hidden: false,
            fold: Fold::Sum,
            number: IntType::U64,
        };
        Snapshot {
            trigger: "hist:keys=k [active]".into(),
            keys: Vec::new(),
            values: vec![sum],
            show_hitcount: true,
            sort: Vec::new(),
            rows: counts.iter().map(row).collect(),
            losses,
        }
    }

    fn counts(snapshot: &Snapshot) -> Entries {
        let rows = snapshot.rows.iter();
        rows.map(|row| (row.key[0], (row.counts.hits, row.counts.values[0]))).collect()
    }

    const NONE: Losses = Losses { full: 0, busy: 0, missed: 0 };

    #[track_caller]
    fn check(before: &[(u8, (u64, u64))], now: &[(u8, (u64, u64))], want: &[(u8, (u64, u64))]) {
        let of = |counts: &[_]| snapshot(&counts.iter().copied().collect(), NONE);
        assert_eq!(delta(&of(before), of(now)), of(want));
    }

    #[test]
    fn entries_without_a_change_are_left_out() {
        check(&[(1, (5, 50)), (2, (1, 1))], &[(1, (7, 80)), (2, (1, 1))], &[(1, (2, 30))]);
        check(&[(1, (5, 50))], &[(1, (5, 50)), (3, (1, 9))], &[(3, (1, 9))]);
        // A program that is between its two additions has changed one of them only.
        check(&[(1, (5, 50))], &[(1, (5, 60))], &[(1, (0, 10))]);
        check(&[], &[], &[]);
    }

    #[test]
    fn sums_wrap_as_they_are_counted() {
        check(&[(1, (1, u64::MAX))], &[(1, (2, 3))], &[(1, (1, 4))]);
    }

    #[test]
    fn after_a_clear_everything_is_new() {
        check(&[(1, (5, 50)), (2, (1, 1))], &[(1, (6, 60))], &[(1, (6, 60))]);
        check(&[(1, (5, 50))], &[(1, (2, 20))], &[(1, (2, 20))]);
        let (before, now) = (Losses { full: 3, ..NONE }, Losses { full: 2, ..NONE });
        let same: Entries = [(1, (5, 50))].into();
        assert_eq!(delta(&snapshot(&same, before), snapshot(&same, now)), snapshot(&same, now));
    }

    #[test]
    fn losses_are_those_in_between() {
        let before = Losses { full: 1, busy: 2, missed: 3 };
        let now = Losses { full: 11, busy: 2, missed: 5 };
        let none = Entries::new();
        let want = Losses { full: 10, busy: 0, missed: 2 };
        assert_eq!(delta(&snapshot(&none, before), snapshot(&none, now)), snapshot(&none, want));
    }

    fn any_counts() -> impl Strategy<Value = Entries> {
        prop::collection::btree_map(any::<u8>(), (0..1_u64 << 40, any::<u64>()), 0..30)
    }

    fn add(counts: &mut Entries, more: &Entries) {
        for (key, (hits, sum)) in more {
            let entry = counts.entry(*key).or_default();
            *entry = (entry.0 + hits, entry.1.wrapping_add(*sum));
        }
    }

    proptest! {
        #[test]
        fn the_one_before_and_the_delta_make_the_next(before in any_counts(), more in any_counts()) {
            let mut now = before.clone();
            add(&mut now, &more);
            let step = delta(&snapshot(&before, NONE), snapshot(&now, NONE));
            let mut again = before.clone();
            add(&mut again, &counts(&step));
            prop_assert_eq!(again, now);
            prop_assert!(step.rows.iter().all(|row| (row.counts.hits, row.counts.values[0]) != (0, 0)
                || !before.contains_key(&row.key[0])));
        }

        #[test]
        fn deltas_of_a_row_of_tables_make_the_last(steps in prop::collection::vec(any_counts(), 1..6)) {
            let (mut before, mut now, mut total) = (Entries::new(), Entries::new(), Entries::new());
            for step in &steps {
                add(&mut now, step);
                add(&mut total, &counts(&delta(&snapshot(&before, NONE), snapshot(&now, NONE))));
                before = now.clone();
            }
            prop_assert_eq!(total, now);
        }
    }
}
