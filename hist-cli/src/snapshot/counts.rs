//! What an entry has counted, and the only arithmetic on it: the copies of the CPUs, equal stacks,
//! files of several machines, the series of a metric and the rows of a live view are added up here,
//! and what has come between two moments is a difference made here.

use smallvec::SmallVec;

use crate::resolve::Fold;

/// How hits are put together, whatever the values do: they are a count, and wrap.
pub const HITS: Fold = Fold::Sum;

/// The numbers of an entry besides its hits. A trigger has at most two, and a large table many
/// entries, so these lie in the entry itself.
pub type Values = SmallVec<[u64; 2]>;

/// What one or more hits have left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many hits.
    pub hits: u64,
    /// One for each value of the trigger, put together by that value's [`Fold`].
    pub values: Values,
}

impl Counts {
    /// So many hits, and their values.
    #[must_use]
    pub fn new(hits: u64, values: impl Into<Values>) -> Self {
        Self { hits, values: values.into() }
    }

    /// No hits.
    #[must_use]
    pub fn nothing(folds: &[Fold]) -> Self {
        Self { hits: HITS.nothing(), values: folds.iter().map(|fold| fold.nothing()).collect() }
    }

    /// All of them put together; `folds` has one for each value.
    #[must_use]
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>, folds: &[Fold]) -> Self {
        let mut sum = Self::nothing(folds);
        all.into_iter().for_each(|counts| sum.add(counts, folds));
        sum
    }

    /// Puts the hits of `more` to these; `folds` has one for each value.
    pub fn add(&mut self, more: &Self, folds: &[Fold]) {
        debug_assert_eq!((self.values.len(), more.values.len()), (folds.len(), folds.len()));
        self.hits = HITS.add(self.hits, more.hits);
        for ((value, &more), fold) in self.values.iter_mut().zip(&more.values).zip(folds) {
            *value = fold.add(*value, more);
        }
    }

    /// Leaves the hits that are not among those of `part`; `folds` has one for each value. If some
    /// of `part` are not here either, what is left is less than nothing, and wraps, until as much is
    /// added. What is left of a value that does not grow, [`Fold::difference`] says.
    pub fn subtract(&mut self, part: &Self, folds: &[Fold]) {
        debug_assert_eq!((self.values.len(), part.values.len()), (folds.len(), folds.len()));
        self.hits = HITS.difference(self.hits, part.hits);
        for ((value, &part), fold) in self.values.iter_mut().zip(&part.values).zip(folds) {
            *value = fold.difference(*value, part);
        }
    }
}

/// All of these hits.
#[must_use]
pub fn hits(all: impl IntoIterator<Item = u64>) -> u64 {
    all.into_iter().fold(HITS.nothing(), |hits, more| HITS.add(hits, more))
}

/// Hits that were not counted, by reason. Events, summed over CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// The table was full: ftrace's `Dropped`.
    pub full: u64,
    /// The map refused for another reason.
    pub busy: u64,
    /// The kernel skipped the program because another one was running on that CPU.
    pub missed: u64,
}

