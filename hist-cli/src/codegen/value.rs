//! The bodies of the update and init holes, which put a hit into an entry: r1 is the context, r2
//! points to the value's bytes.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use super::saved::Saved;
use super::source;
use super::stack::copy_words;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Insn, R1, R2, R3, R4, Width};
use crate::plan::once::Once;
use crate::plan::{Plan, ValueSlot};
use crate::resolve::Fold;
use crate::resolve::hist::COMM_SIZE;
use crate::resolve::hist::Source;

/// Puts the hit into a value in place.
///
/// No atomics are needed for a value that belongs to one CPU and one program: that never runs twice
/// at a time on a CPU. Where a program cannot be preempted, nothing but an interrupt comes in
/// between, and the kernel skips a tracepoint program that one would start; where it can, as
/// raw tracepoint programs and those of `syscalls:*` since 7.x, it stays on its CPU, and the
/// kernel skips the same program there until it is done (`bpf_prog_get_recursion_context()` in
/// Linux include/linux/bpf.h). Both are counted as misses.
pub(super) fn update(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::UPDATE, plan);
    each(&mut emitter, plan, |emitter, saved, slot| {
        let offset = emitter.offset(slot.offset)?;
        match slot.fold {
            Fold::Sum => add(emitter, saved, slot, offset, plan.shared),
        }
    })?;
    emitter.finish()
}

/// Adds the slot's number to the word that lies `offset` bytes from r2.
fn add(
    emitter: &mut Emitter,
    saved: &Saved,
    slot: &ValueSlot,
    offset: i16,
    is_shared: bool,
) -> Result<(), CodegenError> {
    let note = format!("value {}", slot.label);
    if is_shared {
        source::load(emitter, saved, &slot.source, &note)?;
        emitter.push(Insn::atomic_add64(R2, offset, R3), "others may add, too");
        return Ok(());
    }
    if let Some(step) = short(&slot.source) {
        emitter.push(Insn::load(Width::Dw, R4, R2, offset), note);
        emitter.push(Insn::alu64_imm(Alu::Add, R4, step), "");
    } else {
        source::load(emitter, saved, &slot.source, &note)?;
        emitter.push(Insn::load(Width::Dw, R4, R2, offset), "");
        emitter.push(Insn::alu64_reg(Alu::Add, R4, R3), "");
    }
    emitter.push(Insn::store_reg(Width::Dw, R2, offset, R4), "");
    Ok(())
}

/// Writes a whole value as the first hit leaves it.
pub(super) fn init(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::INIT, plan);
    each(&mut emitter, plan, |emitter, saved, slot| {
        let offset = emitter.offset(slot.offset)?;
        match slot.fold {
            Fold::Sum => set(emitter, saved, slot, offset),
        }
    })?;
    if let Some(offset) = plan.comm
        && let Some(kept) = emitter.kept(Some(Once::Comm))
    {
        copy_words(&mut emitter, kept, offset, COMM_SIZE, "the task's name")?;
    } else if let Some(offset) = plan.comm {
        emitter.push(Insn::mov64_reg(R1, R2), "the task's name at the first hit");
        emitter.push(Insn::alu64_imm(Alu::Add, R1, offset.cast_signed()), "");
        emitter.push(Insn::mov64_imm(R2, COMM_SIZE.cast_signed()), "");
        emitter.push(Insn::call(helper::GET_CURRENT_COMM), "up to its NUL");
    }
    emitter.finish()
}

/// Makes the slot's number the word that lies `offset` bytes from r2.
fn set(
    emitter: &mut Emitter,
    saved: &Saved,
    slot: &ValueSlot,
    offset: i16,
) -> Result<(), CodegenError> {
    let note = format!("first value {}", slot.label);
    if let Some(first) = short(&slot.source) {
        emitter.push(Insn::store_imm(Width::Dw, R2, offset, first), note);
    } else {
        source::load(emitter, saved, &slot.source, &note)?;
        emitter.push(Insn::store_reg(Width::Dw, R2, offset, R3), "");
    }
    Ok(())
}

/// A constant that fits an instruction.
fn short(source: &Source) -> Option<i32> {
    match source {
        Source::Constant(number) => i32::try_from(number.cast_signed()).ok(),
        _ => None,
    }
}

/// Goes over the slots, those that call a helper last: the context is dead by then, unless an
/// expression mixes both or another such slot follows.
fn each(
    emitter: &mut Emitter,
    plan: &Plan,
    write: impl Fn(&mut Emitter, &Saved, &ValueSlot) -> Result<(), CodegenError>,
) -> Result<(), CodegenError> {
    let (calls, plain): (Vec<&ValueSlot>, Vec<&ValueSlot>) =
        plan.values.iter().partition(|slot| source::calls(emitter, &slot.source));
    for slot in plain {
        write(emitter, &Saved::default(), slot)?;
    }
    if calls.is_empty() {
        return Ok(());
    }
    let context = calls.iter().any(|slot| source::reads_context(emitter, &slot.source));
    let wanted: &[_] = if context { &[R1, R2] } else { &[R2] };
    let saved = Saved::save(emitter, wanted);
    calls.into_iter().try_for_each(|slot| write(emitter, &saved, slot))
}
