//! The types of generated code: a body for each hole, and a note for each instruction.

use crate::bpf::insn::Insn;
use crate::plan::map::MapId;

/// The bodies of a template's holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// One per hole of the template, in the order of [`hist_common::holes::ALL`].
    pub holes: Vec<HoleCode>,
}

/// The body of one hole. Arguments in r1 to r5, result in r0, r6 to r9 untouched. A jump to
/// one past the last instruction, or an `exit`, means "go on after the hole".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoleCode {
    /// The symbol it fills, one of [`hist_common::holes`].
    pub symbol: &'static str,
    /// In order; `ld_imm64` takes two.
    pub lines: Vec<Line>,
    /// Bytes of stack that the body needs, a multiple of 8. In its instructions r10 offsets
    /// count down from 0 as if the template used none; link moves them below the template's.
    pub stack: u32,
    /// Constants that the body reads, a multiple of 8 bytes.
    pub data: Vec<u8>,
    /// The `ld_imm64` that load addresses in `data`, ascending: index in `lines`, offset in `data`.
    pub data_uses: Vec<(usize, u32)>,
    /// The `ld_imm64` that load maps or addresses in them, ascending: index in `lines`, map.
    pub map_uses: Vec<(usize, MapId)>,
}

/// An instruction and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The eight bytes.
    pub insn: Insn,
    /// Why it is there; empty when the line above says it.
    pub note: String,
}
