//! Generates the two small programs that tell how many events perf has dropped: one that no event
//! passes by adds one to its CPU's balance, one that shares the fate of the classic program takes
//! one off.

use super::CodegenError;
use super::code::HoleCode;
use super::emit::Emitter;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R10, Width, helper};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// On the raw tracepoint: it adds one.
    Called,
    /// On the classic one: it takes one off.
    Ran,
}

impl Sentinel {
    /// The program's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Called => "watch_called",
            Self::Ran => "watch_ran",
        }
    }

    const fn step(self) -> i32 {
        match self {
            Self::Called => 1,
            Self::Ran => -1,
        }
    }
}

/// The key of the look-up (u32).
const KEY: i16 = -4;

/// The program. `cells` is the descriptor of an array with an element for each CPU, which begins
/// with its balance (u64). While that is 0, nothing is counted: to start it, user space writes a
/// number that the balance never reaches.
///
/// # Errors
/// None but defects of ours: its jumps are short.
pub fn sentinel(which: Sentinel, cells: i32) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::program(which.name());
    let out = emitter.label();
    emitter.push(Insn::call(helper::GET_SMP_PROCESSOR_ID), "");
    emitter.push(Insn::store_reg(Width::W, R10, KEY, R0), "this CPU's element");
    emitter.push(Insn::mov64_reg(R2, R10), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R2, i32::from(KEY)), "");
    emitter.push_wide(Insn::ld_map_fd(R1, cells), "");
    emitter.push(Insn::call(helper::MAP_LOOKUP_ELEM), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R0, 0, 0), out, "no such CPU");
    emitter.push(Insn::load(Width::Dw, R1, R0, 0), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R1, 0, 0), out, "it does not count now");
    emitter.push(Insn::mov64_imm(R1, which.step()), "");
    emitter.push(Insn::atomic_add64(R0, 0, R1), "an interrupt may come in between");
    emitter.place(out);
    emitter.push(Insn::mov64_imm(R0, 0), "");
    emitter.push(Insn::exit(), "");
    emitter.finish()
}
