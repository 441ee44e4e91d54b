//! A part of a string at a time: how memory is brought to the stack, and how words are compared.

use super::CodegenError;
use super::emit::{Emitter, Label};
use super::stack::width_of;
use super::word::constant;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R3, R4, Reg};

/// How memory is copied to the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// That many bytes of the record.
    Bytes,
    /// At most that many bytes of a string in the kernel, and a NUL.
    KernelText,
    /// The same in user space.
    UserText,
}

/// r1 = buffer, r2 = size, r3 = address; goes to `missing` if it cannot be read.
pub(super) fn call_read(emitter: &mut Emitter, read: Read, missing: Label) {
    let (number, failed) = match read {
        Read::Bytes => (helper::PROBE_READ_KERNEL, Compare::Ne),
        Read::KernelText => (helper::PROBE_READ_KERNEL_STR, Compare::Slt),
        Read::UserText => (helper::PROBE_READ_USER_STR, Compare::Slt),
    };
    emitter.push(Insn::call(number), "");
    emitter.jump(Insn::jump_imm(failed, R0, 0, 0), missing, "not there");
}

/// Where bytes can be loaded.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its address is a multiple of 8.
    pub(super) base: Reg,
    /// From the base, in bytes.
    pub(super) start: i32,
    /// How many may be loaded.
    pub(super) room: u32,
}

/// Falls through if the bytes at `place` are `wanted`. Loads are as wide as alignment and room
/// allow; what they bring too much is cut off. Destroys r3, r4.
pub(super) fn equals(
    emitter: &mut Emitter,
    place: Place,
    wanted: &[u8],
    mismatched: Label,
    note: &str,
) -> Result<(), CodegenError> {
    let mut rest = wanted;
    let mut at = 0;
    while !rest.is_empty() {
        let offset = place.start + at;
        let width = load_width(offset, place.room - at.cast_unsigned(), rest.len());
        let count = rest.len().min(width as usize);
        let (bytes, behind) = rest.split_at(count);
        let mut word = [0; 8];
        word[..count].copy_from_slice(bytes);
        let shown = String::from_utf8_lossy(bytes).replace('\0', "\\0");
        let text = if at == 0 && !note.is_empty() { format!("{note}: ") } else { String::new() };
        let load = Insn::load(width_of(width), R3, place.base, slot(emitter, offset)?);
        emitter.push(load, format!("{text}\"{shown}\""));
        not_equal(emitter, u64::from_le_bytes(word), count, width, mismatched);
        rest = behind;
        at += width.cast_signed();
    }
    Ok(())
}

/// Goes to `mismatched` unless the low `count` bytes of r3, which holds `width`, are `word`.
fn not_equal(emitter: &mut Emitter, word: u64, count: usize, width: u32, mismatched: Label) {
    let spare = 64 - 8 * count as i32;
    let mut word = word;
    if (count as u32) < width && spare >= 40 {
        emitter.push(Insn::alu64_imm(Alu::And, R3, (1 << (64 - spare)) - 1), "only these");
    } else if (count as u32) < width {
        emitter.push(Insn::alu64_imm(Alu::Lsh, R3, spare), "only these");
        word <<= spare;
    }
    match i32::try_from(word) {
        Ok(short) => emitter.jump(Insn::jump_imm(Compare::Ne, R3, short, 0), mismatched, ""),
        Err(_) => {
            constant(emitter, word, R4, "");
            emitter.jump(Insn::jump_reg(Compare::Ne, R3, R4, 0), mismatched, "");
        }
    }
}

/// The widest load at `offset` that stays within `room` bytes and is not wider than needed.
fn load_width(offset: i32, room: u32, wanted: usize) -> u32 {
    let aligned = 1 << offset.trailing_zeros().min(3);
    let fits = 1 << room.max(1).ilog2();
    // At most 256.
    let needed = wanted.next_power_of_two() as u32;
    needed.min(aligned).min(fits)
}

/// An offset as an instruction holds it.
fn slot(emitter: &Emitter, offset: i32) -> Result<i16, CodegenError> {
    match u32::try_from(offset) {
        Ok(offset) => emitter.offset(offset),
        // On the stack, which has 512 bytes.
        Err(_) => Ok(offset as i16),
    }
}
