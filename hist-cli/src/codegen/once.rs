//! Reads once what an event has one of and a trigger uses more than once, and keeps it on the stack,
//! where all holes find it.

use super::CodegenError;
use super::access::{self, TextAt};
use super::emit::Emitter;
use super::saved::Saved;
use super::{source, stack};
use crate::bpf::insn::{Insn, R3, R4, R10, Reg, Width};
use crate::kernel::format::FieldId;
use crate::plan::once::{Kept, Once, Place};
use crate::resolve::hist::Source;

/// Reads what is to be read at the beginning of a hole. Keeps `registers`, the hole's saved.
pub(super) fn read(
    emitter: &mut Emitter,
    place: Place,
    registers: &[Reg],
) -> Result<(), CodegenError> {
    let is_lost = emitter.kept_at(place).iter().any(|kept| calls(kept.what));
    let saved = Saved::save(emitter, if is_lost { registers } else { &[] });
    read_ahead(emitter, &saved, place)
}

/// Reads what is to be read there. Destroys r0 to r5, but what `saved` has.
pub(super) fn read_ahead(
    emitter: &mut Emitter,
    saved: &Saved,
    place: Place,
) -> Result<(), CodegenError> {
    let kept = emitter.kept_at(place);
    // The context is there until a helper destroys it.
    let (helped, plain): (Vec<_>, Vec<_>) = kept.iter().partition(|kept| calls(kept.what));
    plain.into_iter().chain(helped).try_for_each(|kept| read_one(emitter, saved, kept))
}

/// Reading it means calling a helper.
pub(super) const fn calls(what: Once) -> bool {
    matches!(what, Once::Time { .. } | Once::Pid | Once::Cpu | Once::Comm)
}

fn read_one(emitter: &mut Emitter, saved: &Saved, kept: &Kept) -> Result<(), CodegenError> {
    let note = format!("once: {}", emitter.name_of(kept.what));
    let slot = kept.slot();
    match kept.what {
        Once::Time { clock, usecs } => {
            source::read(emitter, saved, &Source::Timestamp { clock, usecs }, &note)?;
        }
        Once::Pid => source::read(emitter, saved, &Source::Pid, &note)?,
        Once::Cpu => source::read(emitter, saved, &Source::Cpu, &note)?,
        Once::Field(field) => access::read(emitter, field, &note)?,
        Once::Comm => {
            stack::comm(emitter, slot, &note);
            saved.restore(emitter);
            return Ok(());
        }
        Once::Array { field, .. } => return array(emitter, field, slot, &note),
    }
    emitter.push(Insn::store_reg(Width::Dw, R10, slot, R3), "keep it");
    Ok(())
}

/// Writes an array to the stack, with NULs behind it up to a whole word.
fn array(emitter: &mut Emitter, field: FieldId, slot: i16, note: &str) -> Result<(), CodegenError> {
    let TextAt::Array(array) = access::text_source(emitter, field)? else {
        return Err(emitter.no_access(field));
    };
    array.base.load(emitter, R4, note)?;
    stack::copy_array(emitter, R4, (array.start, array.size), slot, "")
}
