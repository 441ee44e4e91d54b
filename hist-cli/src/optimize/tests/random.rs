//! Makes valid programs of numbers: the same numbers give the same program, and fewer or smaller
//! ones a simpler one.
//!
//! What registers and words of the stack hold is followed as the verifier does it: a number, the
//! block of memory that r1 points to at the start, or an address on the stack. Nothing is read that
//! has not been written, and what an address is, as a number, has no influence on anything.

use std::collections::BTreeMap;

use super::machine::{INPUTS, OUTPUTS, STACK, UNKNOWN, operation};
use super::{PLACE, program_of};
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R5, R6, R10, Reg, Width};
use crate::link::{HoleRoom, Program, ProgramLine, Reference, Target};

/// A program and how to look at what it does.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) program: Program,
    /// Which outputs are addresses on the stack.
    pub(super) addresses: [bool; OUTPUTS],
}

/// What a register or a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// Nothing that may be read.
    Unset,
    /// A number that has nothing to do with an address.
    Number,
    /// The address of the block.
    Block,
    /// An address on the stack, between these offsets from r10.
    Stack(i32, i32),
}

impl Type {
    fn is_pointer(self) -> bool {
        matches!(self, Self::Block | Self::Stack(..))
    }

    fn meet(self, other: Self) -> Self {
        match (self, other) {
            (same, other) if same == other => same,
            (Self::Stack(low, high), Self::Stack(other_low, other_high)) => {
                Self::Stack(low.min(other_low), high.max(other_high))
            }
            _ => Self::Unset,
        }
    }
}

/// What is known at one place. Words that are not there hold numbers.
#[derive(Clone, Debug)]
struct Types {
    regs: [Type; 10],
    words: BTreeMap<i32, Type>,
}

impl Types {
    fn word(&self, offset: i32) -> Type {
        self.words.get(&offset).copied().unwrap_or(Type::Number)
    }

    fn meet(&mut self, other: &Self) {
        for (reg, other) in self.regs.iter_mut().zip(other.regs) {
            *reg = reg.meet(other);
        }
        for offset in words(-i32::from(STACK), 0) {
            let met = self.word(offset).meet(other.word(offset));
            self.words.insert(offset, met);
        }
    }
}

/// The words that have a byte from `low` up to `high`.
fn words(low: i32, high: i32) -> impl Iterator<Item = i32> {
    (low.div_euclid(8)..(high + 7).div_euclid(8)).map(|word| word * 8)
}

/// A jump's target, before it is known.
type Label = usize;

/// Constants, most of them such that comparing with them may go either way.
const NUMBERS: [i32; 10] = [0, 1, 2, 5, -1, 8, -8, 255, i32::MIN, i32::MAX];

/// The word that always has the block's address.
const HOME: i32 = -(STACK as i32);
/// Where the room of a hole begins, its size, and what is used of it.
const ROOM: (i32, i32, i32) = (-64, 32, 8);

pub(super) struct Generator<'tape> {
    tape: std::slice::Iter<'tape, u16>,
    lines: Vec<ProgramLine>,
    references: Vec<Reference>,
    jumps: Vec<(usize, Label)>,
    /// The slot of each.
    labels: Vec<Option<usize>>,
    types: Types,
    /// Registers that must stay what they are, one bit for each: loops need them.
    locked: u16,
    /// Loops around what is being made.
    loops: usize,
    /// Blocks within blocks.
    depth: usize,
    /// No address below it is taken.
    floor: i32,
    /// Pointers may move down, and loads go down from them.
    goes_down: bool,
    has_room: bool,
    hole: Option<&'static str>,
    /// Words that most accesses of the stack are to.
    hot: [i32; 2],
}

/// The program of these numbers.
pub(super) fn case(tape: &[u16]) -> Case {
    let mut generator = Generator::new(tape);
    generator.begin();
    while generator.tape.len() > 0 && generator.lines.len() < 150 {
        generator.statement();
    }
    generator.end()
}

impl<'tape> Generator<'tape> {
    fn new(tape: &'tape [u16]) -> Self {
        let mut regs = [Type::Unset; 10];
        regs[usize::from(R1)] = Type::Block;
        Self {
            tape: tape.iter(),
            lines: Vec::new(),
            references: Vec::new(),
            jumps: Vec::new(),
            labels: Vec::new(),
            types: Types { regs, words: BTreeMap::new() },
            locked: 0,
            loops: 0,
            depth: 0,
            floor: 0,
            goes_down: false,
            has_room: false,
            hole: None,
            hot: [-8, -16],
        }
    }

