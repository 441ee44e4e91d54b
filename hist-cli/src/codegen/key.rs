//! The key hole: r1 context, r2 the key's bytes; and the index hole: r1 context, result in r0.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use super::once;
use super::saved::Saved;
use super::slot::{self, destination};
use super::source;
use super::text;
use crate::bpf::helper;
use crate::bpf::insn::{Insn, R0, R1, R2, R3, R4, Reg, Width};
use crate::plan::once::Place;
use crate::plan::{Index, KeySlot, Plan};
use crate::resolve::hist::KeySource;

/// Writes every slot to its last byte, so none is left as it was. Slots whose helpers destroy the
/// saved come last.
pub(super) fn key(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::KEY, plan);
    once::read(&mut emitter, Place::Key, &[R1, R2])?;
    let (calls, plain): (Vec<&KeySlot>, Vec<&KeySlot>) =
        plan.keys.iter().partition(|slot| calls(&emitter, &slot.source));
    for slot in plain {
        write_slot(&mut emitter, &Saved::default(), slot)?;
    }
    let wanted = wanted(&emitter, &calls);
    let saved = Saved::save(&mut emitter, &wanted);
    for slot in calls {
        write_slot(&mut emitter, &saved, slot)?;
    }
    emitter.finish()
}

/// Gives the number of the key's entry.
pub(super) fn index(plan: &Plan, index: &Index) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::INDEX, plan);
    once::read(&mut emitter, Place::Key, &[R1])?;
    let source = &index.source;
    let again = source::calls(&emitter, source) && source::reads_context(&emitter, source);
    let saved = Saved::save(&mut emitter, if again { &[R1] } else { &[] });
    source::load(&mut emitter, &saved, source, "the entry's number")?;
    emitter.push(Insn::mov64_reg(R0, R3), "");
    emitter.finish()
}

/// Writing it means calling a helper.
fn calls(emitter: &Emitter, source: &KeySource) -> bool {
    match source {
        KeySource::Number(source) => source::calls(emitter, source),
        KeySource::Text(field) => text::calls(emitter, field.field),
        KeySource::Comm | KeySource::Stack => true,
    }
}

/// Writing it means looking at the context.
fn reads_context(emitter: &Emitter, source: &KeySource) -> bool {
    match source {
        KeySource::Number(source) => source::reads_context(emitter, source),
        KeySource::Text(_) | KeySource::Stack => true,
        KeySource::Comm => false,
    }
}

/// The saved that are wanted after a call. The pointer: by a number's own store, and by every
/// later slot. The context: by every later slot that reads it, and by a number that calls in the
/// midst of an expression.
fn wanted(emitter: &Emitter, calls: &[&KeySlot]) -> Vec<Reg> {
    let is_number = |slot: &&KeySlot| matches!(slot.source, KeySource::Number(_));
    let later = calls.get(1..).unwrap_or_default();
    let context = calls.iter().any(|slot| is_number(slot) && reads_context(emitter, &slot.source))
        || later.iter().any(|slot| reads_context(emitter, &slot.source));
    let pointer = calls.iter().any(is_number) || !later.is_empty();
    [(R1, context), (R2, pointer)].into_iter().filter(|(_, is)| *is).map(|(reg, _)| reg).collect()
}

fn write_slot(emitter: &mut Emitter, saved: &Saved, slot: &KeySlot) -> Result<(), CodegenError> {
    let note = format!("key {}", slot.label);
    match &slot.source {
        KeySource::Number(source) => {
            source::load(emitter, saved, source, &note)?;
            let offset = emitter.offset(slot.offset)?;
            emitter.push(Insn::store_reg(Width::Dw, R2, offset, R3), "");
        }
        KeySource::Text(field) => text::key(emitter, saved, *field, slot, &note)?,
        KeySource::Comm => slot::comm(emitter, saved, slot, &note)?,
        KeySource::Stack => {
            if !emitter.has_record() {
                // To the verifier of Linux 6.1 these programs' helper reads what it writes.
                slot::zero(emitter, slot, &note)?;
            }
            destination(emitter, slot, R2, &note);
            emitter.push(Insn::mov64_imm(R3, slot.size.cast_signed()), "");
            emitter.push(Insn::mov64_imm(R4, 0), "the kernel's stack, no frame left out");
            emitter.push(Insn::call(helper::GET_STACK), "padded with zeros");
            saved.restore(emitter);
        }
    }
    Ok(())
}
