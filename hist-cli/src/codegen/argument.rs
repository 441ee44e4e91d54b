//! Fields that are made of the tracepoint's arguments: r1 is the context, eight bytes for each of
//! them.
//!
//! A program that knows its arguments' types follows pointers by plain loads; memory that is not
//! there reads as 0, and so does a record's field when a pointer on its way may be null and the
//! table has a row for it.

use super::CodegenError;
use super::emit::Emitter;
use super::word::{constant, convert, sign_extend};
use crate::bpf::insn::{Alu, Compare, Insn, R1, R3, R4, R10, Reg, Width};
use crate::plan::access::arguments::value::{Number, Operator, Pointer, Scalar};

/// What the kernel records for a string that is nowhere (`EVENT_NULL_STR` in Linux
/// include/linux/trace_events.h), padded to eight bytes.
const NULL_TEXT: &[u8; 8] = b"(null)\0\0";

/// r3 = the u64 image of `number`, converted to the field's type. Destroys r0 and r4.
pub(super) fn converted(
    emitter: &mut Emitter,
    number: &Number,
    to: Scalar,
    note: &str,
) -> Result<(), CodegenError> {
    load(emitter, number, note)?;
    convert(emitter, number.scalar(), to);
    Ok(())
}

fn load(emitter: &mut Emitter, number: &Number, note: &str) -> Result<(), CodegenError> {
    match number {
        Number::Constant(number) => constant(emitter, *number, R3, note),
        Number::Argument { index, scalar } => {
            let offset = emitter.offset(8 * index)?;
            emitter.push(Insn::load(width(scalar.size), R3, R1, offset), note);
            if scalar.signed {
                sign_extend(emitter, scalar.size);
            }
        }
        Number::Address { pointer, offset } => {
            follow(emitter, R3, pointer, note)?;
            if *offset > 0 {
                emitter.push(Insn::alu64_imm(Alu::Add, R3, offset.cast_signed()), "");
            }
            if emitter.is_typed() {
                // The verifier counts with pointers only by its own rules.
                emitter.push(Insn::neg64(R3), "no pointer any more, but a number");
                emitter.push(Insn::neg64(R3), "");
            }
        }
        Number::Member { pointer, offset, scalar, bits } => {
            follow(emitter, R3, pointer, note)?;
            let at = emitter.offset(*offset)?;
            emitter.push(Insn::load(width(scalar.size), R3, R3, at), "");
            match bits {
                Some(bits) => bitfield(emitter, *bits, scalar.signed),
                None if scalar.signed => sign_extend(emitter, scalar.size),
                None => {}
            }
        }
        Number::Cast(inner, to) => converted(emitter, inner, *to, note)?,
        Number::Not(inner) => {
            load(emitter, inner, note)?;
            let (zero, done) = (emitter.label(), emitter.label());
            emitter.jump(Insn::jump_imm(Compare::Eq, R3, 0, 0), zero, "");
            emitter.push(Insn::mov64_imm(R3, 0), "");
            emitter.jump(Insn::jump(0), done, "");
            emitter.place(zero);
            emitter.push(Insn::mov64_imm(R3, 1), "");
            emitter.place(done);
        }
        Number::Binary(op, lhs, rhs, scalar) => {
            binary(emitter, *op, (lhs, rhs), *scalar, note)?;
        }
    }
    Ok(())
}

/// The left operand waits on the stack while the right one is got.
fn binary(
    emitter: &mut Emitter,
    op: Operator,
    (lhs, rhs): (&Number, &Number),
    scalar: Scalar,
    note: &str,
) -> Result<(), CodegenError> {
    converted(emitter, lhs, scalar, note)?;
    if let Number::Constant(number) = rhs {
        constant(emitter, *number, R4, "");
    } else {
        let slot = emitter.stack_slot();
        emitter.push(Insn::store_reg(Width::Dw, R10, slot, R3), "the left operand waits");
        load(emitter, rhs, "")?;
        emitter.push(Insn::mov64_reg(R4, R3), "");
        emitter.push(Insn::load(Width::Dw, R3, R10, slot), "");
    }
    let alu = match op {
        Operator::Or => Alu::Or,
        Operator::And => Alu::And,
        Operator::Left => Alu::Lsh,
        Operator::Right if scalar.signed => Alu::Arsh,
        Operator::Right => Alu::Rsh,
        Operator::Add => Alu::Add,
        Operator::Sub => Alu::Sub,
    };
    emitter.push(Insn::alu64_reg(alu, R3, R4), "");
    if !matches!(op, Operator::Right) {
        convert(emitter, Scalar { size: 8, signed: false }, scalar);
    }
    Ok(())
}

fn bitfield(emitter: &mut Emitter, (first, count): (u32, u32), signed: bool) {
    // At most 64 bits in all.
    let (above, spare) = ((64 - first - count).cast_signed(), (64 - count).cast_signed());
    emitter.push(Insn::alu64_imm(Alu::Lsh, R3, above), "some bits of it");
    let right = if signed { Alu::Arsh } else { Alu::Rsh };
    emitter.push(Insn::alu64_imm(right, R3, spare), "");
}

/// `dst` = the pointer.
pub(super) fn follow(
    emitter: &mut Emitter,
    dst: Reg,
    pointer: &Pointer,
    note: &str,
) -> Result<(), CodegenError> {
    let argument = emitter.offset(8 * pointer.argument)?;
    emitter.push(Insn::load(Width::Dw, dst, R1, argument), note);
    for offset in &pointer.offsets {
        let offset = emitter.offset(*offset)?;
        emitter.push(Insn::load(Width::Dw, dst, dst, offset), "the next pointer");
    }
    Ok(())
}

/// r3 = the address of the string behind `pointer`; that of another one if it is nowhere.
pub(super) fn text_behind(
    emitter: &mut Emitter,
    pointer: &Pointer,
    note: &str,
) -> Result<(), CodegenError> {
    follow(emitter, R3, pointer, note)?;
    let is_there = emitter.label();
    emitter.jump(Insn::jump_imm(Compare::Ne, R3, 0, 0), is_there, "");
    let null = emitter.data(NULL_TEXT);
    emitter.push_data(R3, null, "(null)");
    emitter.place(is_there);
    Ok(())
}

fn width(size: u32) -> Width {
    Width::from_bytes(size).unwrap_or(Width::Dw)
}
