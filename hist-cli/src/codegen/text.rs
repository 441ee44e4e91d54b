//! Strings in keys: copies a field up to its NUL, padded with NULs.

use super::CodegenError;
use super::access::{self, Array, TextAt};
use super::emit::Emitter;
use super::record::LocationNotes;
use super::saved::Saved;
use super::slot::{self, destination, zero, zero_from};
use super::word;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R5, Width};
use crate::kernel::format::FieldId;
use crate::plan::KeySlot;
use crate::plan::access::arguments::value::ARRAY_MAX;
use crate::resolve::hist::{Room, TextField};

/// Arrays up to this many bytes are copied word by word; a helper does it for longer ones.
const MAX_INLINE: u32 = 64;
// What is kept for several uses is handled like what is read in one go.
const _: () = assert!(ARRAY_MAX <= MAX_INLINE);

/// The lowest bit of every byte.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// The highest bit of every byte.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Copying it means calling a helper, or takes the register that holds the context.
pub(super) fn calls(emitter: &Emitter, field: FieldId) -> bool {
    match access::text(emitter, field) {
        Ok(TextAt::Array(array)) => !array.is_in_context() || array.size > MAX_INLINE,
        _ => true,
    }
}

/// Copies `field` to its slot in the key that r2 points to.
pub(super) fn key(
    emitter: &mut Emitter,
    saved: &Saved,
    field: TextField,
    slot: &KeySlot,
    note: &str,
) -> Result<(), CodegenError> {
    match access::text(emitter, field.field)? {
        TextAt::Array(array) if array.size <= MAX_INLINE => {
            let part = KeySlot { size: array.size.next_multiple_of(8), ..slot.clone() };
            zero_from(emitter, slot, part.size, note)?;
            array.base.load(emitter, R1, note)?;
            words(emitter, (array.start, array.size), &part, note)?;
            saved.restore(emitter);
            Ok(())
        }
        TextAt::Comm => slot::comm(emitter, saved, slot, note),
        text @ TextAt::Located { .. } => located(emitter, saved, slot, &text, note),
        text => elsewhere(emitter, saved, slot, (&text, field.room), note),
    }
}

/// A string that ends at its NUL, or where its room ends.
fn elsewhere(
    emitter: &mut Emitter,
    saved: &Saved,
    slot: &KeySlot,
    (text, room): (&TextAt, Room),
    note: &str,
) -> Result<(), CodegenError> {
    zero(emitter, slot, note)?;
    let is_in_context = matches!(text, TextAt::Array(array) if array.is_in_context());
    let address_note = if is_in_context { "" } else { note };
    access::text_address(emitter, text, address_note, &LocationNotes::IN_KEY)?;
    let size = match (text, room) {
        (_, Room::Varying) => slot.size,
        // It may fill its array without a NUL: the helper makes one behind it.
        (TextAt::Array(Array { .. }), Room::Array(size)) => kept(size, slot.size) + 1,
        (_, Room::Array(size)) => size,
    };
    destination(emitter, slot, R1, "to the key");
    emitter.push(Insn::mov64_imm(R2, size.cast_signed()), "");
    read_text(emitter, saved);
    Ok(())
}

/// How many bytes of an array the kernel keeps: all, but never the last one of the slot.
const fn kept(size: u32, slot: u32) -> u32 {
    if size < slot { size } else { slot - 1 }
}

/// A string whose length the record tells. It need not end with a NUL: what lies behind it is not
/// part of it.
fn located(
    emitter: &mut Emitter,
    saved: &Saved,
    slot: &KeySlot,
    text: &TextAt,
    note: &str,
) -> Result<(), CodegenError> {
    zero(emitter, slot, note)?;
    access::text_address(emitter, text, note, &LocationNotes::IN_KEY)?;
    destination(emitter, slot, R1, "to the key");
    emitter.push(Insn::mov64_reg(R2, R4), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R2, 1), "room for a NUL");
    let (room, fits) = (slot.size.cast_signed(), emitter.label());
    emitter.jump(Insn::jump_imm(Compare::Le, R2, room, 0), fits, "");
    emitter.push(Insn::mov64_imm(R2, room), "all that there is");
    emitter.place(fits);
    read_text(emitter, saved);
    Ok(())
}

