//! Takes a filled program. Gives one that does the same in fewer instructions and with less stack.
//!
//! A template cannot know what its holes will do, so it hands them copies of its registers, tests
//! what a filter has found even if there is none, and keeps room for the largest key. Here both
//! sides are known: copies of registers and addresses on the stack are used where they come from,
//! tests of constants are decided, what nobody reads goes away, and the room that key and value
//! do not take is cut out of the frame.

use super::error::LinkError;
use super::fill::Program;
use super::flow::{self, Fact, State, Wanted};
use super::ops::{self, Op};
use crate::bpf::frame;
use crate::bpf::insn::{Insn, R0, R1, R5, R10, Reg};

/// Rounds at most. Two or three are enough for what templates look like.
const ROUNDS: usize = 16;

/// A part of the frame of which only the beginning is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Where it begins, in bytes from r10.
    pub(super) start: i32,
    /// Bytes that there are, a multiple of 8.
    pub(super) size: i32,
    /// Bytes that are used, a multiple of 8.
    pub(super) used: i32,
}

/// Tidies `program`; `room` says of a hole what its second argument, if that is on the stack,
/// has of room there and needs: both in bytes.
///
/// # Errors
/// If the stack is used otherwise than by constant offsets, or a jump gets too long.
pub(super) fn tidy(
    program: &mut Program,
    room: impl Fn(&str) -> Option<(u32, u32)>,
) -> Result<(), LinkError> {
    let mut ops = ops::lift(&program.lines, &program.references)?;
    let rooms = rooms(&ops, room);
    for _ in 0..ROUNDS {
        if !(replace(&mut ops) | spare_the_context(&mut ops) | shorten(&mut ops)) {
            break;
        }
    }
    cut(&mut ops, &rooms);
    (program.lines, program.references) = ops::lower(ops)?;
    let insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
    let uses =
        frame::uses(&insns).map_err(|slot| LinkError::FramePointer { place: "program", slot })?;
    program.stack = frame::depth(&uses);
    Ok(())
}

/// The rooms on the stack that holes are given. They must be looked for before anything changes.
fn rooms(ops: &[Op], room: impl Fn(&str) -> Option<(u32, u32)>) -> Vec<Room> {
    let states = flow::states(ops);
    let mut rooms = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        let is_first = index > 0 && ops[index - 1].hole != op.hole;
        let sizes = op.hole.filter(|_| is_first).and_then(&room);
        let fact = states[index].map(|state| state.of(2));
        if let (Some((size, used)), Some(Fact::Address(start))) = (sizes, fact) {
            let found = Room { start, size: size.cast_signed(), used: used.cast_signed() };
            if !rooms.contains(&found) {
                rooms.push(found);
            }
        }
    }
    rooms
}

/// Moves everything below unused parts of the frame up.
fn cut(ops: &mut [Op], rooms: &[Room]) {
    let moved = |offset: i32| {
        let above = rooms.iter().filter(|room| offset < room.start + room.used);
        offset + above.map(|room| room.size - room.used).sum::<i32>()
    };
    for op in ops {
        op.address = op.address.map(moved);
        let insn = &mut op.insn;
        let on_stack = insn.is_load() && insn.src == R10 || insn.is_store() && insn.dst == R10;
        if on_stack {
            // Offsets only get smaller, and they fitted before.
            insn.off = moved(i32::from(insn.off)) as i16;
        }
    }
}

