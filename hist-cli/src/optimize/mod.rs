//! Shortens a linked program, and cuts its stack, without changing what it does.
//!
//! A template cannot know what its holes will do, so it hands them copies of its registers, tests
//! what a filter has found even if there is none, and keeps room for the largest key. Here both
//! sides are known: copies of registers and addresses on the stack are used where they come from,
//! tests of constants are decided, what nobody reads goes away, and the room that key and value
//! do not take is cut out of the frame.
//!
//! # What is relied on
//! - The verifier takes the program as it was: nothing is read that has not been written, every
//!   jump and every access is in bounds, and the program ends.
//! - r10 is used only as `bpf::frame::uses` allows, so every address on the
//!   stack has a known offset where it is made.
//! - A register that is added to a pointer to the stack is not negative.
//! - Helpers change r0 to r5, and memory only from the pointers that they are given upward.
//! - Nothing below the used part of a [`HoleRoom`](crate::link::HoleRoom) reaches into its rest.
//!
//! # What is kept
//! - Every call, with its arguments, every store that anyone can see, and the order of both.
//! - What r0 is at an exit. Other registers and the stack end there.
//!
//! Each condition for that is a `Guard`; the tests drop each of them and see it fail.

mod error;
mod flow;
mod guard;
mod ops;
mod rewrite;
mod room;
mod spare;
#[cfg(test)]
mod tests;

pub use error::OptimizeError;

use crate::bpf::frame;
use crate::link::Program;

/// Rounds at most. Two or three are enough for what templates look like.
const ROUNDS: usize = 16;

/// Takes out of `program` what it need not do.
///
/// # Errors
/// If the stack is used otherwise than by constant offsets, or a jump gets too long.
pub fn optimize(program: &mut Program) -> Result<(), OptimizeError> {
    let mut ops = ops::lift(&program.lines, &program.references)?;
    let rooms = room::find(&ops, &std::mem::take(&mut program.rooms));
    for _ in 0..ROUNDS {
        let changed = rewrite::replace(&mut ops)
            | spare::spare_the_context(&mut ops)
            | rewrite::shorten(&mut ops);
        if !changed {
            break;
        }
    }
    room::cut(&mut ops, &rooms);
    (program.lines, program.references) = ops::lower(ops)?;
    let insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
    let uses = frame::uses(&insns).map_err(OptimizeError::FramePointer)?;
    program.stack = frame::depth(&uses);
    Ok(())
}
