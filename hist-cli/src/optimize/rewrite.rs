//! Uses what is known of registers and of the stack, and takes out what is then superfluous.

use super::ROUNDS;
use super::flow::{self, Fact, State};
use super::guard::{Guard, only_if};
use super::ops::{self, Op};
use crate::bpf::insn::{Insn, R0, R10, Reg};

/// Uses what registers are copies of, and decides jumps whose outcome is known.
///
/// No op changes what any register or any byte of memory holds after it, so what is known before
/// each stays right while others change, and one look at the whole program is enough.
pub(super) fn replace(ops: &mut [Op]) -> bool {
    let states = flow::states(ops);
    let before = ops.to_vec();
    for (op, state) in ops.iter_mut().zip(&states) {
        let Some(state) = state else { continue };
        replace_operands(op, state);
        op.target = op.target.map(|target| thread(&before, target, state));
    }
    *ops != before[..]
}

fn replace_operands(op: &mut Op, state: &State) {
    let mut insn = op.insn;
    if !only_if(Guard::OpIsNoAddress, op.address.is_none()) {
        return;
    }
    if insn.is_mov64_reg() {
        match state.of(insn.src) {
            Fact::Address(offset) => return op.become_address(offset),
            Fact::Constant(number) => return op.become_insn(Insn::mov64_imm(insn.dst, number)),
            _ => {}
        }
    }
    if let Some(offset) = state.sum(insn)
        && only_if(Guard::AdditionIsOfConstant, insn.is_add64_imm())
    {
        return op.become_address(offset);
    }
    match state.loaded(op) {
        Fact::Address(offset) => return op.become_address(offset),
        Fact::Copy(reg) => return op.become_insn(Insn::mov64_reg(insn.dst, reg)),
        Fact::Constant(number) => return op.become_insn(Insn::mov64_imm(insn.dst, number)),
        Fact::Unknown => {}
    }
    if insn.is_load() {
        (insn.src, insn.off) = base(state, insn.src, insn.off);
    } else if insn.is_store() {
        (insn.dst, insn.off) = base(state, insn.dst, insn.off);
    }
    // An atomic operation that gives the old value writes its source: that is where it is wanted.
    let is_only_read = only_if(Guard::SourceIsOnlyRead, insn.writes() != Some(insn.src));
    if only_if(Guard::OpHasSource, insn.has_source()) && is_only_read {
        insn.src = original(state, insn.src);
    }
    if insn.is_jump() && only_if(Guard::JumpCompares, !insn.is_goto()) {
        insn.dst = original(state, insn.dst);
    }
    op.become_insn(insn);
}

fn original(state: &State, reg: Reg) -> Reg {
    match state.of(reg) {
        Fact::Copy(original) => original,
        _ => reg,
    }
}

/// Where `reg + off` is, by another register if there is one.
fn base(state: &State, reg: Reg, off: i16) -> (Reg, i16) {
    match state.of(reg) {
        Fact::Copy(original) => (original, off),
        Fact::Address(offset) => match i16::try_from(offset + i32::from(off)) {
            Ok(off) => (R10, off),
            Err(_) => (reg, off),
        },
        _ => (reg, off),
    }
}

/// Where a jump to `target` ends up, as far as jumps there are decided by `state`: jumps change
/// nothing, so what is known before the first is known before all of them.
fn thread(ops: &[Op], mut target: usize, state: &State) -> usize {
    for _ in 0..ROUNDS {
        let Some(op) = ops.get(target) else { break };
        target = match (op.target, op.insn.is_goto()) {
            (Some(next), true) => next,
            (Some(next), false) => match decided(op, state) {
                Some(true) => next,
                Some(false) => target + 1,
                None => break,
            },
            (None, _) => break,
        };
    }
    target
}

/// Whether the jump is taken, if that is known.
fn decided(op: &Op, state: &State) -> Option<bool> {
    match state.of(op.insn.dst) {
        Fact::Constant(number) => op.insn.decides(i64::from(number).cast_unsigned()),
        _ => None,
    }
}

/// Takes out what is never reached, what does nothing, and what nobody reads.
pub(super) fn shorten(ops: &mut Vec<Op>) -> bool {
    let before = ops.len();
    let mut states = flow::states(ops);
    if decide(ops, &states) {
        states = flow::states(ops);
    }
    let keep: Vec<bool> = (ops.iter().enumerate().zip(&states))
        .map(|((index, op), state)| state.is_some_and(|state| !is_idle(op, index, &state)))
        .collect();
    ops::retain(ops, &keep);
    // Only now: of two equal copies the later is idle and the earlier, as long as the later is
    // there, for nothing.
    let spills = flow::spills(ops);
    let wanted = flow::wanted(ops, &spills);
    let keep: Vec<bool> = (ops.iter().zip(&wanted))
        .map(|(op, wanted)| !flow::is_for_nothing(op, &spills, *wanted))
        .collect();
    ops::retain(ops, &keep);
    ops.len() < before
}

/// Makes jumps whose outcome is known go one way.
fn decide(ops: &mut [Op], states: &[Option<State>]) -> bool {
    let mut changed = false;
    for (op, state) in ops.iter_mut().zip(states) {
        let is_taken = state.as_ref().and_then(|state| decided(op, state));
        match (op.target, is_taken) {
            (Some(_), Some(true)) => op.become_insn(Insn::jump(0)),
            // A copy of a register to itself goes once this is done.
            (Some(_), Some(false)) => {
                op.target = None;
                op.become_insn(Insn::mov64_reg(R0, R0));
            }
            _ => continue,
        }
        changed = true;
    }
    changed
}

/// A jump to the next instruction, or a copy of what is there already. Many of them can go at once:
/// each does nothing, whether the others are there or not.
fn is_idle(op: &Op, index: usize, state: &State) -> bool {
    let insn = op.insn;
    // An address is no such copy: of r10 nothing is known.
    let is_copy = insn.is_mov64_reg() && {
        let (dst, src) = (state.of(insn.dst), state.of(insn.src));
        insn.dst == insn.src
            || dst == Fact::Copy(insn.src)
            || src == Fact::Copy(insn.dst)
            || dst == src && only_if(Guard::EqualIsKnown, dst != Fact::Unknown)
    };
    is_copy || op.target.is_some() && only_if(Guard::JumpGoesToNext, op.target == Some(index + 1))
}
