//! Keeps the context in r1, where the kernel puts it, as long as something else can be elsewhere.

use super::flow::{self, Wanted};
use super::guard::{Guard, only_if};
use super::ops::Op;
use crate::bpf::insn::{Insn, R1, R5, Reg};

/// A value that is used up before the next call, and for which the compiler gave up a register
/// that others still are copies of, takes another register.
///
/// The span of the value is straight: from the op that writes it to the last one that reads it,
/// nothing jumps in and nothing jumps out while it is wanted. So all its uses are in the span, and
/// in the span every use of r1 is of it. No call is in it: a call changes r0 to r5, so none of them
/// would be free.
pub(super) fn spare_the_context(ops: &mut [Op]) -> bool {
    let (states, wanted) = (flow::states(ops), flow::wanted(ops, &[]));
    let targets: Vec<usize> = ops.iter().filter_map(|op| op.target).collect();
    let mut changed = false;
    for index in 0..ops.len() {
        // One that reads r1 gives up nothing that it did not need anyway.
        let gives_up = ops[index].writes() == 1 << R1
            && ops[index].reads() & 1 << R1 == 0
            && states[index].is_some_and(|state| state.has_copy(R1));
        if !gives_up {
            continue;
        }
        let Some(end) = last_use(ops, index, R1, (&wanted, &targets)) else { continue };
        let span = index..=end;
        let taken = span.clone().fold(0, |taken, at| {
            taken | Wanted::from(ops[at].reads() | ops[at].writes()) | wanted[at]
        });
        let is_free = |reg: &Reg| only_if(Guard::RegisterIsFree, taken & 1 << reg == 0);
        let Some(free) = (0..=R5).find(is_free) else { continue };
        for at in span {
            rename(&mut ops[at].insn, R1, free, at == index);
        }
        changed = true;
        // What was wanted is so no more.
        break;
    }
    changed
}

/// The last of the straight run of ops from `index` on in which `reg` is used.
fn last_use(
    ops: &[Op],
    index: usize,
    reg: Reg,
    (wanted, targets): (&[Wanted], &[usize]),
) -> Option<usize> {
    let mut at = index;
    while wanted[at] & 1 << reg != 0 {
        at += 1;
        let op = ops.get(at)?;
        let is_straight = only_if(Guard::SpanIsNotJumpedInto, !targets.contains(&at));
        let goes_on = op.target.is_none() || wanted[at] & 1 << reg == 0;
        if !is_straight || !only_if(Guard::SpanIsNotLeft, goes_on) {
            return None;
        }
    }
    (at > index).then_some(at)
}

/// `from` becomes `to`; in the first of a run only where it is written.
fn rename(insn: &mut Insn, from: Reg, to: Reg, is_first: bool) {
    let has_source = insn.has_source();
    if insn.dst == from
        && (is_first || insn.reads() & 1 << from != 0 || insn.writes() == Some(from))
    {
        insn.dst = to;
    }
    if !is_first && has_source && insn.src == from {
        insn.src = to;
    }
}
