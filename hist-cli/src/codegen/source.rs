//! Takes a [`Source`]. Gives the instructions that bring its u64 image into a register.

use super::CodegenError;
use super::emit::Emitter;
use super::insn::{Alu, Insn, R0, R1, R2, R10, Reg, Width, helper};
use crate::resolve::hist::{RecordField, Source};

/// The hole's arguments, and where they are kept while helpers run: a call destroys r1 to r5.
#[derive(Default)]
pub(super) struct Arguments {
    saved: Vec<(Reg, i16)>,
}

impl Arguments {
    /// Saves those of `registers` that are still wanted once a helper has run.
    pub(super) fn save(emitter: &mut Emitter, registers: &[Reg]) -> Self {
        let mut saved = Vec::new();
        for &register in registers {
            let slot = emitter.stack_slot();
            let what = if register == R1 { "context" } else { "pointer" };
            let store = Insn::store_reg(Width::Dw, R10, slot, register);
            emitter.push(store, format!("keep the {what} over calls"));
            saved.push((register, slot));
        }
        Self { saved }
    }

    /// Brings the registers back.
    pub(super) fn restore(&self, emitter: &mut Emitter) {
        for &(register, slot) in &self.saved {
            emitter.push(Insn::load(Width::Dw, register, R10, slot), "back after the call");
        }
    }
}

/// Getting it means calling a helper.
pub(super) const fn calls(source: Source) -> bool {
    matches!(source, Source::Pid | Source::Cpu)
}

/// The saved arguments that a hole with these sources needs: none without calls. Sources that
/// call come last in a body, so the context is dead by then and only the pointer is wanted.
pub(super) fn save_pointer(
    emitter: &mut Emitter,
    mut sources: impl Iterator<Item = Source>,
) -> Arguments {
    if sources.any(calls) { Arguments::save(emitter, &[R2]) } else { Arguments::default() }
}

/// Brings `source` into `dst` (not r0 to r2). May use r0, and all of r1 to r5 if it calls.
pub(super) fn load(
    emitter: &mut Emitter,
    arguments: &Arguments,
    source: Source,
    dst: Reg,
    note: &str,
) -> Result<(), CodegenError> {
    match source {
        Source::Record(field) => record(emitter, field, dst, note)?,
        Source::Pid => {
            emitter.push(Insn::call(helper::GET_CURRENT_PID_TGID), format!("{note}: tgid, pid"));
            arguments.restore(emitter);
            emitter.push(Insn::mov32_reg(dst, R0), "the low half is the thread's pid");
        }
        Source::Cpu => {
            emitter.push(Insn::call(helper::GET_SMP_PROCESSOR_ID), format!("{note}: CPU"));
            arguments.restore(emitter);
            emitter.push(Insn::mov64_reg(dst, R0), "");
        }
        Source::Constant(number) => constant(emitter, number, dst, note),
    }
    Ok(())
}

/// `dst = number` in the shortest form.
pub(super) fn constant(emitter: &mut Emitter, number: u64, dst: Reg, note: &str) {
    match i32::try_from(number.cast_signed()) {
        Ok(short) => emitter.push(Insn::mov64_imm(dst, short), note),
        Err(_) => emitter.push_wide(Insn::ld_imm64(dst, number), note),
    }
}

/// Loads a field of the record, sign-extended if signed. The verifier wants naturally aligned
/// loads, so a field that is not aligned is put together from pieces.
pub(super) fn record(
    emitter: &mut Emitter,
    field: RecordField,
    dst: Reg,
    note: &str,
) -> Result<(), CodegenError> {
    let piece = aligned_piece(field);
    let width = Width::from_bytes(piece).unwrap_or(Width::B);
    let mut offset = field.offset + field.size - piece;
    let first = Insn::load(width, dst, R1, emitter.offset(offset)?);
    emitter.push(first, format!("{note}: {field}"));
    while offset > field.offset {
        offset -= piece;
        emitter.push(Insn::alu64_imm(Alu::Lsh, dst, 8 * piece.cast_signed()), "next piece");
        emitter.push(Insn::load(width, R0, R1, emitter.offset(offset)?), "");
        emitter.push(Insn::alu64_reg(Alu::Or, dst, R0), "");
    }
    if field.signed && field.size < 8 {
        sign_extend(emitter, dst, field.size);
    }
    Ok(())
}

/// The largest load that is aligned everywhere in the field, in bytes.
const fn aligned_piece(field: RecordField) -> u32 {
    let aligned = 1 << field.offset.trailing_zeros();
    if aligned < field.size { aligned } else { field.size }
}

fn sign_extend(emitter: &mut Emitter, dst: Reg, size: u32) {
    let spare = 64 - 8 * size.cast_signed();
    emitter.push(Insn::alu64_imm(Alu::Lsh, dst, spare), "extend the sign");
    emitter.push(Insn::alu64_imm(Alu::Arsh, dst, spare), "");
}
