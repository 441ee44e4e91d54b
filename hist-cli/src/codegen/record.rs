//! Fields in the event's record: r1, the context, is its start.

use super::CodegenError;
use super::emit::Emitter;
use super::word::{bytes, sign_extend};
use crate::bpf::insn::{Alu, Insn, R1, R3, R4};
use crate::plan::access::record::LOCATION_SIZE;
use crate::resolve::hist::NumberField;

/// r3 = the u64 image of what lies at `offset`: sign-extended if signed. Destroys r0.
pub(super) fn number(
    emitter: &mut Emitter,
    offset: u32,
    field: NumberField,
    note: &str,
) -> Result<(), CodegenError> {
    bytes(emitter, offset, field.size, &format!("{note}: {field} at record +{offset}"))?;
    if field.signed && field.size < 8 {
        sign_extend(emitter, field.size);
    }
    Ok(())
}

/// What is said beside the instructions of [`located`].
pub(super) struct LocationNotes<'a> {
    pub(super) word: &'a str,
    pub(super) offset: &'a str,
    pub(super) relative: &'a str,
}

impl LocationNotes<'_> {
    /// Those of keys.
    pub(super) const IN_KEY: Self = LocationNotes {
        word: "length and place",
        offset: "the place",
        relative: "from the word's end",
    };
}

impl<'a> LocationNotes<'a> {
    /// Those of filters; `word` says which test it is.
    pub(super) const fn in_filter(word: &'a str) -> Self {
        Self { word, offset: "the offset", relative: "counted from behind the word" }
    }
}

/// r3 = where the data are that the location word at `offset` means, r4 = their length in bytes.
/// Destroys r0.
pub(super) fn located(
    emitter: &mut Emitter,
    (offset, relative): (u32, bool),
    notes: &LocationNotes<'_>,
) -> Result<(), CodegenError> {
    bytes(emitter, offset, LOCATION_SIZE, notes.word)?;
    emitter.push(Insn::mov64_reg(R4, R3), "");
    emitter.push(Insn::alu64_imm(Alu::Rsh, R4, 16), "the length");
    emitter.push(Insn::alu64_imm(Alu::And, R3, 0xffff), notes.offset);
    if relative {
        let end = (offset + LOCATION_SIZE).cast_signed();
        emitter.push(Insn::alu64_imm(Alu::Add, R3, end), notes.relative);
    }
    emitter.push(Insn::alu64_reg(Alu::Add, R3, R1), "");
    Ok(())
}
