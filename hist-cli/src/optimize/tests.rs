//! What the optimizer does to programs written by hand.

mod machine;
mod mutants;
mod random;

use super::{OptimizeError, optimize};
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R6, R10, Width};
use crate::link::{HoleRoom, Program, ProgramLine};

const PLACE: &str = "hole";

fn program(insns: &[Insn], hole: &[Insn], rest: &[Insn]) -> Program {
    let line = |hole| move |insn: &Insn| ProgramLine { insn: *insn, hole, note: String::new() };
    let template = |insns: &[Insn]| insns.iter().map(line(None)).collect::<Vec<_>>();
    let body = hole.iter().map(line(Some(PLACE))).collect();
    let rooms = vec![HoleRoom { hole: PLACE, size: 32, used: 8 }];
    Program { rooms, ..program_of([template(insns), body, template(rest)].concat()) }
}

/// A program of nothing but these lines.
fn program_of(lines: Vec<ProgramLine>) -> Program {
    Program {
        name: "p".into(),
        section: "tracepoint".into(),
        lines,
        references: vec![],
        maps: vec![],
        data: vec![],
        license: vec![],
        stack: 0,
        rooms: vec![],
    }
}

fn tidied(insns: &[Insn], hole: &[Insn], rest: &[Insn]) -> (Vec<Insn>, u32) {
    let mut program = program(insns, hole, rest);
    optimize(&mut program).unwrap();
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

/// The addition is taken for part of the copy, and would not be repeated.
#[test]
fn an_address_that_is_jumped_into_is_refused() {
    let insns = [
        Insn::mov64_imm(R3, 2),
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -8),
        Insn::store_imm(Width::Dw, R2, 0, 1),
        Insn::alu64_imm(Alu::Add, R3, -1),
        Insn::jump_imm(Compare::Ne, R3, 0, -4),
        Insn::exit(),
    ];
    let refused = optimize(&mut program(&insns, &[], &[]));
    assert_eq!(refused, Err(OptimizeError::FramePointer(1)));
}

/// When a room is cut out, only what is addressed by r10 moves.
#[test]
fn other_memory_stays_where_it_is() {
    let address = [Insn::mov64_reg(R2, R10), Insn::alu64_imm(Alu::Add, R2, -40)];
    let hole = [Insn::store_reg(Width::Dw, R2, 0, R1)];
    let rest = [
        Insn::load(Width::Dw, R3, R1, -64),
        Insn::store_reg(Width::Dw, R1, -72, R3),
        Insn::load(Width::Dw, R0, R10, -40),
        Insn::exit(),
    ];
    let expected = [
        Insn::store_reg(Width::Dw, R10, -16, R1),
        rest[0],
        rest[1],
        Insn::load(Width::Dw, R0, R10, -16),
        rest[3],
    ];
    assert_eq!(tidied(&address, &hole, &rest), (expected.to_vec(), 16));
}

/// An atomic operation that gives the old value reads a word that only it reads.
#[test]
fn what_an_atomic_operation_finds_stays() {
    let fetch = Insn { imm: 1, ..Insn::atomic_add64(R10, -8, R2) };
    let insns = [
        Insn::load(Width::Dw, R2, R1, 8),
        Insn::store_reg(Width::Dw, R10, -8, R1),
        fetch,
        Insn::mov64_reg(R0, R2),
        Insn::exit(),
    ];
    assert_eq!(tidied(&insns, &[], &[]).0, insns);
}

/// A word below every address that is taken may be reached by a pointer that moves down.
#[test]
fn what_a_pointer_reaches_by_moving_down_stays() {
    let insns = [
        Insn::load(Width::Dw, R4, R1, 8),
        Insn::store_reg(Width::Dw, R10, -24, R1),
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -8),
        Insn::jump_imm(Compare::Eq, R4, 0, 2),
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -16),
        Insn::alu64_imm(Alu::Add, R2, -8),
        Insn::load(Width::Dw, R0, R2, 0),
        Insn::exit(),
    ];
    assert_eq!(tidied(&insns, &[], &[]).0, insns);
}

/// The word was taken out: only loads were looked at.
#[test]
fn what_an_atomic_operation_finds_below_a_pointer_stays() {
    let fetch = Insn { imm: 1, ..Insn::atomic_add64(R2, -8, R4) };
    let insns = [
        Insn::load(Width::Dw, R4, R1, 8),
        Insn::store_reg(Width::Dw, R10, -24, R1),
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -8),
        Insn::jump_imm(Compare::Eq, R4, 0, 2),
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -16),
        fetch,
        Insn::mov64_reg(R0, R4),
        Insn::exit(),
    ];
    assert_eq!(tidied(&insns, &[], &[]).0, insns);
}

/// The sum would be no offset.
#[test]
fn an_address_that_is_moved_out_of_all_bounds_is_left_alone() {
    let insns = [
        Insn::mov64_reg(R2, R10),
        Insn::alu64_imm(Alu::Add, R2, -8),
        Insn::alu64_imm(Alu::Add, R2, i32::MIN),
        Insn::mov64_reg(R0, R2),
        Insn::exit(),
    ];
    let (optimized, _) = tidied(&insns, &[], &[]);
    assert!(optimized.contains(&insns[2]), "{optimized:?}");
}
