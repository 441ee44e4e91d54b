//! Turns a [`Plan`] into eBPF instructions for each hole of its template, with a note beside each that
//! says why it is there.
//!
//! A body follows the hole ABI of [`hist_common::holes`]: r1 is the context and r2, where there
//! is one, the key or value; r0 and r3 to r5 are free. A body that calls a helper keeps r1 and r2
//! on the stack meanwhile.

mod access;
mod argument;
mod bits;
mod branch;
mod chunk;
pub mod code;
mod condition;
mod display;
mod emit;
mod focus;
mod key;
mod matching;
mod once;
mod record;
mod saved;
mod scan;
pub mod sentinel;
mod slot;
mod source;
mod stack;
mod system_call;
mod text;
mod value;
pub mod watch;
mod word;

use crate::kernel::format::FieldId;
use crate::plan::Plan;
use code::Code;

/// Why code cannot be generated: always a defect of ours, never the user's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// A jump is longer than its 16 bits can say.
    #[error("the code of {hole} is too long for a jump of {distance} instructions")]
    JumpTooLong {
        /// The hole's symbol.
        hole: &'static str,
        /// Instructions.
        distance: i64,
    },
    /// An offset does not fit the 16 bits of an instruction.
    #[error("the offset {offset} in {hole} does not fit an instruction")]
    OffsetTooLarge {
        /// The hole's symbol.
        hole: &'static str,
        /// Bytes.
        offset: u32,
    },
    /// The plan does not say how to read a field, or not as what a hole wants it for.
    #[error("there is no way to read the event's field {} for {hole}", .field.0)]
    NoAccess {
        /// The hole's symbol.
        hole: &'static str,
        /// Which one.
        field: FieldId,
    },
    /// The plan does not say where a system call's number is.
    #[error("there is no way to read a system call's number")]
    NoCallNumber,
}

/// Generates the bodies of all holes of `plan.template`.
///
/// # Errors
/// If a jump or an offset does not fit its 16 bits.
pub fn generate(plan: &Plan) -> Result<Code, CodegenError> {
    let mut holes = vec![condition::filter(plan)?];
    match &plan.index {
        Some(index) => holes.extend([key::index(plan, index)?, value::update(plan)?]),
        None => holes.extend([key::key(plan)?, value::update(plan)?, value::init(plan)?]),
    }
    Ok(Code { holes })
}
