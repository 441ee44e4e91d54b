//! Takes a plan's filter. Gives the body of the filter hole: r1 context, result in r0.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::{Emitter, Label};
use super::insn::{self, Insn, R0, R1, R3, R4};
use super::source::{self, Arguments};
use crate::parse::ast::CompareOp;
use crate::plan::Plan;
use crate::resolve::hist::{Compare, Condition, Source};

/// Gives 1 for a hit that counts, else 0.
pub(super) fn filter(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::FILTER);
    let Some(condition) = &plan.filter else {
        emitter.push(Insn::mov64_imm(R0, 1), "no filter: every hit counts");
        return emitter.finish();
    };
    let (pass, refuse, end) = (emitter.label(), emitter.label(), emitter.label());
    let arguments = save_context(&mut emitter, condition);
    branch(&mut emitter, &arguments, condition, Goals { yes: pass, no: refuse, next: pass })?;
    emitter.place(pass);
    emitter.push(Insn::mov64_imm(R0, 1), "the hit counts");
    emitter.jump(Insn::jump(0), end, "");
    emitter.place(refuse);
    emitter.push(Insn::mov64_imm(R0, 0), "the hit is filtered out");
    emitter.finish()
}

/// Where to go with the answer; `next`, one of the two, is where the code goes on by itself.
#[derive(Clone, Copy)]
struct Goals {
    yes: Label,
    no: Label,
    next: Label,
}

/// The context is wanted after a call if another comparison reads the record.
fn save_context(emitter: &mut Emitter, condition: &Condition) -> Arguments {
    let calls = any(condition, &source::calls);
    let reads = any(condition, &source::reads_record);
    if calls && reads { Arguments::save(emitter, &[R1]) } else { Arguments::default() }
}

fn any(condition: &Condition, test: &impl Fn(&Source) -> bool) -> bool {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => parts.iter().any(|part| any(part, test)),
        Condition::Not(inner) => any(inner, test),
        Condition::Compare(compare) => test(&compare.source),
        Condition::Always(_) => false,
    }
}

fn branch(
    emitter: &mut Emitter,
    arguments: &Arguments,
    condition: &Condition,
    goals: Goals,
) -> Result<(), CodegenError> {
    match condition {
        Condition::Not(inner) => {
            let swapped = Goals { yes: goals.no, no: goals.yes, next: goals.next };
            branch(emitter, arguments, inner, swapped)
        }
        // The first that answers `yes` decides for `||`, the first `no` for `&&`.
        Condition::Any(parts) => {
            each(emitter, arguments, parts, goals, |go_on| Goals { no: go_on, ..goals })
        }
        Condition::All(parts) => {
            each(emitter, arguments, parts, goals, |go_on| Goals { yes: go_on, ..goals })
        }
        Condition::Compare(test) => compare(emitter, arguments, test, goals),
        Condition::Always(answer) => {
            let goal = if *answer { goals.yes } else { goals.no };
            if goal != goals.next {
                emitter.jump(Insn::jump(0), goal, format!("always {answer}"));
            }
            Ok(())
        }
    }
}

/// All parts but the last go on with the next part when they do not decide.
fn each(
    emitter: &mut Emitter,
    arguments: &Arguments,
    parts: &[Condition],
    goals: Goals,
    undecided: impl Fn(Label) -> Goals,
) -> Result<(), CodegenError> {
    let Some((last, first)) = parts.split_last() else { return Ok(()) };
    for part in first {
        let go_on = emitter.label();
        branch(emitter, arguments, part, Goals { next: go_on, ..undecided(go_on) })?;
        emitter.place(go_on);
    }
    branch(emitter, arguments, last, goals)
}

fn compare(
    emitter: &mut Emitter,
    arguments: &Arguments,
    test: &Compare,
    goals: Goals,
) -> Result<(), CodegenError> {
    let note = format!("filter {test}");
    source::load(emitter, arguments, &test.source, &note)?;
    // Fall through to `yes` where that comes next, by asking the opposite.
    let (op, goal) = match (goals.next == goals.yes, inverse(jump_op(test))) {
        (true, Some(opposite)) => (opposite, goals.no),
        _ => (jump_op(test), goals.yes),
    };
    let insn = comparison(emitter, op, test.constant);
    emitter.jump(insn, goal, if goal == goals.yes { "yes" } else { "no" });
    if goal == goals.yes && goals.next != goals.no {
        emitter.jump(Insn::jump(0), goals.no, "no");
    }
    Ok(())
}

/// `if r3 op constant`. A constant that fits no immediate goes through r4; so does a negative one
/// unless the comparison is signed, for eBPF's interpreters disagree on how to extend it.
fn comparison(emitter: &mut Emitter, op: insn::Compare, constant: u64) -> Insn {
    use insn::Compare::{Sge, Sgt, Sle, Slt};
    let signed = matches!(op, Sge | Sgt | Sle | Slt);
    match i32::try_from(constant.cast_signed()) {
        Ok(short) if short >= 0 || signed => Insn::jump_imm(op, R3, short, 0),
        _ => {
            source::constant(emitter, constant, R4, "");
            Insn::jump_reg(op, R3, R4, 0)
        }
    }
}

/// The comparison that holds exactly when `op` does not; there is none for bits.
const fn inverse(op: insn::Compare) -> Option<insn::Compare> {
    use insn::Compare as Op;
    Some(match op {
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::Lt => Op::Ge,
        Op::Ge => Op::Lt,
        Op::Le => Op::Gt,
        Op::Gt => Op::Le,
        Op::Slt => Op::Sge,
        Op::Sge => Op::Slt,
        Op::Sle => Op::Sgt,
        Op::Sgt => Op::Sle,
        Op::Set => return None,
    })
}

/// The jump that is taken if the comparison holds. Equality and bits need no sign: both sides
/// are u64 images of the same type.
fn jump_op(test: &Compare) -> insn::Compare {
    match (test.op, test.signed) {
        // A glob never gets here: resolve refuses it for numbers.
        (CompareOp::Eq | CompareOp::Glob, _) => insn::Compare::Eq,
        (CompareOp::Ne, _) => insn::Compare::Ne,
        (CompareOp::And, _) => insn::Compare::Set,
        (CompareOp::Lt, false) => insn::Compare::Lt,
        (CompareOp::Le, false) => insn::Compare::Le,
        (CompareOp::Gt, false) => insn::Compare::Gt,
        (CompareOp::Ge, false) => insn::Compare::Ge,
        (CompareOp::Lt, true) => insn::Compare::Slt,
        (CompareOp::Le, true) => insn::Compare::Sle,
        (CompareOp::Gt, true) => insn::Compare::Sgt,
        (CompareOp::Ge, true) => insn::Compare::Sge,
    }
}
