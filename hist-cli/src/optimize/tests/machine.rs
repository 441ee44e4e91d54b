//! Runs programs in rbpf, and lets them end with all that they did in one block of memory.
//!
//! rbpf's own helpers leave r1 to r5 as they are and cannot touch the stack without `unsafe`, and it
//! knows no atomic instructions. So helpers are functions in eBPF here, and what rbpf lacks is done
//! in a few instructions after the program's end.

use crate::bpf::helper;
use crate::bpf::insn::{
    Alu, Compare, Insn, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Reg, Width,
};
use crate::link::{Program, Target};

/// Words of the block that the program reads.
pub(super) const INPUTS: usize = 16;
/// Words of the block that the program writes.
pub(super) const OUTPUTS: usize = 48;
/// The word in which helpers keep what they have been called with.
const LOG: usize = INPUTS + OUTPUTS;
/// The word that has r10.
const FRAME: usize = LOG + 1;
/// The word that is not 0 if the program runs on and on.
const OVERRUN: usize = FRAME + 1;
/// Words of the block.
const WORDS: usize = OVERRUN + 1;

/// How often a program may jump back.
const JUMPS_BACK: i32 = 1000;

/// Bytes of stack that programs use; what they are before is known.
pub(super) const STACK: i16 = 96;
/// Where the work after the program's end keeps registers.
const SAVED: i16 = -504;
const OLD: i16 = -496;
/// Where it counts jumps back.
const COUNT: i16 = -488;

/// A helper that nothing is known of. Here it writes r2 to where r1 points.
pub(super) const UNKNOWN: i32 = 9999;

/// What helpers there are, as functions: their results in r0.
const HELPERS: [(i32, &[Insn]); 6] = [
    (helper::KTIME_GET_NS, &[Insn::mov64_imm(R0, 0x0abc_def1)]),
    (
        helper::GET_CURRENT_COMM,
        &[
            Insn::store_imm(Width::Dw, R1, 0, 0x6b73_6174),
            Insn::store_imm(Width::Dw, R1, 8, 0x31),
            Insn::mov64_imm(R0, 0),
        ],
    ),
    (
        helper::PROBE_READ_KERNEL,
        &[
            Insn::load(Width::Dw, R0, R3, 0),
            Insn::store_reg(Width::Dw, R1, 0, R0),
            Insn::alu64_reg(Alu::Add, R0, R2),
        ],
    ),
    (
        helper::MAP_LOOKUP_ELEM,
        &[Insn::load(Width::Dw, R0, R2, 0), Insn::alu64_reg(Alu::Add, R0, R1)],
    ),
    (
        helper::MAP_UPDATE_ELEM,
        &[
            Insn::load(Width::Dw, R0, R2, 0),
            Insn::alu64_imm(Alu::Mul, R0, 3),
            Insn::load(Width::Dw, R5, R3, 0),
            Insn::alu64_reg(Alu::Add, R0, R5),
            Insn::alu64_reg(Alu::Xor, R0, R1),
            Insn::alu64_reg(Alu::Add, R0, R4),
        ],
    ),
    (
        UNKNOWN,
        &[
            Insn::store_reg(Width::Dw, R1, 0, R2),
            Insn::mov64_reg(R0, R3),
            Insn::alu64_imm(Alu::Mul, R0, 5),
            Insn::alu64_reg(Alu::Add, R0, R4),
            Insn::alu64_imm(Alu::Mul, R0, 7),
            Insn::alu64_reg(Alu::Xor, R0, R5),
        ],
    ),
];

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// r0 at the exit.
    pub(super) result: u64,
    /// What it wrote.
    pub(super) outputs: [u64; OUTPUTS],
    /// What helpers were called with and gave, in order.
    pub(super) log: u64,
    /// r10.
    pub(super) frame: u64,
}

