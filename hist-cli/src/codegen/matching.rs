//! Takes a test of a string or of a set of CPUs. Gives the instructions that decide it.
//!
//! A pattern that stands at a known place of a string is compared word by word: in the record
//! itself where it lies there, else in a copy on the stack. All others are left to [`scan`].

use super::CodegenError;
use super::condition::{Body, Goals, jump_unless_next};
use super::emit::{Emitter, Label};
use super::{copy, once, scan, source};
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R10, Reg, Width, helper};
use crate::plan::access::arguments::copy::{Copied, Text};
use crate::plan::once::Once;
use crate::plan::scan::{COMM_SIZE, Scan};
use crate::resolve::hist::{CpumaskOp, CpumaskTest, Location, Pattern, TextSource, TextTest};

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

/// Where a test of a string may lead.
#[derive(Clone, Copy)]
pub(super) struct Exits {
    pub(super) matched: Label,
    pub(super) mismatched: Label,
    /// The string cannot be read.
    pub(super) missing: Label,
}

/// Deciding it takes the register that holds the context: all but comparing in the record does.
pub(super) fn loses_context(test: &TextTest) -> bool {
    !matches!(test.source, TextSource::Static { .. }) || literal(test).is_none()
}

/// Tests a string.
pub(super) fn text(body: &mut Body, test: &TextTest, goals: Goals) -> Result<(), CodegenError> {
    let note = format!("filter {}", test.label);
    if let (TextSource::Static { offset, size }, Some(wanted)) = (test.source, literal(test)) {
        let goals = if test.negated { goals.swapped() } else { goals };
        let wanted = &wanted[..wanted.len().min(size as usize)];
        let place = Place { base: R1, start: offset.cast_signed(), room: size };
        equals(&mut body.emitter, place, wanted, goals.no, &note)?;
        jump_unless_next(&mut body.emitter, goals.yes, goals, "yes");
        return Ok(());
    }
    let emitter = &mut body.emitter;
    let exits =
        Exits { matched: emitter.label(), mismatched: emitter.label(), missing: emitter.label() };
    let may_miss = match Scan::of(test) {
        Some(scan) => scan::scan(body, test.source, &scan, exits, &note)?,
        None => at_one_place(body, test, exits, &note)?,
    };
    let (wanted, unwanted) = match test.negated {
        true => (exits.mismatched, exits.matched),
        false => (exits.matched, exits.mismatched),
    };
    let mut no = vec![unwanted];
    no.extend(may_miss.then_some(exits.missing));
    finish(body, &[wanted], &no, goals);
    Ok(())
}

/// From the labels of both answers to the goals, with the context back in place.
fn finish(body: &mut Body, yes: &[Label], no: &[Label], goals: Goals) {
    let (first, last) = match goals.next == goals.yes {
        true => ((no, goals.no), yes),
        false => ((yes, goals.yes), no),
    };
    let Body { emitter, arguments, .. } = body;
    first.0.iter().for_each(|label| emitter.place(*label));
    arguments.restore(emitter);
    emitter.jump(Insn::jump(0), first.1, if goals.next == goals.yes { "no" } else { "yes" });
    last.iter().for_each(|label| emitter.place(*label));
    arguments.restore(emitter);
}

/// The bytes that a string must begin with: the NUL is one of them if all of it is compared.
fn literal(test: &TextTest) -> Option<Vec<u8>> {
    match &test.pattern {
        Pattern::Exact(text) => Some(text.iter().copied().chain([0]).collect()),
        Pattern::Prefix(text) => Some(text.clone()),
        _ => None,
    }
}

// --- patterns at one place ----------------------------------------------------------------------

