//! Takes a plan's value slots. Gives the bodies of the update and init holes: r1 context, r2 the
//! value's bytes.

use hist_common::holes;

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use super::insn::{Alu, Insn, R2, R3, R4, Width};
use super::source::{self, Arguments};
use crate::plan::{Plan, ValueSlot};
use crate::resolve::hist::Source;

/// Adds the hit to a value in place. Values are per CPU and one program never nests on a CPU, so
/// no atomics are needed unless another program shares the table.
pub(super) fn update(plan: &Plan) -> Result<HoleCode, CodegenError> {
    each(plan, holes::UPDATE, |emitter, arguments, slot| {
        let offset = emitter.offset(slot.offset)?;
        let note = format!("value {}", slot.label);
        if plan.shared {
            source::load(emitter, arguments, slot.source, R4, &note)?;
            emitter.push(Insn::atomic_add64(R2, offset, R4), "another event may interrupt");
            return Ok(());
        }
        if let Some(step) = short(slot.source) {
            emitter.push(Insn::load(Width::Dw, R3, R2, offset), note);
            emitter.push(Insn::alu64_imm(Alu::Add, R3, step), "");
        } else {
            source::load(emitter, arguments, slot.source, R4, &note)?;
            emitter.push(Insn::load(Width::Dw, R3, R2, offset), "");
            emitter.push(Insn::alu64_reg(Alu::Add, R3, R4), "");
        }
        emitter.push(Insn::store_reg(Width::Dw, R2, offset, R3), "");
        Ok(())
    })
}

/// Writes a whole value as the first hit leaves it.
pub(super) fn init(plan: &Plan) -> Result<HoleCode, CodegenError> {
    each(plan, holes::INIT, |emitter, arguments, slot| {
        let offset = emitter.offset(slot.offset)?;
        let note = format!("first value {}", slot.label);
        if let Some(first) = short(slot.source) {
            emitter.push(Insn::store_imm(Width::Dw, R2, offset, first), note);
        } else {
            source::load(emitter, arguments, slot.source, R3, &note)?;
            emitter.push(Insn::store_reg(Width::Dw, R2, offset, R3), "");
        }
        Ok(())
    })
}

/// A constant that fits an instruction.
fn short(source: Source) -> Option<i32> {
    match source {
        Source::Constant(number) => i32::try_from(number.cast_signed()).ok(),
        _ => None,
    }
}

/// Goes over the slots, those that call a helper last.
fn each(
    plan: &Plan,
    symbol: &'static str,
    write: impl Fn(&mut Emitter, &Arguments, &ValueSlot) -> Result<(), CodegenError>,
) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::new(symbol);
    let (calls, plain): (Vec<_>, Vec<_>) =
        plan.values.iter().partition(|slot| source::calls(slot.source));
    for slot in plain {
        write(&mut emitter, &Arguments::default(), slot)?;
    }
    let sources = calls.iter().map(|slot| slot.source);
    let arguments = source::save_pointer(&mut emitter, sources);
    for slot in calls {
        write(&mut emitter, &arguments, slot)?;
    }
    emitter.finish()
}
