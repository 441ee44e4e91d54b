//! The loop that runs a [`Scan`] over a string.
//!
//! A loop is followed by the verifier byte by byte, and each place where its way is open costs
//! memory there. So nothing is asked at each byte: after a NUL the states take care of
//! themselves, and the answer is looked for once in eight bytes, by one jump if one word of states
//! is enough. r1 counts bytes, r4 holds that word.

use super::CodegenError;
use super::access::{self, Array, Base, TextAt};
use super::branch::{Body, Exits};
use super::chunk::{Read, call_read};
use super::emit::{Emitter, Label};
use super::record::LocationNotes;
use super::stack::{self, CHUNK};
use super::word::constant;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R5, R10, Reg, Width};
use crate::plan::scan::Scan;
use crate::resolve::hist::TextSource;

/// Looks for the answer whenever that many bytes have been looked at; a power of two.
const STRIDE: i32 = 8;
/// Bits of a word of states.
const WORD_BITS: usize = 64;
/// Bytes that a row of the table has for each word of states.
const ENTRY: i16 = 16;

/// Emits the loop; gives whether the string may be missing.
pub(super) fn scan(
    body: &mut Body,
    source: TextSource,
    scan: &Scan,
    exits: Exits,
    note: &str,
) -> Result<bool, CodegenError> {
    let begun = match whole(body, source, note)? {
        Some(buffer) => Begun::Whole(buffer),
        None => Begun::Stream(begin_stream(body, source, note)?),
    };
    let buffer = match &begun {
        Begun::Whole(buffer) => *buffer,
        Begun::Stream(_) => body.scratch.buffer(&mut body.emitter),
    };
    let automaton = Automaton::new(body, scan, buffer, exits);
    automaton.begin(&mut body.emitter);
    match &begun {
        Begun::Whole(_) => one_chunk(body, &automaton),
        Begun::Stream(stream) => all_chunks(body, &automaton, stream),
    }
    automaton.end(&mut body.emitter);
    Ok(matches!(begun, Begun::Stream(_)))
}

/// All of a short string on the stack; gives where.
fn whole(body: &mut Body, source: TextSource, note: &str) -> Result<Option<i16>, CodegenError> {
    let Body { emitter, scratch, .. } = body;
    let text = match source {
        TextSource::Field(text) => access::text(emitter, text.field)?,
        TextSource::Comm => TextAt::Comm,
        TextSource::Pointer { .. } => return Ok(None),
    };
    Ok(match text {
        TextAt::Comm => Some(stack::load_comm(emitter, scratch, note)),
        TextAt::Array(Array { base: Base::Stack(slot), .. }) => Some(slot),
        TextAt::Array(array) if array.size <= CHUNK => {
            array.base.load(emitter, R1, note)?;
            let buffer = scratch.buffer(emitter);
            stack::copy_array(emitter, R1, (array.start, array.size), buffer, note)?;
            Some(buffer)
        }
        _ => None,
    })
}

/// How the string is got at.
enum Begun {
    /// It is on the stack, at that place.
    Whole(i16),
    /// It is read into the buffer, a chunk at a time.
    Stream(Stream),
}

/// A string that is read chunk by chunk.
#[derive(Clone, Copy)]
struct Stream {
    read: Read,
    pointer: i16,
    position: i16,
    length: i16,
}

/// Keeps address and length.
fn begin_stream(body: &mut Body, source: TextSource, note: &str) -> Result<Stream, CodegenError> {
    let Body { emitter, scratch, .. } = body;
    let (mut read, mut has_length) = (Read::KernelText, false);
    match source {
        TextSource::Field(text) => {
            let text = access::text(emitter, text.field)?;
            has_length =
                access::text_address(emitter, &text, note, &LocationNotes::in_filter(note))?;
        }
        TextSource::Pointer { field, user } => {
            access::address(emitter, field, note)?;
            read = if user { Read::UserText } else { read };
        }
        TextSource::Comm => {}
    }
    if !has_length {
        let longest = emitter.limit(source).cast_signed();
        emitter.push(Insn::mov64_imm(R4, longest), "the longest that counts");
    }
    let stream = Stream {
        read,
        pointer: scratch.pointer(emitter),
        position: scratch.position(emitter),
        length: scratch.length(emitter),
    };
    // Older verifiers want memory written before a helper fills a part of unknown length.
    let buffer = scratch.buffer(emitter);
    for word in 0..=(CHUNK / 8) as i16 {
        emitter.push(Insn::store_imm(Width::Dw, R10, buffer + 8 * word, 0), "");
    }
    emitter.push(Insn::store_reg(Width::Dw, R10, stream.pointer, R3), "keep the address");
    emitter.push(Insn::store_reg(Width::Dw, R10, stream.length, R4), "keep the length");
    Ok(stream)
}

