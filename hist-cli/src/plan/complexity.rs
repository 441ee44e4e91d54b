//! Refuses filters that the kernel's verifier would not follow to their end.

use super::PlanError;
use super::access::AccessTable;
use super::scan::{PARTS_MAX, Scan};
use crate::resolve::hist::Condition;

/// The verifier gives up after a million instructions (`BPF_COMPLEXITY_LIMIT_INSNS` in Linux
/// include/linux/bpf.h); the rest of the program needs some, too.
const STEPS_MAX: u64 = 900_000;

/// It gives up as well when it has left that many ways for later (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`
/// in Linux kernel/bpf/verifier.c is 8192).
const BRANCHES_MAX: u64 = 8000;

/// Refuses patterns that are too long, and filters that the verifier would not follow to the end.
pub(super) fn check(condition: &Condition, access: &AccessTable) -> Result<(), PlanError> {
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
    use crate::resolve::hist::{GlobPart, Pattern, TextSource, TextTest};

    fn text(pattern: Pattern) -> Condition {
        let source = TextSource::Pointer { field: FieldId(0), user: false };
        Condition::Text(TextTest { label: "a ~ b".into(), source, pattern, negated: false })
    }

    #[test]
    fn too_much_is_refused() {
        let one = text(Pattern::Contains(b"a".to_vec()));
        assert_eq!(check(&one, &AccessTable::default()), Ok(()));
        let many = Condition::Any(vec![one; 100]);
        assert!(matches!(
            check(&many, &AccessTable::default()),
            Err(PlanError::FilterTooComplex { .. })
        ));
        let long = text(Pattern::Glob(vec![GlobPart::One; 255]));
        assert!(matches!(
            check(&long, &AccessTable::default()),
            Err(PlanError::PatternTooLong { parts: 255, max: 254, .. })
        ));
    }
}
