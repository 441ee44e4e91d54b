//! A key's slot: where it is, and what fills it whole.

use super::CodegenError;
use super::emit::Emitter;
use super::saved::Saved;
use super::stack::copy_words;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Insn, R1, R2, Reg, Width};
use crate::plan::KeySlot;
use crate::plan::once::Once;
use crate::resolve::hist::COMM_SIZE;

/// `register` = where the slot lies.
pub(super) fn destination(emitter: &mut Emitter, slot: &KeySlot, register: Reg, note: &str) {
    if register != R2 {
        emitter.push(Insn::mov64_reg(register, R2), note);
    }
    if slot.offset > 0 {
        emitter.push(Insn::alu64_imm(Alu::Add, register, slot.offset.cast_signed()), note);
    }
}

/// Fills the slot with zeros.
pub(super) fn zero(emitter: &mut Emitter, slot: &KeySlot, note: &str) -> Result<(), CodegenError> {
    zero_from(emitter, slot, 0, note)
}

/// Fills the slot with zeros from byte `start` on.
pub(super) fn zero_from(
    emitter: &mut Emitter,
    slot: &KeySlot,
    start: u32,
    note: &str,
) -> Result<(), CodegenError> {
    for word in (start..slot.size).step_by(8) {
        let offset = emitter.offset(slot.offset + word)?;
        let note = if word == start { format!("{note}: padding") } else { String::new() };
        emitter.push(Insn::store_imm(Width::Dw, R2, offset, 0), note);
    }
    Ok(())
}

/// Writes the task's name, and NULs behind it.
pub(super) fn comm(
    emitter: &mut Emitter,
    saved: &Saved,
    slot: &KeySlot,
    note: &str,
) -> Result<(), CodegenError> {
    if let Some(kept) = emitter.kept(Some(Once::Comm)) {
        zero_from(emitter, slot, COMM_SIZE, note)?;
        return copy_words(emitter, kept, slot.offset, COMM_SIZE, note);
    }
    // Linux 6.1 leaves what is behind the name's last word as it was.
    zero(emitter, slot, note)?;
    destination(emitter, slot, R1, note);
    emitter.push(Insn::mov64_imm(R2, COMM_SIZE.cast_signed()), "");
    emitter.push(Insn::call(helper::GET_CURRENT_COMM), "");
    saved.restore(emitter);
    Ok(())
}
