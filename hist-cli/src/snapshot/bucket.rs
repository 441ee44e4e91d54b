//! The numbers that a key in buckets stands for. What the kernel divides is a number's 64 bits without
//! their sign, so the buckets of negative numbers are above all others there; here they have their
//! place below 0.

use super::{IntType, Show};
use crate::modifier::BucketWidth;

/// How a key is divided into buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// How wide they are.
    pub width: BucketWidth,
    /// The numbers have a sign.
    pub signed: bool,
}

/// The numbers that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// The first one.
    pub low: i128,
    /// The last one.
    pub high: i128,
}

impl Buckets {
    /// The buckets of a key that is shown like this; `None` if it is not in buckets.
    #[must_use]
    pub const fn of(show: Show, number: IntType) -> Option<Self> {
        match show {
            Show::Bucket(width) => Some(Self { width, signed: number.signed }),
            _ => None,
        }
    }

    /// The bucket that the key `word` stands for. All negative numbers have one power of two.
    #[must_use]
    pub fn bucket(self, word: u64) -> Bucket {
        match self.width {
            BucketWidth::Log2 if self.signed && word >= 64 => {
                Bucket { low: i64::MIN.into(), high: -1 }
            }
            BucketWidth::Log2 => log2(word),
            BucketWidth::Fixed(width) => self.fixed(word, width),
        }
    }

    fn fixed(self, word: u64, width: u64) -> Bucket {
        let low = if self.signed { i128::from(word.cast_signed()) } else { i128::from(word) };
        // The 64 bits of -1, and of the last number without a sign, are the last that there are.
        let last = if low < 0 { -1 } else { i128::from(u64::MAX) };
        Bucket { low, high: (low + i128::from(width) - 1).min(last) }
    }

    /// Where a bucket stands among all: from 0 on those of numbers that are not negative.
    #[must_use]
    pub fn place(self, bucket: Bucket) -> i128 {
        match self.width {
            BucketWidth::Log2 if bucket.low < 0 => -1,
            BucketWidth::Log2 => (bucket.high.ilog2()).into(),
            BucketWidth::Fixed(width) if bucket.low < 0 => {
                (bucket.low - lowest_of_last(width)) / i128::from(width) - 1
            }
            BucketWidth::Fixed(width) => bucket.low / i128::from(width),
        }
    }

    /// The bucket at that place.
    #[must_use]
    pub fn at(self, place: i128) -> Bucket {
        match self.width {
            BucketWidth::Log2 => {
                let exponent = u64::try_from(place);
                exponent.map_or(Bucket { low: i64::MIN.into(), high: -1 }, log2)
            }
            BucketWidth::Fixed(width) => {
                let step = i128::from(width);
                let low = match place {
                    0.. => place * step,
                    _ => lowest_of_last(width) + (place + 1) * step,
                };
                let high = low + step - 1;
                Bucket { low, high: if low < 0 { high.min(-1) } else { high } }
            }
        }
    }
}

/// The first number of the bucket that -1 is in: as the kernel divides from 0 on without a sign,
/// that one is narrower than the others unless `width` divides 2^64.
fn lowest_of_last(width: u64) -> i128 {
    let last = u64::MAX / width * width;
    i128::from(last) - (1 << 64)
}

/// What `.log2` makes `exponent` of: numbers above the power of two before.
fn log2(exponent: u64) -> Bucket {
    let power = |exponent: u64| 1_i128 << exponent.min(64);
    match exponent {
        0 => Bucket { low: 0, high: 1 },
        _ => Bucket { low: power(exponent - 1) + 1, high: power(exponent) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel makes of a number, as it is specified.
    fn kernels_key(buckets: Buckets, number: u64) -> u64 {
        match buckets.width {
            BucketWidth::Log2 if number <= 1 => 0,
            BucketWidth::Log2 => u64::from((number - 1).ilog2()) + 1,
            BucketWidth::Fixed(width) => number / width * width,
        }
    }

    fn any_buckets() -> impl Strategy<Value = Buckets> {
        let width = prop_oneof![
            Just(BucketWidth::Log2),
            (1..5_u64).prop_map(BucketWidth::Fixed),
            (1..3_000_000_u64).prop_map(BucketWidth::Fixed),
        ];
        (width, any::<bool>()).prop_map(|(width, signed)| Buckets { width, signed })
    }

    fn any_number() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), (0..4000_u64).prop_map(|number| number.wrapping_sub(2000))]
    }

    proptest! {
        /// The number that was counted lies in the bucket that its key stands for.
        #[test]
        fn numbers_lie_in_their_bucket(buckets in any_buckets(), number in any_number()) {
            let bucket = buckets.bucket(kernels_key(buckets, number));
            let number =
                if buckets.signed { i128::from(number.cast_signed()) } else { i128::from(number) };
            // 2^63 is the one number whose power of two a positive number has, too.
            prop_assume!(number != i128::from(i64::MIN));
            prop_assert!(bucket.low <= number && number <= bucket.high, "{bucket:?} {number}");
        }

        #[test]
        fn places_are_in_the_order_of_buckets(
            buckets in any_buckets(), one in any_number(), other in any_number(),
        ) {
            let bucket = |number| buckets.bucket(kernels_key(buckets, number));
            let (one, other) = (bucket(one), bucket(other));
            prop_assert_eq!(buckets.place(one).cmp(&buckets.place(other)), one.cmp(&other));
            prop_assert_eq!(buckets.at(buckets.place(one)).low, one.low);
            // No number is in two buckets or in none.
            if one.low > i128::from(i64::MIN) {
                prop_assert_eq!(buckets.at(buckets.place(one) - 1).high, one.low - 1);
            }
        }
    }
}