/// Uses what registers are copies of, and decides jumps whose outcome is known.
fn replace(ops: &mut [Op]) -> bool {
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
    if op.address.is_some() {
        return;
    }
    if insn.is_mov64_reg() {
        match state.of(insn.src) {
            Fact::Address(offset) => return op.become_address(offset),
            Fact::Constant(number) => return op.become_insn(Insn::mov64_imm(insn.dst, number)),
            _ => {}
        }
    }
    if let (true, Fact::Address(offset)) = (insn.is_add64_imm(), state.of(insn.dst)) {
        return op.become_address(offset + insn.imm);
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
    if insn.has_source() && !insn.is_load() && insn.writes() != Some(insn.src) {
        insn.src = original(state, insn.src);
    }
    if insn.is_jump() && !insn.is_goto() {
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

/// Where a jump to `target` ends up, as far as jumps there are decided by `state`.
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
fn shorten(ops: &mut Vec<Op>) -> bool {
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

/// A jump to the next instruction, or a copy of what is there already.
fn is_idle(op: &Op, index: usize, state: &State) -> bool {
    let insn = op.insn;
    let is_copy = insn.is_mov64_reg() && op.address.is_none() && {
        let (dst, src) = (state.of(insn.dst), state.of(insn.src));
        insn.dst == insn.src
            || dst == Fact::Copy(insn.src)
            || src == Fact::Copy(insn.dst)
            || dst == src && dst != Fact::Unknown
    };
    is_copy || op.target == Some(index + 1)
}

/// A value that is used up before the next call, and for which the compiler gave up a register
/// that others still are copies of, takes another register.
fn spare_the_context(ops: &mut [Op]) -> bool {
    let (states, wanted) = (flow::states(ops), flow::wanted(ops, &[]));
    let targets: Vec<usize> = ops.iter().filter_map(|op| op.target).collect();
    let mut changed = false;
    for index in 0..ops.len() {
        let gives_up = ops[index].is_pure()
            && ops[index].insn.dst == R1
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
        let Some(free) = (0..=R5).find(|reg| taken & 1 << reg == 0) else { continue };
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
        let is_straight = !op.insn.is_call() && !op.insn.is_exit() && !targets.contains(&at);
        let goes_on = op.target.is_none() || wanted[at] & 1 << reg == 0;
        if !is_straight || !goes_on {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::insn::{Alu, Compare, R2, R3, R4, R6, Width, helper};
    use crate::link::fill::ProgramLine;

    const PLACE: &str = "hole";

    fn program(insns: &[Insn], hole: &[Insn], rest: &[Insn]) -> Program {
        let line = |hole| move |insn: &Insn| ProgramLine { insn: *insn, hole, note: String::new() };
        let template = |insns: &[Insn]| insns.iter().map(line(None)).collect::<Vec<_>>();
        let body = hole.iter().map(line(Some(PLACE))).collect();
        Program {
            name: "p".into(),
            section: "tracepoint".into(),
            lines: [template(insns), body, template(rest)].concat(),
            references: vec![],
            maps: vec![],
            data: vec![],
            license: vec![],
            stack: 0,
        }
    }

    fn tidied(insns: &[Insn], hole: &[Insn], rest: &[Insn]) -> (Vec<Insn>, u32) {
        let mut program = program(insns, hole, rest);
        tidy(&mut program, |hole| (hole == PLACE).then_some((32, 8))).unwrap();
        (program.lines.iter().map(|line| line.insn).collect(), program.stack)
    }

    #[test]
    fn of_two_equal_copies_one_stays() {
        // A call destroys r1; the filter and then the template bring it back from r6.
        let (insns, _) = tidied(
            &[Insn::mov64_reg(R6, R1)],
            &[Insn::call(helper::KTIME_GET_NS), Insn::mov64_reg(R1, R6), Insn::mov64_imm(R0, 0)],
            &[Insn::mov64_reg(R1, R6), Insn::load(Width::Dw, R0, R1, 8), Insn::exit()],
        );
        let call = insns.iter().position(|insn| insn.is_call()).expect("the call");
        let load = insns.iter().rfind(|insn| insn.is_load()).expect("the load");
        let restored = insns[call..].iter().any(|insn| insn.writes() == Some(load.src));
        assert!(load.src == R6 || restored, "{insns:?}");
        let (insns, _) = tidied(
            &[Insn::mov64_reg(R6, R1)],
            &[Insn::call(helper::KTIME_GET_NS), Insn::mov64_reg(R1, R6)],
            &[
                Insn::mov64_reg(R1, R6),
                Insn::mov64_imm(R3, 8),
                Insn::mov64_imm(R4, 0),
                Insn::mov64_reg(R2, R10),
                Insn::alu64_imm(Alu::Add, R2, -8),
                Insn::call(helper::GET_STACK),
                Insn::exit(),
            ],
        );
        let restores = insns.iter().filter(|insn| insn.writes() == Some(R1) && !insn.is_call());
        assert_eq!(restores.count(), 1, "{insns:?}");
    }

    #[test]
    fn a_filter_that_lets_everything_pass_is_no_test() {
        let (insns, _) = tidied(
            &[Insn::mov64_imm(R0, 1), Insn::jump_imm(Compare::Eq, R0, 0, 1)],
            &[Insn::call(helper::KTIME_GET_NS)],
            &[Insn::mov64_imm(R0, 0), Insn::exit()],
        );
        let call = Insn::call(helper::KTIME_GET_NS);
        assert_eq!(insns, [call, Insn::mov64_imm(R0, 0), Insn::exit()]);
    }

    #[test]
    fn an_answer_is_a_jump_to_what_it_means() {
        // r0 = r3 == 5; if !r0 { return 0 } return 7
        let (insns, _) = tidied(
            &[Insn::load(Width::Dw, R3, R1, 8)],
            &[
                Insn::jump_imm(Compare::Ne, R3, 5, 2),
                Insn::mov64_imm(R0, 1),
                Insn::jump(1),
                Insn::mov64_imm(R0, 0),
            ],
            &[
                Insn::jump_imm(Compare::Eq, R0, 0, 2),
                Insn::mov64_imm(R0, 7),
                Insn::exit(),
                Insn::mov64_imm(R0, 0),
                Insn::exit(),
            ],
        );
        let expected = [
            Insn::load(Width::Dw, R3, R1, 8),
            Insn::jump_imm(Compare::Ne, R3, 5, 2),
            Insn::mov64_imm(R0, 7),
            Insn::exit(),
            Insn::mov64_imm(R0, 0),
            Insn::exit(),
        ];
        assert_eq!(insns, expected);
    }

    #[test]
    fn room_that_is_not_used_is_cut_out_of_the_stack() {
        let (insns, stack) = tidied(
            &[Insn::mov64_reg(R2, R10), Insn::alu64_imm(Alu::Add, R2, -40)],
            &[Insn::store_reg(Width::Dw, R2, 0, R1)],
            &[
                Insn::store_imm(Width::Dw, R10, -8, 0),
                Insn::store_imm(Width::Dw, R10, -48, 0),
                Insn::load(Width::Dw, R0, R10, -36),
                Insn::exit(),
            ],
        );
        let expected = [
            Insn::store_reg(Width::Dw, R10, -16, R1),
            Insn::store_imm(Width::Dw, R10, -8, 0),
            Insn::store_imm(Width::Dw, R10, -24, 0),
            Insn::load(Width::Dw, R0, R10, -12),
            Insn::exit(),
        ];
        assert_eq!((&insns[..], stack), (&expected[..], 24));
    }

    #[test]
    fn what_is_kept_elsewhere_needs_no_place_on_the_stack() {
        let call = Insn::call(helper::KTIME_GET_NS);
        let (insns, stack) = tidied(
            &[Insn::mov64_reg(R6, R1)],
            &[
                Insn::store_reg(Width::Dw, R10, -8, R1),
                call,
                Insn::load(Width::Dw, R1, R10, -8),
                Insn::load(Width::Dw, R0, R1, 8),
                Insn::store_reg(Width::Dw, R10, -8, R0),
                call,
                Insn::load(Width::Dw, R0, R10, -8),
            ],
            &[Insn::exit()],
        );
        let expected = [
            Insn::mov64_reg(R6, R1),
            call,
            Insn::load(Width::Dw, R0, R6, 8),
            Insn::store_reg(Width::Dw, R10, -8, R0),
            call,
            Insn::load(Width::Dw, R0, R10, -8),
            Insn::exit(),
        ];
        assert_eq!((&insns[..], stack), (&expected[..], 8));
    }

    /// What is wanted is looked for in the whole program, not in one hole.
    #[test]
    fn what_a_hole_keeps_for_another_stays() {
        let call = Insn::call(helper::KTIME_GET_NS);
        let (insns, stack) = tidied(
            &[Insn::mov64_reg(R6, R1)],
            &[call, Insn::store_reg(Width::Dw, R10, -8, R0)],
            &[
                call,
                Insn::load(Width::Dw, R3, R10, -8),
                Insn::store_reg(Width::Dw, R6, 0, R3),
                Insn::exit(),
            ],
        );
        let expected = [
            Insn::mov64_reg(R6, R1),
            call,
            Insn::store_reg(Width::Dw, R10, -8, R0),
            call,
            Insn::load(Width::Dw, R3, R10, -8),
            Insn::store_reg(Width::Dw, R6, 0, R3),
            Insn::exit(),
        ];
        assert_eq!((&insns[..], stack), (&expected[..], 8));
    }

    #[test]
    fn a_register_that_a_call_loses_is_not_relied_on() {
        let insns = [
            Insn::mov64_reg(R6, R1),
            Insn::call(helper::KTIME_GET_NS),
            Insn::load(Width::Dw, R0, R6, 8),
            Insn::exit(),
        ];
        assert_eq!(tidied(&insns, &[], &[]).0, insns);
    }

    #[test]
    fn copies_on_one_of_two_ways_only_stay() {
        let insns = [
            Insn::load(Width::Dw, R2, R1, 8),
            Insn::jump_imm(Compare::Eq, R2, 0, 1),
            Insn::mov64_reg(R2, R1),
            Insn::mov64_reg(R0, R2),
            Insn::exit(),
        ];
        assert_eq!(tidied(&insns, &[], &[]).0, insns);
    }

    #[test]
    fn loops_keep_what_changes_in_them() {
        // for (r2 = 3; r2 != 0; r2--) r0 += r2
        let insns = [
            Insn::mov64_imm(R0, 0),
            Insn::mov64_imm(R2, 3),
            Insn::alu64_reg(Alu::Add, R0, R2),
            Insn::alu64_imm(Alu::Add, R2, -1),
            Insn::jump_imm(Compare::Ne, R2, 0, -3),
            Insn::exit(),
        ];
        assert_eq!(tidied(&insns, &[], &[]).0, insns);
    }
}
