//! How the numbers of many hits become the one number that an entry shows for a value.
//!
//! A value function begins here: everything that the stages ask about one is a method of [`Fold`].
//! Two more places match on it, and so does the compiler lead there: the instructions that put a
//! hit into an entry (codegen/value.rs), and the copies that the CPUs have of one (read/percpu.rs).

/// How the numbers of several hits are put together. Hits themselves always add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// Their sum modulo 2^64, as the kernel has it.
    Sum,
}

impl Fold {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Sum];

    /// In documents, in the help of a metric, and where a trigger is explained: the NAME of a field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
        }
    }

    /// In listings: what the number of a hit does to the one that is there.
    #[must_use]
    pub const fn operator(self) -> &'static str {
        match self {
            Self::Sum => "+=",
        }
    }

    /// The number of no hits: put together with another one, it leaves that as it is.
    #[must_use]
    pub const fn nothing(self) -> u64 {
        match self {
            Self::Sum => 0,
        }
    }

    /// The number of the hits of both.
    #[must_use]
    pub const fn add(self, one: u64, other: u64) -> u64 {
        match self {
            Self::Sum => one.wrapping_add(other),
        }
    }

    /// The number of the hits of `whole` that are not among those of `part`.
    ///
    /// A fold that does not [grow](Self::grows) gives `whole`: of a smallest number nobody can tell
    /// afterwards which hit it came from, so a delta shows it as it is since counting began.
    #[must_use]
    pub const fn difference(self, whole: u64, part: u64) -> u64 {
        match self {
            Self::Sum => whole.wrapping_sub(part),
        }
    }

    /// The number of so many hits that have the same `number`.
    #[must_use]
    pub const fn repeated(self, number: u64, hits: u64) -> u64 {
        match self {
            Self::Sum => number.wrapping_mul(hits),
        }
    }

    /// The same in listings.
    #[must_use]
    pub fn repeated_text(self, number: &str) -> String {
        match self {
            Self::Sum => format!("hitcount * {number}"),
        }
    }

    /// Hits move the number by what they have, so the [`difference`](Self::difference) of two says
    /// what came in between, and a second's worth of it is a rate. Of other folds no rate is shown,
    /// and a metric of one is a gauge.
    #[must_use]
    pub const fn grows(self) -> bool {
        match self {
            Self::Sum => true,
        }
    }
}
