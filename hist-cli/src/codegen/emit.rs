//! Puts a hole's body together: instructions one after another, with labels for jumps.

use super::CodegenError;
use super::code::{HoleCode, Line};
use crate::bpf::insn::{Insn, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, Reg};
use crate::kernel::format::FieldId;
use crate::plan::Plan;
use crate::plan::map::MapId;
use crate::plan::once::{self, Kept, Once, Place};
use crate::plan::scan::{self, Scan};
use crate::plan::{Access, AccessTable};
use crate::resolve::hist::{Source, TextSource, TextTest};

/// A place that jumps may go to, before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// One hole's body in the making.
pub(super) struct Emitter {
    symbol: &'static str,
    /// How fields are read.
    access: AccessTable,
    /// What the holes share: read once, at the top of the stack that bodies have.
    kept: Vec<Kept>,
    /// The verifier knows the types of what arguments point to.
    is_typed: bool,
    /// The program sees the record.
    has_record: bool,
    lines: Vec<Line>,
    /// Instruction index of each label once it is placed.
    labels: Vec<Option<usize>>,
    /// Jumps whose offset is still open.
    jumps: Vec<(usize, Label)>,
    /// Bytes of stack in use.
    stack: u32,
    data: Vec<u8>,
    data_uses: Vec<(usize, u32)>,
    map_uses: Vec<(usize, MapId)>,
}

impl Emitter {
    pub(super) fn new(symbol: &'static str, plan: &Plan) -> Self {
        Self {
            access: plan.access.clone(),
            is_typed: plan.is_typed(),
            has_record: plan.has_record(),
            kept: plan.once.clone(),
            stack: once::bytes(&plan.once),
            symbol,
            lines: Vec::new(),
            labels: Vec::new(),
            jumps: Vec::new(),
            data: Vec::new(),
            data_uses: Vec::new(),
            map_uses: Vec::new(),
        }
    }

    /// The automaton for `test`; none if its pattern can be compared at one place.
    pub(super) fn scan_of(&self, test: &TextTest) -> Option<Scan> {
        Scan::of(test, &self.access)
    }

    /// Bytes of a string that are looked at.
    pub(super) fn limit(&self, source: TextSource) -> u32 {
        scan::limit(source, &self.access)
    }

    pub(super) const fn is_typed(&self) -> bool {
        self.is_typed
    }

    pub(super) const fn has_record(&self) -> bool {
        self.has_record
    }

    /// How `field` is read.
    pub(super) fn access(&self, field: FieldId) -> Result<Access, CodegenError> {
        self.access.get(field).cloned().ok_or_else(|| self.no_access(field))
    }

    /// The error that `field` cannot be read, or not as what it is wanted for.
    pub(super) const fn no_access(&self, field: FieldId) -> CodegenError {
        CodegenError::NoAccess { hole: self.symbol, field }
    }

    /// Where `what` is kept, from r10, in bytes; nowhere if it is read where it is used.
    pub(super) fn kept(&self, what: Option<Once>) -> Option<i16> {
        let what = what?;
        self.kept.iter().find(|kept| kept.what == what).map(Kept::slot)
    }

    /// The same for a number.
    pub(super) fn kept_number(&self, source: &Source) -> Option<i16> {
        self.kept(Once::of_number(source, &self.access))
    }

    /// The same for a field that is a number.
    pub(super) fn kept_field(&self, field: FieldId) -> Option<i16> {
        self.kept(Once::of_field(field, &self.access))
    }

    /// The same for a field that is a string.
    pub(super) fn kept_text(&self, field: FieldId) -> Option<i16> {
        self.kept(Once::of_text(field, &self.access))
    }

    /// What to call it in notes.
    pub(super) fn name_of(&self, what: Once) -> &str {
        what.name(&self.access)
    }

    /// What is to be read at that place.
    pub(super) fn kept_at(&self, place: Place) -> Vec<Kept> {
        self.kept.iter().filter(|kept| kept.place == place).copied().collect()
    }