/// A block of memory that stays where it is, so that pointers to it are always the same.
pub(super) struct Machine {
    block: Vec<u8>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { block: vec![0; WORDS * 8] }
    }

    /// Runs the program with r1 pointing to the inputs.
    ///
    /// # Errors
    /// What the kernel or rbpf has against it.
    pub(super) fn run(
        &mut self,
        program: &Program,
        inputs: &[u64; INPUTS],
    ) -> Result<Outcome, String> {
        let mut insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
        for reference in &program.references {
            if let Target::Data { offset, .. } = reference.target {
                let insn = insns.get_mut(reference.slot).filter(|insn| insn.is_wide());
                insn.ok_or("a reference of what is no ld_imm64")?.imm = offset.cast_signed();
            }
        }
        check(&insns)?;
        let log = self.block[LOG * 8..].as_ptr().expose_provenance() as u64;
        let code: Vec<u8> = assemble(&insns, log).into_iter().flat_map(Insn::encode).collect();
        self.block.fill(0);
        for (bytes, input) in self.block.chunks_exact_mut(8).zip(inputs) {
            bytes.copy_from_slice(&input.to_le_bytes());
        }
        let vm = rbpf::EbpfVmRaw::new(Some(&code)).map_err(|error| format!("{error:?}"))?;
        let result = vm.execute_program(&mut self.block).map_err(|error| format!("{error:?}"))?;
        let word = |index: usize| {
            let bytes = self.block[index * 8..].first_chunk().expect("a word");
            u64::from_le_bytes(*bytes)
        };
        if word(OVERRUN) != 0 {
            return Err("it does not end".into());
        }
        let outputs = std::array::from_fn(|index| word(INPUTS + index));
        Ok(Outcome { result, outputs, log: word(LOG), frame: word(FRAME) })
    }
}

/// What the verifier says of fields that have no meaning, and of r10.
fn check(insns: &[Insn]) -> Result<(), String> {
    for (slot, insn) in insns.iter().enumerate() {
        if slot > 0 && insns[slot - 1].is_wide() {
            continue;
        }
        let has_src = insn.has_source() || insn.is_wide();
        let has_dst = !insn.is_goto() && !insn.is_call() && !insn.is_exit();
        let is_clean = (has_src || insn.src == 0) && (has_dst || insn.dst == 0);
        if !is_clean || insn.writes() == Some(R10) {
            return Err(format!("slot {slot}: {insn:?}"));
        }
    }
    Ok(())
}

/// The program with what surrounds it.
fn assemble(insns: &[Insn], log: u64) -> Vec<Insn> {
    let mut code =
        vec![Insn::mov64_reg(R2, R10), Insn::store_reg(Width::Dw, R1, (FRAME * 8) as i16, R2)];
    code.extend(
        (1..=STACK / 8)
            .map(|word| Insn::store_imm(Width::Dw, R10, -8 * word, 0x5151_0000 + i32::from(word))),
    );
    let garbage = |reg: Reg| Insn::mov64_imm(reg, 0x6a6a_0000 + i32::from(reg));
    code.extend([R0, R2, R3, R4, R5, R6, R7, R8, R9].map(garbage));
    let start = code.len();
    code.extend(insns);
    let mut functions = Vec::new();
    for (number, body) in HELPERS {
        functions.push((number, code.len()));
        code.extend(body);
        code.extend(Insn::ld_imm64(R1, log));
        code.extend([
            Insn::load(Width::Dw, R2, R1, 0),
            Insn::alu64_imm(Alu::Mul, R2, 31),
            Insn::alu64_reg(Alu::Add, R2, R0),
            Insn::alu64_imm(Alu::Add, R2, number),
            Insn::store_reg(Width::Dw, R1, 0, R2),
        ]);
        code.extend([R1, R2, R3, R4, R5].map(garbage));
        code.push(Insn::exit());
    }
    for slot in start..start + insns.len() {
        let insn = code[slot];
        if slot > start && code[slot - 1].is_wide() {
            continue;
        }
        if insn.is_call() {
            let found = functions.iter().find(|(number, _)| *number == insn.imm);
            let (_, function) = found.expect("a helper that there is");
            let imm = i32::from(distance(slot, *function));
            code[slot] = Insn { src: 1, imm, ..insn };
        } else if insn.is_atomic() {
            detour(&mut code, slot, |code| atomic(code, insn));
        } else if insn.is_jump() && (insn.off < 0 || is_misread(insn)) {
            detour(&mut code, slot, |code| {
                if insn.off < 0 {
                    count(code, insn, log + 8 * (OVERRUN - LOG) as u64);
                }
                jump(code, slot, insn);
            });
        }
    }
    code
}

