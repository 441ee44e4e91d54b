//! Finds out what registers and words on the stack hold before each op, and which of them are
//! wanted after it.
//!
//! Both are right on every way through the program: where ways meet, only what holds on all of
//! them is known, and what any of them wants is wanted.

use super::guard::{Guard, only_if};
use super::ops::Op;
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Insn, R10, Reg};

/// Registers besides the frame pointer.
const REGISTERS: usize = 10;

/// What is known of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fact {
    /// Nothing.
    #[default]
    Unknown,
    /// It holds what that register holds, of which nothing else is known.
    Copy(Reg),
    /// It is that number.
    Constant(i32),
    /// It is r10 plus so many bytes.
    Address(i32),
}

/// Words on the stack of which something can be known.
const WORDS: usize = 4;
/// Bytes of a word.
const WORD: i32 = 8;

/// A word on the stack, by its offset from r10.
type Word = (i32, Fact);

/// What is known at one place of registers, and of words on the stack.
///
/// A copy is always one of a register of which nothing is known: what is copied has no original
/// itself. So a register that changes takes no more with it than its own copies. Words that are
/// known do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State([Fact; REGISTERS], [Option<Word>; WORDS]);

impl State {
    /// What is known of `reg`; of r10 nothing needs to be known.
    pub(super) fn of(&self, reg: Reg) -> Fact {
        self.0.get(usize::from(reg)).copied().unwrap_or_default()
    }

    /// What is known of what `op` loads from the stack.
    pub(super) fn loaded(&self, op: &Op) -> Fact {
        let insn = op.insn;
        let is_of_stack = insn.is_load()
            && only_if(Guard::LoadIsWhole, insn.is_load64())
            && only_if(Guard::LoadIsFromFrame, insn.src == R10);
        if !is_of_stack {
            return Fact::Unknown;
        }
        let is_it = |word: &&Word| only_if(Guard::LoadIsOfWord, word.0 == i32::from(insn.off));
        self.1.iter().flatten().find(is_it).map_or(Fact::Unknown, |word| word.1)
    }

    /// The address that `insn` makes of the one in its register, as an offset from r10.
    pub(super) fn sum(&self, insn: Insn) -> Option<i32> {
        match self.of(insn.dst) {
            Fact::Address(offset) => offset.checked_add(insn.imm),
            _ => None,
        }
    }

    /// Some register holds a copy of what `reg` holds.
    pub(super) fn has_copy(&self, reg: Reg) -> bool {
        self.0.contains(&Fact::Copy(reg))
    }

    /// The state once `op` is done.
    pub(super) fn after(mut self, op: &Op) -> Self {
        let (insn, dst) = (op.insn, op.insn.dst);
        let fact = if let Some(offset) = op.address {
            Fact::Address(offset)
        } else if insn.is_mov64_reg() {
            match self.of(insn.src) {
                Fact::Unknown => Fact::Copy(insn.src),
                fact => fact,
            }
        } else if insn.is_mov64_imm() {
            Fact::Constant(insn.imm)
        } else if insn.is_load() {
            self.loaded(op)
        } else {
            let is_sum = only_if(Guard::SumIsOfAddress, insn.is_add64_imm());
            self.sum(insn).filter(|_| is_sum).map_or(Fact::Unknown, Fact::Address)
        };
        // It holds that already, and all its copies stay ones.
        if !only_if(Guard::CopyIsOfAnother, fact != Fact::Copy(dst)) {
            return self;
        }
        self.store(op);
        if op.is_pure() {
            self.set(dst, fact);
        } else if !(only_if(Guard::CallKeepsRegisters, !insn.is_call())
            && only_if(Guard::AtomicKeepsRegisters, !insn.is_atomic()))
        {
            registers(op.writes()).for_each(|reg| self.set(reg, Fact::Unknown));
        }
        self
    }

