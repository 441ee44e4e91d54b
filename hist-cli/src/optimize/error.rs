//! What can go wrong when a program is optimized.

/// Why a program could not be optimized. Only [`Self::JumpTooFar`] can be the trigger's doing: it is
/// too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizeError {
    /// The frame pointer is used otherwise than with a constant offset, at this slot.
    #[error("the stack is not addressed by a constant offset, in program at instruction {0}")]
    FramePointer(usize),
    /// The jump at this slot leaves the program.
    #[error("the jump at instruction {0} leaves the program")]
    Jump(usize),
    /// A jump is longer than an instruction can say.
    #[error(
        "the trigger is too large: a jump over {distance} instructions is needed, and 32767 are \
         possible; shorten the filter"
    )]
    JumpTooFar {
        /// In instruction slots.
        distance: i64,
    },
}
