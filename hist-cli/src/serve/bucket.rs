//! The bounds that the buckets of a Prometheus histogram have.

use std::collections::BTreeSet;

use crate::modifier::BucketWidth;
use crate::snapshot::bucket::{Bucket, Buckets};

/// The bounds that a histogram has at most, `+Inf` aside. Each is a series for each combination of
/// the other keys. What would need more is counted in the next bucket above.
pub(super) const MOST_BOUNDS: usize = 256;

/// The bounds from the lowest to the highest that is not above `max`; `None` if there are too
/// many, or none.
pub(super) fn bounds_up_to(buckets: Buckets, max: u64) -> Option<BTreeSet<i128>> {
    let max = i128::from(max);
    let bounds: BTreeSet<i128> = match buckets.width {
        BucketWidth::Log2 => {
            (0..64).map(|power| 1 << power).take_while(|bound| *bound <= max).collect()
        }
        BucketWidth::Fixed(width) => {
            let width = i128::from(width);
            let multiples = (1..=MOST_BOUNDS as i128 + 1).map(|number| number * width - 1);
            multiples.take_while(|bound| *bound <= max).collect()
        }
    };
    (1..=MOST_BOUNDS).contains(&bounds.len()).then_some(bounds)
}

/// The bounds that all histograms of a metric have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    bounds: BTreeSet<i128>,
    /// They are what the file says; otherwise they follow from what was counted.
    are_given: bool,
    /// Numbers below 0 have been counted.
    has_negative: bool,
}

impl Bounds {
    /// Bounds that stay as they are.
    pub(super) fn given(bounds: BTreeSet<i128>) -> Self {
        Self { bounds, are_given: true, has_negative: false }
    }

    /// Makes room for a bucket: its own bound, and that of the one below, so that nobody takes its
    /// numbers for smaller ones. Bounds never go.
    pub(super) fn see(&mut self, bucket: Bucket) {
        self.has_negative |= bucket.low < 0;
        if self.are_given {
            return;
        }
        self.add(bucket.high);
        if bucket.low != 0 && bucket.low > i128::from(i64::MIN) {
            self.add(bucket.low - 1);
        }
    }

    fn add(&mut self, bound: i128) {
        if self.bounds.len() < MOST_BOUNDS {
            self.bounds.insert(bound);
        }
    }

    /// From the lowest to the highest.
    pub(super) fn iter(&self) -> impl Iterator<Item = i128> {
        self.bounds.iter().copied()
    }

    /// Numbers below 0 have been counted, so their sum may fall.
    pub(super) const fn has_negative(&self) -> bool {
        self.has_negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(bounds: &Bounds) -> Vec<i128> {
        bounds.iter().collect()
    }

    #[test]
    fn bounds_have_the_bucket_below_and_never_go() {
        let log2 = Buckets { width: BucketWidth::Log2, signed: true };
        let mut seen = Bounds::default();
        seen.see(log2.bucket(0));
        assert_eq!(bounds(&seen), [1]);
        seen.see(log2.bucket(10));
        assert_eq!(bounds(&seen), [1, 512, 1024]);
        assert!(!seen.has_negative());
        seen.see(log2.bucket(64));
        assert_eq!(bounds(&seen), [-1, 1, 512, 1024]);
        assert!(seen.has_negative());
        let tens = Buckets { width: BucketWidth::Fixed(10), signed: true };
        let mut seen = Bounds::default();
        seen.see(tens.bucket((-6_i64).cast_unsigned()));
        seen.see(tens.bucket(0));
        seen.see(tens.bucket(20));
        assert_eq!(bounds(&seen), [-7, -1, 9, 19, 29]);
    }

    #[test]
    fn there_is_an_end_to_bounds() {
        let ones = Buckets { width: BucketWidth::Fixed(1), signed: false };
        let mut seen = Bounds::default();
        (0..10_000).for_each(|number| seen.see(ones.bucket(number)));
        assert_eq!(bounds(&seen).len(), MOST_BOUNDS);
    }

    #[test]
    fn given_bounds_stay() {
        let log2 = Buckets { width: BucketWidth::Log2, signed: false };
        let mut given = Bounds::given(bounds_up_to(log2, 9).expect("some"));
        given.see(log2.bucket(20));
        assert_eq!(bounds(&given), [1, 2, 4, 8]);
        let tens = Buckets { width: BucketWidth::Fixed(10), signed: false };
        assert_eq!(
            bounds_up_to(tens, 30).expect("some").into_iter().collect::<Vec<_>>(),
            [9, 19, 29]
        );
        assert_eq!((bounds_up_to(tens, 8), bounds_up_to(tens, 1 << 40)), (None, None));
    }
}