    /// Keeps what `op` stores in a word, and forgets the words that it may change.
    fn store(&mut self, op: &Op) {
        let insn = op.insn;
        let leaves_memory = !insn.is_call() || helper::leaves_memory(insn.imm);
        if !only_if(Guard::CallLeavesMemory, leaves_memory) {
            self.1 = [None; WORDS];
        }
        if !insn.is_store() {
            return;
        }
        if !only_if(Guard::StoreIsToFrame, insn.dst == R10) {
            // It may be a pointer to the stack.
            self.1 = [None; WORDS];
            return;
        }
        let offset = i32::from(insn.off);
        self.keep_words(|word| {
            let is_elsewhere = (word.0 - offset).abs() >= WORD;
            only_if(Guard::StoreIsElsewhere, is_elsewhere).then_some(word)
        });
        if only_if(Guard::StoreIsWhole, insn.is_store64_reg()) {
            let fact = match self.of(insn.src) {
                Fact::Unknown => Fact::Copy(insn.src),
                fact => fact,
            };
            if let Some(free) = self.1.iter_mut().find(|word| word.is_none()) {
                *free = Some((offset, fact));
                self.sort_words();
            }
        }
    }

    /// Makes of each word what `keep` says.
    fn keep_words(&mut self, keep: impl Fn(Word) -> Option<Word>) {
        let before = self.1;
        self.1 = before.map(|word| word.and_then(&keep));
        if self.1 != before {
            self.sort_words();
        }
    }

    /// States that say the same are the same.
    fn sort_words(&mut self) {
        self.1.sort_unstable_by_key(|word| word.map(|word| word.0));
    }

    /// Copies of what `reg` held become copies of one of them, of which nothing else is known.
    fn set(&mut self, reg: Reg, fact: Fact) {
        let mut heir = None;
        for (other, known) in (0..).zip(&mut self.0) {
            if !only_if(Guard::CopiedIsUnchanged, *known != Fact::Copy(reg)) {
                *known = heir.map_or(Fact::Unknown, Fact::Copy);
                heir = heir.or(Some(other));
            }
        }
        self.keep_words(|(offset, known)| match known {
            Fact::Copy(of) if !only_if(Guard::KeptIsUnchanged, of != reg) => {
                heir.map(|heir| (offset, Fact::Copy(heir)))
            }
            known => Some((offset, known)),
        });
        self.0[usize::from(reg)] = fact;
    }

    /// What is known if either is the case. A copy that stays has an original of which nothing is
    /// known either way.
    fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        for (fact, other) in both.0.iter_mut().zip(&other.0) {
            if !only_if(Guard::RegisterIsSameOnBothWays, fact == other) {
                *fact = Fact::Unknown;
            }
        }
        both.keep_words(|word| {
            let is_same = other.1.contains(&Some(word));
            only_if(Guard::WordIsSameOnBothWays, is_same).then_some(word)
        });
        both
    }
}

/// The registers of a set.
pub(super) fn registers(set: u16) -> impl Iterator<Item = Reg> {
    (0..R10).filter(move |reg| set & 1 << reg != 0)
}

/// The ops that may come after that one.
pub(super) fn successors(ops: &[Op], index: usize) -> impl Iterator<Item = usize> {
    let op = &ops[index];
    let next = (!op.insn.is_exit() && !op.insn.is_goto()).then_some(index + 1);
    next.into_iter().chain(op.target)
}

/// What is known before each op; `None` if it is never reached.
///
/// It begins with more than may be true and takes away what some way through the program refutes,
/// until no way does. A state only ever loses facts, so that comes to an end.
pub(super) fn states(ops: &[Op]) -> Vec<Option<State>> {
    let mut states = vec![None; ops.len()];
    if let Some(first) = states.first_mut() {
        *first = Some(State::default());
    }
    // Once is enough where no jump goes back, as in nearly all programs.
    while !only_if(Guard::LoopChangesNothing, !flow(ops, &mut states)) {}
    states
}

/// Carries what is known before each op to those that come after it. Says whether that changed
/// something for one that it has been past.
fn flow(ops: &[Op], states: &mut [Option<State>]) -> bool {
    let mut goes_back = false;
    for index in 0..ops.len() {
        let Some(state) = states[index] else { continue };
        let after = state.after(&ops[index]);
        for successor in successors(ops, index).filter(|index| *index < ops.len()) {
            let known = states[successor];
            let merged = known.map_or(after, |known: State| known.meet(&after));
            goes_back |= successor <= index && known != Some(merged);
            states[successor] = Some(merged);
        }
    }
    goes_back
}

