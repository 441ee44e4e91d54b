//! Takes a plan's key slots. Gives the body of the key hole: r1 context, r2 the key's bytes.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use super::insn::{Alu, Compare, Insn, R2, R3, R4, R5, Width};
use super::source::{self, Arguments};
use crate::plan::{KeySlot, Plan};
use crate::resolve::hist::{KeyModifier, Source};

/// Writes every slot; slots are u64 without gaps, so no byte of the key is left as it was.
pub(super) fn key(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::KEY);
    let (calls, plain): (Vec<_>, Vec<_>) =
        plan.keys.iter().partition(|slot| source::calls(slot.source));
    for slot in plain {
        write_slot(&mut emitter, &Arguments::default(), slot)?;
    }
    let sources = calls.iter().map(|slot| slot.source);
    let arguments = source::save_pointer(&mut emitter, sources);
    for slot in calls {
        write_slot(&mut emitter, &arguments, slot)?;
    }
    emitter.finish()
}

fn write_slot(
    emitter: &mut Emitter,
    arguments: &Arguments,
    slot: &KeySlot,
) -> Result<(), CodegenError> {
    let note = format!("key {}", slot.label);
    source::load(emitter, arguments, slot.source, R3, &note)?;
    let result = match slot.modifier {
        KeyModifier::Log2 => {
            log2(emitter, highest_bit(slot.source));
            R4
        }
        KeyModifier::Buckets(width) => {
            buckets(emitter, width);
            R3
        }
        KeyModifier::None | KeyModifier::Hex | KeyModifier::Sym | KeyModifier::SymOffset => R3,
    };
    let offset = emitter.offset(slot.offset)?;
    emitter.push(Insn::store_reg(Width::Dw, R2, offset, result), "");
    Ok(())
}

/// How many low bits of a source can be set.
const fn highest_bit(source: Source) -> u32 {
    match source {
        Source::Record(field) if !field.signed => field.size * 8,
        Source::Pid | Source::Cpu => 32,
        Source::Record(_) | Source::Constant(_) => 64,
    }
}

/// r4 = the least n with r3 <= 2^n; 0 for 0. Destroys r3, r5.
///
/// That is the number of bits of r3 - 1, found by halving: each step asks whether anything is
/// set above its half.
fn log2(emitter: &mut Emitter, bits: u32) {
    let done = emitter.label();
    emitter.push(Insn::mov64_imm(R4, 0), "log2: 0 and 1 are in bucket 0");
    emitter.jump(Insn::jump_imm(Compare::Lt, R3, 2, 0), done, "");
    emitter.push(Insn::alu64_imm(Alu::Add, R3, -1), "round up: count the bits of v - 1");
    if bits > 32 {
        let low = emitter.label();
        emitter.push(Insn::mov64_reg(R5, R3), "");
        emitter.push(Insn::alu64_imm(Alu::Rsh, R5, 32), "anything above 32 bits?");
        emitter.jump(Insn::jump_imm(Compare::Eq, R5, 0, 0), low, "");
        emitter.push(Insn::mov64_reg(R3, R5), "");
        emitter.push(Insn::alu64_imm(Alu::Add, R4, 32), "");
        emitter.place(low);
    }
    for half in [16, 8, 4, 2, 1] {
        if bits > half {
            halve(emitter, half.cast_signed());
        }
    }
    emitter.push(Insn::alu64_imm(Alu::Add, R4, 1), "the last bit");
    emitter.place(done);
}

/// If r3 has bits at or above `half`, drops the lower ones and counts them in r4.
fn halve(emitter: &mut Emitter, half: i32) {
    let low = emitter.label();
    let note = format!("anything above {half} bits?");
    emitter.jump(Insn::jump_imm(Compare::Lt, R3, 1 << half, 0), low, note);
    if half > 1 {
        emitter.push(Insn::alu64_imm(Alu::Rsh, R3, half), "");
    }
    emitter.push(Insn::alu64_imm(Alu::Add, R4, half), "");
    emitter.place(low);
}

/// r3 = the multiple of `width` at or below r3. Destroys r4, r5.
fn buckets(emitter: &mut Emitter, width: u64) {
    if width.is_power_of_two() {
        let bits = width.trailing_zeros().cast_signed();
        if bits > 0 {
            emitter.push(Insn::alu64_imm(Alu::Rsh, R3, bits), format!("buckets of {width}"));
            emitter.push(Insn::alu64_imm(Alu::Lsh, R3, bits), "");
        }
        return;
    }
    emitter.push(Insn::mov64_reg(R5, R3), format!("buckets of {width}"));
    if let Ok(short) = i32::try_from(width) {
        emitter.push(Insn::alu64_imm(Alu::Mod, R5, short), "how far into its bucket");
    } else {
        source::constant(emitter, width, R4, "");
        emitter.push(Insn::alu64_reg(Alu::Mod, R5, R4), "how far into its bucket");
    }
    emitter.push(Insn::alu64_reg(Alu::Sub, R3, R5), "");
}