/// All of the string is in the buffer.
fn one_chunk(body: &mut Body, automaton: &Automaton<'_>) {
    let emitter = &mut body.emitter;
    let next_byte = emitter.label();
    emitter.push(Insn::mov64_imm(R1, 0), "the first byte");
    emitter.place(next_byte);
    automaton.step(emitter, R1);
    look_at_times(emitter, automaton, next_byte);
    let limit = automaton.scan.limit.cast_signed();
    emitter.jump(Insn::jump_imm(Compare::Lt, R1, limit, 0), next_byte, "the next bytes");
}

/// Reads whole chunks, then what is left of the string: were it one loop, the verifier would have
/// to follow both cases at each turn.
fn all_chunks(body: &mut Body, automaton: &Automaton<'_>, stream: &Stream) {
    let Body { emitter, .. } = body;
    let (next_chunk, next_byte, rest) = (emitter.label(), emitter.label(), emitter.label());
    let chunk = CHUNK.cast_signed();
    emitter.push(Insn::mov64_imm(R1, 0), "the first byte");
    emitter.place(next_chunk);
    emitter.push(Insn::store_reg(Width::Dw, R10, stream.position, R1), "how far we are");
    automaton.keep(emitter);
    emitter.push(Insn::load(Width::Dw, R2, R10, stream.length), "");
    emitter.push(Insn::mov64_reg(R3, R1), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R3, chunk), "");
    emitter.jump(Insn::jump_reg(Compare::Gt, R3, R2, 0), rest, "no whole chunk is left");
    emitter.push(Insn::load(Width::Dw, R3, R10, stream.pointer), "");
    emitter.push(Insn::alu64_reg(Alu::Add, R3, R1), "");
    emitter.push(Insn::mov64_imm(R2, chunk + 1), "a chunk and a NUL");
    stack::address(emitter, R1, automaton.buffer, "");
    call_read(emitter, stream.read, automaton.exits.missing);
    emitter.push(Insn::load(Width::Dw, R1, R10, stream.position), "");
    automaton.bring_back(emitter);
    emitter.place(next_byte);
    emitter.push(Insn::mov64_reg(R5, R1), "");
    emitter.push(Insn::alu64_imm(Alu::And, R5, chunk - 1), "its place in the chunk");
    automaton.step(emitter, R5);
    look_at_times(emitter, automaton, next_byte);
    emitter.push(Insn::mov64_reg(R5, R1), "");
    emitter.push(Insn::alu64_imm(Alu::And, R5, chunk - 1), "");
    emitter.jump(Insn::jump_imm(Compare::Ne, R5, 0, 0), next_byte, "more in this chunk");
    let limit = automaton.scan.limit.cast_signed();
    emitter.jump(Insn::jump_imm(Compare::Lt, R1, limit, 0), next_chunk, "the next chunk");
    emitter.jump(Insn::jump(0), automaton.known, "no more counts");
    emitter.place(rest);
    last_chunk(emitter, automaton, stream);
}

