//! Which rows of a sorted snapshot are the largest.

use std::ops::Range;

use super::Snapshot;

/// The `n` largest rows by the first sort key, which is the hitcount unless `sort=` says another:
/// the last ones, or the first ones if that key descends. They stay in their order.
#[must_use]
pub fn top(snapshot: &Snapshot, n: usize) -> Range<usize> {
    let len = snapshot.rows.len();
    match snapshot.sort.first() {
        Some(sort) if sort.descending => 0..n.min(len),
        _ => len.saturating_sub(n)..len,
    }
}

#[cfg(test)]
mod tests {
    use bstr::BString;

    use super::*;
    use crate::resolve::hist::{Sort, SortBy};
    use crate::snapshot::{Counts, Losses, Row, Values};

    #[test]
    fn the_largest_are_last_unless_they_descend() {
        let row =
            Row { key: Default::default(), counts: Counts::new(1, Values::new()), comm: [0; 16] };
        let mut snapshot = Snapshot {
            trigger: BString::default(),
            keys: Vec::new(),
            values: Vec::new(),
            show_hitcount: true,
            sort: Vec::new(),
            rows: vec![row; 5],
            losses: Losses::default(),
        };
        let by = |descending| Sort { by: SortBy::Hitcount, descending };
        for (sort, n, want) in [
            (vec![], 2, 3..5),
            (vec![by(false)], 2, 3..5),
            (vec![by(true)], 2, 0..2),
            // The second one decides about equal ones only.
            (vec![by(false), by(true)], 1, 4..5),
            (vec![by(false)], 9, 0..5),
            (vec![by(true)], 9, 0..5),
        ] {
            snapshot.sort = sort;
            assert_eq!(top(&snapshot, n), want);
        }
    }
}
