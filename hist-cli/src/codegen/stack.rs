//! Strings on the stack: a buffer for tests, the task's name, arrays.

use super::CodegenError;
use super::emit::Emitter;
use crate::bpf::helper;
use crate::bpf::insn::Alu;
use crate::bpf::insn::{Insn, R1, R2, R3, R10, Reg, Width};
use crate::plan::once::Once;
use crate::resolve::hist::COMM_SIZE;

/// Bytes of a string that are looked at at a time.
pub(super) const CHUNK: u32 = 64;
/// Words of the buffer: a chunk and the NUL that helpers put behind it.
const BUFFER_WORDS: u32 = CHUNK / 8 + 1;

/// Places on the stack that tests share; each is taken when first needed.
#[derive(Default)]
pub(super) struct Scratch {
    buffer: Option<i16>,
    pointer: Option<i16>,
    position: Option<i16>,
    length: Option<i16>,
    states: Vec<i16>,
}

impl Scratch {
    /// Room for a chunk, aligned to 8 bytes.
    pub(super) fn buffer(&mut self, emitter: &mut Emitter) -> i16 {
        *self.buffer.get_or_insert_with(|| emitter.stack_area(BUFFER_WORDS))
    }

    /// Where the string begins.
    pub(super) fn pointer(&mut self, emitter: &mut Emitter) -> i16 {
        *self.pointer.get_or_insert_with(|| emitter.stack_slot())
    }

    /// Bytes of the string that have been looked at.
    pub(super) fn position(&mut self, emitter: &mut Emitter) -> i16 {
        *self.position.get_or_insert_with(|| emitter.stack_slot())
    }

    /// Bytes that the string has at most.
    pub(super) fn length(&mut self, emitter: &mut Emitter) -> i16 {
        *self.length.get_or_insert_with(|| emitter.stack_slot())
    }

    /// Words of a scan's states.
    pub(super) fn states(&mut self, emitter: &mut Emitter, words: usize) -> Vec<i16> {
        while self.states.len() < words {
            self.states.push(emitter.stack_slot());
        }
        self.states[..words].to_vec()
    }
}

/// `dst` = the address of a place on the stack.
pub(super) fn address(emitter: &mut Emitter, dst: Reg, place: i16, note: &str) {
    emitter.push(Insn::mov64_reg(dst, R10), note);
    emitter.push(Insn::alu64_imm(Alu::Add, dst, place.into()), "");
}

/// Writes the task's name to the stack.
pub(super) fn comm(emitter: &mut Emitter, slot: i16, note: &str) {
    // Linux 6.1 leaves what is behind the name's last word as it was.
    for word in 0..(COMM_SIZE / 8) as i16 {
        emitter.push(Insn::store_imm(Width::Dw, R10, slot + 8 * word, 0), "");
    }
    address(emitter, R1, slot, note);
    emitter.push(Insn::mov64_imm(R2, COMM_SIZE.cast_signed()), "");
    emitter.push(Insn::call(helper::GET_CURRENT_COMM), "");
}

/// The name of the current thread on the stack; gives where.
pub(super) fn load_comm(emitter: &mut Emitter, scratch: &mut Scratch, note: &str) -> i16 {
    if let Some(kept) = emitter.kept(Some(Once::Comm)) {
        return kept;
    }
    let buffer = scratch.buffer(emitter);
    comm(emitter, buffer, note);
    buffer
}

/// Copies `size` bytes at `offset` from `base`, an address that is a multiple of 8, to the stack,
/// and NULs behind them up to a whole word.
pub(super) fn copy_array(
    emitter: &mut Emitter,
    base: Reg,
    (offset, size): (u32, u32),
    buffer: i16,
    note: &str,
) -> Result<(), CodegenError> {
    let mut at = 0;
    while at < size {
        // Both sides must be aligned.
        let common = (offset + at).trailing_zeros().min(at.trailing_zeros()).min(3);
        let bytes = (1 << common).min(1 << (size - at).ilog2());
        let load = Insn::load(width_of(bytes), R3, base, emitter.offset(offset + at)?);
        emitter.push(load, if at == 0 { note } else { "" });
        let store = Insn::store_reg(width_of(bytes), R10, buffer + at as i16, R3);
        emitter.push(store, "");
        at += bytes;
    }
    while at % 8 != 0 {
        let bytes = 1 << at.trailing_zeros();
        let note = if at == size { "NULs behind it" } else { "" };
        emitter.push(Insn::store_imm(width_of(bytes), R10, buffer + at as i16, 0), note);
        at += bytes;
    }
    Ok(())
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

pub(super) fn width_of(bytes: u32) -> Width {
    Width::from_bytes(bytes).unwrap_or(Width::B)
}
