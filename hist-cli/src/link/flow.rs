//! Takes ops. Gives what is known of registers before each, and which are still wanted after it.

use super::ops::Op;
use crate::codegen::insn::{R10, Reg};

/// Registers besides the frame pointer.
const REGISTERS: usize = 10;

/// What is known of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fact {
    /// Nothing.
    #[default]
    Unknown,
    /// It holds what that register holds, of which nothing else is known.
    Copy(Reg),
    /// It is that number.
    Constant(i32),
    /// It is r10 plus so many bytes.
    Address(i32),
}

/// What is known of all of them at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State([Fact; REGISTERS]);

impl State {
    /// What is known of `reg`; of r10 nothing needs to be known.
    pub(super) fn of(&self, reg: Reg) -> Fact {
        self.0.get(usize::from(reg)).copied().unwrap_or_default()
    }

    /// Some register holds a copy of what `reg` holds.
    pub(super) fn has_copy(&self, reg: Reg) -> bool {
        self.0.contains(&Fact::Copy(reg))
    }

    /// The state once `op` is done.
    pub(super) fn after(mut self, op: &Op) -> Self {
        let (insn, dst) = (op.insn, op.insn.dst);
        let fact = if let Some(offset) = op.address {
            Fact::Address(offset)
        } else if insn.is_mov64_reg() {
            match self.of(insn.src) {
                Fact::Unknown => Fact::Copy(insn.src),
                fact => fact,
            }
        } else if insn.is_mov64_imm() {
            Fact::Constant(insn.imm)
        } else {
            match self.of(dst) {
                Fact::Address(offset) if insn.is_add64_imm() => Fact::Address(offset + insn.imm),
                _ => Fact::Unknown,
            }
        };
        if op.is_pure() && fact == Fact::Copy(dst) {
            return self;
        }
        for reg in registers(op.writes()) {
            self.set(reg, Fact::Unknown);
        }
        if op.is_pure() {
            self.set(dst, fact);
        }
        self
    }

    /// Copies of what `reg` held become copies of one of them.
    fn set(&mut self, reg: Reg, fact: Fact) {
        let mut heir = None;
        for (other, known) in (0..).zip(&mut self.0) {
            if *known == Fact::Copy(reg) {
                *known = heir.map_or(Fact::Unknown, Fact::Copy);
                heir = heir.or(Some(other));
            }
        }
        self.0[usize::from(reg)] = fact;
    }

    /// What is known if either is the case.
    fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        for (fact, other) in both.0.iter_mut().zip(&other.0) {
            if fact != other {
                *fact = Fact::Unknown;
            }
        }
        both
    }
}

/// The registers of a set.
pub(super) fn registers(set: u16) -> impl Iterator<Item = Reg> {
    (0..R10).filter(move |reg| set & 1 << reg != 0)
}

/// The ops that may come after that one.
pub(super) fn successors(ops: &[Op], index: usize) -> impl Iterator<Item = usize> {
    let op = &ops[index];
    let next = (!op.insn.is_exit() && !op.insn.is_goto()).then_some(index + 1);
    next.into_iter().chain(op.target)
}

/// What is known before each op; `None` if it is never reached.
pub(super) fn states(ops: &[Op]) -> Vec<Option<State>> {
    let mut states = vec![None; ops.len()];
    if let Some(first) = states.first_mut() {
        *first = Some(State::default());
    }
    let mut changed = true;
    while changed {
        changed = false;
        for index in 0..ops.len() {
            let Some(state) = states[index] else { continue };
            let after = State::after(state, &ops[index]);
            for successor in successors(ops, index).filter(|index| *index < ops.len()) {
                let known: Option<State> = states[successor];
                let merged = known.map_or(after, |known| known.meet(&after));
                changed |= known != Some(merged);
                states[successor] = Some(merged);
            }
        }
    }
    states
}

/// The registers that are wanted after each op.
pub(super) fn wanted(ops: &[Op]) -> Vec<u16> {
    let mut before = vec![0_u16; ops.len() + 1];
    let mut after = vec![0_u16; ops.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..ops.len()).rev() {
            let op = &ops[index];
            after[index] = successors(ops, index).fold(0, |all, next| all | before[next]);
            let wanted = after[index] & !op.writes() | op.reads();
            changed |= wanted != before[index];
            before[index] = wanted;
        }
    }
    after
}
