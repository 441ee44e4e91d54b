//! Takes a [`Source`]. Gives the instructions that bring its u64 image into r3.

use super::CodegenError;
use super::bits;
use super::copy;
use super::emit::Emitter;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R3, R4, R10, Reg, Width, helper};
use crate::modifier::BucketWidth;
use crate::parse::ast::BinaryOp;
use crate::plan::access::arguments::copy::{Copied, Scalar};
use crate::resolve::hist::{Clock, RecordField, Source};

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

    /// Brings the saved ones back.
    pub(super) fn restore(&self, emitter: &mut Emitter) {
        for &(register, slot) in &self.saved {
            emitter.push(Insn::load(Width::Dw, register, R10, slot), "back after the call");
        }
    }
}

/// Getting it means calling a helper.
pub(super) fn calls(emitter: &Emitter, source: &Source) -> bool {
    any(source, &|source| {
        matches!(source, Source::Pid | Source::Cpu | Source::Timestamp { .. })
            && emitter.kept_number(source).is_none()
    })
}

/// Getting it means reading the record.
pub(super) fn reads_record(emitter: &Emitter, source: &Source) -> bool {
    any(source, &|source| {
        matches!(source, Source::Record(_)) && emitter.kept_number(source).is_none()
    })
}

fn any(source: &Source, test: &impl Fn(&Source) -> bool) -> bool {
    test(source)
        || match source {
            Source::Bucket(_, inner) | Source::Negate(inner) => any(inner, test),
            Source::Binary(_, lhs, rhs) => any(lhs, test) || any(rhs, test),
            _ => false,
        }
}

/// Brings `source` into r3. Destroys r0, r4, r5, and r1 and r2 too unless `arguments` has them.
pub(super) fn load(
    emitter: &mut Emitter,
    arguments: &Arguments,
    source: &Source,
    note: &str,
) -> Result<(), CodegenError> {
    let Some(slot) = emitter.kept_number(source) else {
        return read(emitter, arguments, source, note);
    };
    emitter.push(Insn::load(Width::Dw, R3, R10, slot), note);
    if let Source::Record(field) = source
        && let Some(Copied::Number(_, kept)) = emitter.copy_of(field.offset)
    {
        copy::convert(emitter, kept, Scalar { size: field.size, signed: field.signed });
    }
    Ok(())
}

/// The same, whether it is kept or not.
pub(super) fn read(
    emitter: &mut Emitter,
    arguments: &Arguments,
    source: &Source,
    note: &str,
) -> Result<(), CodegenError> {
    match source {
        Source::Record(field) => record(emitter, *field, note)?,
        Source::Pid => {
            emitter.push(Insn::call(helper::GET_CURRENT_PID_TGID), format!("{note}: tgid, pid"));
            arguments.restore(emitter);
            emitter.push(Insn::mov32_reg(R3, R0), "the low half is the thread's pid");
        }
        Source::Cpu => call(emitter, arguments, helper::GET_SMP_PROCESSOR_ID, note),
        Source::Timestamp { clock, usecs } => {
            call(emitter, arguments, clock_helper(*clock), note);
            if *usecs {
                emitter.push(Insn::alu64_imm(Alu::Div, R3, 1000), "nanoseconds to microseconds");
            }
        }
        Source::Constant(number) => constant(emitter, *number, R3, note),
        Source::Bucket(width, inner) => {
            load(emitter, arguments, inner, note)?;
            match width {
                BucketWidth::Log2 => bits::log2(emitter, used_bits(inner)),
                BucketWidth::Fixed(width) => bits::buckets(emitter, *width),
            }
        }
        Source::Negate(inner) => {
            load(emitter, arguments, inner, note)?;
            emitter.push(Insn::neg64(R3), "");
        }
        Source::Binary(op, lhs, rhs) => binary(emitter, arguments, (*op, lhs, rhs), note)?,
    }
    Ok(())
}

fn call(emitter: &mut Emitter, arguments: &Arguments, number: i32, note: &str) {
    emitter.push(Insn::call(number), note);
    arguments.restore(emitter);
    emitter.push(Insn::mov64_reg(R3, R0), "");
}

const fn clock_helper(clock: Clock) -> i32 {
    match clock {
        Clock::Local | Clock::Global | Clock::Mono => helper::KTIME_GET_NS,
        Clock::Boot => helper::KTIME_GET_BOOT_NS,
        Clock::Tai => helper::KTIME_GET_TAI_NS,
    }
}

