//! Takes a plan's key slots. Gives the body of the key hole: r1 context, r2 the key's bytes. Or
//! that of the index hole: r1 context, result in r0.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use super::once;
use super::source::{self, Arguments};
use super::text;
use crate::bpf::insn::{Alu, Insn, R0, R1, R2, R3, R4, Reg, Width, helper};
use crate::plan::once::{Once, Place};
use crate::plan::{Index, KeySlot, Plan};
use crate::resolve::hist::{KeySource, TextField};

/// Writes every slot to its last byte, so none is left as it was. Slots whose helpers destroy the
/// arguments come last.
pub(super) fn key(plan: &Plan) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::KEY, plan);
    once::read(&mut emitter, Place::Key, &[R1, R2])?;
    let (calls, plain): (Vec<&KeySlot>, Vec<&KeySlot>) =
        plan.keys.iter().partition(|slot| calls(&emitter, &slot.source));
    for slot in plain {
        write_slot(&mut emitter, &Arguments::default(), slot)?;
    }
    let wanted = wanted(&emitter, &calls);
    let arguments = Arguments::save(&mut emitter, &wanted);
    for slot in calls {
        write_slot(&mut emitter, &arguments, slot)?;
    }
    emitter.finish()
}

/// Gives the number of the key's entry.
pub(super) fn index(plan: &Plan, index: &Index) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(holes::INDEX, plan);
    once::read(&mut emitter, Place::Key, &[R1])?;
    let source = &index.source;
    let again = source::calls(&emitter, source) && source::reads_record(&emitter, source);
    let arguments = Arguments::save(&mut emitter, if again { &[R1] } else { &[] });
    source::load(&mut emitter, &arguments, source, "the entry's number")?;
    emitter.push(Insn::mov64_reg(R0, R3), "");
    emitter.finish()
}

/// Writing it means calling a helper.
fn calls(emitter: &Emitter, source: &KeySource) -> bool {
    match source {
        KeySource::Number(source) => source::calls(emitter, source),
        KeySource::Text(TextField::Static { size, .. }) => *size > text::MAX_INLINE,
        KeySource::Text(_) | KeySource::Comm | KeySource::Stack => true,
    }
}

/// Writing it means looking at the context.
fn reads_context(emitter: &Emitter, source: &KeySource) -> bool {
    match source {
        KeySource::Number(source) => source::reads_record(emitter, source),
        KeySource::Text(_) | KeySource::Stack => true,
        KeySource::Comm => false,
    }
}

/// The arguments that are wanted after a call. The pointer: by a number's own store, and by every
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

fn write_slot(
    emitter: &mut Emitter,
    arguments: &Arguments,
    slot: &KeySlot,
) -> Result<(), CodegenError> {
    let note = format!("key {}", slot.label);
    match &slot.source {
        KeySource::Number(source) => {
            source::load(emitter, arguments, source, &note)?;
            let offset = emitter.offset(slot.offset)?;
            emitter.push(Insn::store_reg(Width::Dw, R2, offset, R3), "");
        }
        KeySource::Text(field) => text::key(emitter, arguments, *field, slot, &note)?,
        KeySource::Comm if let Some(kept) = emitter.kept(Some(Once::Comm)) => {
            once::copy_words(emitter, kept, slot.offset, slot.size, &note)?;
        }
        KeySource::Comm => {
            // Linux 6.1 leaves what is behind the name's last word as it was.
            text::zero(emitter, slot, &note)?;
            destination(emitter, slot, R1, &note);
            let size = slot.size.cast_signed();
            emitter.push(Insn::mov64_imm(R2, size), "");
            emitter.push(Insn::call(helper::GET_CURRENT_COMM), "");
            arguments.restore(emitter);
        }
        KeySource::Stack => {
            if !emitter.has_record() {
                // To the verifier of Linux 6.1 these programs' helper reads what it writes.
                text::zero(emitter, slot, &note)?;
            }
            destination(emitter, slot, R2, &note);
            emitter.push(Insn::mov64_imm(R3, slot.size.cast_signed()), "");
            emitter.push(Insn::mov64_imm(R4, 0), "the kernel's stack, no frame left out");
            emitter.push(Insn::call(helper::GET_STACK), "padded with zeros");
            arguments.restore(emitter);
        }
    }
    Ok(())
}

/// `register` = where the slot lies.
pub(super) fn destination(emitter: &mut Emitter, slot: &KeySlot, register: Reg, note: &str) {
    if register != R2 {
        emitter.push(Insn::mov64_reg(register, R2), note);
    }
    if slot.offset > 0 {
        emitter.push(Insn::alu64_imm(Alu::Add, register, slot.offset.cast_signed()), note);
    }
}
