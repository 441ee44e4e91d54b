//! The bucket of the number in r3: powers of two, or ranges of a width.

use super::emit::Emitter;
use super::word::constant;
use crate::bpf::insn::{Alu, Compare, Insn, R3, R4, R5};

/// r3 = the least n with r3 <= 2^n; 0 for 0. Destroys r4, r5. `bits` says how many low bits of r3
/// can be set.
///
/// That is the number of bits of r3 - 1, found by halving: each step asks whether anything is
/// set above its half.
pub(super) fn log2(emitter: &mut Emitter, bits: u32) {
    let done = emitter.label();
    emitter.push(Insn::mov64_reg(R4, R3), "log2: 0 and 1 are in bucket 0");
    emitter.push(Insn::mov64_imm(R3, 0), "");
    emitter.jump(Insn::jump_imm(Compare::Lt, R4, 2, 0), done, "");
    emitter.push(Insn::alu64_imm(Alu::Add, R4, -1), "round up: count the bits of v - 1");
    if bits > 32 {
        let low = emitter.label();
        emitter.push(Insn::mov64_reg(R5, R4), "");
        emitter.push(Insn::alu64_imm(Alu::Rsh, R5, 32), "anything above 32 bits?");
        emitter.jump(Insn::jump_imm(Compare::Eq, R5, 0, 0), low, "");
        emitter.push(Insn::mov64_reg(R4, R5), "");
        emitter.push(Insn::alu64_imm(Alu::Add, R3, 32), "");
        emitter.place(low);
    }
    for half in [16, 8, 4, 2, 1] {
        if bits > half {
            halve(emitter, half.cast_signed());
        }
    }
    emitter.push(Insn::alu64_imm(Alu::Add, R3, 1), "the last bit");
    emitter.place(done);
}

/// If r4 has bits at or above `half`, drops the lower ones and counts them in r3.
fn halve(emitter: &mut Emitter, half: i32) {
    let low = emitter.label();
    let note = format!("anything above {half} bits?");
    emitter.jump(Insn::jump_imm(Compare::Lt, R4, 1 << half, 0), low, note);
    if half > 1 {
        emitter.push(Insn::alu64_imm(Alu::Rsh, R4, half), "");
    }
    emitter.push(Insn::alu64_imm(Alu::Add, R3, half), "");
    emitter.place(low);
}

/// r3 = the multiple of `width` at or below r3. Destroys r4, r5.
pub(super) fn buckets(emitter: &mut Emitter, width: u64) {
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
        constant(emitter, width, R4, "");
        emitter.push(Insn::alu64_reg(Alu::Mod, R5, R4), "how far into its bucket");
    }
    emitter.push(Insn::alu64_reg(Alu::Sub, R3, R5), "");
}