/// Compares where the string lies elsewhere; gives whether it may be missing there.
fn at_one_place(
    body: &mut Body,
    test: &TextTest,
    exits: Exits,
    note: &str,
) -> Result<bool, CodegenError> {
    let may_miss = match test.source {
        TextSource::Dynamic(location) => {
            dynamic_literal(body, location, &test.pattern, exits, note)?;
            true
        }
        TextSource::Pointer { offset, user } => {
            load_pointer(&mut body.emitter, offset, note)?;
            let wanted = literal(test).unwrap_or_default();
            let read = if user { Read::UserText } else { Read::KernelText };
            memory_equals(body, read, &wanted, exits)?;
            true
        }
        TextSource::Copied { offset, .. } => copied_literal(body, offset, test, exits, note)?,
        // What lies in the record has been compared there.
        TextSource::Comm | TextSource::Static { .. } => {
            comm_equals(body, test, exits, note)?;
            false
        }
    };
    body.emitter.jump(Insn::jump(0), exits.matched, "all of it");
    Ok(may_miss)
}

/// Falls through if the current thread's name is as wanted.
fn comm_equals(
    body: &mut Body,
    test: &TextTest,
    exits: Exits,
    note: &str,
) -> Result<(), CodegenError> {
    let wanted = literal(test).unwrap_or_default();
    let buffer = load_comm(body, note);
    let wanted = &wanted[..wanted.len().min(COMM_SIZE as usize)];
    let place = Place { base: R10, start: buffer.into(), room: COMM_SIZE };
    equals(&mut body.emitter, place, wanted, exits.mismatched, "")
}