impl Losses {
    /// All hits that should have been counted and were not.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.full + self.busy + self.missed
    }

    /// Those of both.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        Self {
            full: HITS.add(self.full, other.full),
            busy: HITS.add(self.busy, other.busy),
            missed: HITS.add(self.missed, other.missed),
        }
    }

    /// Those that are not among `part`.
    #[must_use]
    pub const fn difference(self, part: Self) -> Self {
        Self {
            full: HITS.difference(self.full, part.full),
            busy: HITS.difference(self.busy, part.busy),
            missed: HITS.difference(self.missed, part.missed),
        }
    }

    /// Any of the three is below what it was `before`: they have been cleared since.
    #[must_use]
    pub const fn fell(self, before: Self) -> bool {
        self.full < before.full || self.busy < before.busy || self.missed < before.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What many hits leave, worked out with numbers that do not wrap.
    fn model(fold: Fold, hits: &[u64]) -> u64 {
        match fold {
            Fold::Sum => {
                let sum: u128 = hits.iter().map(|number| u128::from(*number)).sum();
                u64::try_from(sum % (1 << 64)).expect("less than 2^64")
            }
        }
    }

    /// Each fold, and the numbers of some hits for it; numbers near the ends are as likely as others.
    fn any_hits() -> impl Strategy<Value = Vec<[u64; Fold::ALL.len()]>> {
        let number = prop_oneof![any::<u64>(), 0..4_u64, (0..4_u64).prop_map(|n| u64::MAX - n)];
        let hit = prop::collection::vec(number, Fold::ALL.len());
        let hit = hit.prop_map(|hit| hit.try_into().expect("one for each fold"));
        prop::collection::vec(hit, 0..20)
    }

    fn counts(hits: &[[u64; Fold::ALL.len()]]) -> Counts {
        let one = |hit: &[u64; Fold::ALL.len()]| Counts::new(1, &hit[..]);
        let all: Vec<_> = hits.iter().map(one).collect();
        Counts::sum(&all, &Fold::ALL)
    }

    fn added(one: &Counts, other: &Counts) -> Counts {
        Counts::sum([one, other], &Fold::ALL)
    }

    fn left(whole: &Counts, part: &Counts) -> Counts {
        let mut left = whole.clone();
        left.subtract(part, &Fold::ALL);
        left
    }

    fn any_losses() -> impl Strategy<Value = Losses> {
        let any = || prop_oneof![any::<u64>(), 0..9_u64];
        (any(), any(), any()).prop_map(|(full, busy, missed)| Losses { full, busy, missed })
    }

    proptest! {
        #[test]
        fn counts_are_what_the_model_makes_of_their_hits(hits in any_hits()) {
            let counts = counts(&hits);
            prop_assert_eq!(counts.hits, hits.len() as u64);
            for (index, fold) in Fold::ALL.into_iter().enumerate() {
                let numbers: Vec<_> = hits.iter().map(|hit| hit[index]).collect();
                prop_assert_eq!(counts.values[index], model(fold, &numbers), "{:?}", fold);
            }
        }

        #[test]
        fn adding_is_associative_and_commutative(
            a in any_hits(), b in any_hits(), c in any_hits(),
        ) {
            let (one, two, three) = (counts(&a), counts(&b), counts(&c));
            prop_assert_eq!(added(&one, &two), added(&two, &one));
            prop_assert_eq!(added(&added(&one, &two), &three), added(&one, &added(&two, &three)));
            prop_assert_eq!(added(&one, &two), counts(&[a, b].concat()));
            prop_assert_eq!(added(&one, &Counts::nothing(&Fold::ALL)), one);
        }

        #[test]
        fn the_difference_of_a_sum_is_what_was_added(a in any_hits(), b in any_hits()) {
            let (one, two) = (counts(&a), counts(&b));
            let whole = added(&one, &two);
            let left = left(&whole, &one);
            prop_assert_eq!(left.hits, two.hits);
            for (index, fold) in Fold::ALL.into_iter().enumerate() {
                let want = if fold.grows() { two.values[index] } else { whole.values[index] };
                prop_assert_eq!(left.values[index], want, "{:?}", fold);
            }
        }

        /// A series that begins at 0 owes what its entry had before.
        #[test]
        fn what_is_less_than_nothing_comes_back_to_it(a in any_hits()) {
            let one = counts(&a);
            let nothing = Counts::nothing(&Fold::ALL);
            let again = added(&left(&nothing, &one), &one);
            prop_assert_eq!(again.hits, 0);
            for (index, fold) in Fold::ALL.into_iter().enumerate().filter(|(_, fold)| fold.grows()) {
                prop_assert_eq!(again.values[index], 0, "{:?}", fold);
            }
        }

        #[test]
        fn hits_with_one_number_are_that_many_hits(number in any::<u64>(), hits in 1..50_usize) {
            for fold in Fold::ALL {
                let want = model(fold, &vec![number; hits]);
                prop_assert_eq!(fold.repeated(number, hits as u64), want, "{:?}", fold);
            }
        }

        #[test]
        fn losses_add_up_and_come_apart_again(
            a in any_losses(), b in any_losses(), c in any_losses(),
        ) {
            prop_assert_eq!(a.add(b), b.add(a));
            prop_assert_eq!(a.add(b).add(c), a.add(b.add(c)));
            prop_assert_eq!(a.add(Losses::default()), a);
            prop_assert_eq!(a.add(b).difference(a), b);
            let model = |one: u64, other: u64| (u128::from(one) + u128::from(other)) as u64;
            let (full, busy) = (model(a.full, b.full), model(a.busy, b.busy));
            prop_assert_eq!(a.add(b), Losses { full, busy, missed: model(a.missed, b.missed) });
        }
    }

    /// Nothing asks for more than one of them at a time, so each needs a case of its own.
    #[test]
    fn each_of_the_three_losses_tells_a_clear() {
        let before = Losses { full: 2, busy: 2, missed: 2 };
        assert!(!before.fell(before));
        assert!(!Losses { full: 3, busy: 4, missed: 5 }.fell(before));
        for fallen in [
            Losses { full: 1, busy: 9, missed: 9 },
            Losses { full: 9, busy: 1, missed: 9 },
            Losses { full: 9, busy: 9, missed: 1 },
        ] {
            assert!(fallen.fell(before), "{fallen:?}");
        }
    }

    #[test]
    fn hits_wrap() {
        assert_eq!(hits([u64::MAX, 3]), 2);
        let all = [u64::MAX, 3].map(|hits| Counts::new(hits, Values::new()));
        assert_eq!(Counts::sum(&all, &[]), Counts::new(2, Values::new()));
    }
}
