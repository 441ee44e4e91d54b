//! The part of a filter that must be tested; and what the verifier would refuse of it is refused here.

use super::PlanError;
use super::access::AccessTable;
use super::scan::{COMM_SIZE, PARTS_MAX, Scan};
use crate::resolve::hist::{Condition, GlobPart, Pattern, Room, TextField, TextSource, TextTest};

/// The verifier gives up after a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS` in Linux
/// include/linux/bpf.h); the rest of the program needs some, too.
const STEPS_MAX: u64 = 900_000;

/// It gives up as well when it has left that many ways for later (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`
/// in Linux kernel/bpf/verifier.c is 8192).
const BRANCHES_MAX: u64 = 8000;

/// What is left to test once all that is known is: nothing if all hits count, and
/// [`Condition::Always`] only if none does.
pub(super) fn simplify(condition: &Condition) -> Option<Condition> {
    match fold(condition) {
        Condition::Always(true) => None,
        other => Some(other),
    }
}

/// The same with [`Condition::Always`] at most on its own: code that nothing can reach is refused
/// by the verifier.
fn fold(condition: &Condition) -> Condition {
    match condition {
        Condition::Any(parts) => join(parts, true, Condition::Any),
        Condition::All(parts) => join(parts, false, Condition::All),
        Condition::Not(inner) => match fold(inner) {
            Condition::Always(answer) => Condition::Always(!answer),
            other => Condition::Not(Box::new(other)),
        },
        Condition::Text(test) if is_too_long(test) => Condition::Always(test.negated),
        other => other.clone(),
    }
}

/// `decides` is the answer of a part that needs no others.
fn join(parts: &[Condition], decides: bool, node: fn(Vec<Condition>) -> Condition) -> Condition {
    let mut open = Vec::new();
    for part in parts.iter().map(fold) {
        match part {
            Condition::Always(answer) if answer == decides => return part,
            Condition::Always(_) => {}
            part => open.push(part),
        }
    }
    match open.len() {
        0 => Condition::Always(!decides),
        1 => open.remove(0),
        _ => node(open),
    }
}

/// The pattern needs more bytes than the string has room for.
fn is_too_long(test: &TextTest) -> bool {
    let room = match test.source {
        TextSource::Field(TextField { room: Room::Array(size), .. }) => size,
        TextSource::Comm => COMM_SIZE,
        TextSource::Field(_) | TextSource::Pointer { .. } => return false,
    };
    (room as usize)
        < match &test.pattern {
            Pattern::Exact(text)
            | Pattern::Prefix(text)
            | Pattern::Suffix(text)
            | Pattern::Contains(text) => text.len(),
            Pattern::Glob(parts) => parts.iter().filter(|part| **part != GlobPart::Any).count(),
        }
}

/// Refuses patterns that are too long, and filters that the verifier would not follow to the end.
pub(super) fn check_complexity(
    condition: &Condition,
    access: &AccessTable,
) -> Result<(), PlanError> {
    let cost = cost(condition, access)?;
    let over = |what, amount, max| match amount > max {
        true => Err(PlanError::FilterTooComplex { what, amount, max }),
        false => Ok(()),
    };
    over("steps", cost.steps, STEPS_MAX)?;
    over("branches", cost.branches, BRANCHES_MAX)
}

/// What the verifier must do, about.
#[derive(Clone, Copy)]
struct Cost {
    /// Instructions that it looks at.
    steps: u64,
    /// Ways that it leaves for later.
    branches: u64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self { steps: 0, branches: 0 }, |sum, cost| Self {
            steps: sum.steps + cost.steps,
            branches: sum.branches + cost.branches,
        })
    }
}

fn cost(condition: &Condition, access: &AccessTable) -> Result<Cost, PlanError> {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter().map(|part| cost(part, access)).sum()
        }
        Condition::Not(inner) => cost(inner, access),
        Condition::Text(test) => match Scan::of(test, access) {
            Some(scan) if scan.parts() > PARTS_MAX => {
                let (label, parts) = (test.label.clone(), scan.parts());
                Err(PlanError::PatternTooLong { label, parts, max: PARTS_MAX })
            }
            // It is high because code gets long, too: jumps reach 32767 instructions.
            Some(scan) => Ok(Cost { steps: 3000 + scan.steps(), branches: 10 + scan.branches() }),
            None => Ok(Cost { steps: 150, branches: 40 }),
        },
        Condition::Cpumask(test) => {
            let words = test.cpus.len() as u64;
            Ok(Cost { steps: 50 + 4 * words, branches: 10 + words })
        }
        Condition::Within(test) => {
            let ranges = test.ranges.len() as u64;
            Ok(Cost { steps: 10 + 2 * ranges, branches: 2 * ranges })
        }
        Condition::Compare(_) | Condition::Always(_) => Ok(Cost { steps: 10, branches: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::format::FieldId;

    fn text(source: TextSource, pattern: Pattern, negated: bool) -> Condition {
        Condition::Text(TextTest { label: "a ~ b".into(), source, pattern, negated })
    }

    #[test]
    fn what_is_known_disappears() {
        let always = Condition::Always;
        let open = text(TextSource::Comm, Pattern::Exact(b"a".to_vec()), false);
        let check = |condition: Condition, expect: Option<&Condition>| {
            assert_eq!(simplify(&condition).as_ref(), expect, "{condition}");
        };
        check(Condition::Any(vec![always(true), open.clone()]), None);
        check(Condition::Any(vec![always(false), open.clone()]), Some(&open));
        check(Condition::All(vec![always(true), open.clone()]), Some(&open));
        check(Condition::All(vec![open.clone(), always(false)]), Some(&always(false)));
        check(Condition::Not(Box::new(always(false))), None);
        check(Condition::All(vec![always(true), always(true)]), None);
        let long = Pattern::Exact(vec![b'a'; 17]);
        check(text(TextSource::Comm, long.clone(), false), Some(&always(false)));
        check(text(TextSource::Comm, long, true), None);
    }

    #[test]
    fn too_much_is_refused() {
        let pointer = TextSource::Pointer { field: FieldId(0), user: false };
        let one = text(pointer, Pattern::Contains(b"a".to_vec()), false);
        assert_eq!(check_complexity(&one, &AccessTable::default()), Ok(()));
        let many = Condition::Any(vec![one; 100]);
        assert!(matches!(
            check_complexity(&many, &AccessTable::default()),
            Err(PlanError::FilterTooComplex { .. })
        ));
        let long = text(pointer, Pattern::Glob(vec![GlobPart::One; 255]), false);
        assert!(matches!(
            check_complexity(&long, &AccessTable::default()),
            Err(PlanError::PatternTooLong { parts: 255, max: 254, .. })
        ));
    }
}