/// Compares a string that arguments lead to; gives whether it may be missing there.
fn copied_literal(
    body: &mut Body,
    field: u32,
    test: &TextTest,
    exits: Exits,
    note: &str,
) -> Result<bool, CodegenError> {
    let wanted = literal(test).unwrap_or_default();
    let text = &body.emitter.text_at(field)?;
    match text {
        Text::Comm => comm_equals(body, test, exits, note)?,
        Text::Inside { size, .. } if let Some(kept) = body.emitter.kept_text(field) => {
            let wanted = &wanted[..wanted.len().min(*size as usize)];
            let place = Place { base: R10, start: kept.into(), room: *size };
            equals(&mut body.emitter, place, wanted, exits.mismatched, note)?;
        }
        Text::Inside { pointer, offset, size } => {
            let emitter = &mut body.emitter;
            copy::follow(emitter, R1, pointer, note)?;
            let wanted = &wanted[..wanted.len().min(*size as usize)];
            let place = Place { base: R1, start: offset.cast_signed(), room: *size };
            equals(emitter, place, wanted, exits.mismatched, "")?;
        }
        Text::Behind(_) => {
            copy::text_address(&mut body.emitter, text, note)?;
            memory_equals(body, Read::KernelText, &wanted, exits)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of the current thread on the stack; gives where.
pub(super) fn load_comm(body: &mut Body, note: &str) -> i16 {
    let Body { emitter, scratch, .. } = body;
    if let Some(kept) = emitter.kept(Some(Once::Comm)) {
        return kept;
    }
    let buffer = scratch.buffer(emitter);
    once::comm(emitter, buffer, note);
    buffer
}

/// r3 = the address in the record.
pub(super) fn load_pointer(
    emitter: &mut Emitter,
    offset: u32,
    note: &str,
) -> Result<(), CodegenError> {
    if let Some(kept) = emitter.kept_field(offset) {
        emitter.push(Insn::load(Width::Dw, R3, R10, kept), note);
        return Ok(());
    }
    if let Some(Copied::Number(number, to)) = emitter.copy_of(offset) {
        return copy::converted(emitter, &number, to, note);
    }
    source::bytes(emitter, offset, 8, note)
}

/// r3 = where the data are that a location word means, r4 = their length in bytes.
pub(super) fn load_location(
    emitter: &mut Emitter,
    location: Location,
    note: &str,
) -> Result<(), CodegenError> {
    source::bytes(emitter, location.offset, 4, note)?;
    emitter.push(Insn::mov64_reg(R4, R3), "");
    emitter.push(Insn::alu64_imm(Alu::Rsh, R4, 16), "the length");
    emitter.push(Insn::alu64_imm(Alu::And, R3, 0xffff), "the offset");
    if location.relative {
        let behind = location.offset.cast_signed() + 4;
        emitter.push(Insn::alu64_imm(Alu::Add, R3, behind), "counted from behind the word");
    }
    emitter.push(Insn::alu64_reg(Alu::Add, R3, R1), "");
    Ok(())
}

/// The recorded length, which counts the NUL, says where a suffix must be.
fn dynamic_literal(
    body: &mut Body,
    location: Location,
    pattern: &Pattern,
    exits: Exits,
    note: &str,
) -> Result<(), CodegenError> {
    load_location(&mut body.emitter, location, note)?;
    let emitter = &mut body.emitter;
    let (text, spare) = match pattern {
        Pattern::Suffix(text) => (text, 1),
        Pattern::Exact(text) | Pattern::Prefix(text) => (text, 0),
        Pattern::Contains(_) | Pattern::Glob(_) => return Ok(()),
    };
    // At most 256: operands have at most 255 bytes.
    let least = text.len() as i32 + spare;
    if least > 0 {
        let shorter = Insn::jump_imm(Compare::Lt, R4, least, 0);
        emitter.jump(shorter, exits.mismatched, "too short");
    }
    match pattern {
        Pattern::Suffix(_) => {
            emitter.push(Insn::alu64_reg(Alu::Add, R3, R4), "its end");
            emitter.push(Insn::alu64_imm(Alu::Sub, R3, least), "");
            memory_equals(body, Read::Bytes, text, exits)
        }
        Pattern::Prefix(_) => memory_equals(body, Read::Bytes, text, exits),
        _ => dynamic_exact(body, text, exits),
    }
}

/// Behind the text there is a NUL, or nothing.
fn dynamic_exact(body: &mut Body, text: &[u8], exits: Exits) -> Result<(), CodegenError> {
    let Body { emitter, scratch, .. } = body;
    let length = scratch.length(emitter);
    emitter.push(Insn::store_reg(Width::Dw, R10, length, R4), "keep the length");
    let (head, tail) = text.split_at(text.len() - text.len() % CHUNK as usize);
    memory_equals_from(body, Read::Bytes, head, !head.is_empty(), exits)?;
    let Body { emitter, scratch, .. } = body;
    let buffer = scratch.buffer(emitter);
    let at = head.len() as i32;
    read_chunk(body, Read::Bytes, at, tail.len() + 1, !head.is_empty(), exits);
    let emitter = &mut body.emitter;
    let place = Place { base: R10, start: buffer.into(), room: CHUNK };
    equals(emitter, place, tail, exits.mismatched, "")?;
    let end = Insn::load(Width::B, R3, R10, buffer + tail.len() as i16);
    emitter.push(end, "what follows");
    emitter.jump(Insn::jump_imm(Compare::Eq, R3, 0, 0), exits.matched, "the end");
    emitter.push(Insn::load(Width::Dw, R3, R10, length), "");
    // At most 255.
    let longer = Insn::jump_imm(Compare::Ne, R3, text.len() as i32, 0);
    emitter.jump(longer, exits.mismatched, "longer");
    Ok(())
}

/// How memory is copied to the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// That many bytes of the record.
    Bytes,
    /// At most that many bytes of a string in the kernel, and a NUL.
    KernelText,
    /// The same in user space.
    UserText,
}

/// Compares the memory at r3 with `wanted`, at most 256 bytes; falls through if it is the same.
fn memory_equals(
    body: &mut Body,
    read: Read,
    wanted: &[u8],
    exits: Exits,
) -> Result<(), CodegenError> {
    memory_equals_from(body, read, wanted, wanted.len() > CHUNK as usize, exits)
}

/// The same; `keep` the address for more than one chunk.
fn memory_equals_from(
    body: &mut Body,
    read: Read,
    wanted: &[u8],
    keep: bool,
    exits: Exits,
) -> Result<(), CodegenError> {
    let Body { emitter, scratch, .. } = body;
    let buffer = scratch.buffer(emitter);
    if keep {
        let pointer = scratch.pointer(emitter);
        emitter.push(Insn::store_reg(Width::Dw, R10, pointer, R3), "keep the address");
    }
    for (idx, chunk) in wanted.chunks(CHUNK as usize).enumerate() {
        let at = idx as i32 * CHUNK.cast_signed();
        read_chunk(body, read, at, chunk.len(), keep && idx > 0, exits);
        let place = Place { base: R10, start: buffer.into(), room: CHUNK };
        equals(&mut body.emitter, place, chunk, exits.mismatched, "")?;
    }
    Ok(())
}

/// Copies `count` bytes from `at` on to the buffer, rounded up to whole words so that words can
/// be compared. The address is kept on the stack, or for the first chunk in r3.
fn read_chunk(body: &mut Body, read: Read, at: i32, count: usize, kept: bool, exits: Exits) {
    let Body { emitter, scratch, .. } = body;
    let buffer = scratch.buffer(emitter);
    if kept {
        let pointer = scratch.pointer(emitter);
        emitter.push(Insn::load(Width::Dw, R3, R10, pointer), "the next bytes");
        emitter.push(Insn::alu64_imm(Alu::Add, R3, at), "");
    }
    let nul = usize::from(read != Read::Bytes);
    // At most the buffer's 72 bytes.
    let size = (count + nul).next_multiple_of(8) as i32;
    address(emitter, R1, buffer, "");
    emitter.push(Insn::mov64_imm(R2, size), "");
    call_read(emitter, read, exits.missing);
}

/// r1 = buffer, r2 = size, r3 = address; goes to `missing` if it cannot be read.
pub(super) fn call_read(emitter: &mut Emitter, read: Read, missing: Label) {
    let (number, failed) = match read {
        Read::Bytes => (helper::PROBE_READ_KERNEL, Compare::Ne),
        Read::KernelText => (helper::PROBE_READ_KERNEL_STR, Compare::Slt),
        Read::UserText => (helper::PROBE_READ_USER_STR, Compare::Slt),
    };
    emitter.push(Insn::call(number), "");
    emitter.jump(Insn::jump_imm(failed, R0, 0, 0), missing, "not there");
}

/// `dst` = the address of a place on the stack.
pub(super) fn address(emitter: &mut Emitter, dst: Reg, place: i16, note: &str) {
    emitter.push(Insn::mov64_reg(dst, R10), note);
    emitter.push(Insn::alu64_imm(Alu::Add, dst, place.into()), "");
}

// --- words --------------------------------------------------------------------------------------

/// Where bytes can be loaded.
#[derive(Clone, Copy)]
struct Place {
    /// Its address is a multiple of 8.
    base: Reg,
    /// From the base, in bytes.
    start: i32,
    /// How many may be loaded.
    room: u32,
}

/// Falls through if the bytes at `place` are `wanted`. Loads are as wide as alignment and room
/// allow; what they bring too much is cut off. Destroys r3, r4.
fn equals(
    emitter: &mut Emitter,
    place: Place,
    wanted: &[u8],
    mismatched: Label,
    note: &str,
) -> Result<(), CodegenError> {
    let mut rest = wanted;
    let mut at = 0;
    while !rest.is_empty() {
        let offset = place.start + at;
        let width = load_width(offset, place.room - at.cast_unsigned(), rest.len());
        let count = rest.len().min(width as usize);
        let (bytes, behind) = rest.split_at(count);
        let mut word = [0; 8];
        word[..count].copy_from_slice(bytes);
        let shown = String::from_utf8_lossy(bytes).replace('\0', "\\0");
        let text = if at == 0 && !note.is_empty() { format!("{note}: ") } else { String::new() };
        let load = Insn::load(width_of(width), R3, place.base, slot(emitter, offset)?);
        emitter.push(load, format!("{text}\"{shown}\""));
        not_equal(emitter, u64::from_le_bytes(word), count, width, mismatched);
        rest = behind;
        at += width.cast_signed();
    }
    Ok(())
}

/// Goes to `mismatched` unless the low `count` bytes of r3, which holds `width`, are `word`.
fn not_equal(emitter: &mut Emitter, word: u64, count: usize, width: u32, mismatched: Label) {
    let spare = 64 - 8 * count as i32;
    let mut word = word;
    if (count as u32) < width && spare >= 40 {
        emitter.push(Insn::alu64_imm(Alu::And, R3, (1 << (64 - spare)) - 1), "only these");
    } else if (count as u32) < width {
        emitter.push(Insn::alu64_imm(Alu::Lsh, R3, spare), "only these");
        word <<= spare;
    }
    match i32::try_from(word) {
        Ok(short) => emitter.jump(Insn::jump_imm(Compare::Ne, R3, short, 0), mismatched, ""),
        Err(_) => {
            source::constant(emitter, word, R4, "");
            emitter.jump(Insn::jump_reg(Compare::Ne, R3, R4, 0), mismatched, "");
        }
    }
}

/// The widest load at `offset` that stays within `room` bytes and is not wider than needed.
fn load_width(offset: i32, room: u32, wanted: usize) -> u32 {
    let aligned = 1 << offset.trailing_zeros().min(3);
    let fits = 1 << room.max(1).ilog2();
    // At most 256.
    let needed = wanted.next_power_of_two() as u32;
    needed.min(aligned).min(fits)
}

fn width_of(bytes: u32) -> Width {
    Width::from_bytes(bytes).unwrap_or(Width::B)
}

/// An offset as an instruction holds it.
fn slot(emitter: &Emitter, offset: i32) -> Result<i16, CodegenError> {
    match u32::try_from(offset) {
        Ok(offset) => emitter.offset(offset),
        // On the stack, which has 512 bytes.
        Err(_) => Ok(offset as i16),
    }
}

/// Copies `size` bytes of the record, at most a chunk, to the buffer, and NULs behind them up to a
/// whole word. Gives the buffer.
pub(super) fn copy_bytes(
    body: &mut Body,
    offset: u32,
    size: u32,
    note: &str,
) -> Result<i16, CodegenError> {
    let Body { emitter, scratch, .. } = body;
    let buffer = scratch.buffer(emitter);
    copy_array(emitter, R1, (offset, size), buffer, note)?;
    Ok(buffer)
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

// --- sets of CPUs -------------------------------------------------------------------------------

/// Tests a set of CPUs in the record.
pub(super) fn cpumask(
    body: &mut Body,
    test: &CpumaskTest,
    goals: Goals,
) -> Result<(), CodegenError> {
    let emitter = &mut body.emitter;
    let exits =
        Exits { matched: emitter.label(), mismatched: emitter.label(), missing: emitter.label() };
    load_location(emitter, test.location, &format!("filter {}", test.label))?;
    match test.op {
        CpumaskOp::Equal => {
            let wanted: Vec<u8> = test.cpus.iter().flat_map(|word| word.to_le_bytes()).collect();
            memory_equals(body, Read::Bytes, &wanted, exits)?;
            body.emitter.jump(Insn::jump(0), exits.matched, "all of it");
        }
        CpumaskOp::Intersects => intersects(body, &test.cpus, exits),
    }
    finish(body, &[exits.matched], &[exits.mismatched, exits.missing], goals);
    Ok(())
}

/// Goes to `matched` at the first word that has one of `cpus`.
fn intersects(body: &mut Body, cpus: &[u64], exits: Exits) {
    let Body { emitter, scratch, .. } = body;
    let buffer = scratch.buffer(emitter);
    let per_chunk = (CHUNK / 8) as usize;
    let keep = cpus.len() > per_chunk;
    if keep {
        let pointer = scratch.pointer(emitter);
        emitter.push(Insn::store_reg(Width::Dw, R10, pointer, R3), "keep the address");
    }
    for (idx, chunk) in cpus.chunks(per_chunk).enumerate() {
        let at = idx as i32 * CHUNK.cast_signed();
        read_chunk(body, Read::Bytes, at, chunk.len() * 8, keep && idx > 0, exits);
        let emitter = &mut body.emitter;
        for (word, cpus) in chunk.iter().enumerate() {
            let load = Insn::load(Width::Dw, R3, R10, buffer + 8 * word as i16);
            emitter.push(load, "");
            source::constant(emitter, *cpus, R4, "");
            emitter.push(Insn::alu64_reg(Alu::And, R3, R4), "");
            emitter.jump(Insn::jump_imm(Compare::Ne, R3, 0, 0), exits.matched, "one of them");
        }
    }
    body.emitter.jump(Insn::jump(0), exits.mismatched, "none");
}
