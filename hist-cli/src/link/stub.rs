//! The program that is attached in the place of those that take turns: it enters the one that is in
//! slot 0 of the map that the counting program has for those that it passes hits on to.

use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY;

use super::error::LinkError;
use super::fill::{Program, ProgramLine, ProgramNames};
use super::template::{MapDef, Reference, Target};
use crate::bpf::insn::{Insn, R0, R2, R3, helper};

/// What it is called.
const NAME: &str = "hist_stub";

impl Program {
    /// The map of programs that this one passes hits on to, if it does.
    #[must_use]
    pub fn slots(&self) -> Option<&MapDef> {
        self.maps.iter().find(|map| map.map_type == BPF_MAP_TYPE_PROG_ARRAY as u32)
    }
}

/// `bpf_tail_call(ctx, slots, 0)`. The program that is entered returns in its place. `main` is the one
/// that counts: they share its slots.
///
/// # Errors
/// If `main` has no slots.
pub fn stub(main: &Program) -> Result<Program, LinkError> {
    let slots = main.slots();
    let slots = slots.ok_or_else(|| LinkError::Template("it has no map of programs".to_owned()))?;
    let line = |insn, note: &str| ProgramLine { insn, hole: None, note: note.to_owned() };
    let [low, high] = Insn::ld_map_fd(R2, 0);
    let lines = vec![
        line(low, ""),
        line(high, ""),
        line(Insn::mov64_imm(R3, 0), "the one that counts now"),
        line(Insn::call(helper::TAIL_CALL), ""),
        line(Insn::mov64_imm(R0, 0), "there is none"),
        line(Insn::exit(), ""),
    ];
    Ok(Program {
        names: ProgramNames { program: NAME.to_owned(), ..main.names.clone() },
        section: main.section.clone(),
        lines,
        references: vec![Reference { slot: 0, target: Target::Map(slots.name.clone()) }],
        maps: vec![slots.clone()],
        data: Vec::new(),
        license: main.license.clone(),
        stack: 0,
    })
}