    /// One of `count`: the first if there are no numbers left.
    fn pick(&mut self, count: usize) -> usize {
        usize::from(self.tape.next().copied().unwrap_or(0)) % count
    }

    /// Once in `count` times.
    fn rarely(&mut self, count: usize) -> bool {
        self.pick(count) == count - 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.pick(choices.len())]) }
    }

    fn push(&mut self, insn: Insn) {
        let note = String::new();
        self.lines.push(ProgramLine { insn, hole: self.hole, note });
    }

    fn label(&mut self) -> Label {
        self.labels.push(None);
        self.labels.len() - 1
    }

    fn place(&mut self, label: Label) {
        self.labels[label] = Some(self.lines.len());
    }

    fn jump(&mut self, insn: Insn, label: Label) {
        self.jumps.push((self.lines.len(), label));
        self.push(insn);
    }

    fn set(&mut self, reg: Reg, type_: Type) {
        self.types.regs[usize::from(reg)] = type_;
    }

    fn type_of(&self, reg: Reg) -> Type {
        self.types.regs[usize::from(reg)]
    }

    fn regs(&self, is_one: impl Fn(Type) -> bool) -> Vec<Reg> {
        (0..R10).filter(|reg| is_one(self.type_of(*reg))).collect()
    }

    fn number(&mut self) -> Option<Reg> {
        let regs = self.regs(|type_| type_ == Type::Number);
        self.of(&regs)
    }

    fn block(&mut self) -> Option<Reg> {
        let regs = self.regs(|type_| type_ == Type::Block);
        self.of(&regs)
    }

    /// A register that may be written.
    fn free(&mut self) -> Option<Reg> {
        let regs: Vec<_> = (0..R10).filter(|reg| self.locked & 1 << reg == 0).collect();
        self.of(&regs)
    }

    fn is_locked(&self, reg: Reg) -> bool {
        self.locked & 1 << reg != 0
    }

    fn width(&mut self) -> Width {
        [Width::Dw, Width::W, Width::B, Width::H][self.pick(4)]
    }

    fn constant(&mut self) -> i32 {
        NUMBERS[self.pick(NUMBERS.len())]
    }

    /// `r1` goes to its word, and some of the stack gets values.
    fn begin(&mut self) {
        self.floor = [-16, -32, -16, -48, -72, 0, -96][self.pick(7)];
        self.hot = std::array::from_fn(|_| -8 * (1 + self.pick(11) as i32));
        self.goes_down = self.rarely(4);
        self.has_room = self.rarely(6);
        if self.has_room {
            self.floor = self.floor.min(ROOM.0);
        }
        self.push(Insn::store_reg(Width::Dw, R10, HOME as i16, R1));
        self.types.words.insert(HOME, Type::Block);
        for offset in words(HOME + 8, 0) {
            // What is there at the start moves along with a room only if it is written.
            if self.is_allowed(offset, offset + 8) && (self.has_room || self.rarely(3)) {
                self.push(Insn::store_imm(Width::Dw, R10, offset as i16, 0x1000 - offset));
            }
        }
        let holes = if self.has_room { 1 + self.pick(2) } else { 0 };
        for _ in 0..holes {
            self.filled_hole();
        }
    }

    /// What stands in the place of a hole, with the address of the room before it.
    fn filled_hole(&mut self) {
        self.push(Insn::mov64_reg(R2, R10));
        self.push(Insn::alu64_imm(Alu::Add, R2, ROOM.0));
        self.set(R2, Type::Stack(ROOM.0, ROOM.0));
        self.hole = Some(PLACE);
        self.push(Insn::mov64_imm(R0, 0));
        self.set(R0, Type::Number);
        for _ in 0..=self.pick(4) {
            self.statement();
        }
        self.hole = None;
    }

    /// The stack has such bytes, and a room does not leave them unused.
    fn is_allowed(&self, low: i32, high: i32) -> bool {
        let (start, size, used) = ROOM;
        let is_unused = self.has_room && low < start + size && high > start + used;
        low >= HOME && high <= 0 && !is_unused
    }

    /// Whether the bytes from `low` up to `high` may be read as a number.
    fn is_number(&self, low: i32, high: i32) -> bool {
        self.is_allowed(low, high)
            && words(low, high).all(|word| self.types.word(word) == Type::Number)
    }

    /// Whether a number may be written there. Words of loops that hold addresses stay.
    fn may_change(&self, low: i32, high: i32) -> bool {
        let is_free =
            |word| word != HOME && (self.loops == 0 || self.types.word(word) == Type::Number);
        self.is_allowed(low, high) && words(low, high).all(is_free)
    }

    /// A number is written there, perhaps: words that it fills are numbers, others not more than
    /// before.
    fn change(&mut self, low: i32, high: i32) {
        for word in words(low, high) {
            let is_filled = low <= word && word + 8 <= high;
            if is_filled {
                self.types.words.insert(word, Type::Number);
            } else if self.types.word(word).is_pointer() {
                self.types.words.insert(word, Type::Unset);
            }
        }
    }

    /// The offset of one of the upper `count` words.
    fn word(&mut self, count: usize) -> i32 {
        match self.pick(4) {
            0 => -8 * (1 + self.pick(count) as i32),
            index => self.hot[index % 2].max(-8 * count as i32),
        }
    }

    /// The offset of `bytes` bytes on the stack, mostly aligned.
    fn offset(&mut self, bytes: i32) -> i32 {
        let word = self.word(12);
        let within = if bytes < 8 { self.pick(8) as i32 } else { 0 };
        let odd = [0, 0, 0, 0, 4, -4][self.pick(6)];
        (word + within / bytes * bytes + odd).clamp(HOME, -bytes)
    }

    fn statement(&mut self) {
        match self.pick(38) {
            0 | 1 => self.mov_constant(),
            2..=4 => self.mov(),
            5 | 6 => self.arithmetic(),
            7 => self.wide(),
            8..=10 => self.load_stack(),
            11..=13 => self.store_stack(),
            14 => self.store_constant(),
            15 | 16 => self.address(),
            17 => self.add_to_pointer(),
            18 | 19 => self.load_pointer(),
            20 => self.store_pointer(),
            21 => self.load_input(),
            22 => self.store_output(),
            23 | 24 => self.call(),
            25 => self.atomic(),
            26 | 27 => self.branch(),
            28 => self.repeat(),
            29 => self.leave(),
            30 => self.answer(),
            31 => self.spared(),
            32 => {
                self.either_address();
            }
            33..=36 => self.spill(),
            _ => self.reach_down(),
        }
    }

    fn mov_constant(&mut self) {
        let Some(dst) = self.free() else { return };
        let number = self.constant();
        let is_short = self.rarely(4);
        self.push(if is_short {
            Insn::mov32_imm(dst, number)
        } else {
            Insn::mov64_imm(dst, number)
        });
        self.set(dst, Type::Number);
    }

    fn mov(&mut self) {
        let sources = self.regs(|type_| type_ != Type::Unset);
        let (Some(src), Some(dst)) = (self.of(&sources), self.free()) else { return };
        self.push(Insn::mov64_reg(dst, src));
        self.set(dst, self.type_of(src));
    }

    fn arithmetic(&mut self) {
        let Some(dst) = self.number().filter(|dst| !self.is_locked(*dst)) else { return };
        let Some(src) = self.number() else { return };
        let op = Alu::ALL[self.pick(Alu::ALL.len())];
        let (is_short, has_source) = (self.rarely(3), self.rarely(2) && op != Alu::Neg);
        let number = if op == Alu::Neg { 0 } else { self.constant() };
        self.push(match (is_short, has_source) {
            (false, false) => Insn::alu64_imm(op, dst, number),
            (false, true) => Insn::alu64_reg(op, dst, src),
            (true, false) => Insn::alu32_imm(op, dst, number),
            (true, true) => Insn::alu32_reg(op, dst, src),
        });
    }

    /// A constant of 64 bits, or a reference that becomes one.
    fn wide(&mut self) {
        let Some(dst) = self.free() else { return };
        let number = self.pick(5) as u32;
        let slot = self.lines.len();
        if self.rarely(2) {
            let target = Target::Data { section: String::new(), offset: 7 + number };
            self.references.push(Reference { slot, target });
            Insn::ld_imm64(dst, 0).into_iter().for_each(|insn| self.push(insn));
        } else {
            let insns = Insn::ld_imm64(dst, u64::from(number) << 31);
            insns.into_iter().for_each(|insn| self.push(insn));
        }
        self.set(dst, Type::Number);
    }

    fn load_stack(&mut self) {
        let Some(dst) = self.free() else { return };
        let width = self.width();
        let bytes = (width.bits() / 8) as i32;
        let offset = self.offset(bytes);
        let type_ = if self.is_number(offset, offset + bytes) {
            Type::Number
        } else if bytes == 8 && offset % 8 == 0 && self.is_allowed(offset, offset + 8) {
            self.types.word(offset)
        } else {
            return;
        };
        if type_ == Type::Unset {
            return;
        }
        self.push(Insn::load(width, dst, R10, offset as i16));
        self.set(dst, type_);
    }

    fn store_stack(&mut self) {
        let sources = self.regs(|type_| type_ != Type::Unset);
        let Some(src) = self.of(&sources) else { return };
        let is_pointer = self.type_of(src).is_pointer();
        let width = if is_pointer { Width::Dw } else { self.width() };
        let bytes = (width.bits() / 8) as i32;
        let offset = self.offset(bytes);
        if !self.may_change(offset, offset + bytes) {
            return;
        }
        if is_pointer && (offset % 8 != 0 || self.loops > 0) {
            return;
        }
        self.push(Insn::store_reg(width, R10, offset as i16, src));
        self.change(offset, offset + bytes);
        if is_pointer {
            self.types.words.insert(offset, self.type_of(src));
        }
    }

    fn store_constant(&mut self) {
        let width = self.width();
        let bytes = (width.bits() / 8) as i32;
        let (offset, number) = (self.offset(bytes), self.constant());
        if self.may_change(offset, offset + bytes) {
            self.push(Insn::store_imm(width, R10, offset as i16, number));
            self.change(offset, offset + bytes);
        }
    }

    /// An offset that an address may have.
    fn taken(&mut self) -> Option<i32> {
        let words = -self.floor / 8;
        if words == 0 {
            return None;
        }
        let offset = self.word(words as usize);
        self.is_allowed(offset, offset + 8).then_some(offset)
    }

    fn address(&mut self) {
        let (Some(dst), Some(offset)) = (self.free(), self.taken()) else { return };
        self.push(Insn::mov64_reg(dst, R10));
        // What stands between has nothing to do with it.
        let other = self.free().filter(|other| *other != dst && *other != R0 && dst != R0);
        if let (Some(other), true) = (other, self.rarely(4)) {
            let number = self.constant();
            self.push(Insn::mov64_imm(other, number));
            self.set(other, Type::Number);
        }
        self.push(Insn::alu64_imm(Alu::Add, dst, offset));
        self.set(dst, Type::Stack(offset, offset));
    }

    /// A register with an address on the stack.
    fn pointer(&mut self) -> Option<(Reg, i32, i32)> {
        let regs = self.regs(|type_| matches!(type_, Type::Stack(..)));
        let reg = self.of(&regs)?;
        match self.type_of(reg) {
            Type::Stack(low, high) => Some((reg, low, high)),
            _ => None,
        }
    }

    /// One of two addresses: which one only shows when the program runs.
    fn either_address(&mut self) -> Option<(Reg, i32, i32)> {
        let (dst, one, other) = (self.free()?, self.taken()?, self.taken()?);
        let comparison = self.comparison()?;
        if self.has_room && (one < ROOM.0 + ROOM.2) != (other < ROOM.0 + ROOM.2) {
            return None;
        }
        let (second, end) = (self.label(), self.label());
        self.jump(comparison, second);
        self.push(Insn::mov64_reg(dst, R10));
        self.push(Insn::alu64_imm(Alu::Add, dst, one));
        self.jump(Insn::jump(0), end);
        self.place(second);
        self.push(Insn::mov64_reg(dst, R10));
        self.push(Insn::alu64_imm(Alu::Add, dst, other));
        self.place(end);
        let (low, high) = (one.min(other), one.max(other));
        self.set(dst, Type::Stack(low, high));
        Some((dst, low, high))
    }

    /// A number is kept on the stack while something happens to its word, or close to it.
    fn spill(&mut self) {
        let offset = self.word(11);
        let Some(src) = self.number() else { return };
        if !self.may_change(offset, offset + 8) {
            return;
        }
        self.push(Insn::store_reg(Width::Dw, R10, offset as i16, src));
        self.change(offset, offset + 8);
        match self.pick(6) {
            0 => self.statement(),
            1 => {
                let (width, number) = (self.width(), self.constant());
                let bytes = (width.bits() / 8) as i32;
                let at = offset + [0, 4, -4, 0][self.pick(4)];
                if self.may_change(at, at + bytes) && self.is_number(at, at + bytes) {
                    self.push(Insn::store_imm(width, R10, at as i16, number));
                }
            }
            2 => {
                self.either_address();
                self.store_pointer();
            }
            3 => self.hand_over(offset),
            4 => self.spill_again(offset),
            _ => self.atomic(),
        }
        let (width, dst) = (self.width(), self.free());
        let at = offset + [0, 0, 0, 4][self.pick(4)];
        if let Some(dst) = dst
            && self.is_number(at, at + (width.bits() / 8) as i32)
        {
            self.push(Insn::load(width, dst, R10, at as i16));
            self.set(dst, Type::Number);
        }
    }

    /// A helper writes the word.
    fn hand_over(&mut self, offset: i32) {
        if (R0..=R5).any(|reg| self.is_locked(reg)) || offset < self.floor {
            return;
        }
        self.push(Insn::mov64_reg(R1, R10));
        self.push(Insn::alu64_imm(Alu::Add, R1, offset));
        self.set(R1, Type::Stack(offset, offset));
        [R2, R3, R4, R5].into_iter().for_each(|reg| self.argument(reg));
        self.push(Insn::call(UNKNOWN));
        self.set(R0, Type::Number);
        (R1..=R5).for_each(|reg| self.set(reg, Type::Unset));
    }

    /// Perhaps another number is kept in the word.
    fn spill_again(&mut self, offset: i32) {
        let (Some(comparison), Some(src)) = (self.comparison(), self.number()) else { return };
        let end = self.label();
        self.jump(comparison, end);
        self.push(Insn::store_reg(Width::Dw, R10, offset as i16, src));
        self.place(end);
    }

    /// Reads a word below an address that is not known, by a pointer, and writes it anew.
    fn reach_down(&mut self) {
        let below = -8 * (1 + self.pick(2) as i32);
        if !self.goes_down || self.floor == 0 {
            return;
        }
        let Some((reg, low, high)) = self.either_address() else { return };
        let Some(src) = self.number() else { return };
        let (low, high) = (low + below, high + below);
        if !self.may_change(low, high + 8) || !self.is_number(low, high + 8 - below) {
            return;
        }
        for word in words(low, high + 8) {
            self.push(Insn::store_reg(Width::Dw, R10, word as i16, src));
        }
        if self.rarely(2) {
            self.push(Insn::alu64_imm(Alu::Add, reg, below));
            self.push(Insn::load(Width::Dw, reg, reg, 0));
        } else {
            self.push(Insn::load(Width::Dw, reg, reg, below as i16));
        }
        self.set(reg, Type::Number);
        for word in words(low, high + 8) {
            self.push(Insn::store_reg(Width::Dw, R10, word as i16, src));
        }
    }

    fn add_to_pointer(&mut self) {
        let Some((reg, low, high)) = self.pointer() else { return };
        let by = [0, 8, 4, 16, -8, -16][self.pick(if self.goes_down { 6 } else { 4 })];
        let (low, high) = (low + by, high + by);
        let from = (low - by).min(low);
        if !self.is_locked(reg) && self.is_allowed(from, (high - by).max(high) + 8) {
            self.push(Insn::alu64_imm(Alu::Add, reg, by));
            self.set(reg, Type::Stack(low, high));
        }
    }

    /// A pointer to `bytes` bytes, and how far from it they are.
    fn access(&mut self, bytes: i32) -> Option<(Reg, i32, i32, i16)> {
        let (reg, low, high) = self.pointer()?;
        let off = [0, 8, 4, 1, -8, -16][self.pick(if self.goes_down { 6 } else { 4 })];
        let within = self.is_allowed(low.min(low + off), (high + off).max(high) + bytes);
        within.then_some((reg, low + off, high + off + bytes, off as i16))
    }

    fn load_pointer(&mut self) {
        let width = self.width();
        let Some(dst) = self.free() else { return };
        let Some((src, low, high, off)) = self.access((width.bits() / 8) as i32) else { return };
        let type_ = if self.is_number(low, high) {
            Type::Number
        } else if width == Width::Dw && high - low == 8 && low % 8 == 0 {
            self.types.word(low)
        } else {
            return;
        };
        if type_ != Type::Unset {
            self.push(Insn::load(width, dst, src, off));
            self.set(dst, type_);
        }
    }

    fn store_pointer(&mut self) {
        let width = self.width();
        let Some(src) = self.number() else { return };
        let Some((dst, low, high, off)) = self.access((width.bits() / 8) as i32) else { return };
        // It may write any of them, or not.
        if self.may_change(low, high) && self.is_number(low, high) {
            let number = self.constant();
            let is_constant = self.rarely(3);
            self.push(if is_constant {
                Insn::store_imm(width, dst, off, number)
            } else {
                Insn::store_reg(width, dst, off, src)
            });
        }
    }

    fn load_input(&mut self) {
        let (Some(src), Some(dst)) = (self.block(), self.free()) else { return };
        let (width, word) = (self.width(), self.pick(INPUTS));
        self.push(Insn::load(width, dst, src, 8 * word as i16));
        self.set(dst, Type::Number);
    }

    /// What can be seen from outside, in the order in which it happens.
    fn store_output(&mut self) {
        let (Some(dst), Some(src)) = (self.block(), self.number()) else { return };
        let (width, word) = (self.width(), self.pick(8));
        self.push(Insn::store_reg(width, dst, output(word), src));
    }

    fn call(&mut self) {
        if (R1..=R5).chain([R0]).any(|reg| self.is_locked(reg)) {
            return;
        }
        // Which, and the arguments that are pointers: how much of the stack they are to, and
        // whether it is written.
        let (number, pointers, numbers): (_, &[_], &[_]) = match self.pick(6) {
            0 => (helper::KTIME_GET_NS, &[], &[]),
            1 => (helper::GET_CURRENT_COMM, &[(R1, 16, true)], &[]),
            2 => (helper::PROBE_READ_KERNEL, &[(R3, 8, false), (R1, 8, true)], &[R2]),
            3 => (helper::MAP_LOOKUP_ELEM, &[(R2, 8, false)], &[R1]),
            4 => (helper::MAP_UPDATE_ELEM, &[(R2, 8, false), (R3, 8, false)], &[R1, R4]),
            _ => (UNKNOWN, &[(R1, 8, true)], &[R2, R3, R4, R5]),
        };
        if !pointers.iter().all(|(reg, bytes, is_written)| self.point(*reg, *bytes, *is_written)) {
            return;
        }
        numbers.iter().for_each(|reg| self.argument(*reg));
        // The size, as the kernel wants it.
        if number == helper::GET_CURRENT_COMM {
            self.push(Insn::mov64_imm(R2, 16));
        }
        self.push(Insn::call(number));
        self.set(R0, Type::Number);
        (R1..=R5).for_each(|reg| self.set(reg, Type::Unset));
    }

    /// Has `reg` point to that many bytes, which are numbers or will be.
    fn point(&mut self, reg: Reg, bytes: i32, is_written: bool) -> bool {
        let is_right = |this: &Self, low: i32, high: i32| {
            let is_number = this.is_number(low, high + bytes);
            is_number && (!is_written || this.may_change(low, high + bytes))
        };
        if let (Some((found, low, high)), true) = (self.pointer(), self.rarely(2))
            && is_right(self, low, high)
        {
            self.push(Insn::mov64_reg(reg, found));
            self.set(reg, Type::Stack(low, high));
            return true;
        }
        let Some(offset) = self.taken().filter(|offset| is_right(self, *offset, *offset)) else {
            return false;
        };
        self.push(Insn::mov64_reg(reg, R10));
        self.push(Insn::alu64_imm(Alu::Add, reg, offset));
        self.set(reg, Type::Stack(offset, offset));
        true
    }

    /// Gives `reg` a number.
    fn argument(&mut self, reg: Reg) {
        match self.number() {
            Some(number) => self.push(Insn::mov64_reg(reg, number)),
            None => self.push(Insn::mov64_imm(reg, 3)),
        }
        self.set(reg, Type::Number);
    }

    fn atomic(&mut self) {
        let Some(src) = self.number() else { return };
        let imm = [operation::ADD, operation::FETCH_ADD, operation::EXCHANGE, operation::COMPARE]
            [self.pick(4)];
        let is_short = self.rarely(3) && imm != operation::COMPARE;
        let written = match imm {
            operation::ADD => None,
            operation::COMPARE => Some(R0),
            _ => Some(src),
        };
        if written.is_some_and(|reg| self.is_locked(reg) || self.type_of(reg) != Type::Number) {
            return;
        }
        let (dst, low, high, off) = if self.rarely(2) {
            let Some(found) = self.access(8) else { return };
            found
        } else {
            let offset = self.offset(8);
            (R10, offset, offset + 8, offset as i16)
        };
        if dst == src || !self.is_number(low, high) || !self.may_change(low, high) {
            return;
        }
        let insn = Insn { imm, ..Insn::atomic_add64(dst, off, src) };
        // Without the bit of the width, it is one of 32 bits.
        self.push(Insn { opcode: insn.opcode & if is_short { !0x18 } else { !0 }, ..insn });
    }

    /// A comparison; the jump is taken if it holds.
    fn comparison(&mut self) -> Option<Insn> {
        let (dst, src) = (self.number()?, self.number()?);
        let op = Compare::ALL[self.pick(Compare::ALL.len())];
        let number = self.constant();
        Some(match self.pick(6) {
            0..=3 => Insn::jump_imm(op, dst, number, 0),
            4 => Insn::jump32_imm(op, dst, number, 0),
            _ if self.rarely(2) => Insn::jump_reg(op, dst, src, 0),
            _ => Insn::jump32_reg(op, dst, src, 0),
        })
    }

    fn statements(&mut self) {
        self.depth += 1;
        for _ in 0..=self.pick(4) {
            self.statement();
        }
        self.depth -= 1;
    }

    /// `if a { … } else { … }`, or one of both.
    fn branch(&mut self) {
        if self.depth >= 3 {
            return;
        }
        let Some(comparison) = self.comparison() else { return };
        let (other, end) = (self.label(), self.label());
        self.jump(comparison, other);
        let before = self.types.clone();
        if !self.rarely(4) {
            self.statements();
        }
        let has_other = self.rarely(2);
        if has_other {
            self.jump(Insn::jump(0), end);
            let then = std::mem::replace(&mut self.types, before);
            self.place(other);
            self.statements();
            self.types.meet(&then);
        } else {
            self.place(other);
            self.types.meet(&before);
        }
        self.place(end);
    }

    /// Some statements, up to three times. What is an address stays one.
    fn repeat(&mut self) {
        if self.depth >= 2 || self.loops >= 2 {
            return;
        }
        let Some(counter) = [R6, R6 + 1, R6 + 2]
            .into_iter()
            .find(|reg| !self.is_locked(*reg) && !self.type_of(*reg).is_pointer())
        else {
            return;
        };
        let times = 1 + self.pick(3) as i32;
        self.push(Insn::mov64_imm(counter, times));
        self.set(counter, Type::Number);
        let locked = self.locked;
        // Calls are made in some loops only: there, nothing is in the registers that they change.
        if self.rarely(2) && (R0..=R5).all(|reg| !self.is_locked(reg)) {
            (R0..=R5).for_each(|reg| self.set(reg, Type::Unset));
        } else {
            self.locked |= 1 << R1;
        }
        let kept = self.regs(Type::is_pointer);
        self.locked |= kept.into_iter().fold(1 << counter, |kept, reg| kept | 1 << reg);
        let head = self.types.clone();
        let start = self.label();
        self.place(start);
        self.loops += 1;
        self.statements();
        self.loops -= 1;
        for reg in (0..R10).filter(|reg| head.regs[usize::from(*reg)] == Type::Number) {
            if self.type_of(reg) != Type::Number {
                self.push(Insn::mov64_imm(reg, 9));
                self.set(reg, Type::Number);
            }
        }
        self.push(Insn::alu64_imm(Alu::Add, counter, -1));
        self.jump(Insn::jump_imm(Compare::Ne, counter, 0, 0), start);
        self.locked = locked;
    }

    /// An exit, or a jump over what is never reached.
    fn leave(&mut self) {
        let end = self.label();
        let before = self.types.clone();
        if let (true, Some(comparison)) = (self.rarely(2), self.comparison()) {
            self.jump(comparison, end);
            if self.type_of(R0) != Type::Number || self.rarely(2) {
                let number = self.constant();
                self.push(Insn::mov64_imm(R0, number));
            }
            self.push(Insn::exit());
        } else {
            self.jump(Insn::jump(0), end);
        }
        if self.depth < 3 && self.rarely(2) {
            self.statements();
        }
        self.types = before;
        self.place(end);
    }

    /// What a filter does: its answer is a constant on each way, and is tested where they meet.
    fn answer(&mut self) {
        if self.is_locked(R0) {
            return;
        }
        let Some(comparison) = self.comparison() else { return };
        let (no, tested, end) = (self.label(), self.label(), self.label());
        let (yes_is, no_is) = (self.constant(), self.constant());
        self.jump(comparison, no);
        self.push(Insn::mov64_imm(R0, yes_is));
        self.jump(Insn::jump(0), tested);
        self.place(no);
        self.push(Insn::mov64_imm(R0, no_is));
        self.place(tested);
        self.set(R0, Type::Number);
        let (op, number) = (Compare::ALL[self.pick(Compare::ALL.len())], self.constant());
        self.jump(Insn::jump_imm(op, R0, number, 0), end);
        let before = self.types.clone();
        if self.depth < 3 {
            self.statements();
        }
        self.types.meet(&before);
        self.place(end);
    }

    /// A value that takes r1 from the context for a while.
    fn spared(&mut self) {
        if self.type_of(R1) == Type::Unset || self.is_locked(R1) {
            return;
        }
        let keepers: Vec<_> = (0..R10).filter(|reg| *reg != R1 && !self.is_locked(*reg)).collect();
        let Some(keeper) = self.of(&keepers) else { return };
        let is_skipped = self.rarely(2);
        if is_skipped && let Some(number) = self.number() {
            self.push(Insn::mov64_reg(R1, number));
            self.set(R1, Type::Number);
        }
        self.push(Insn::mov64_reg(keeper, R1));
        self.set(keeper, self.type_of(R1));
        if let (true, Some(comparison)) = (is_skipped, self.comparison()) {
            let end = self.label();
            self.jump(comparison, end);
            let before = self.types.clone();
            self.mov_to_r1();
            self.types.meet(&before);
            self.place(end);
        } else {
            self.mov_to_r1();
        }
        for _ in 0..=self.pick(4) {
            self.statement();
        }
        if self.type_of(keeper) != Type::Unset {
            self.push(Insn::mov64_reg(R1, keeper));
            self.set(R1, self.type_of(keeper));
        }
    }

    fn mov_to_r1(&mut self) {
        let others = self.regs(|type_| type_ != Type::Unset);
        let others: Vec<_> = others.into_iter().filter(|reg| *reg != R1).collect();
        match (self.pick(4), self.of(&others), self.block().filter(|reg| *reg != R1)) {
            (1, Some(src), _) => {
                self.push(Insn::mov64_reg(R1, src));
                self.set(R1, self.type_of(src));
            }
            (2, _, Some(src)) => {
                self.push(Insn::load(Width::Dw, R1, src, 8));
                self.set(R1, Type::Number);
            }
            _ => {
                self.push(Insn::mov64_imm(R1, 5));
                self.set(R1, Type::Number);
            }
        }
    }

    /// Puts what registers and the stack hold, or some of it, where it can be seen.
    fn end(mut self) -> Case {
        let mut addresses = [false; OUTPUTS];
        let base = self.block().unwrap_or_else(|| {
            self.push(Insn::load(Width::Dw, R0, R10, HOME as i16));
            self.set(R0, Type::Block);
            R0
        });
        let sees_all = self.rarely(2);
        for reg in (0..R10).filter(|reg| *reg != base) {
            let is_address = matches!(self.type_of(reg), Type::Stack(..));
            let is_seen = sees_all || self.rarely(2);
            // Where an address is, may change with the frame.
            if is_seen && self.type_of(reg) != Type::Unset && !(is_address && self.has_room) {
                addresses[8 + usize::from(reg)] = is_address;
                self.push(Insn::store_reg(Width::Dw, base, output(8 + usize::from(reg)), reg));
            }
        }
        let by = if base == R3 { R4 } else { R3 };
        for (index, offset) in words(HOME + 8, 0).enumerate() {
            let type_ = self.types.word(offset);
            let is_address = matches!(type_, Type::Stack(..));
            let is_there = type_ != Type::Unset && self.is_allowed(offset, offset + 8);
            let is_seen = sees_all || self.rarely(2);
            if is_seen && is_there && !(is_address && self.has_room) {
                addresses[20 + index] = is_address;
                self.push(Insn::load(Width::Dw, by, R10, offset as i16));
                self.push(Insn::store_reg(Width::Dw, base, output(20 + index), by));
            }
        }
        if self.type_of(R0) != Type::Number || self.rarely(2) {
            self.push(Insn::mov64_imm(R0, 0));
        }
        self.push(Insn::exit());
        for (slot, label) in self.jumps {
            let target = self.labels[label].expect("every label is placed");
            self.lines[slot].insn.off = (target as i64 - slot as i64 - 1) as i16;
        }
        let (start, size, used) = ROOM;
        debug_assert!(start + size <= 0 && used <= size);
        let room = HoleRoom { hole: PLACE, size: size as u32, used: used as u32 };
        let rooms = if self.has_room { vec![room] } else { vec![] };
        let program = Program { references: self.references, rooms, ..program_of(self.lines) };
        Case { program, addresses }
    }
}

/// Where in the block an output is.
fn output(word: usize) -> i16 {
    8 * (INPUTS + word) as i16
}
