//! Takes a key in buckets. Gives the numbers that a bucket stands for, and the bounds that the
//! buckets of a Prometheus histogram have.

use std::collections::BTreeSet;

/// The bounds that a histogram has at most, `+Inf` aside. Each is a series for each combination of
/// the other keys. What would need more is counted in the next bucket above.
pub(super) const MOST_BOUNDS: usize = 256;

/// How a key is divided into buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// How wide they are.
    pub width: Width,
    /// The numbers have a sign.
    pub signed: bool,
}

/// How wide buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// `.log2`: as wide as all below together.
    Log2,
    /// `.buckets=N`: all the same.
    Fixed(u64),
}

/// The numbers that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    low: i128,
    /// The last one, which is the bound: Prometheus counts what is less than or equal.
    pub(super) high: i128,
}

impl Buckets {
    /// The bucket that the key `number` stands for.
    ///
    /// What the kernel makes buckets of is the number's image without sign, so the buckets of
    /// negative numbers are above all others there.
    pub(super) fn bucket(self, number: u64) -> Bucket {
        match self.width {
            Width::Log2 if self.signed && number >= 64 => {
                Bucket { low: i128::from(i64::MIN), high: -1 }
            }
            Width::Log2 => log2(number),
            Width::Fixed(width) => self.fixed(number, width),
        }
    }

    fn fixed(self, number: u64, width: u64) -> Bucket {
        let low = if self.signed { i128::from(number.cast_signed()) } else { i128::from(number) };
        let high = low + i128::from(width) - 1;
        // The image of -1 is the last number that there is.
        Bucket { low, high: if low < 0 { high.min(-1) } else { high } }
    }

    /// The bounds from the lowest to the highest that is not above `max`; `None` if there are too
    /// many, or none.
    pub(super) fn bounds_up_to(self, max: u64) -> Option<BTreeSet<i128>> {
        let max = i128::from(max);
        let bounds: BTreeSet<i128> = match self.width {
            Width::Log2 => {
                (0..64).map(|power| 1 << power).take_while(|bound| *bound <= max).collect()
            }
            Width::Fixed(width) => {
                let width = i128::from(width);
                let multiples = (1..=MOST_BOUNDS as i128 + 1).map(|number| number * width - 1);
                multiples.take_while(|bound| *bound <= max).collect()
            }
        };
        (1..=MOST_BOUNDS).contains(&bounds.len()).then_some(bounds)
    }
}

/// What `.log2` makes `exponent` of: numbers above the power of two before.
fn log2(exponent: u64) -> Bucket {
    let power = |exponent: u64| 1_i128 << exponent.min(64);
    match exponent {
        0 => Bucket { low: 0, high: 1 },
        _ => Bucket { low: power(exponent - 1) + 1, high: power(exponent) },
    }
}

/// The bounds that all histograms of a metric have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    bounds: BTreeSet<i128>,
    /// They are what the file says; otherwise they follow from what was counted.
    are_given: bool,
}

impl Bounds {
    /// Bounds that stay as they are.
    pub(super) fn given(bounds: BTreeSet<i128>) -> Self {
        Self { bounds, are_given: true }
    }

    /// Makes room for a bucket: its own bound, and that of the one below, so that nobody takes its
    /// numbers for smaller ones. Bounds never go.
    pub(super) fn see(&mut self, bucket: Bucket) {
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
    pub(super) fn has_negative(&self) -> bool {
        self.bounds.first().is_some_and(|bound| *bound < 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(bounds: &Bounds) -> Vec<i128> {
        bounds.iter().collect()
    }

    /// What the kernel makes of a number, as it is specified.
    fn kernels_key(buckets: Buckets, number: u64) -> u64 {
        match buckets.width {
            Width::Log2 if number <= 1 => 0,
            Width::Log2 => u64::from((number - 1).ilog2()) + 1,
            Width::Fixed(width) => number / width * width,
        }
    }

    proptest! {
        /// The number that was counted lies in the bucket that its key stands for.
        #[test]
        fn numbers_lie_in_their_bucket(
            number: u64, small in 0..2000u64, width in prop_oneof![1..5u64, 1..3_000_000u64],
            is_log2: bool, signed: bool, is_small: bool,
        ) {
            let number = if is_small { small.wrapping_sub(1000) } else { number };
            let width = if is_log2 { Width::Log2 } else { Width::Fixed(width) };
            let buckets = Buckets { width, signed };
            let bucket = buckets.bucket(kernels_key(buckets, number));
            let number = if signed { i128::from(number.cast_signed()) } else { i128::from(number) };
            // 2^63 is the one number whose power of two a positive number has, too.
            prop_assume!(number != i128::from(i64::MIN));
            prop_assert!(bucket.low <= number && number <= bucket.high, "{:?} {}", bucket, number);
        }
    }

    #[test]
    fn bounds_have_the_bucket_below_and_never_go() {
        let log2 = Buckets { width: Width::Log2, signed: true };
        let mut seen = Bounds::default();
        seen.see(log2.bucket(0));
        assert_eq!(bounds(&seen), [1]);
        seen.see(log2.bucket(10));
        assert_eq!(bounds(&seen), [1, 512, 1024]);
        assert!(!seen.has_negative());
        seen.see(log2.bucket(64));
        assert_eq!(bounds(&seen), [-1, 1, 512, 1024]);
        assert!(seen.has_negative());
        let tens = Buckets { width: Width::Fixed(10), signed: true };
        let mut seen = Bounds::default();
        seen.see(tens.bucket((-6_i64).cast_unsigned()));
        seen.see(tens.bucket(0));
        seen.see(tens.bucket(20));
        assert_eq!(bounds(&seen), [-7, -1, 9, 19, 29]);
    }

    #[test]
    fn there_is_an_end_to_bounds() {
        let ones = Buckets { width: Width::Fixed(1), signed: false };
        let mut seen = Bounds::default();
        (0..10_000).for_each(|number| seen.see(ones.bucket(number)));
        assert_eq!(bounds(&seen).len(), MOST_BOUNDS);
    }

    #[test]
    fn given_bounds_stay() {
        let log2 = Buckets { width: Width::Log2, signed: false };
        let mut given = Bounds::given(log2.bounds_up_to(9).expect("some"));
        given.see(log2.bucket(20));
        assert_eq!(bounds(&given), [1, 2, 4, 8]);
        let tens = Buckets { width: Width::Fixed(10), signed: false };
        assert_eq!(
            tens.bounds_up_to(30).expect("some").into_iter().collect::<Vec<_>>(),
            [9, 19, 29]
        );
        assert_eq!((tens.bounds_up_to(8), tens.bounds_up_to(1 << 40)), (None, None));
    }
}
