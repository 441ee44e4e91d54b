//! Rewrites a program for rbpf, which knows no atomic instructions.

use hist_cli::bpf::insn::{Alu, Insn, R5, Width};

/// Makes every atomic addition a jump to a plain one at the end, which jumps back. It destroys r5,
/// which generated code and templates do not need there.
pub fn without_atomics(insns: &mut Vec<Insn>) {
    for slot in 0..insns.len() {
        let insn = insns[slot];
        if !insn.is_atomic() {
            continue;
        }
        let end = insns.len();
        insns[slot] = Insn::jump(distance(slot, end));
        insns.extend([
            Insn::load(Width::Dw, R5, insn.dst, insn.off),
            Insn::alu64_reg(Alu::Add, R5, insn.src),
            Insn::store_reg(Width::Dw, insn.dst, insn.off, R5),
            Insn::jump(distance(end + 3, slot + 1)),
        ]);
    }
}

fn distance(from: usize, to: usize) -> i16 {
    i16::try_from(to as i64 - from as i64 - 1).expect("programs of tests are short")
}