/// Puts what `work` makes in the place of the instruction at `slot`.
fn detour(code: &mut Vec<Insn>, slot: usize, work: impl FnOnce(&mut Vec<Insn>)) {
    code[slot] = Insn::jump(distance(slot, code.len()));
    work(code);
    let back = distance(code.len(), slot + 1);
    code.push(Insn::jump(back));
}

fn distance(from: usize, to: usize) -> i16 {
    i16::try_from(to as i64 - from as i64 - 1).expect("a short program")
}

/// One of r1 to r5 that the instruction has nothing to do with.
fn spare(insn: Insn) -> Reg {
    (R1..=R5).find(|reg| *reg != insn.dst && *reg != insn.src).expect("one of five")
}

/// rbpf compares 64 bits with a constant that is not sign-extended.
fn is_misread(insn: Insn) -> bool {
    insn.is_jump() && insn.decides(0).is_some() && insn.imm < 0
}

/// Ends the program if it has jumped back too often.
fn count(code: &mut Vec<Insn>, insn: Insn, overrun: u64) {
    let reg = spare(insn);
    code.push(Insn::store_reg(Width::Dw, R10, SAVED, reg));
    code.push(Insn::load(Width::Dw, reg, R10, COUNT));
    code.push(Insn::alu64_imm(Alu::Add, reg, 1));
    code.push(Insn::store_reg(Width::Dw, R10, COUNT, reg));
    code.push(Insn::jump_imm(Compare::Le, reg, JUMPS_BACK, 4));
    code.extend(Insn::ld_imm64(reg, overrun));
    code.push(Insn::store_imm(Width::Dw, reg, 0, 1));
    code.push(Insn::exit());
    code.push(Insn::load(Width::Dw, reg, R10, SAVED));
}

/// The jump at `slot`, to where it goes from there.
fn jump(code: &mut Vec<Insn>, slot: usize, insn: Insn) {
    let target = (slot + 1).checked_add_signed(isize::from(insn.off)).expect("in the program");
    if !is_misread(insn) {
        code.push(Insn { off: distance(code.len(), target), ..insn });
        return;
    }
    let reg = spare(insn);
    code.push(Insn::store_reg(Width::Dw, R10, SAVED, reg));
    code.push(Insn::mov64_imm(reg, insn.imm));
    // The bit that says that the operand is a register.
    code.push(Insn { opcode: insn.opcode | 0x08, src: reg, imm: 0, off: 2, ..insn });
    code.push(Insn::load(Width::Dw, reg, R10, SAVED));
    code.push(Insn::jump(distance(code.len(), slot + 1)));
    code.push(Insn::load(Width::Dw, reg, R10, SAVED));
    code.push(Insn::jump(distance(code.len(), target)));
}

/// The atomic operations of RFC 9669, table 12: addition, exchange, compare and exchange.
pub(super) mod operation {
    pub(in super::super) const ADD: i32 = 0x00;
    pub(in super::super) const FETCH_ADD: i32 = 0x01;
    pub(in super::super) const EXCHANGE: i32 = 0xe1;
    pub(in super::super) const COMPARE: i32 = 0xf1;
}

fn atomic(code: &mut Vec<Insn>, insn: Insn) {
    let width = if insn.opcode & 0x18 == 0x18 { Width::Dw } else { Width::W };
    let (reg, place) = (spare(insn), (insn.dst, insn.off));
    code.push(Insn::store_reg(Width::Dw, R10, SAVED, reg));
    code.push(Insn::load(width, reg, place.0, place.1));
    code.push(Insn::store_reg(Width::Dw, R10, OLD, reg));
    match insn.imm {
        operation::ADD | operation::FETCH_ADD => {
            code.push(Insn::alu64_reg(Alu::Add, reg, insn.src));
            code.push(Insn::store_reg(width, place.0, place.1, reg));
        }
        operation::EXCHANGE => code.push(Insn::store_reg(width, place.0, place.1, insn.src)),
        operation::COMPARE => {
            code.push(Insn::jump_reg(Compare::Ne, reg, R0, 1));
            code.push(Insn::store_reg(width, place.0, place.1, insn.src));
        }
        other => panic!("operation {other:#x}"),
    }
    code.push(Insn::load(Width::Dw, reg, R10, SAVED));
    if let Some(written) = insn.writes() {
        code.push(Insn::load(Width::Dw, written, R10, OLD));
    }
}