/// Registers, one bit for each, and above them the first [`SPILLS`] words of [`spills`].
pub(super) type Wanted = u64;

/// The bit of the first word.
const FIRST_SPILL: usize = 16;
/// How many words are followed.
const SPILLS: usize = 48;

/// The offsets of words on the stack that only ops with r10 as their base can read: they lie below
/// every address of the stack that is taken, and no pointer moves down from where it is taken.
///
/// Stores may get there nevertheless. They are no reason to take a word for unwanted, so they do
/// no harm.
pub(super) fn spills(ops: &[Op]) -> Vec<i32> {
    let lowest = ops.iter().filter_map(|op| op.address).min().unwrap_or(0);
    if !only_if(Guard::LoadGoesUp, !ops.iter().any(reads_below_pointer))
        || !only_if(Guard::PointerMovesUp, !moves_down(ops))
    {
        return Vec::new();
    }
    words_of(ops.iter().filter(|op| {
        let is_below = i32::from(op.insn.off) + WORD <= lowest;
        op.insn.is_store64_reg()
            && op.insn.dst == R10
            && only_if(Guard::SpillIsBelowAddresses, is_below)
    }))
}

/// Whether it reads what lies below the address in a register, as an atomic operation does, too.
const fn reads_below_pointer(op: &Op) -> bool {
    let insn = op.insn;
    let is_read = insn.is_load() && insn.src != R10 || insn.is_atomic() && insn.dst != R10;
    is_read && insn.off < 0
}

/// Whether something else is done to a pointer to the stack than to copy it, or to add a register
/// or a constant that is not negative. That registers added to one are not is a rule of generated
/// code and templates: there they are indices.
fn moves_down(ops: &[Op]) -> bool {
    let pointers = pointers(ops);
    ops.iter().zip(pointers).any(|(op, pointers)| {
        let insn = op.insn;
        let is_sum = insn == Insn::alu64_reg(Alu::Add, insn.dst, insn.src);
        let is_known = insn.is_mov64_reg() || is_sum || insn.is_add64_imm() && insn.imm >= 0;
        op.is_pure() && !insn.is_load() && !is_known && Wanted::from(op.reads()) & pointers != 0
    })
}

/// The registers that may hold a pointer to the stack before each op, one bit for each, and above
/// them the words of the stack that may.
fn pointers(ops: &[Op]) -> Vec<Wanted> {
    let stores = ops.iter().filter(|op| op.insn.is_store64_reg() && op.insn.dst == R10);
    let words = words_of(stores);
    let (mut before, mut kept) = (vec![0; ops.len()], Kept { words, ..Kept::default() });
    let mut changed = true;
    while changed {
        changed = false;
        for (index, op) in ops.iter().enumerate() {
            let held = before[index];
            let after = kept.after(op, held);
            changed |= kept.notes(op, held);
            for next in successors(ops, index).filter(|next| *next < ops.len()) {
                changed |= after & !before[next] != 0;
                before[next] |= after;
            }
        }
    }
    before
}

/// The words that `stores` fill, as far as there are bits for them.
fn words_of<'op>(stores: impl Iterator<Item = &'op Op>) -> Vec<i32> {
    let mut offsets: Vec<i32> = stores.map(|op| i32::from(op.insn.off)).collect();
    offsets.sort_unstable();
    offsets.dedup();
    offsets.truncate(SPILLS);
    offsets
}

/// Where pointers to the stack may be in memory, besides the words that are followed.
#[derive(Debug, Default)]
struct Kept {
    /// The words that are followed, by their offsets from r10.
    words: Vec<i32>,
    /// Anywhere on the stack.
    on_stack: bool,
    /// Anywhere.
    beyond: bool,
}

impl Kept {
    /// What may hold a pointer after `op` if `held` may before it.
    fn after(&self, op: &Op, held: Wanted) -> Wanted {
        let insn = op.insn;
        let is_made = op.address.is_some()
            || self.is_read(insn, held)
            || op.is_pure() && !insn.is_load() && Wanted::from(op.reads()) & held != 0;
        let written = Wanted::from(op.writes());
        let stored = self.stored(insn);
        let made = if is_made { written } else { 0 };
        let kept = if held & 1 << insn.src == 0 { 0 } else { stored };
        held & !(written | stored) | made | kept
    }

