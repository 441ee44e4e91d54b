//! Takes ops. Gives what is known of registers before each, and which are still wanted after it.

use super::ops::Op;
use crate::bpf::insn::{R10, Reg, helper};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State([Fact; REGISTERS], [Option<Word>; WORDS]);

impl State {
    /// What is known of `reg`; of r10 nothing needs to be known.
    pub(super) fn of(&self, reg: Reg) -> Fact {
        self.0.get(usize::from(reg)).copied().unwrap_or_default()
    }

    /// What is known of what `op` loads from the stack.
    pub(super) fn loaded(&self, op: &Op) -> Fact {
        if !op.insn.is_load64() || op.insn.src != R10 {
            return Fact::Unknown;
        }
        let offset = i32::from(op.insn.off);
        let mut words = self.1.iter().flatten();
        words.find(|word| word.0 == offset).map_or(Fact::Unknown, |word| word.1)
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
            match self.of(dst) {
                Fact::Address(offset) if insn.is_add64_imm() => Fact::Address(offset + insn.imm),
                _ => Fact::Unknown,
            }
        };
        if op.is_pure() && fact == Fact::Copy(dst) {
            return self;
        }
        self.store(op);
        for reg in registers(op.writes()) {
            self.set(reg, Fact::Unknown);
        }
        if op.is_pure() {
            self.set(dst, fact);
        }
        self
    }

    /// Keeps what `op` stores in a word, and forgets the words that it may change.
    fn store(&mut self, op: &Op) {
        let insn = op.insn;
        if insn.is_call() && !helper::leaves_memory(insn.imm) {
            self.1 = [None; WORDS];
        }
        if !insn.is_store() {
            return;
        }
        if insn.dst != R10 {
            // It may be a pointer to the stack.
            self.1 = [None; WORDS];
            return;
        }
        let offset = i32::from(insn.off);
        self.keep_words(|word| ((word.0 - offset).abs() >= WORD).then_some(word));
        if insn.is_store64_reg() {
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

    /// Copies of what `reg` held become copies of one of them.
    fn set(&mut self, reg: Reg, fact: Fact) {
        let mut heir = None;
        for (other, known) in (0..).zip(&mut self.0) {
            if *known == Fact::Copy(reg) {
                *known = heir.map_or(Fact::Unknown, Fact::Copy);
                heir = heir.or(Some(other));
            }
        }
        self.keep_words(|(offset, known)| match known {
            Fact::Copy(of) if of == reg => heir.map(|heir| (offset, Fact::Copy(heir))),
            known => Some((offset, known)),
        });
        self.0[usize::from(reg)] = fact;
    }

    /// What is known if either is the case.
    fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        for (fact, other) in both.0.iter_mut().zip(&other.0) {
            if fact != other {
                *fact = Fact::Unknown;
            }
        }
        both.keep_words(|word| other.1.contains(&Some(word)).then_some(word));
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
pub(super) fn states(ops: &[Op]) -> Vec<Option<State>> {
    let mut states = vec![None; ops.len()];
    if let Some(first) = states.first_mut() {
        *first = Some(State::default());
    }
    // Once is enough where no jump goes back, as in nearly all programs.
    while flow(ops, &mut states) {}
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

/// The offsets of words on the stack that only loads from r10 can read: they lie below every
/// address of the stack that is taken, where no pointer gets to.
pub(super) fn spills(ops: &[Op]) -> Vec<i32> {
    let lowest = ops.iter().filter_map(|op| op.address).min().unwrap_or(0);
    let is_odd = |op: &Op| op.insn.is_load() && op.insn.src != R10 && op.insn.off < 0;
    if ops.iter().any(is_odd) {
        return Vec::new();
    }
    let stores = ops.iter().filter(|op| op.insn.is_store64_reg() && op.insn.dst == R10);
    let mut offsets: Vec<i32> = stores.map(|op| i32::from(op.insn.off)).collect();
    offsets.retain(|offset| offset + WORD <= lowest);
    offsets.sort_unstable();
    offsets.dedup();
    offsets.truncate(SPILLS);
    offsets
}

/// The words that `op` reads any byte of, and the one that it overwrites.
fn spilled(op: &Op, spills: &[i32]) -> (Wanted, Wanted) {
    let (insn, offset) = (op.insn, i32::from(op.insn.off));
    let bits = |is_one: &dyn Fn(i32) -> bool| {
        let found = spills.iter().enumerate().filter(|(_, word)| is_one(**word));
        found.fold(0, |bits, (index, _)| bits | 1 << (FIRST_SPILL + index))
    };
    if insn.is_load() && insn.src == R10 {
        (bits(&|word| (word - offset).abs() < WORD), 0)
    } else if insn.is_store64_reg() && insn.dst == R10 {
        (0, bits(&|word| word == offset))
    } else {
        (0, 0)
    }
}

/// Whether what `op` does is for nothing, as far as that shows in `wanted`, its own.
pub(super) fn is_for_nothing(op: &Op, spills: &[i32], wanted: Wanted) -> bool {
    match spilled(op, spills).1 {
        0 => op.is_pure() && Wanted::from(op.writes()) & wanted == 0,
        word => word & wanted == 0,
    }
}

/// The registers and words that are wanted after each op.
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
    }
    after
}