/// Copies the string at r3 to r1: at most r2 bytes, of which the last is a NUL.
fn read_text(emitter: &mut Emitter, saved: &Saved) {
    emitter.push(Insn::call(helper::PROBE_READ_KERNEL_STR), "up to the NUL");
    saved.restore(emitter);
}

/// Copies an array word by word. The word with the NUL is cut there; those behind it are zero.
fn words(
    emitter: &mut Emitter,
    (offset, size): (u32, u32),
    slot: &KeySlot,
    note: &str,
) -> Result<(), CodegenError> {
    let kept = kept(size, slot.size);
    let n_words = slot.size / 8;
    let zeros: Vec<_> = (0..=n_words).map(|_| emitter.label()).collect();
    let done = emitter.label();
    for word in 0..n_words {
        let left = kept - 8 * word;
        let note = if word == 0 { note } else { "next word" };
        word_of(emitter, offset + 8 * word, left.min(8), size - 8 * word, note)?;
        let store = Insn::store_reg(Width::Dw, R2, emitter.offset(slot.offset + 8 * word)?, R3);
        let whole = emitter.label();
        find_nul(emitter);
        emitter.jump(Insn::jump_imm(Compare::Eq, R4, 0, 0), whole, "");
        cut_at_nul(emitter);
        emitter.push(store, "");
        emitter.jump(Insn::jump(0), zeros[word as usize + 1], "");
        emitter.place(whole);
        emitter.push(store, "");
    }
    emitter.jump(Insn::jump(0), done, "");
    for word in 0..n_words {
        emitter.place(zeros[word as usize]);
        let zero = Insn::store_imm(Width::Dw, R2, emitter.offset(slot.offset + 8 * word)?, 0);
        // Nothing jumps to the first: the string's own first word is always stored.
        if word > 0 {
            emitter.push(zero, "nothing behind the NUL");
        }
    }
    emitter.place(zeros[n_words as usize]);
    emitter.place(done);
    Ok(())
}

/// r3 = the next `wanted` bytes of an array that has `there` left. Seven of eight are quicker got
/// by taking all eight.
fn word_of(
    emitter: &mut Emitter,
    offset: u32,
    wanted: u32,
    there: u32,
    note: &str,
) -> Result<(), CodegenError> {
    if wanted == 7 && there >= 8 {
        word::bytes(emitter, offset, 8, note)?;
        emitter.push(Insn::alu64_imm(Alu::Lsh, R3, 8), "the last byte is not kept");
        emitter.push(Insn::alu64_imm(Alu::Rsh, R3, 8), "");
        return Ok(());
    }
    word::bytes(emitter, offset, wanted, note)
}

/// r4 = the highest bit of the first NUL in r3, and perhaps of bytes above it; 0 without any.
/// (The known trick: only a byte of 0 borrows when 1 is taken from it and had no high bit.)
fn find_nul(emitter: &mut Emitter) {
    emitter.push_wide(Insn::ld_imm64(R5, LOW_BITS), "is there a NUL?");
    emitter.push(Insn::mov64_reg(R4, R3), "");
    emitter.push(Insn::alu64_reg(Alu::Sub, R4, R5), "");
    emitter.push(Insn::mov64_reg(R0, R3), "");
    emitter.push(Insn::alu64_imm(Alu::Xor, R0, -1), "");
    emitter.push(Insn::alu64_reg(Alu::And, R4, R0), "");
    emitter.push_wide(Insn::ld_imm64(R5, HIGH_BITS), "");
    emitter.push(Insn::alu64_reg(Alu::And, R4, R5), "");
}

/// Keeps of r3 only what stands before the first NUL that r4 tells.
fn cut_at_nul(emitter: &mut Emitter) {
    emitter.push(Insn::mov64_reg(R0, R4), "keep what is before it");
    emitter.push(Insn::neg64(R0), "");
    emitter.push(Insn::alu64_reg(Alu::And, R0, R4), "");
    emitter.push(Insn::alu64_imm(Alu::Rsh, R0, 7), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R0, -1), "");
    emitter.push(Insn::alu64_reg(Alu::And, R3, R0), "");
}
