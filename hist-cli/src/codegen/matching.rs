//! Tests of strings and of sets of CPUs.
//!
//! A pattern that stands at a known place of a string is compared word by word: in the record
//! itself where it lies there, else in a copy on the stack. All others are left to [`scan`].

use super::CodegenError;
use super::access::{self, Array, Base, TextAt};
use super::branch::{Body, Exits, Goals, jump_unless_next};
use super::chunk::{Place, Read, call_read, equals};
use super::emit::{Emitter, Label};
use super::record::LocationNotes;
use super::scan;
use super::stack::{self, CHUNK};
use super::word::constant;
use crate::bpf::insn::{Alu, Compare, Insn, R1, R2, R3, R4, R10, Width};
use crate::resolve::hist::COMM_SIZE;
use crate::resolve::hist::{CpumaskOp, CpumaskTest, Pattern, TextSource, TextTest};

/// Deciding it takes the register that holds the context: all but comparing there does.
pub(super) fn loses_context(emitter: &Emitter, test: &TextTest) -> bool {
    in_context(emitter, test).is_none() || literal(test).is_none()
}

/// The array in the context that holds the string, if one does.
fn in_context(emitter: &Emitter, test: &TextTest) -> Option<Array> {
    let TextSource::Field(text) = test.source else { return None };
    match access::text(emitter, text.field) {
        Ok(TextAt::Array(array)) => Some(array).filter(Array::is_in_context),
        _ => None,
    }
}

/// Tests a string.
pub(super) fn text(body: &mut Body, test: &TextTest, goals: Goals) -> Result<(), CodegenError> {
    let note = format!("filter {}", test.label);
    if let (Some(array), Some(wanted)) = (in_context(&body.emitter, test), literal(test)) {
        let goals = if test.negated { goals.swapped() } else { goals };
        array_equals(&mut body.emitter, &array, &wanted, goals.no, &note)?;
        jump_unless_next(&mut body.emitter, goals.yes, goals, "yes");
        return Ok(());
    }
    let emitter = &mut body.emitter;
    let exits =
        Exits { matched: emitter.label(), mismatched: emitter.label(), missing: emitter.label() };
    let may_miss = match body.emitter.scan_of(test) {
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
    let Body { emitter, saved, .. } = body;
    first.0.iter().for_each(|label| emitter.place(*label));
    saved.restore(emitter);
    emitter.jump(Insn::jump(0), first.1, if goals.next == goals.yes { "no" } else { "yes" });
    last.iter().for_each(|label| emitter.place(*label));
    saved.restore(emitter);
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
    let wanted = literal(test).unwrap_or_default();
    let may_miss = match test.source {
        TextSource::Field(text) => match access::text(&body.emitter, text.field)? {
            TextAt::Array(array) => {
                array_equals(&mut body.emitter, &array, &wanted, exits.mismatched, note)?;
                false
            }
            TextAt::Comm => comm_equals(body, &wanted, exits, note)?,
            located @ TextAt::Located { .. } => {
                access::text_address(
                    &mut body.emitter,
                    &located,
                    note,
                    &LocationNotes::in_filter(note),
                )?;
                located_literal(body, &test.pattern, exits)?;
                true
            }
            behind @ TextAt::Behind(_) => {
                access::text_address(
                    &mut body.emitter,
                    &behind,
                    note,
                    &LocationNotes::in_filter(note),
                )?;
                memory_equals(body, Read::KernelText, &wanted, exits)?;
                true
            }
        },
        TextSource::Pointer { field, user } => {
            access::address(&mut body.emitter, field, note)?;
            let read = if user { Read::UserText } else { Read::KernelText };
            memory_equals(body, read, &wanted, exits)?;
            true
        }
        TextSource::Comm => comm_equals(body, &wanted, exits, note)?,
    };
    body.emitter.jump(Insn::jump(0), exits.matched, "all of it");
    Ok(may_miss)
}

/// Falls through if the current thread's name is as wanted; it cannot be missing.
fn comm_equals(
    body: &mut Body,
    wanted: &[u8],
    exits: Exits,
    note: &str,
) -> Result<bool, CodegenError> {
    let buffer = stack::load_comm(&mut body.emitter, &mut body.scratch, note);
    let wanted = &wanted[..wanted.len().min(COMM_SIZE as usize)];
    let place = Place { base: R10, start: buffer.into(), room: COMM_SIZE };
    equals(&mut body.emitter, place, wanted, exits.mismatched, "")?;
    Ok(false)
}

/// Falls through if the array begins as wanted.
fn array_equals(
    emitter: &mut Emitter,
    Array { base, start, size }: &Array,
    wanted: &[u8],
    mismatched: Label,
    note: &str,
) -> Result<(), CodegenError> {
    let wanted = &wanted[..wanted.len().min(*size as usize)];
    let start = start.cast_signed();
    let (place, note) = match base {
        Base::Context => (Place { base: R1, start, room: *size }, note),
        Base::Stack(slot) => {
            (Place { base: R10, start: start + i32::from(*slot), room: *size }, note)
        }
        Base::Pointer(_) => {
            base.load(emitter, R1, note)?;
            (Place { base: R1, start, room: *size }, "")
        }
    };
    equals(emitter, place, wanted, mismatched, note)
}

/// r3 = where the string is, r4 = its length. That counts the NUL, so it says where a suffix must be.
fn located_literal(body: &mut Body, pattern: &Pattern, exits: Exits) -> Result<(), CodegenError> {
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
        _ => located_exact(body, text, exits),
    }
}

/// Behind the text there is a NUL, or nothing.
fn located_exact(body: &mut Body, text: &[u8], exits: Exits) -> Result<(), CodegenError> {
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
    stack::address(emitter, R1, buffer, "");
    emitter.push(Insn::mov64_imm(R2, size), "");
    call_read(emitter, read, exits.missing);
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
    access::cpumask(
        emitter,
        test.field,
        &LocationNotes::in_filter(&format!("filter {}", test.label)),
    )?;
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
            constant(emitter, *cpus, R4, "");
            emitter.push(Insn::alu64_reg(Alu::And, R3, R4), "");
            emitter.jump(Insn::jump_imm(Compare::Ne, R3, 0, 0), exits.matched, "one of them");
        }
    }
    body.emitter.jump(Insn::jump(0), exits.mismatched, "none");
}
