//! Numbers in registers: constants, loads of any alignment, signs.

use super::CodegenError;
use super::emit::Emitter;
use crate::bpf::insn::{Alu, Insn, R0, R1, R3, Reg, Width};
use crate::plan::access::arguments::value::Scalar;

/// `dst = number` in the shortest form.
pub(super) fn constant(emitter: &mut Emitter, number: u64, dst: Reg, note: &str) {
    match i32::try_from(number.cast_signed()) {
        Ok(short) => emitter.push(Insn::mov64_imm(dst, short), note),
        Err(_) => emitter.push_wide(Insn::ld_imm64(dst, number), note),
    }
}

/// r3 = the `size` bytes of the record at `offset`, little-endian, at most 8. Destroys r0.
///
/// The verifier wants naturally aligned loads, so what is not aligned is put together from the
/// largest pieces that are, the last one first.
pub(super) fn bytes(
    emitter: &mut Emitter,
    offset: u32,
    size: u32,
    note: &str,
) -> Result<(), CodegenError> {
    let mut pieces = Vec::new();
    let mut at = offset;
    while at < offset + size {
        let piece = largest_piece(at, offset + size - at);
        pieces.push((at, piece));
        at += piece;
    }
    for (position, &(at, piece)) in pieces.iter().rev().enumerate() {
        let width = Width::from_bytes(piece).unwrap_or(Width::B);
        if position == 0 {
            emitter.push(Insn::load(width, R3, R1, emitter.offset(at)?), note);
        } else {
            emitter.push(Insn::alu64_imm(Alu::Lsh, R3, 8 * piece.cast_signed()), "next piece");
            emitter.push(Insn::load(width, R0, R1, emitter.offset(at)?), "");
            emitter.push(Insn::alu64_reg(Alu::Or, R3, R0), "");
        }
    }
    Ok(())
}

/// The size of the largest aligned load at `offset` that takes no more than `left` bytes.
fn largest_piece(offset: u32, left: u32) -> u32 {
    [8, 4, 2].into_iter().find(|size| offset.is_multiple_of(*size) && *size <= left).unwrap_or(1)
}

/// r3 = its low `size` bytes as a signed number.
pub(super) fn sign_extend(emitter: &mut Emitter, size: u32) {
    if size == 8 {
        return;
    }
    let spare = 64 - 8 * size.cast_signed();
    emitter.push(Insn::alu64_imm(Alu::Lsh, R3, spare), "extend the sign");
    emitter.push(Insn::alu64_imm(Alu::Arsh, R3, spare), "");
}

/// r3 = the image of the number as type `to`, which may cut it.
pub(super) fn convert(emitter: &mut Emitter, from: Scalar, to: Scalar) {
    let is_same = from == to || to.size == 8;
    // A longer one holds it whole, unless a sign would be extended too far.
    let is_held = from.size < to.size && (!from.signed || to.signed);
    if is_same || is_held {
        return;
    }
    if to.signed {
        sign_extend(emitter, to.size);
    } else if to.size == 4 {
        emitter.push(Insn::mov32_reg(R3, R3), "as 4 bytes");
    } else {
        emitter.push(Insn::alu64_imm(Alu::And, R3, (1 << (8 * to.size)) - 1), "as fewer bytes");
    }
}
