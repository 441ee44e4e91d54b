//! Numbers that look random and are always the same for a seed.

/// SplitMix64, Steele, Lea and Flood 2014, <https://doi.org/10.1145/2714064.2660195>.
#[derive(Clone, Debug)]
pub(crate) struct Prng(u64);

/// The golden ratio's fraction in 64 bits, the step between two states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Prng {
    /// The numbers of the trigger with that `index`, which do not depend on any other's.
    pub(crate) fn new(seed: u64, index: u64) -> Prng {
        let mut of_seed = Prng(seed);
        Prng(of_seed.next() ^ index.wrapping_mul(STEP))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From 0 to `end`, exclusive; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next().checked_rem(end as u64).unwrap_or(0) as usize
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// An index, as often as its weight says.
    pub(crate) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut at = self.below(weights.iter().sum());
        let fits = |weight: &usize| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        };
        weights.iter().position(fits).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_seed_and_index() {
        let numbers = |seed, index| {
            let mut prng = Prng::new(seed, index);
            [prng.next(), prng.next(), prng.next()]
        };
        assert_eq!(numbers(1, 2), numbers(1, 2));
        assert_ne!(numbers(1, 2), numbers(1, 3));
        assert_ne!(numbers(1, 2), numbers(2, 2));
    }

    #[test]
    fn choices_keep_to_their_weights() {
        let mut prng = Prng::new(1, 1);
        let mut counts = [0; 3];
        for _ in 0..1000 {
            counts[prng.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((180..320).contains(&counts[0]), "{counts:?}");
    }
}
