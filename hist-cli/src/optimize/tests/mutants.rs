//! Checks that random programs do the same once they are optimized, and that the check fails if one
//! of the conditions for that is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::machine::{INPUTS, Machine, Outcome};
use super::optimize;
use super::random::{self, Case};
use crate::link::Program;
use crate::optimize::guard::{self, Guard};

/// Programs per run.
const PROGRAMS: u32 = 20_000;
/// Numbers that a program is made of, at most.
const NUMBERS: usize = 320;
/// With what each program runs.
const RUNS: u64 = 3;
/// Programs among which one has to show that a guard is missing.
const ENOUGH: u64 = 8_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: PROGRAMS, ..ProptestConfig::default() })]

    #[test]
    fn an_optimized_program_does_what_it_did(
        tape in prop::collection::vec(any::<u16>(), 0..NUMBERS)
    ) {
        let done = check(&mut Machine::new(), &tape);
        prop_assert!(done.is_ok(), "{}", done.unwrap_err());
    }
}

/// What the machine is given: some numbers that comparisons are made with, others that tell the
/// words apart.
fn inputs(run: u64) -> [u64; INPUTS] {
    std::array::from_fn(|word| {
        let random = scrambled(run << 8 | word as u64);
        match random % 4 {
            0 => [0, 1, 2, 5, u64::MAX, 255, 1 << 31, u64::from(u32::MAX)][word % 8],
            _ => random,
        }
    })
}

/// The output of SplitMix64 for one state.
fn scrambled(state: u64) -> u64 {
    let mixed = state.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The numbers of program `seed`.
fn tape(seed: u64) -> Vec<u16> {
    let length = 20 + scrambled(seed) % (NUMBERS as u64 - 20);
    (0..length).map(|index| scrambled((seed << 20) | (index + 1)) as u16).collect()
}

/// Runs the program of these numbers as it is and optimized.
fn check(machine: &mut Machine, tape: &[u16]) -> Result<(), String> {
    let case = random::case(tape);
    let optimized = optimized(&case.program)?;
    compare(machine, &case, &optimized).map_err(|what| {
        format!("{what}\n--- as it was\n{}--- optimized\n{optimized}", case.program)
    })
}

fn optimized(program: &Program) -> Result<Program, String> {
    let mut optimized = program.clone();
    optimize(&mut optimized).map_err(|error| format!("{error}\n{program}"))?;
    Ok(optimized)
}

fn compare(machine: &mut Machine, case: &Case, optimized: &Program) -> Result<(), String> {
    for run in 0..RUNS {
        let inputs = inputs(run);
        let before = machine.run(&case.program, &inputs).expect("a valid program");
        let after = machine.run(optimized, &inputs)?;
        let (before, after) = (relative(before, case), relative(after, case));
        if before != after {
            return Err(format!("{before:x?}\nbecame\n{after:x?}"));
        }
    }
    Ok(())
}

/// Addresses on the stack by their distance from r10, which every run has elsewhere. One that was
/// never written stays 0.
fn relative(mut outcome: Outcome, case: &Case) -> Outcome {
    for (output, is_address) in outcome.outputs.iter_mut().zip(case.addresses) {
        if is_address && *output != 0 {
            *output = output.wrapping_sub(outcome.frame);
        }
    }
    outcome.frame = 0;
    outcome
}

/// Tests by hand of conditions that random programs have nothing to do with.
const BY_HAND: [(Guard, fn()); 2] = [
    (Guard::AddressIsWhole, super::an_address_that_is_jumped_into_is_refused),
    (Guard::BaseIsFrame, super::other_memory_stays_where_it_is),
];

/// The first of the programs that does something else without `guard`.
fn telling(machine: &mut Machine, guard: Guard) -> Option<u64> {
    (0..ENOUGH).find(|seed| {
        let case = random::case(&tape(*seed));
        let optimized =
            guard::without(guard, || catch_unwind(AssertUnwindSafe(|| optimized(&case.program))));
        match optimized {
            Ok(Ok(optimized)) => compare(machine, &case, &optimized).is_err(),
            _ => true,
        }
    })
}

#[test]
fn no_condition_can_be_left_out() {
    let mut machine = Machine::new();
    let mut missed = Vec::new();
    for guard in Guard::ALL {
        let by_hand = BY_HAND.iter().find(|(known, _)| known == guard);
        let is_noticed = match by_hand {
            Some((_, test)) => catch_unwind(|| guard::without(*guard, test)).is_err(),
            None => telling(&mut machine, *guard).is_some(),
        };
        if !is_noticed {
            missed.push(guard);
        }
    }
    assert!(missed.is_empty(), "no program shows that these are missing: {missed:?}");
}