    /// The bit of the word that `insn` fills from a register.
    fn stored(&self, insn: Insn) -> Wanted {
        if insn.is_store64_reg() && insn.dst == R10 {
            spill_bits(&self.words, |word| word == i32::from(insn.off))
        } else {
            0
        }
    }

    /// Notes that `op` keeps a pointer where it is not followed, and says whether that is new.
    fn notes(&mut self, op: &Op, held: Wanted) -> bool {
        let insn = op.insn;
        let is_kept = insn.is_store() && insn.has_source() && held & 1 << insn.src != 0;
        if !is_kept || self.stored(insn) != 0 {
            return false;
        }
        let is_to_stack = insn.dst == R10 || held & 1 << insn.dst != 0;
        let place = if is_to_stack { &mut self.on_stack } else { &mut self.beyond };
        !std::mem::replace(place, true)
    }

    /// Whether `insn` may load one.
    fn is_read(&self, insn: Insn, held: Wanted) -> bool {
        let base = if insn.is_load64() {
            insn.src
        } else if insn.is_atomic() {
            insn.dst
        } else {
            return false;
        };
        let near = |word: i32| (word - i32::from(insn.off)).abs() < WORD;
        let all = |_: i32| true;
        let is_on_stack = if base == R10 {
            self.on_stack || held & spill_bits(&self.words, near) != 0
        } else {
            held & 1 << base != 0 && (self.on_stack || held & spill_bits(&self.words, all) != 0)
        };
        self.beyond || is_on_stack
    }
}

/// The bits of those of `words` that are such.
fn spill_bits(words: &[i32], is_one: impl Fn(i32) -> bool) -> Wanted {
    let found = words.iter().enumerate().filter(|(_, word)| is_one(**word));
    found.fold(0, |bits, (index, _)| bits | 1 << (FIRST_SPILL + index))
}

/// The words that `op` reads any byte of, and the one that it overwrites.
fn spilled(op: &Op, spills: &[i32]) -> (Wanted, Wanted) {
    let (insn, offset) = (op.insn, i32::from(op.insn.off));
    let is_touched =
        |word: i32| !only_if(Guard::LoadWantsOverlapped, (word - offset).abs() >= WORD);
    let is_atomic = !only_if(Guard::AtomicWantsWord, !insn.is_atomic());
    if insn.is_load() && insn.src == R10 || is_atomic && insn.dst == R10 {
        (spill_bits(spills, is_touched), 0)
    } else if insn.is_store()
        && insn.dst == R10
        && only_if(Guard::SpillIsWhole, insn.is_store64_reg())
    {
        (0, spill_bits(spills, |word| only_if(Guard::SpillIsToWord, word == offset)))
    } else {
        (0, 0)
    }
}

/// Whether what `op` does is for nothing, as far as that shows in `wanted`, its own.
pub(super) fn is_for_nothing(op: &Op, spills: &[i32], wanted: Wanted) -> bool {
    match spilled(op, spills).1 {
        0 => {
            only_if(Guard::OpIsPure, op.is_pure())
                && only_if(Guard::RegisterIsUnwanted, Wanted::from(op.writes()) & wanted == 0)
        }
        word => only_if(Guard::SpillIsUnwanted, word & wanted == 0),
    }
}

/// The registers and words that are wanted after each op.
///
/// It begins with nothing and adds what some way through the program reads, until no way does.
pub(super) fn wanted(ops: &[Op], spills: &[i32]) -> Vec<Wanted> {
    let mut before = vec![0; ops.len() + 1];
    let mut after = vec![0; ops.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for index in (0..ops.len()).rev() {
            let op = &ops[index];
            after[index] = successors(ops, index).fold(0, |all, next| all | before[next]);
            let (loaded, stored) = spilled(op, spills);
            let (read, written) = (Wanted::from(op.reads()), Wanted::from(op.writes()));
            let wanted = after[index] & !(written | stored) | read | loaded;
            changed |= wanted != before[index];
            before[index] = wanted;
        }
        changed = !only_if(Guard::LoopWantsNothing, !changed);
    }
    after
}
