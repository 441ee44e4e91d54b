//! Finds where instructions address the stack, and how deep they reach into it.

use crate::bpf::insn::{Insn, R10};

/// Bytes of stack that a program has (`MAX_BPF_STACK` in Linux include/linux/filter.h).
pub(crate) const STACK: u32 = 512;

/// A place that holds an offset from r10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameUse {
    /// The instruction slot.
    pub(crate) slot: usize,
    /// The field of the instruction.
    pub(crate) field: Field,
    /// From r10, in bytes; below the frame pointer, so negative.
    pub(crate) offset: i32,
}

/// Which field of an instruction has the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// `off` of a load or store.
    Off,
    /// `imm` of the addition after `rX = r10`.
    Imm,
}

/// Every use of r10 in `insns`.
///
/// # Errors
/// The slot of an instruction that uses r10 in another way than to load, to store, or to make
/// `rX = r10; rX += constant`.
pub(crate) fn uses(insns: &[Insn]) -> Result<Vec<FrameUse>, usize> {
    let mut found = Vec::new();
    for (slot, insn) in insns.iter().enumerate() {
        let is_base = insn.is_load() && insn.src == R10 || insn.is_store() && insn.dst == R10;
        if insn.is_mov64_reg() && insn.src == R10 {
            found.push(addition(insns, slot).ok_or(slot)?);
        } else if is_base {
            found.push(FrameUse { slot, field: Field::Off, offset: i32::from(insn.off) });
        }
        let is_stored = insn.is_store() && insn.src == R10;
        let is_other = !is_base && !insn.is_mov64_reg() && (insn.src == R10 || insn.dst == R10);
        if is_stored || is_other {
            return Err(slot);
        }
    }
    Ok(found)
}

/// The `rX += constant` that follows `rX = r10` at `copy`, other registers' instructions aside.
fn addition(insns: &[Insn], copy: usize) -> Option<FrameUse> {
    let reg = insns[copy].dst;
    let rest = insns.iter().enumerate().skip(copy + 1);
    let (slot, insn) = rest
        .take_while(|(_, insn)| !insn.is_jump() && !insn.is_exit())
        .find(|(_, insn)| insn.dst == reg || insn.src == reg)?;
    let is_addition = insn.is_add64_imm() && insn.dst == reg;
    is_addition.then_some(FrameUse { slot, field: Field::Imm, offset: insn.imm })
}

/// Bytes below r10 that the uses reach, rounded up to whole words.
pub(crate) fn depth(uses: &[FrameUse]) -> u32 {
    let deepest = uses.iter().map(|frame_use| frame_use.offset).min().unwrap_or(0).min(0);
    deepest.unsigned_abs().next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::helper;
    use crate::bpf::insn::{Alu, R1, R2, Width};

    #[test]
    fn loads_stores_and_addresses_are_found() {
        let insns = [
            Insn::store_imm(Width::W, R10, -4, 0),
            Insn::mov64_reg(R2, R10),
            Insn::mov64_imm(R1, 0),
            Insn::alu64_imm(Alu::Add, R2, -20),
            Insn::load(Width::Dw, R1, R10, -16),
            Insn::call(helper::KTIME_GET_NS),
        ];
        let found = uses(&insns).unwrap();
        let places: Vec<_> = found.iter().map(|found| (found.slot, found.offset)).collect();
        assert_eq!(places, [(0, -4), (3, -20), (4, -16)]);
        assert_eq!(depth(&found), 24);
    }

    #[test]
    fn a_frame_pointer_that_escapes_is_refused() {
        let copied = [Insn::mov64_reg(R1, R10), Insn::load(Width::Dw, R2, R1, -8)];
        assert_eq!(uses(&copied), Err(0));
        let stored = [Insn::store_reg(Width::Dw, R10, -8, R10)];
        assert_eq!(uses(&stored), Err(0));
        let subtracted = [Insn::mov64_imm(R1, 1), Insn::alu64_reg(Alu::Sub, R1, R10)];
        assert_eq!(uses(&subtracted), Err(1));
    }

    #[test]
    fn no_use_takes_no_stack() {
        assert_eq!(depth(&uses(&[Insn::exit()]).unwrap()), 0);
    }
}
