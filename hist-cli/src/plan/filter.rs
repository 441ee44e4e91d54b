//! Takes a filter. Gives the part of it that must be tested, and refuses what the verifier would.

use super::PlanError;
use super::scan::{self, PARTS_MAX, Scan};
use crate::resolve::hist::{Condition, GlobPart, Pattern, TextSource, TextTest};

/// The verifier gives up after a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS` in Linux
/// include/linux/bpf.h); the rest of the program needs some, too.
const STEPS_MAX: u64 = 900_000;

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
        TextSource::Static { .. } | TextSource::Comm => scan::limit(test.source) as usize,
        TextSource::Dynamic(_) | TextSource::Pointer { .. } => return false,
    };
    room < match &test.pattern {
        Pattern::Exact(text)
        | Pattern::Prefix(text)
        | Pattern::Suffix(text)
        | Pattern::Contains(text) => text.len(),
        Pattern::Glob(parts) => parts.iter().filter(|part| **part != GlobPart::Any).count(),
    }
}

/// Refuses patterns that are too long, and filters that the verifier would not follow to the end.
pub(super) fn check_complexity(condition: &Condition) -> Result<(), PlanError> {
    let steps = steps(condition)?;
    if steps > STEPS_MAX {
        return Err(PlanError::FilterTooComplex { steps, max: STEPS_MAX });
    }
    Ok(())
}

fn steps(condition: &Condition) -> Result<u64, PlanError> {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => parts.iter().map(steps).sum(),
        Condition::Not(inner) => steps(inner),
        Condition::Text(test) => Scan::of(test).map_or(Ok(LITERAL_STEPS), |scan| {
            if scan.parts() > PARTS_MAX {
                let (label, parts) = (test.label.clone(), scan.parts());
                return Err(PlanError::PatternTooLong { label, parts, max: PARTS_MAX });
            }
            Ok(SCAN_STEPS + scan.steps())
        }),
        Condition::Cpumask(test) => Ok(LITERAL_STEPS + 4 * test.cpus.len() as u64),
        Condition::Compare(_) | Condition::Within(_) | Condition::Always(_) => Ok(COMPARE_STEPS),
    }
}

/// The verifier's steps for a comparison, about.
const COMPARE_STEPS: u64 = 10;
/// The same for one of a whole string with another.
const LITERAL_STEPS: u64 = 100;
/// The same for what stands around a scan's loop. It is high because code gets long, too: jumps
/// reach 32767 instructions.
const SCAN_STEPS: u64 = 3000;

#[cfg(test)]
mod tests {
    use super::*;

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
        let pointer = TextSource::Pointer { offset: 8, user: false };
        let one = text(pointer, Pattern::Contains(b"a".to_vec()), false);
        assert_eq!(check_complexity(&one), Ok(()));
        let many = Condition::Any(vec![one; 100]);
        assert!(matches!(check_complexity(&many), Err(PlanError::FilterTooComplex { .. })));
        let long = text(pointer, Pattern::Glob(vec![GlobPart::One; 255]), false);
        assert!(matches!(
            check_complexity(&long),
            Err(PlanError::PatternTooLong { parts: 255, max: 254, .. })
        ));
    }
}