/// What whole chunks leave; the states are kept on the stack.
fn last_chunk(emitter: &mut Emitter, automaton: &Automaton<'_>, stream: &Stream) {
    let next_byte = emitter.label();
    let chunk = CHUNK.cast_signed();
    emitter.push(Insn::load(Width::Dw, R2, R10, stream.length), "");
    emitter.push(Insn::load(Width::Dw, R3, R10, stream.pointer), "");
    emitter.push(Insn::mov64_reg(R4, R2), "");
    emitter.push(Insn::alu64_imm(Alu::And, R4, -chunk), "behind the whole chunks");
    emitter.push(Insn::alu64_reg(Alu::Add, R3, R4), "");
    emitter.push(Insn::alu64_imm(Alu::And, R2, chunk - 1), "what is left");
    emitter.push(Insn::alu64_imm(Alu::Add, R2, 1), "and a NUL");
    stack::address(emitter, R1, automaton.buffer, "");
    call_read(emitter, stream.read, automaton.exits.missing);
    automaton.bring_back(emitter);
    emitter.push(Insn::mov64_imm(R1, 0), "its first byte");
    emitter.place(next_byte);
    automaton.step(emitter, R1);
    look_at_times(emitter, automaton, next_byte);
    emitter.jump(Insn::jump_imm(Compare::Lt, R1, chunk, 0), next_byte, "the next bytes");
}

/// Counts the byte; looks for the answer after every eighth.
fn look_at_times(emitter: &mut Emitter, automaton: &Automaton<'_>, next_byte: Label) {
    emitter.push(Insn::alu64_imm(Alu::Add, R1, 1), "");
    emitter.push(Insn::mov64_reg(R5, R1), "");
    emitter.push(Insn::alu64_imm(Alu::And, R5, STRIDE - 1), "");
    emitter.jump(Insn::jump_imm(Compare::Ne, R5, 0, 0), next_byte, "the next byte");
    automaton.look(emitter);
}

/// The states and what leads from one to the next.
struct Automaton<'a> {
    scan: &'a Scan,
    exits: Exits,
    buffer: i16,
    /// Where the table is among the constants.
    table: u32,
    /// The answer is known: a single word of states tells which.
    known: Label,
    /// Where the states are; a single word is in r4 while no helper runs.
    states: Vec<i16>,
}

impl<'a> Automaton<'a> {
    fn new(body: &mut Body, scan: &'a Scan, buffer: i16, exits: Exits) -> Self {
        let Body { emitter, scratch, .. } = body;
        Self {
            scan,
            exits,
            buffer,
            table: emitter.data(&scan.table()),
            known: emitter.label(),
            states: scratch.states(emitter, scan.words()),
        }
    }

    /// The state's word, and its bit therein.
    fn place(&self, state: usize) -> (i16, i32) {
        // A bit's number is below 64.
        (self.states[state / WORD_BITS], (state % WORD_BITS) as i32)
    }

    /// Nothing of the pattern is behind.
    fn begin(&self, emitter: &mut Emitter) {
        if let [_] = self.states[..] {
            emitter.push(Insn::mov64_imm(R4, 1), "nothing is behind");
            return;
        }
        for (idx, word) in self.states.iter().enumerate() {
            let states = i32::from(idx == 0);
            let note = if idx == 0 { "nothing is behind" } else { "" };
            emitter.push(Insn::store_imm(Width::Dw, R10, *word, states), note);
        }
    }

    /// Before a helper runs.
    fn keep(&self, emitter: &mut Emitter) {
        if let [word] = self.states[..] {
            emitter.push(Insn::store_reg(Width::Dw, R10, word, R4), "keep the states");
        }
    }

    /// After that.
    fn bring_back(&self, emitter: &mut Emitter) {
        if let [word] = self.states[..] {
            emitter.push(Insn::load(Width::Dw, R4, R10, word), "the states");
        }
    }

    /// Lets the byte at `index` of the buffer change the states. Keeps r1.
    fn step(&self, emitter: &mut Emitter, index: Reg) {
        stack::address(emitter, R2, self.buffer, "");
        emitter.push(Insn::alu64_reg(Alu::Add, R2, index), "");
        emitter.push(Insn::load(Width::B, R3, R2, 0), "a byte");
        let row = (ENTRY as usize * self.states.len()).trailing_zeros();
        emitter.push(Insn::alu64_imm(Alu::Lsh, R3, row.cast_signed()), "");
        emitter.push_data(R2, self.table, "its row");
        emitter.push(Insn::alu64_reg(Alu::Add, R2, R3), "");
        if let [_] = self.states[..] {
            emitter.push(Insn::load(Width::Dw, R5, R2, 0), "what goes on");
            emitter.push(Insn::alu64_reg(Alu::And, R5, R4), "");
            emitter.push(Insn::alu64_imm(Alu::Lsh, R5, 1), "");
            emitter.push(Insn::load(Width::Dw, R3, R2, ENTRY / 2), "what stays");
            emitter.push(Insn::alu64_reg(Alu::And, R4, R3), "");
            emitter.push(Insn::alu64_reg(Alu::Or, R4, R5), "");
        } else {
            // Down from the last, for each needs the one below as it was.
            (0..self.states.len()).rev().for_each(|idx| self.step_word(emitter, idx));
        }
    }