/// How many low bits of a source can be set.
const fn used_bits(source: &Source) -> u32 {
    match source {
        Source::Record(field) if !field.signed => field.size * 8,
        Source::Pid | Source::Cpu => 32,
        _ => 64,
    }
}

/// The left operand waits on the stack while the right one is got; a constant needs no waiting.
fn binary(
    emitter: &mut Emitter,
    arguments: &Arguments,
    (op, lhs, rhs): (BinaryOp, &Source, &Source),
    note: &str,
) -> Result<(), CodegenError> {
    load(emitter, arguments, lhs, note)?;
    if let Source::Constant(number) = rhs
        && by_constant(emitter, op, *number)
    {
        return Ok(());
    }
    if let Source::Constant(number) = rhs {
        constant(emitter, *number, R4, "");
    } else {
        let slot = emitter.stack_slot();
        emitter.push(Insn::store_reg(Width::Dw, R10, slot, R3), "the left operand waits");
        load(emitter, arguments, rhs, note)?;
        emitter.push(Insn::mov64_reg(R4, R3), "");
        emitter.push(Insn::load(Width::Dw, R3, R10, slot), "");
    }
    match op {
        BinaryOp::Add => emitter.push(Insn::alu64_reg(Alu::Add, R3, R4), ""),
        BinaryOp::Sub => emitter.push(Insn::alu64_reg(Alu::Sub, R3, R4), ""),
        BinaryOp::Mul => emitter.push(Insn::alu64_reg(Alu::Mul, R3, R4), ""),
        BinaryOp::Div => divide(emitter),
    }
    Ok(())
}

/// r3 = r3 op `number` in one instruction, if there is such a one.
fn by_constant(emitter: &mut Emitter, op: BinaryOp, number: u64) -> bool {
    let Ok(short) = i32::try_from(number.cast_signed()) else { return false };
    let insn = match op {
        BinaryOp::Add => Insn::alu64_imm(Alu::Add, R3, short),
        BinaryOp::Sub => Insn::alu64_imm(Alu::Sub, R3, short),
        BinaryOp::Mul => Insn::alu64_imm(Alu::Mul, R3, short),
        BinaryOp::Div if number.is_power_of_two() => {
            Insn::alu64_imm(Alu::Rsh, R3, number.trailing_zeros().cast_signed())
        }
        // As an operand it would be extended by its sign.
        BinaryOp::Div if short > 0 => Insn::alu64_imm(Alu::Div, R3, short),
        BinaryOp::Div => return false,
    };
    emitter.push(insn, "");
    true
}

/// r3 /= r4; all ones for a division by zero, where eBPF's own would give 0.
fn divide(emitter: &mut Emitter) {
    let (zero, done) = (emitter.label(), emitter.label());
    emitter.jump(Insn::jump_imm(Compare::Eq, R4, 0, 0), zero, "");
    emitter.push(Insn::alu64_reg(Alu::Div, R3, R4), "");
    emitter.jump(Insn::jump(0), done, "");
    emitter.place(zero);
    emitter.push(Insn::mov64_imm(R3, -1), "a division by zero gives all ones");
    emitter.place(done);
}

/// `dst = number` in the shortest form.
pub(super) fn constant(emitter: &mut Emitter, number: u64, dst: Reg, note: &str) {
    match i32::try_from(number.cast_signed()) {
        Ok(short) => emitter.push(Insn::mov64_imm(dst, short), note),
        Err(_) => emitter.push_wide(Insn::ld_imm64(dst, number), note),
    }
}

/// Loads a field of the record, sign-extended if signed, or what it is a copy of.
fn record(emitter: &mut Emitter, field: RecordField, note: &str) -> Result<(), CodegenError> {
    if let Some(Copied::Number(number, to)) = emitter.copy_of(field.offset) {
        copy::converted(emitter, &number, to, note)?;
        // Some tests look at the low bytes of a field only.
        copy::convert(emitter, to, Scalar { size: field.size, signed: field.signed });
        return Ok(());
    }
    bytes(emitter, field.offset, field.size, &format!("{note}: {field}"))?;
    if field.signed && field.size < 8 {
        sign_extend(emitter, field.size);
    }
    Ok(())
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
