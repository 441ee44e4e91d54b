//! How fields are read: the one place that asks a plan's table of accesses. Each variant of
//! [`Access`] has a file of its own that knows its instructions, [`record`] and [`argument`].

use super::CodegenError;
use super::argument;
use super::emit::Emitter;
use super::record::{self, LocationNotes};
use super::stack;
use super::word;
use crate::bpf::insn::{Alu, Insn, R1, R3, R10, Reg, Width};
use crate::kernel::format::FieldId;
use crate::plan::access::Access;
use crate::plan::access::arguments::value::{Argument, Content, Pointer, Scalar, Text};
use crate::plan::access::record::{Form, Place};
use crate::resolve::hist::NumberField;

// --- numbers ------------------------------------------------------------------------------------

/// r3 = the number in `field`, as much of it as is looked at; from the stack if it is kept there.
/// Destroys r0 and r4.
pub(super) fn number(
    emitter: &mut Emitter,
    field: NumberField,
    note: &str,
) -> Result<(), CodegenError> {
    let whole = match emitter.access(field.field)? {
        Access::Record(place) => return record::number(emitter, place.offset, field, note),
        Access::Argument(Argument { content: Content::Number(_, scalar), .. }) => scalar,
        Access::Argument(_) => return Err(emitter.no_access(field.field)),
    };
    address(emitter, field.field, note)?;
    // Some tests look at the low bytes of a field only.
    word::convert(emitter, whole, Scalar { size: field.size, signed: field.signed });
    Ok(())
}

/// r3 = the address in `field`, which has 8 bytes; from the stack if it is kept there. Destroys r0
/// and r4.
pub(super) fn address(
    emitter: &mut Emitter,
    field: FieldId,
    note: &str,
) -> Result<(), CodegenError> {
    if let Some(kept) = emitter.kept_field(field) {
        emitter.push(Insn::load(Width::Dw, R3, R10, kept), note);
        return Ok(());
    }
    read(emitter, field, note)
}

/// r3 = the 8 bytes of `field`, or the number that arguments lead to, as its own type has it. Destroys
/// r0 and r4.
pub(super) fn read(emitter: &mut Emitter, field: FieldId, note: &str) -> Result<(), CodegenError> {
    let access = emitter.access(field)?;
    match image(emitter, &access, 8, note)? {
        true => Ok(()),
        false => Err(emitter.no_access(field)),
    }
}

/// r3 = the number that `access` leads to; in a record it is the low `size` bytes, without a sign.
/// Gives whether it leads to a number. Destroys r0 and r4.
pub(super) fn image(
    emitter: &mut Emitter,
    access: &Access,
    size: u32,
    note: &str,
) -> Result<bool, CodegenError> {
    match access {
        Access::Record(place) => word::bytes(emitter, place.offset, size, note)?,
        Access::Argument(Argument { content: Content::Number(number, to), .. }) => {
            argument::converted(emitter, number, *to, note)?;
        }
        Access::Argument(_) => return Ok(false),
    }
    Ok(true)
}

// --- strings ------------------------------------------------------------------------------------

/// Where a string is.
pub(super) enum TextAt {
    /// In an array, which can be loaded word by word.
    Array(Array),
    /// Where a word of the record says.
    Located {
        /// Of the word, in bytes.
        offset: u32,
        /// Counted from the word's end.
        relative: bool,
    },
    /// Where a pointer points to; `(null)` if that is nowhere.
    Behind(Pointer),
    /// It is the current task's name.
    Comm,
}

/// An array that holds a string.
pub(super) struct Array {
    /// Where its bytes are counted from: an address that is a multiple of 8.
    pub(super) base: Base,
    /// From there, in bytes.
    pub(super) start: u32,
    /// In bytes.
    pub(super) size: u32,
}

/// What an array's place is counted from.
pub(super) enum Base {
    /// The context.
    Context,
    /// A place on the stack, from r10.
    Stack(i16),
    /// What a pointer points to.
    Pointer(Pointer),
}

impl Array {
    /// It lies in the context.
    pub(super) const fn is_in_context(&self) -> bool {
        matches!(self.base, Base::Context)
    }
}

impl Base {
    /// Brings the address into `dst`, which is r1 for the context.
    pub(super) fn load(
        &self,
        emitter: &mut Emitter,
        dst: Reg,
        note: &str,
    ) -> Result<(), CodegenError> {
        match self {
            Self::Context if dst == R1 => {}
            Self::Context => emitter.push(Insn::mov64_reg(dst, R1), note),
            Self::Stack(slot) => stack::address(emitter, dst, *slot, note),
            Self::Pointer(pointer) => argument::follow(emitter, dst, pointer, note)?,
        }
        Ok(())
    }
}

/// Where the string in `field` is; on the stack if it is kept there.
pub(super) fn text(emitter: &Emitter, field: FieldId) -> Result<TextAt, CodegenError> {
    Ok(match (text_source(emitter, field)?, emitter.kept_text(field)) {
        (TextAt::Array(Array { size, .. }), Some(kept)) => {
            TextAt::Array(Array { base: Base::Stack(kept), start: 0, size })
        }
        (text, _) => text,
    })
}

/// Where it comes from.
pub(super) fn text_source(emitter: &Emitter, field: FieldId) -> Result<TextAt, CodegenError> {
    Ok(match emitter.access(field)? {
        Access::Record(Place { offset: start, form: Form::Whole { size } }) => {
            TextAt::Array(Array { base: Base::Context, start, size })
        }
        Access::Record(Place { offset, form: Form::Located { relative } }) => {
            TextAt::Located { offset, relative }
        }
        Access::Argument(Argument { content: Content::Text(text), .. }) => match text {
            Text::Inside { pointer, offset: start, size } => {
                TextAt::Array(Array { base: Base::Pointer(pointer), start, size })
            }
            Text::Behind(pointer) => TextAt::Behind(pointer),
            Text::Comm => TextAt::Comm,
        },
        Access::Argument(_) => return Err(emitter.no_access(field)),
    })
}

/// r3 = the string's address; gives whether r4 = its length, for the record tells it. A task's name
/// has no address: a helper copies it.
pub(super) fn text_address(
    emitter: &mut Emitter,
    text: &TextAt,
    note: &str,
    notes: &LocationNotes<'_>,
) -> Result<bool, CodegenError> {
    match text {
        TextAt::Array(Array { base, start, .. }) => {
            base.load(emitter, R3, note)?;
            emitter.push(Insn::alu64_imm(Alu::Add, R3, start.cast_signed()), "");
        }
        TextAt::Located { offset, relative } => {
            record::located(emitter, (*offset, *relative), notes)?;
            return Ok(true);
        }
        TextAt::Behind(pointer) => argument::text_behind(emitter, pointer, note)?,
        TextAt::Comm => {}
    }
    Ok(false)
}

// --- sets of CPUs -------------------------------------------------------------------------------

/// r3 = the address of the set of CPUs in `field`. Destroys r0 and r4.
pub(super) fn cpumask(
    emitter: &mut Emitter,
    field: FieldId,
    notes: &LocationNotes<'_>,
) -> Result<(), CodegenError> {
    match emitter.access(field)? {
        Access::Record(Place { offset, form: Form::Located { relative } }) => {
            record::located(emitter, (offset, relative), notes)
        }
        _ => Err(emitter.no_access(field)),
    }
}
