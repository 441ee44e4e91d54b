//! Takes a string of the record. Gives the instructions that copy it into a key: up to its NUL,
//! padded with NULs.

use super::CodegenError;
use super::copy;
use super::emit::Emitter;
use super::key::destination;
use super::matching;
use super::once;
use super::source::{self, Arguments};
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R5, Width, helper};
use crate::plan::KeySlot;
use crate::plan::access::arguments::copy::Text;
use crate::plan::once::ARRAY_MAX;
use crate::plan::scan::COMM_SIZE;
use crate::resolve::hist::TextField;

/// Arrays up to this many bytes are copied word by word; a helper does it for longer ones.
pub(super) const MAX_INLINE: u32 = 64;
// What is kept for several uses is handled like what is read in one go.
const _: () = assert!(ARRAY_MAX <= MAX_INLINE);

/// The lowest bit of every byte.
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// The highest bit of every byte.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Copies `field` to its slot in the key that r2 points to.
pub(super) fn key(
    emitter: &mut Emitter,
    arguments: &Arguments,
    field: TextField,
    slot: &KeySlot,
    note: &str,
) -> Result<(), CodegenError> {
    match field {
        TextField::Static { offset, size } if size <= MAX_INLINE => {
            words(emitter, (offset, size), slot, note)
        }
        TextField::Static { offset, size } => {
            zero(emitter, slot, note)?;
            emitter.push(Insn::mov64_reg(R3, R1), "");
            emitter.push(Insn::alu64_imm(Alu::Add, R3, offset.cast_signed()), "");
            // A string that fills its array has no NUL: the helper makes one behind it.
            copy(emitter, arguments, slot, kept(size, slot.size) + 1);
            Ok(())
        }
        TextField::Dynamic { offset } => located(emitter, arguments, slot, (offset, 0), note),
        TextField::Copied { offset, size } => {
            let (text, kept) = (emitter.text_at(offset)?, emitter.kept_text(offset));
            copied(emitter, arguments, slot, (&text, size, kept), note)
        }
        TextField::Relative { offset } => {
            // Relative to the end of the location word, which has 4 bytes.
            located(emitter, arguments, slot, (offset, offset + 4), note)
        }
    }
}

/// Copies a string that arguments lead to, from the stack if it is `kept` there. `array` is the size
/// of the record's field, if that is an array.
fn copied(
    emitter: &mut Emitter,
    arguments: &Arguments,
    slot: &KeySlot,
    (text, array, stored): (&Text, Option<u32>, Option<i16>),
    note: &str,
) -> Result<(), CodegenError> {
    match text {
        Text::Inside { size, .. } if let Some(kept) = stored => {
            let part = KeySlot { size: size.next_multiple_of(8), ..slot.clone() };
            zero_from(emitter, slot, part.size, note)?;
            matching::address(emitter, R1, kept, note);
            words(emitter, (0, *size), &part, note)?;
            arguments.restore(emitter);
        }
        Text::Comm if let Some(kept) = stored => {
            zero_from(emitter, slot, COMM_SIZE, note)?;
            once::copy_words(emitter, kept, slot.offset, COMM_SIZE, note)?;
        }
        Text::Inside { pointer, offset, size } if *size <= MAX_INLINE => {
            let part = KeySlot { size: size.next_multiple_of(8), ..slot.clone() };
            zero_from(emitter, slot, part.size, note)?;
            copy::follow(emitter, R1, pointer, note)?;
            words(emitter, (*offset, *size), &part, note)?;
            arguments.restore(emitter);
        }
        Text::Comm => {
            // Linux 6.1 leaves what is behind the name's last word as it was.
            zero(emitter, slot, note)?;
            destination(emitter, slot, R1, note);
            emitter.push(Insn::mov64_imm(R2, COMM_SIZE.cast_signed()), "");
            emitter.push(Insn::call(helper::GET_CURRENT_COMM), "");
            arguments.restore(emitter);
        }
        Text::Inside { .. } | Text::Behind(_) => {
            zero_from(emitter, slot, 0, note)?;
            copy::text_address(emitter, text, note)?;
            let room = match (text, array) {
                (_, None) => slot.size,
                // It may fill its array without a NUL: the helper makes one behind it.
                (Text::Inside { .. }, Some(size)) => kept(size, slot.size) + 1,
                (_, Some(size)) => size,
            };
            copy(emitter, arguments, slot, room);
        }
    }
    Ok(())
}

/// How many bytes of an array the kernel keeps: all, but never the last one of the slot.
const fn kept(size: u32, slot: u32) -> u32 {
    if size < slot { size } else { slot - 1 }
}

/// A string whose length and place the word at `offset` tells, the latter counted from `base`. It
/// need not end with a NUL: what lies behind it is not part of it.
fn located(
    emitter: &mut Emitter,
    arguments: &Arguments,
    slot: &KeySlot,
    (offset, base): (u32, u32),
    note: &str,
) -> Result<(), CodegenError> {
    zero(emitter, slot, note)?;
    source::bytes(emitter, offset, 4, "length and place")?;
    emitter.push(Insn::mov64_reg(R4, R3), "");
    emitter.push(Insn::alu64_imm(Alu::Rsh, R4, 16), "the length");
    emitter.push(Insn::alu64_imm(Alu::And, R3, 0xffff), "the place");
    if base > 0 {
        emitter.push(Insn::alu64_imm(Alu::Add, R3, base.cast_signed()), "from the word's end");
    }
    emitter.push(Insn::alu64_reg(Alu::Add, R3, R1), "");
    destination(emitter, slot, R1, "to the key");
    emitter.push(Insn::mov64_reg(R2, R4), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R2, 1), "room for a NUL");
    let (room, fits) = (slot.size.cast_signed(), emitter.label());
    emitter.jump(Insn::jump_imm(Compare::Le, R2, room, 0), fits, "");
    emitter.push(Insn::mov64_imm(R2, room), "all that there is");
    emitter.place(fits);
    read_text(emitter, arguments);
    Ok(())
}

/// Fills the slot with zeros.
pub(super) fn zero(emitter: &mut Emitter, slot: &KeySlot, note: &str) -> Result<(), CodegenError> {
    zero_from(emitter, slot, 0, note)
}

/// Fills the slot with zeros from byte `start` on.
fn zero_from(
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

/// Copies the string at r3 to the slot: at most `size` bytes with the NUL.
fn copy(emitter: &mut Emitter, arguments: &Arguments, slot: &KeySlot, size: u32) {
    destination(emitter, slot, R1, "to the key");
    emitter.push(Insn::mov64_imm(R2, size.cast_signed()), "");
    read_text(emitter, arguments);
}

/// Copies the string at r3 to r1: at most r2 bytes, of which the last is a NUL.
fn read_text(emitter: &mut Emitter, arguments: &Arguments) {
    emitter.push(Insn::call(helper::PROBE_READ_KERNEL_STR), "up to the NUL");
    arguments.restore(emitter);
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
        source::bytes(emitter, offset, 8, note)?;
        emitter.push(Insn::alu64_imm(Alu::Lsh, R3, 8), "the last byte is not kept");
        emitter.push(Insn::alu64_imm(Alu::Rsh, R3, 8), "");
        return Ok(());
    }
    source::bytes(emitter, offset, wanted, note)
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
