//! Takes a linked program's lines and references. Gives [`Op`]s, whose jumps name their targets,
//! so that some can be taken out; and makes lines of them again.

use super::error::LinkError;
use super::fill::ProgramLine;
use super::template::{Reference, Target};
use crate::bpf::frame::{self, Field};
use crate::bpf::insn::{Insn, R10};

/// An instruction that does not depend on its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Op {
    /// The instruction; a jump's distance means nothing.
    pub(super) insn: Insn,
    /// The second slot of `ld_imm64`.
    high: Option<Insn>,
    /// It is `rX = r10; rX += number`, which take two slots. `insn` is the first.
    pub(super) address: Option<i32>,
    /// The index of the op that a jump goes to.
    pub(super) target: Option<usize>,
    /// What `ld_imm64` refers to.
    pub(super) reference: Option<Target>,
    /// The hole that it fills.
    pub(super) hole: Option<&'static str>,
    note: String,
}

impl Op {
    /// Makes it `insn`, with the same note.
    pub(super) fn become_insn(&mut self, insn: Insn) {
        (self.insn, self.address) = (insn, None);
    }

    /// Makes it the address of the stack at `offset`.
    pub(super) fn become_address(&mut self, offset: i32) {
        self.insn = Insn::mov64_reg(self.insn.dst, R10);
        self.address = Some(offset);
    }

    /// Nothing but a register is changed by it.
    pub(super) fn is_pure(&self) -> bool {
        let insn = self.insn;
        insn.writes().is_some() && !insn.is_store() && !insn.is_call()
    }

    /// The registers that it may change, one bit for each.
    pub(super) fn writes(&self) -> u16 {
        if self.insn.is_call() { 0b11_1111 } else { self.insn.writes().map_or(0, |reg| 1 << reg) }
    }

    /// The registers whose values matter to it.
    pub(super) fn reads(&self) -> u16 {
        self.insn.reads()
    }

    /// Slots that it takes.
    fn slots(&self) -> usize {
        if self.high.is_some() || self.address.is_some() { 2 } else { 1 }
    }

    fn lines(self) -> Vec<ProgramLine> {
        let Self { insn, high, address, hole, note, .. } = self;
        let add =
            address.map(|offset| Insn::alu64_imm(crate::bpf::insn::Alu::Add, insn.dst, offset));
        let line = |insn, note| ProgramLine { insn, hole, note };
        let second = high.or(add).map(|insn| line(insn, String::new()));
        std::iter::once(line(insn, note)).chain(second).collect()
    }
}

/// Ops of `lines`.
///
/// # Errors
/// If r10 is used in another way than [`frame::uses`] understands, or a jump leaves the program.
pub(super) fn lift(lines: &[ProgramLine], references: &[Reference]) -> Result<Vec<Op>, LinkError> {
    let insns: Vec<_> = lines.iter().map(|line| line.insn).collect();
    let uses =
        frame::uses(&insns).map_err(|slot| LinkError::FramePointer { place: "program", slot })?;
    let mut additions = uses.iter().filter(|found| found.field == Field::Imm).peekable();
    let mut addresses = vec![None; lines.len()];
    let mut gone = vec![false; lines.len()];
    for (slot, insn) in insns.iter().enumerate() {
        if insn.is_mov64_reg()
            && insn.src == R10
            && let Some(addition) = additions.next_if(|addition| addition.slot > slot)
        {
            addresses[slot] = Some(addition.offset);
            gone[addition.slot] = true;
        }
        gone[slot] |= slot > 0 && insns[slot - 1].is_wide();
    }
    let mut index_of = Vec::with_capacity(lines.len() + 1);
    let mut count = 0;
    for is_gone in &gone {
        index_of.push(count);
        count += usize::from(!is_gone);
    }
    let mut references = references.iter().peekable();
    let mut ops = Vec::with_capacity(count);
    for (slot, line) in lines.iter().enumerate().filter(|(slot, _)| !gone[*slot]) {
        let target = if line.insn.is_jump() {
            let target = (slot + 1).checked_add_signed(isize::from(line.insn.off));
            let target = target.and_then(|target| index_of.get(target));
            Some(*target.ok_or_else(|| LinkError::Template("it jumps out of itself".into()))?)
        } else {
            None
        };
        let reference = references.next_if(|reference| reference.slot == slot);
        ops.push(Op {
            insn: line.insn,
            high: line.insn.is_wide().then(|| insns[slot + 1]),
            address: addresses[slot],
            target,
            reference: reference.map(|reference| reference.target.clone()),
            hole: line.hole,
            note: line.note.clone(),
        });
    }
    Ok(ops)
}

/// Takes out what `keep` is false for. Jumps to it go to what follows.
pub(super) fn retain(ops: &mut Vec<Op>, keep: &[bool]) {
    let mut index_of = Vec::with_capacity(ops.len());
    let mut count = 0;
    for kept in keep {
        index_of.push(count);
        count += usize::from(*kept);
    }
    let mut kept = keep.iter();
    ops.retain(|_| kept.next().is_none_or(|kept| *kept));
    for op in ops {
        op.target = op.target.map(|target| index_of[target]);
    }
}

/// The lines and references of `ops`.
///
/// # Errors
/// If a jump gets too long.
pub(super) fn lower(ops: Vec<Op>) -> Result<(Vec<ProgramLine>, Vec<Reference>), LinkError> {
    let mut starts = Vec::with_capacity(ops.len());
    let mut next = 0;
    for op in &ops {
        starts.push(next);
        next += op.slots();
    }
    let (mut lines, mut references) = (Vec::with_capacity(next), Vec::new());
    for (mut op, &slot) in ops.into_iter().zip(&starts) {
        if let Some(target) = op.target {
            let distance = starts[target] as i64 - slot as i64 - 1;
            op.insn.off =
                i16::try_from(distance).map_err(|_| LinkError::JumpTooFar { distance })?;
        }
        if let Some(target) = op.reference.take() {
            references.push(Reference { slot, target });
        }
        lines.extend(op.lines());
    }
    Ok((lines, references))
}
