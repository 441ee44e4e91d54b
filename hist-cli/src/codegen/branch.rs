//! What all tests of the filter share: the hole in the making, and where its answers lead.

use super::emit::{Emitter, Label};
use super::saved::Saved;
use super::stack::Scratch;
use crate::bpf::insn::Insn;

/// The filter hole in the making.
pub(super) struct Body {
    pub(super) emitter: Emitter,
    pub(super) saved: Saved,
    pub(super) scratch: Scratch,
}

/// Where to go with the answer; `next`, one of the two, is where the code goes on by itself.
#[derive(Clone, Copy)]
pub(super) struct Goals {
    pub(super) yes: Label,
    pub(super) no: Label,
    pub(super) next: Label,
}

impl Goals {
    pub(super) const fn swapped(self) -> Self {
        Self { yes: self.no, no: self.yes, next: self.next }
    }
}

/// Where a test of a string may lead.
#[derive(Clone, Copy)]
pub(super) struct Exits {
    pub(super) matched: Label,
    pub(super) mismatched: Label,
    /// The string cannot be read.
    pub(super) missing: Label,
}

/// Goes to `goal`, which is one of `goals`.
pub(super) fn jump_unless_next(emitter: &mut Emitter, goal: Label, goals: Goals, note: &str) {
    if goal != goals.next {
        emitter.jump(Insn::jump(0), goal, note);
    }
}