    /// What the filter reads for all.
    pub(super) fn kept_in_filter(&self) -> Vec<Kept> {
        let in_filter = |kept: &&Kept| matches!(kept.place, Place::Filter(_));
        self.kept.iter().filter(in_filter).copied().collect()
    }

    pub(super) fn push(&mut self, insn: Insn, note: impl Into<String>) {
        self.lines.push(Line { insn, note: note.into() });
    }

    /// `ld_imm64`: two slots, one note.
    pub(super) fn push_wide(&mut self, insns: [Insn; 2], note: impl Into<String>) {
        self.push(insns[0], note);
        self.push(insns[1], "");
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label means the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.lines.len());
    }

    /// A jump whose offset is filled in later.
    pub(super) fn jump(&mut self, insn: Insn, to: Label, note: impl Into<String>) {
        self.jumps.push((self.lines.len(), to));
        self.push(insn, note);
    }

    /// Eight more bytes of stack; gives their offset from r10.
    pub(super) fn stack_slot(&mut self) -> i16 {
        self.stack += 8;
        -i16::try_from(self.stack).unwrap_or(i16::MAX)
    }

    /// `words` times eight more bytes of stack, next to each other; gives the lowest one's offset
    /// from r10.
    pub(super) fn stack_area(&mut self, words: u32) -> i16 {
        self.stack += 8 * words;
        -i16::try_from(self.stack).unwrap_or(i16::MAX)
    }

    /// Adds constants, a multiple of 8 bytes, unless they are there; gives their offset.
    pub(super) fn data(&mut self, bytes: &[u8]) -> u32 {
        let same = self.data.chunks(bytes.len().max(1)).position(|known| known == bytes);
        let at = same.map_or(self.data.len(), |idx| idx * bytes.len());
        if same.is_none() {
            self.data.extend_from_slice(bytes);
        }
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// `dst` = the address of the constants at `offset`.
    pub(super) fn push_data(&mut self, dst: Reg, offset: u32, note: impl Into<String>) {
        self.data_uses.push((self.lines.len(), offset));
        let [low, high] = Insn::ld_imm64(dst, 0);
        self.push_wide([Insn { src: PSEUDO_MAP_VALUE, ..low }, high], note);
    }

    /// `dst` = the map.
    pub(super) fn push_map(&mut self, dst: Reg, map: MapId, note: impl Into<String>) {
        self.push_map_as(PSEUDO_MAP_FD, dst, map, note);
    }

    /// `dst` = the address of the map's only value.
    pub(super) fn push_value_of(&mut self, dst: Reg, map: MapId, note: impl Into<String>) {
        self.push_map_as(PSEUDO_MAP_VALUE, dst, map, note);
    }

    fn push_map_as(&mut self, src: u8, dst: Reg, map: MapId, note: impl Into<String>) {
        self.map_uses.push((self.lines.len(), map));
        let [low, high] = Insn::ld_imm64(dst, 0);
        self.push_wide([Insn { src, ..low }, high], note);
    }

    /// A byte offset as an instruction holds it.
    pub(super) fn offset(&self, offset: u32) -> Result<i16, CodegenError> {
        i16::try_from(offset)
            .map_err(|_| CodegenError::OffsetTooLarge { hole: self.symbol, offset })
    }

    /// Fills in the jumps. A label that was never placed means the end of the body.
    pub(super) fn finish(mut self) -> Result<HoleCode, CodegenError> {
        for (at, label) in std::mem::take(&mut self.jumps) {
            let target = self.labels[label.0].unwrap_or(self.lines.len());
            let distance = target as i64 - at as i64 - 1;
            self.lines[at].insn.off = i16::try_from(distance)
                .map_err(|_| CodegenError::JumpTooLong { hole: self.symbol, distance })?;
        }
        Ok(HoleCode {
            symbol: self.symbol,
            lines: self.lines,
            stack: self.stack,
            data: self.data,
            data_uses: self.data_uses,
            map_uses: self.map_uses,
        })
    }
}
