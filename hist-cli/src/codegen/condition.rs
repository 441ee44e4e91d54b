//! The filter hole: r1 context, result in r0.

use hist_common::holes;

use super::CodegenError;
use super::branch::{Body, Goals, jump_unless_next};
use super::code::HoleCode;
use super::emit::{Emitter, Label};
use super::focus;
use super::matching;
use super::once;
use super::saved::Saved;
use super::source;
use super::stack::Scratch;
use super::system_call;
use super::word;
use crate::bpf::insn::{self, Insn, R0, R1, R3, R4};
use crate::parse::ast::CompareOp;
use crate::plan::Plan;
use crate::plan::once::Place;
use crate::resolve::hist::{Compare, Condition, TextSource, Within};

/// Gives 1 for a hit that counts, else 0.
pub(super) fn filter(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::FILTER, plan);
    // Something is tested before the filter.
    let is_limited = plan.system_call.is_some() || !plan.focus.is_all() || plan.focus.valve;
    let condition = match &plan.filter {
        None if is_limited => &Condition::Always(true),
        None => {
            emitter.push(Insn::mov64_imm(R0, 1), "no filter: every hit counts");
            return emitter.finish();
        }
        Some(Condition::Always(answer)) if !is_limited || !answer => {
            emitter.push(Insn::mov64_imm(R0, i32::from(*answer)), format!("always {answer}"));
            return emitter.finish();
        }
        Some(condition) => condition,
    };
    let (pass, refuse, end) = (emitter.label(), emitter.label(), emitter.label());
    let saved = save_context(&mut emitter, condition, is_limited);
    if let Some(call) = &plan.system_call {
        system_call::only(&mut emitter, call, refuse)?;
    }
    focus::tests(&mut emitter, &plan.focus, refuse)?;
    if is_limited {
        saved.restore(&mut emitter);
    }
    let mut body = Body { emitter, saved, scratch: Scratch::default() };
    whole(&mut body, condition, Goals { yes: pass, no: refuse, next: pass })?;
    let mut emitter = body.emitter;
    emitter.place(pass);
    if plan.focus.valve {
        // Last, so that events that the filter rejects do not pay for it.
        focus::valve(&mut emitter, refuse);
    }
    emitter.push(Insn::mov64_imm(R0, 1), "the hit counts");
    emitter.jump(Insn::jump(0), end, "");
    emitter.place(refuse);
    emitter.push(Insn::mov64_imm(R0, 0), "the hit is filtered out");
    emitter.finish()
}

/// The context is wanted after a call or a scan if another comparison reads the record.
/// `is_lost` if it is before any of them.
fn save_context(emitter: &mut Emitter, condition: &Condition, is_lost: bool) -> Saved {
    let kept = emitter.kept_in_filter();
    let loses = is_lost
        || kept.iter().any(|kept| once::calls(kept.what))
        || any(condition, &|test| match test {
            Condition::Compare(compare) => source::calls(emitter, &compare.source),
            Condition::Within(within) => source::calls(emitter, &within.source),
            Condition::Text(test) => matching::loses_context(emitter, test),
            Condition::Cpumask(_) => true,
            _ => false,
        });
    let reads = kept.iter().any(|kept| !once::calls(kept.what))
        || any(condition, &|test| match test {
            Condition::Compare(compare) => source::reads_context(emitter, &compare.source),
            Condition::Within(within) => source::reads_context(emitter, &within.source),
            Condition::Text(test) => test.source != TextSource::Comm,
            Condition::Cpumask(_) => true,
            _ => false,
        });
    if loses && reads { Saved::save(emitter, &[R1]) } else { Saved::default() }
}

/// Some test in `condition` is such a one.
fn any(condition: &Condition, is_one: &impl Fn(&Condition) -> bool) -> bool {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => parts.iter().any(|part| any(part, is_one)),
        Condition::Not(inner) => any(inner, is_one),
        test => is_one(test),
    }
}

/// The whole filter. What is kept is read ahead of the part of a conjunction that uses it first: all
/// that follows is met by way of that part only.
fn whole(body: &mut Body, condition: &Condition, goals: Goals) -> Result<(), CodegenError> {
    let parts = match condition {
        Condition::All(parts) => parts,
        other => std::slice::from_ref(other),
    };
    for (index, part) in parts.iter().enumerate() {
        once::read_ahead(&mut body.emitter, &body.saved, Place::Filter(index))?;
        if index + 1 == parts.len() {
            return branch(body, part, goals);
        }
        let go_on = body.emitter.label();
        branch(body, part, Goals { yes: go_on, next: go_on, ..goals })?;
        body.emitter.place(go_on);
    }
    Ok(())
}

fn branch(body: &mut Body, condition: &Condition, goals: Goals) -> Result<(), CodegenError> {
    match condition {
        Condition::Not(inner) => branch(body, inner, goals.swapped()),
        // The first that answers `yes` decides for `||`, the first `no` for `&&`.
        Condition::Any(parts) => each(body, parts, goals, |go_on| Goals { no: go_on, ..goals }),
        Condition::All(parts) => each(body, parts, goals, |go_on| Goals { yes: go_on, ..goals }),
        Condition::Compare(test) => compare(body, test, goals),
        Condition::Within(test) => within(body, test, goals),
        Condition::Text(test) => matching::text(body, test, goals),
        Condition::Cpumask(test) => matching::cpumask(body, test, goals),
        Condition::Always(answer) => {
            let goal = if *answer { goals.yes } else { goals.no };
            jump_unless_next(&mut body.emitter, goal, goals, "known");
            Ok(())
        }
    }
}

/// All parts but the last go on with the next part when they do not decide.
fn each(
    body: &mut Body,
    parts: &[Condition],
    goals: Goals,
    undecided: impl Fn(Label) -> Goals,
) -> Result<(), CodegenError> {
    let Some((last, first)) = parts.split_last() else { return Ok(()) };
    for part in first {
        let go_on = body.emitter.label();
        branch(body, part, Goals { next: go_on, ..undecided(go_on) })?;
        body.emitter.place(go_on);
    }
    branch(body, last, goals)
}

fn compare(body: &mut Body, test: &Compare, goals: Goals) -> Result<(), CodegenError> {
    let Body { emitter, saved, .. } = body;
    let note = format!("filter {test}");
    source::load(emitter, saved, &test.source, &note)?;
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

/// Ranges from the lowest up: below the next one's start, the answer is no.
fn within(body: &mut Body, test: &Within, goals: Goals) -> Result<(), CodegenError> {
    let Body { emitter, saved, .. } = body;
    source::load(emitter, saved, &test.source, &format!("filter {}", test.label))?;
    for (first, last) in test.ranges.iter().copied() {
        if first == last {
            let insn = comparison(emitter, insn::Compare::Eq, first);
            emitter.jump(insn, goals.yes, format!("is {first}"));
            continue;
        }
        if first > 0 {
            let insn = comparison(emitter, insn::Compare::Lt, first);
            emitter.jump(insn, goals.no, format!("below {first}"));
        }
        let insn = comparison(emitter, insn::Compare::Le, last);
        emitter.jump(insn, goals.yes, format!("up to {last}"));
    }
    jump_unless_next(emitter, goals.no, goals, "no");
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
            word::constant(emitter, constant, R4, "");
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
