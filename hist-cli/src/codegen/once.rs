//! Takes what an event has one of and a trigger uses more than once. Gives the instructions that
//! read it once and keep it on the stack, where all holes find it.

use super::CodegenError;
use super::copy;
use super::emit::Emitter;
use super::matching;
use super::source::{self, Arguments};
use crate::bpf::insn::{Insn, R1, R2, R3, R4, R10, Reg, Width, helper};
use crate::plan::access::arguments::copy::{Copied, Text};
use crate::plan::once::{Kept, Once, Place};
use crate::plan::scan::COMM_SIZE;
use crate::resolve::hist::Source;

/// Reads what is to be read at the beginning of a hole. Keeps `registers`, the hole's arguments.
pub(super) fn read(
    emitter: &mut Emitter,
    place: Place,
    registers: &[Reg],
) -> Result<(), CodegenError> {
    let is_lost = emitter.kept_at(place).iter().any(|kept| calls(kept.what));
    let arguments = Arguments::save(emitter, if is_lost { registers } else { &[] });
    read_ahead(emitter, &arguments, place)
}

/// Reads what is to be read there. Destroys r0 to r5, but what `arguments` has.
pub(super) fn read_ahead(
    emitter: &mut Emitter,
    arguments: &Arguments,
    place: Place,
) -> Result<(), CodegenError> {
    let kept = emitter.kept_at(place);
    // The context is there until a helper destroys it.
    let (helped, plain): (Vec<_>, Vec<_>) = kept.iter().partition(|kept| calls(kept.what));
    plain.into_iter().chain(helped).try_for_each(|kept| read_one(emitter, arguments, kept))
}

/// Reading it means calling a helper.
pub(super) const fn calls(what: Once) -> bool {
    matches!(what, Once::Time { .. } | Once::Pid | Once::Cpu | Once::Comm)
}

fn read_one(emitter: &mut Emitter, arguments: &Arguments, kept: &Kept) -> Result<(), CodegenError> {
    let note = format!("once: {}", emitter.name_of(kept.what));
    let slot = kept.slot();
    match kept.what {
        Once::Time { clock, usecs } => {
            source::read(emitter, arguments, &Source::Timestamp { clock, usecs }, &note)?;
        }
        Once::Pid => source::read(emitter, arguments, &Source::Pid, &note)?,
        Once::Cpu => source::read(emitter, arguments, &Source::Cpu, &note)?,
        Once::Field(offset) => match emitter.copy_of(offset) {
            Some(Copied::Number(number, to)) => copy::converted(emitter, &number, to, &note)?,
            _ => return Err(emitter.no_copy(offset)),
        },
        Once::Comm => {
            comm(emitter, slot, &note);
            arguments.restore(emitter);
            return Ok(());
        }
        Once::Array { offset, .. } => return array(emitter, offset, slot, &note),
    }
    emitter.push(Insn::store_reg(Width::Dw, R10, slot, R3), "keep it");
    Ok(())
}

/// Writes the task's name to the stack.
pub(super) fn comm(emitter: &mut Emitter, slot: i16, note: &str) {
    // Linux 6.1 leaves what is behind the name's last word as it was.
    for word in 0..(COMM_SIZE / 8) as i16 {
        emitter.push(Insn::store_imm(Width::Dw, R10, slot + 8 * word, 0), "");
    }
    matching::address(emitter, R1, slot, note);
    emitter.push(Insn::mov64_imm(R2, COMM_SIZE.cast_signed()), "");
    emitter.push(Insn::call(helper::GET_CURRENT_COMM), "");
}

/// Writes an array to the stack, with NULs behind it up to a whole word.
fn array(emitter: &mut Emitter, field: u32, slot: i16, note: &str) -> Result<(), CodegenError> {
    let Text::Inside { pointer, offset, size } = emitter.text_at(field)? else {
        return Err(emitter.no_copy(field));
    };
    copy::follow(emitter, R4, &pointer, note)?;
    matching::copy_array(emitter, R4, (offset, size), slot, "")
}

/// Copies `size` bytes that are kept on the stack, a multiple of 8, to `offset` of what r2 points
/// to.
pub(super) fn copy_words(
    emitter: &mut Emitter,
    kept: i16,
    offset: u32,
    size: u32,
    note: &str,
) -> Result<(), CodegenError> {
    // Of a slot's size, which is small.
    for word in (0..size).step_by(8) {
        let note = if word == 0 { note } else { "" };
        emitter.push(Insn::load(Width::Dw, R3, R10, kept + word as i16), note);
        let to = emitter.offset(offset + word)?;
        emitter.push(Insn::store_reg(Width::Dw, R2, to, R3), "");
    }
    Ok(())
}
