//! The conditions without which a rewritten program would do something else, each with a name.
//!
//! A test build can drop any one of them. For each, the tests have to find a program that then comes
//! out wrong; otherwise either the condition is superfluous, or the tests are too weak.

/// Declares the guards, and for tests the list of them.
macro_rules! guards {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Why a rewrite is right.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Guard {
            $($(#[$doc])+ $name,)+
        }

        #[cfg(test)]
        impl Guard {
            /// Every guard.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

guards! {
    /// Nothing jumps between `rX = r10` and the addition that is taken for part of it.
    AddressIsWhole,

    /// Only a load of 64 bits gives all that was stored in a word.
    LoadIsWhole,
    /// Only a load from r10 is known to be from the stack.
    LoadIsFromFrame,
    /// Only the word at the same offset is what is loaded.
    LoadIsOfWord,
    /// Only a store of a register's 64 bits makes a word a copy of it.
    StoreIsWhole,
    /// A store changes every word of which it touches a byte.
    StoreIsElsewhere,
    /// A store through a pointer may change every word.
    StoreIsToFrame,
    /// A helper may change every word.
    CallLeavesMemory,
    /// A helper changes r0 to r5.
    CallKeepsRegisters,
    /// An atomic operation that gives the old value changes a register.
    AtomicKeepsRegisters,
    /// A register that gets what it holds already is no copy of itself.
    CopyIsOfAnother,
    /// A copy of a register is one only until that register changes.
    CopiedIsUnchanged,
    /// So is a word that holds a copy of it.
    KeptIsUnchanged,
    /// Only adding a constant moves an address by it.
    SumIsOfAddress,
    /// Where two ways meet, only what holds on both is known of a register.
    RegisterIsSameOnBothWays,
    /// Where two ways meet, only what holds on both is known of a word.
    WordIsSameOnBothWays,
    /// What is known where a loop begins has to hold where it ends.
    LoopChangesNothing,

    /// A word is a spill only if it lies below every address that is taken.
    SpillIsBelowAddresses,
    /// What is read through a pointer, by a load or an atomic operation, lies above it.
    LoadGoesUp,
    /// A pointer to the stack only moves up.
    PointerMovesUp,
    /// A load wants every word of which it reads a byte.
    LoadWantsOverlapped,
    /// An atomic operation reads the word that it changes.
    AtomicWantsWord,
    /// Only a store of 64 bits leaves nothing of a word.
    SpillIsWhole,
    /// Only a store to the same offset leaves nothing of a word.
    SpillIsToWord,
    /// Only a store that nobody loads from is for nothing.
    SpillIsUnwanted,
    /// Only what does nothing but write a register can be for nothing.
    OpIsPure,
    /// An atomic operation changes memory, whoever wants its register.
    AtomicIsNotPure,
    /// Only a register that nobody reads is written for nothing.
    RegisterIsUnwanted,
    /// What is wanted where a loop begins is wanted where it ends.
    LoopWantsNothing,

    /// An address stays what it is: its second instruction is not seen.
    OpIsNoAddress,
    /// Only adding a constant to an address gives another.
    AdditionIsOfConstant,
    /// Only what has a source register can have another.
    OpHasSource,
    /// A source that is written, too, stays.
    SourceIsOnlyRead,
    /// A jump that compares nothing has no register.
    JumpCompares,
    /// Two registers of which nothing is known do not hold the same.
    EqualIsKnown,
    /// Only a jump to what comes next anyway is idle.
    JumpGoesToNext,

    /// A value that comes in by a jump is in the old register.
    SpanIsNotJumpedInto,
    /// Where a jump goes, the old register is expected.
    SpanIsNotLeft,
    /// A register is free only if it is neither used nor wanted.
    RegisterIsFree,

    /// A hole's second argument is where its room begins, as long as the hole has not run.
    HoleBegins,
    /// A room that several calls of a hole share is cut out once.
    RoomIsNew,
    /// Only what lies below the unused part of a room moves.
    OffsetIsBelowRoom,
    /// Only what is addressed by r10 moves.
    BaseIsFrame,
}

/// `condition`, and nothing at run time.
#[cfg(not(test))]
#[inline(always)]
pub(super) const fn only_if(_: Guard, condition: bool) -> bool {
    condition
}

/// `condition`, or true if the guard is dropped.
#[cfg(test)]
pub(super) fn only_if(guard: Guard, condition: bool) -> bool {
    condition || DROPPED.get() == Some(guard)
}

#[cfg(test)]
thread_local! {
    static DROPPED: std::cell::Cell<Option<Guard>> = const { std::cell::Cell::new(None) };
}

/// Does `work` without `guard`.
#[cfg(test)]
pub(super) fn without<T>(guard: Guard, work: impl FnOnce() -> T) -> T {
    DROPPED.set(Some(guard));
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    DROPPED.set(None);
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
