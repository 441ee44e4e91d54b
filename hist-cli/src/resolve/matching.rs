//! Takes two histograms. Gives whether the kernel takes one for the other
//! (`hist_trigger_match()` in kernel/trace/trace_events_hist.c).

use std::mem::discriminant;

use super::hist::{Hist, Key, Value};

impl Hist {
    /// The kernel would refuse one of the two as "already exists": same event, values, keys,
    /// sort order and filter text. Size and the width of buckets do not count.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let filter = |hist: &Self| hist.filter.as_ref().map(|filter| filter.text.clone());
        (&self.system, &self.event) == (&other.system, &other.event)
            && same_all(&self.keys, &other.keys, same_key)
            && same_all(&self.values, &other.values, Value::eq)
            && self.sort == other.sort
            && filter(self) == filter(other)
    }
}

fn same_all<T>(a: &[T], b: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn same_key(a: &Key, b: &Key) -> bool {
    a.canonical == b.canonical
        && a.source == b.source
        && discriminant(&a.modifier) == discriminant(&b.modifier)
}