    fn step_word(&self, emitter: &mut Emitter, idx: usize) {
        // At most four words.
        let entry = idx as i16 * ENTRY;
        emitter.push(Insn::load(Width::Dw, R4, R10, self.states[idx]), "a word of states");
        emitter.push(Insn::load(Width::Dw, R5, R2, entry), "what goes on");
        emitter.push(Insn::alu64_reg(Alu::And, R5, R4), "");
        emitter.push(Insn::alu64_imm(Alu::Lsh, R5, 1), "");
        if idx > 0 {
            emitter.push(Insn::load(Width::Dw, R0, R10, self.states[idx - 1]), "from below");
            emitter.push(Insn::load(Width::Dw, R3, R2, entry - ENTRY), "");
            emitter.push(Insn::alu64_reg(Alu::And, R0, R3), "");
            emitter.push(Insn::alu64_imm(Alu::Rsh, R0, WORD_BITS as i32 - 1), "");
            emitter.push(Insn::alu64_reg(Alu::Or, R5, R0), "");
        }
        emitter.push(Insn::load(Width::Dw, R3, R2, entry + ENTRY / 2), "what stays");
        emitter.push(Insn::alu64_reg(Alu::And, R4, R3), "");
        emitter.push(Insn::alu64_reg(Alu::Or, R4, R5), "");
        emitter.push(Insn::store_reg(Width::Dw, R10, self.states[idx], R4), "");
    }

    /// Leaves the loop if the answer is known.
    fn look(&self, emitter: &mut Emitter) {
        if let [_] = self.states[..] {
            // Both ends at once: taking 1 from no state at all gives the largest number.
            let accepted = (1 << self.scan.accepted()) - 1;
            emitter.push(Insn::mov64_reg(R5, R4), "");
            emitter.push(Insn::alu64_imm(Alu::Add, R5, -1), "");
            constant(emitter, accepted, R3, "");
            let known = Insn::jump_reg(Compare::Ge, R5, R3, 0);
            emitter.jump(known, self.known, "all of the pattern, or no state left");
            return;
        }
        emitter.push(Insn::mov64_imm(R5, 0), "");
        for word in &self.states {
            emitter.push(Insn::load(Width::Dw, R4, R10, *word), "");
            emitter.push(Insn::alu64_reg(Alu::Or, R5, R4), "");
        }
        let none = Insn::jump_imm(Compare::Eq, R5, 0, 0);
        emitter.jump(none, self.exits.mismatched, "no state is left");
        self.is_reached(emitter, self.scan.accepted());
    }

    /// The string is over: all parts must be behind.
    fn end(&self, emitter: &mut Emitter) {
        emitter.place(self.known);
        let last = self.scan.last();
        self.is_reached(emitter, last);
        if self.place(last).0 != self.place(last + 1).0 {
            self.is_reached(emitter, last + 1);
        }
        emitter.jump(Insn::jump(0), self.exits.mismatched, "not all of the pattern");
    }

    /// Goes to `matched` if that state or a later one of its word is reached.
    fn is_reached(&self, emitter: &mut Emitter, state: usize) {
        let (word, bit) = self.place(state);
        match self.states[..] {
            [_] => emitter.push(Insn::mov64_reg(R5, R4), "all of the pattern?"),
            _ => emitter.push(Insn::load(Width::Dw, R5, R10, word), "all of the pattern?"),
        }
        emitter.push(Insn::alu64_imm(Alu::Rsh, R5, bit), "");
        emitter.jump(Insn::jump_imm(Compare::Ne, R5, 0, 0), self.exits.matched, "yes");
    }
}
