//! Numbers of all kinds: brings the u64 image of a [`Source`] into r3.

use super::CodegenError;
use super::access;
use super::bits;
use super::emit::Emitter;
use super::saved::Saved;
use super::word::constant;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R3, R4, R10, Width};
use crate::modifier::BucketWidth;
use crate::parse::ast::BinaryOp;
use crate::resolve::hist::{Clock, Source};

/// Getting it means calling a helper.
pub(super) fn calls(emitter: &Emitter, source: &Source) -> bool {
    any(source, &|source| {
        matches!(source, Source::Pid | Source::Cpu | Source::Timestamp { .. })
            && emitter.kept_number(source).is_none()
    })
}

/// Getting it means reading the context.
pub(super) fn reads_context(emitter: &Emitter, source: &Source) -> bool {
    any(source, &|source| {
        matches!(source, Source::Field(_)) && emitter.kept_number(source).is_none()
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

/// Brings `source` into r3. Destroys r0, r4, r5, and r1 and r2 too unless `saved` has them.
pub(super) fn load(
    emitter: &mut Emitter,
    saved: &Saved,
    source: &Source,
    note: &str,
) -> Result<(), CodegenError> {
    match (source, emitter.kept_number(source)) {
        (Source::Field(field), _) => access::number(emitter, *field, note),
        (_, Some(slot)) => {
            emitter.push(Insn::load(Width::Dw, R3, R10, slot), note);
            Ok(())
        }
        (_, None) => read(emitter, saved, source, note),
    }
}

/// The same, whether it is kept or not.
pub(super) fn read(
    emitter: &mut Emitter,
    saved: &Saved,
    source: &Source,
    note: &str,
) -> Result<(), CodegenError> {
    match source {
        Source::Field(field) => access::number(emitter, *field, note)?,
        Source::Pid => {
            emitter.push(Insn::call(helper::GET_CURRENT_PID_TGID), format!("{note}: tgid, pid"));
            saved.restore(emitter);
            emitter.push(Insn::mov32_reg(R3, R0), "the low half is the thread's pid");
        }
        Source::Cpu => call(emitter, saved, helper::GET_SMP_PROCESSOR_ID, note),
        Source::Timestamp { clock, usecs } => {
            call(emitter, saved, clock_helper(*clock), note);
            if *usecs {
                emitter.push(Insn::alu64_imm(Alu::Div, R3, 1000), "nanoseconds to microseconds");
            }
        }
        Source::Constant(number) => constant(emitter, *number, R3, note),
        Source::Bucket(width, inner) => {
            load(emitter, saved, inner, note)?;
            match width {
                BucketWidth::Log2 => bits::log2(emitter, used_bits(inner)),
                BucketWidth::Fixed(width) => bits::buckets(emitter, *width),
            }
        }
        Source::Negate(inner) => {
            load(emitter, saved, inner, note)?;
            emitter.push(Insn::neg64(R3), "");
        }
        Source::Binary(op, lhs, rhs) => binary(emitter, saved, (*op, lhs, rhs), note)?,
    }
    Ok(())
}

fn call(emitter: &mut Emitter, saved: &Saved, number: i32, note: &str) {
    emitter.push(Insn::call(number), note);
    saved.restore(emitter);
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
        Source::Field(field) if !field.signed => field.size * 8,
        Source::Pid | Source::Cpu => 32,
        _ => 64,
    }
}

/// The left operand waits on the stack while the right one is got; a constant needs no waiting.
fn binary(
    emitter: &mut Emitter,
    saved: &Saved,
    (op, lhs, rhs): (BinaryOp, &Source, &Source),
    note: &str,
) -> Result<(), CodegenError> {
    load(emitter, saved, lhs, note)?;
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
        load(emitter, saved, rhs, note)?;
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
