//! Lists without repetitions, for messages and flags.

use std::collections::BTreeSet;

/// The items without repetitions, in the order of their first occurrence.
pub(super) fn each_once<T: Clone + Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}
