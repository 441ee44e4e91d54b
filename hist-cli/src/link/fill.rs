//! Fills a template: puts the bodies of the holes in the places of their calls, which makes a
//! [`Program`].

use super::error::{BodyError, LinkError};
use super::template::{DataSection, HoleRoom, MapDef, Reference, Target, TemplateObject};
use crate::bpf::frame::{self, Field, STACK};
use crate::bpf::insn::{Insn, R6};
use crate::codegen::code::{Code, HoleCode, Line};
use crate::plan::focus::{FocusMap, VALVE_SIZE};
use crate::plan::map::{MapId, Owner, Role};
use crate::plan::{MapKind, MapPlan};
use aya_obj::generated::bpf_map_type;

/// The section of a trigger's own constants; its number follows.
const CONSTANTS: &str = ".rodata.c";

/// Bytes of a name in the kernel, without NUL (`BPF_OBJ_NAME_LEN` in Linux
/// include/uapi/linux/bpf.h, less one).
const NAME_LEN: usize = 15;

/// A linked program and what it brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is called in the kernel and in objects.
    pub name: String,
    /// The ELF section: how aya knows the program's type.
    pub section: String,
    /// One per slot.
    pub lines: Vec<ProgramLine>,
    /// What instructions refer to, by ascending slot: maps and data only.
    pub references: Vec<Reference>,
    /// The program's maps.
    pub maps: Vec<MapDef>,
    /// The program's variables and constants.
    pub data: Vec<DataSection>,
    /// The licence's name, NUL included.
    pub license: Vec<u8>,
    /// Bytes of stack, at most 512 once it is optimized.
    pub stack: u32,
    /// The room that the template keeps on the stack for what holes write. Nothing once it is
    /// optimized.
    pub rooms: Vec<HoleRoom>,
}

impl Program {
    /// The trigger's own map for `role`, if the program has one.
    #[must_use]
    pub fn own(&self, role: Role) -> Option<MapId> {
        let own = |def: &&MapDef| def.id.role == role && def.id.owner != Owner::Shared;
        self.maps.iter().find(own).map(|def| def.id)
    }
}

/// An instruction of a linked program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLine {
    /// The instruction.
    pub insn: Insn,
    /// The hole that it fills; the template's own if absent.
    pub hole: Option<&'static str>,
    /// Why it is there, if that was said.
    pub note: String,
}

/// Fills a template's holes for the trigger that is number `index` in its object.
///
/// # Errors
/// When a body is missing or breaks the hole ABI, stack or jumps get too large, or the map does
/// not fit the template.
pub fn fill(
    template: &TemplateObject,
    map: &MapPlan,
    code: &Code,
    index: usize,
) -> Result<Program, LinkError> {
    // The template's own sizes are what it has room for.
    for def in template.maps.iter().filter(|def| def.id.role == Role::Hist) {
        ensure_room("key", map.key_size, def.key_size)?;
        ensure_room("value", map.value_size, def.value_size)?;
    }
    let mut bodies = bodies(template, code, template.spare(map))?;
    let constants = gather_constants(&mut bodies, index)?;
    let starts = starts(template, &bodies);
    let stack = bodies.iter().map(|body| template.stack + body.stack).max();
    let mut maps = template.maps.clone();
    for def in maps.iter_mut().filter(|def| def.id.role == Role::Hist) {
        def.map_type = map_type(map.kind);
        def.key_size = map.key_size;
        def.value_size = map.value_size;
        def.max_entries = map.max_entries;
    }
    let mut program = Program {
        name: name(template, index)?,
        section: template.section.clone(),
        lines: lines(template, &bodies, &starts)?,
        references: references(template, &starts),
        maps,
        data: template.data.clone(),
        license: template.license.clone(),
        stack: stack.unwrap_or(0).max(template.stack),
        rooms: template.rooms(map),
    };
    rename(&mut program, index)?;
    if let Some(section) = constants {
        refer_to_constants(&mut program, &bodies, &starts, &section.name);
        program.data.push(section);
    }
    refer_to_maps(&mut program, &bodies, &starts, index);
    Ok(program)
}

/// The bodies' constants, one behind the other, in a section of the trigger's own. A hole that is
/// called at several places has them once for each.
fn gather_constants(
    bodies: &mut [Body<'_>],
    index: usize,
) -> Result<Option<DataSection>, LinkError> {
    let mut bytes = Vec::new();
    for body in bodies {
        let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        body.data_uses.iter_mut().for_each(|(_, offset)| *offset += start);
        bytes.extend_from_slice(body.data);
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(DataSection { name: numbered(CONSTANTS, index)?, bytes, symbols: Vec::new() }))
}

fn refer_to_constants(program: &mut Program, bodies: &[Body<'_>], starts: &[usize], section: &str) {
    for body in bodies {
        program.references.extend(body.data_uses.iter().map(|(line, offset)| Reference {
            slot: starts[body.slot] + line,
            target: Target::Data { section: section.to_owned(), offset: *offset },
        }));
    }
    program.references.sort_by_key(|reference| reference.slot);
}

/// The code's own maps get the trigger's number. Of others' maps, the program brings along those that
/// all share.
fn refer_to_maps(program: &mut Program, bodies: &[Body<'_>], starts: &[usize], index: usize) {
    for body in bodies {
        for (line, map) in body.map_uses {
            let slot = starts[body.slot] + line;
            if map.role == Role::Focus(FocusMap::Valve) {
                refer_to_valve(program, slot);
                continue;
            }
            let id = map.numbered(index);
            program.references.push(Reference { slot, target: Target::Map(id) });
            if let Role::Focus(map) = id.role
                && program.maps.iter().all(|def| def.id != id)
            {
                program.maps.push(MapDef::of_focus(map));
            }
        }
    }
    program.references.sort_by_key(|reference| reference.slot);
}

/// The code uses its address, as of a variable. If no valve is supplied it is all zeros: closed.
fn refer_to_valve(program: &mut Program, slot: usize) {
    let name = FocusMap::Valve.name();
    let target = Target::Data { section: name.to_owned(), offset: 0 };
    program.references.push(Reference { slot, target });
    if program.data.iter().all(|section| section.name != name) {
        let bytes = vec![0; VALVE_SIZE as usize];
        program.data.push(DataSection { name: name.to_owned(), bytes, symbols: Vec::new() });
    }
}

/// The kernel's number for it (`enum bpf_map_type`).
const fn map_type(kind: MapKind) -> u32 {
    match kind {
        MapKind::Hash => bpf_map_type::BPF_MAP_TYPE_HASH as u32,
        MapKind::PerCpuHash => bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH as u32,
        MapKind::PerCpuArray => bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
    }
}

fn ensure_room(what: &'static str, size: u32, room: u32) -> Result<(), LinkError> {
    if size > room { Err(LinkError::Room { what, size, room }) } else { Ok(()) }
}

/// What a call is replaced by.
struct Body<'code> {
    /// The slot of the call.
    slot: usize,
    hole: &'static str,
    lines: Vec<Line>,
    stack: u32,
    /// Which lines load the address of a constant, and where in the trigger's constants it is.
    data_uses: Vec<(usize, u32)>,
    /// Which lines load a map.
    map_uses: &'code [(usize, MapId)],
    data: &'code [u8],
}

/// A body for each call of a hole, by ascending slot. `spare` bytes of the template's stack will be
/// cut out.
fn bodies<'code>(
    template: &TemplateObject,
    code: &'code Code,
    spare: u32,
) -> Result<Vec<Body<'code>>, LinkError> {
    let mut bodies = Vec::new();
    for reference in &template.references {
        let Target::Hole(hole) = reference.target else { continue };
        let body = code.holes.iter().find(|body| body.symbol == hole);
        let body = body.ok_or(LinkError::NoBody(hole))?;
        let lines = body_lines(body, template.stack, spare)?;
        bodies.push(Body {
            slot: reference.slot,
            hole,
            lines,
            stack: body.stack,
            data_uses: body.data_uses.clone(),
            map_uses: &body.map_uses,
            data: &body.data,
        });
    }
    Ok(bodies)
}

/// The body, checked, with local jumps instead of exits and its own part of the stack.
fn body_lines(body: &HoleCode, template_stack: u32, spare: u32) -> Result<Vec<Line>, LinkError> {
    let left = STACK - template_stack.saturating_sub(spare).min(STACK);
    if body.stack > left {
        return Err(LinkError::StackTooDeep { hole: body.symbol, body: body.stack, left });
    }
    check_insns(body)?;
    let mut lines = body.lines.clone();
    move_frame(body, &mut lines, template_stack)?;
    localise_exits(body, &mut lines)?;
    Ok(lines)
}

/// The first half of `ld_imm64` is at these slots; what follows is data.
fn is_second_half(lines: &[Line], slot: usize) -> bool {
    slot > 0 && lines[slot - 1].insn.is_wide()
}

/// No calls but of helpers, no register of the template written, nothing cut in half.
fn check_insns(body: &HoleCode) -> Result<(), LinkError> {
    for (slot, line) in body.lines.iter().enumerate() {
        let insn = line.insn;
        let what = if is_second_half(&body.lines, slot) {
            continue;
        } else if insn.is_call() && insn.src != 0 {
            BodyError::Call
        } else if let Some(reg) = insn.writes().filter(|reg| *reg >= R6) {
            BodyError::Register(reg)
        } else if insn.is_wide() && slot + 1 == body.lines.len() {
            BodyError::HalfInsn
        } else if insn.is_long_jump() {
            BodyError::Jump
        } else {
            continue;
        };
        return Err(LinkError::Body { hole: body.symbol, slot, what });
    }
    Ok(())
}

/// Moves the body's part of the stack below the template's.
fn move_frame(body: &HoleCode, lines: &mut [Line], by: u32) -> Result<(), LinkError> {
    let insns: Vec<_> = lines.iter().map(|line| line.insn).collect();
    let uses =
        frame::uses(&insns).map_err(|slot| LinkError::FramePointer { place: body.symbol, slot })?;
    // The stack has 512 bytes, so these fit.
    let (by, stack) = (by as i32, body.stack as i32);
    for frame_use in uses {
        let (slot, offset) = (frame_use.slot, frame_use.offset);
        if offset >= 0 || offset < -stack {
            let what = BodyError::Stack { offset, stack: body.stack };
            return Err(LinkError::Body { hole: body.symbol, slot, what });
        }
        let insn = &mut lines[slot].insn;
        match frame_use.field {
            Field::Off => insn.off -= by as i16,
            Field::Imm => insn.imm -= by,
        }
    }
    Ok(())
}

/// An exit at the end disappears, another one jumps to the end, and so does a jump past the end.
fn localise_exits(body: &HoleCode, lines: &mut Vec<Line>) -> Result<(), LinkError> {
    let ends_in_exit = |lines: &[Line]| {
        lines.last().is_some_and(|line| line.insn.is_exit())
            && !is_second_half(lines, lines.len() - 1)
    };
    let former_end = lines.len();
    if ends_in_exit(lines) {
        lines.pop();
    }
    let end = lines.len();
    for slot in 0..end {
        if is_second_half(lines, slot) {
            continue;
        }
        let insn = lines[slot].insn;
        let target = if insn.is_exit() {
            end
        } else if insn.is_jump() {
            let target = target(slot, insn).filter(|target| *target <= former_end);
            let target = target.filter(|target| *target >= end || !is_second_half(lines, *target));
            target.map(|target| target.min(end)).ok_or(LinkError::Body {
                hole: body.symbol,
                slot,
                what: BodyError::Jump,
            })?
        } else {
            continue;
        };
        let off = distance(slot, target)?;
        lines[slot].insn = if insn.is_exit() { Insn::jump(off) } else { Insn { off, ..insn } };
    }
    Ok(())
}

/// The slot that a jump at `slot` goes to.
fn target(slot: usize, insn: Insn) -> Option<usize> {
    (slot + 1).checked_add_signed(isize::from(insn.off))
}

/// The `off` of a jump from `slot` to `target`.
fn distance(slot: usize, target: usize) -> Result<i16, LinkError> {
    let distance = target as i64 - slot as i64 - 1;
    i16::try_from(distance).map_err(|_| LinkError::JumpTooFar { distance })
}

/// Where each slot of the template begins in the linked program, and at the end its length.
fn starts(template: &TemplateObject, bodies: &[Body<'_>]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(template.insns.len() + 1);
    let mut bodies = bodies.iter().peekable();
    let mut next = 0;
    for slot in 0..template.insns.len() {
        starts.push(next);
        next += bodies.next_if(|body| body.slot == slot).map_or(1, |body| body.lines.len());
    }
    starts.push(next);
    starts
}

/// The template's instructions with new jumps, bodies in the calls' places.
fn lines(
    template: &TemplateObject,
    bodies: &[Body<'_>],
    starts: &[usize],
) -> Result<Vec<ProgramLine>, LinkError> {
    let mut lines = Vec::new();
    let mut bodies = bodies.iter().peekable();
    for (slot, insn) in template.insns.iter().enumerate() {
        if let Some(body) = bodies.next_if(|body| body.slot == slot) {
            lines.extend(body.lines.iter().map(|line| ProgramLine {
                insn: line.insn,
                hole: Some(body.hole),
                note: line.note.clone(),
            }));
        } else {
            let insn = retarget(*insn, slot, starts)?;
            lines.push(ProgramLine { insn, hole: None, note: String::new() });
        }
    }
    Ok(lines)
}

/// The template's instruction at `slot`; a jump goes to where its target is now.
fn retarget(insn: Insn, slot: usize, starts: &[usize]) -> Result<Insn, LinkError> {
    if !insn.is_jump() {
        return Ok(insn);
    }
    let target = target(slot, insn).and_then(|target| starts.get(target));
    let target = *target.ok_or_else(|| LinkError::Template("it jumps out of itself".into()))?;
    Ok(Insn { off: distance(starts[slot], target)?, ..insn })
}

/// The template's references, holes aside, at their new slots.
fn references(template: &TemplateObject, starts: &[usize]) -> Vec<Reference> {
    let others =
        template.references.iter().filter(|reference| !matches!(reference.target, Target::Hole(_)));
    others.map(|old| Reference { slot: starts[old.slot], target: old.target.clone() }).collect()
}

/// The program's name. A template counts, so it has entries and counters of losses.
fn name(template: &TemplateObject, index: usize) -> Result<String, LinkError> {
    let has = |role| template.maps.iter().any(|map| map.id == MapId::own(role));
    if !has(Role::Hist) || !has(Role::Losses) {
        return Err(LinkError::Template("it has no map of entries or of losses".to_owned()));
    }
    numbered(&template.program, index)
}

/// `.bss` → `.bss.`, so that numbers read as the suffix that they are.
fn dotted(section: &str) -> String {
    format!("{section}.")
}

/// `hist` → `hist0`
fn numbered(name: &str, index: usize) -> Result<String, LinkError> {
    valid(format!("{name}{index}"))
}

/// The kernel takes the name.
fn valid(name: String) -> Result<String, LinkError> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if name.len() <= NAME_LEN && name.chars().all(is_valid) {
        Ok(name)
    } else {
        Err(LinkError::Name(name))
    }
}

/// Gives the program its own maps and variables; constants and the log stay shared.
fn rename(program: &mut Program, index: usize) -> Result<(), LinkError> {
    for map in &mut program.maps {
        map.id = map.id.numbered(index);
        valid(map.id.name())?;
    }
    for section in program.data.iter_mut().filter(|section| !section.is_read_only()) {
        section.name = numbered(&dotted(&section.name), index)?;
        for symbol in &mut section.symbols {
            symbol.name = numbered(&symbol.name, index)?;
        }
    }
    for reference in &mut program.references {
        match &mut reference.target {
            Target::Map(map) => *map = map.numbered(index),
            Target::Data { section, .. } if !section.starts_with(".rodata") => {
                *section = numbered(&dotted(section), index)?;
            }
            Target::Data { .. } | Target::Hole(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hist_common::holes;

    use super::*;
    use crate::bpf::insn::{Alu, Compare, R0, R1, R2, R10, Width};
    use crate::link::template;
    use crate::plan::Template;

    const MAP: MapPlan =
        MapPlan { kind: MapKind::PerCpuHash, key_size: 8, value_size: 16, max_entries: 128 };

    fn hole(symbol: &'static str, stack: u32, insns: &[Insn]) -> HoleCode {
        let line = |insn: &Insn| Line { insn: *insn, note: format!("of {symbol}") };
        let lines = insns.iter().map(line).collect();
        HoleCode { symbol, lines, stack, data: vec![], data_uses: vec![], map_uses: vec![] }
    }

    /// Counts everything under key 5.
    fn code() -> Code {
        Code {
            holes: vec![
                hole(holes::FILTER, 0, &[Insn::mov64_imm(R0, 1), Insn::exit()]),
                hole(holes::KEY, 0, &[Insn::store_imm(Width::Dw, R2, 0, 5)]),
                hole(
                    holes::UPDATE,
                    0,
                    &[
                        Insn::load(Width::Dw, R1, R2, 0),
                        Insn::alu64_imm(Alu::Add, R1, 1),
                        Insn::store_reg(Width::Dw, R2, 0, R1),
                    ],
                ),
                hole(holes::INIT, 0, &[Insn::store_imm(Width::Dw, R2, 0, 1)]),
            ],
        }
    }

    /// The same with another body.
    fn code_with(body: HoleCode) -> Code {
        let mut code = code();
        for hole in code.holes.iter_mut().filter(|hole| hole.symbol == body.symbol) {
            *hole = body.clone();
        }
        code
    }

    fn filled(code: &Code) -> Result<Program, LinkError> {
        fill(&template(Template::Hist).unwrap(), &MAP, code, 0)
    }

    fn filter(stack: u32, insns: &[Insn]) -> Result<Program, LinkError> {
        filled(&code_with(hole(holes::FILTER, stack, insns)))
    }

    /// What stands in the filter's place.
    fn filter_body(program: &Program) -> Vec<Insn> {
        let lines = program.lines.iter().filter(|line| line.hole == Some(holes::FILTER));
        lines.map(|line| line.insn).collect()
    }

    #[test]
    fn every_call_becomes_its_body() {
        let template = template(Template::Hist).unwrap();
        let program = filled(&code()).unwrap();
        for body in &code().holes {
            let calls = template.references.iter();
            let calls = calls.filter(|call| call.target == Target::Hole(body.symbol)).count();
            let lines = program.lines.iter().filter(|line| line.hole == Some(body.symbol)).count();
            let exits = body.lines.iter().filter(|line| line.insn.is_exit()).count();
            assert_eq!(lines, calls * (body.lines.len() - exits), "{}", body.symbol);
        }
        assert!(program.lines.iter().all(|line| !line.insn.is_call() || line.insn.src == 0));
    }

    #[test]
    fn the_map_gets_the_planned_sizes_and_stays_preallocated() {
        let program = filled(&code()).unwrap();
        let map = program.maps.iter().find(|map| map.id.role == Role::Hist).unwrap();
        assert_eq!((map.key_size, map.value_size, map.max_entries, map.map_flags), (8, 16, 128, 0));
    }

    #[test]
    fn names_are_the_triggers_own() {
        let template = template(Template::HistLog).unwrap();
        let program = fill(&template, &MAP, &code(), 12).unwrap();
        assert_eq!(program.name, "hist12");
        let mut names: Vec<_> = program.maps.iter().map(|map| map.id.name()).collect();
        names.sort();
        assert_eq!(names, ["AYA_LOGS", "HIST12", "LOSSES12"]);
        assert_eq!(program.own(Role::Hist), Some(MapId::of_trigger(12, Role::Hist)));
        assert_eq!(program.own(Role::Log), None);
    }

    /// Generated code names a map by role and owner.
    #[test]
    fn code_may_use_its_own_map_and_that_of_another_trigger() {
        let template = template(Template::Hist).unwrap();
        let uses = vec![(0, MapId::own(Role::Hist)), (2, MapId::of_trigger(3, Role::Hist))];
        let wide = Insn::ld_imm64(R1, 0);
        let mut body = hole(holes::FILTER, 0, &[wide, wide].concat());
        body.map_uses = uses;
        let program = fill(&template, &MAP, &code_with(body), 5).unwrap();
        let used: Vec<_> = program
            .references
            .iter()
            .filter(|used| program.lines[used.slot].hole == Some(holes::FILTER))
            .map(|used| used.target.clone())
            .collect();
        let hist = |number| Target::Map(MapId::of_trigger(number, Role::Hist));
        assert_eq!(used, [hist(5), hist(3)]);
    }

    /// Both jump where the call's successor is, however long the body.
    #[test]
    fn template_jumps_reach_the_same_instruction() {
        let template = template(Template::Hist).unwrap();
        let filler = vec![Insn::mov64_imm(R0, 1); 100];
        let program = filter(0, &filler).unwrap();
        let code = code_with(hole(holes::FILTER, 0, &filler));
        let bodies = bodies(&template, &code, 0).unwrap();
        let starts = starts(&template, &bodies);
        let mut jumps = 0;
        for (slot, insn) in template.insns.iter().enumerate().filter(|(_, insn)| insn.is_jump()) {
            let new_slot = starts[slot];
            let new_target = target(new_slot, program.lines[new_slot].insn).unwrap();
            assert_eq!(new_target, starts[target(slot, *insn).unwrap()]);
            jumps += 1;
        }
        assert!(jumps >= 5);
    }

    #[test]
    fn exits_become_jumps_to_the_end() {
        let program = filter(
            0,
            &[
                Insn::mov64_imm(R0, 0),
                Insn::jump_imm(Compare::Eq, R1, 0, 2),
                Insn::mov64_imm(R0, 1),
                Insn::exit(),
                Insn::mov64_imm(R0, 2),
                Insn::jump(1),
                Insn::exit(),
            ],
        );
        assert_eq!(
            filter_body(&program.unwrap()),
            [
                Insn::mov64_imm(R0, 0),
                Insn::jump_imm(Compare::Eq, R1, 0, 2),
                Insn::mov64_imm(R0, 1),
                Insn::jump(2),
                Insn::mov64_imm(R0, 2),
                Insn::jump(0),
            ]
        );
    }

    #[test]
    fn the_bodys_stack_lies_below_the_templates() {
        let used = template(Template::Hist).unwrap().stack as i16;
        let program = filter(
            16,
            &[
                Insn::store_imm(Width::Dw, R10, -8, 0),
                Insn::mov64_reg(R1, R10),
                Insn::alu64_imm(Alu::Add, R1, -16),
            ],
        )
        .unwrap();
        assert_eq!(program.stack, used as u32 + 16);
        assert_eq!(
            filter_body(&program),
            [
                Insn::store_imm(Width::Dw, R10, -8 - used, 0),
                Insn::mov64_reg(R1, R10),
                Insn::alu64_imm(Alu::Add, R1, -16 - i32::from(used)),
            ]
        );
    }

    #[test]
    fn too_much_stack_is_refused() {
        let error = filter(500, &[Insn::mov64_imm(R0, 1)]).unwrap_err();
        assert!(matches!(error, LinkError::StackTooDeep { body: 500, .. }), "{error}");
    }

    #[test]
    fn a_body_too_long_to_jump_over_is_refused() {
        let body = hole(holes::KEY, 0, &vec![Insn::mov64_imm(R0, 1); 40_000]);
        let error = filled(&code_with(body)).unwrap_err();
        let LinkError::JumpTooFar { distance } = error else { panic!("{error}") };
        assert!(distance > 40_000);
    }

    #[test]
    fn bodies_that_break_the_rules_are_refused() {
        let call = Insn { src: 1, ..Insn::call(0) };
        let [half, _] = Insn::ld_imm64(R1, 1);
        let [first, second] = Insn::ld_imm64(R1, 1);
        let cases: [(&[Insn], usize, BodyError); 8] = [
            (&[Insn::exit(), Insn::mov64_imm(R6, 0)], 1, BodyError::Register(R6)),
            (&[Insn::mov64_imm(R10, 0)], 0, BodyError::Register(R10)),
            (&[call], 0, BodyError::Call),
            (&[half], 0, BodyError::HalfInsn),
            (&[Insn::jump(1)], 0, BodyError::Jump),
            (&[Insn::jump(-2)], 0, BodyError::Jump),
            (&[Insn::jump(1), first, second], 0, BodyError::Jump),
            (
                &[Insn::store_imm(Width::B, R10, -9, 0)],
                0,
                BodyError::Stack { offset: -9, stack: 8 },
            ),
        ];
        for (insns, slot, what) in cases {
            let error = filter(8, insns).unwrap_err();
            assert_eq!(error, LinkError::Body { hole: holes::FILTER, slot, what });
        }
    }

    #[test]
    fn a_missing_body_is_refused() {
        let mut code = code();
        code.holes.retain(|hole| hole.symbol != holes::INIT);
        assert_eq!(filled(&code), Err(LinkError::NoBody(holes::INIT)));
    }

    #[test]
    fn keys_and_values_without_room_are_refused() {
        let template = template(Template::Hist).unwrap();
        let fill = |map: MapPlan| fill(&template, &map, &code(), 0).unwrap_err();
        let error = fill(MapPlan { key_size: 288, ..MAP });
        assert_eq!(error, LinkError::Room { what: "key", size: 288, room: 280 });
        let error = fill(MapPlan { value_size: 80, ..MAP });
        assert_eq!(error, LinkError::Room { what: "value", size: 80, room: 72 });
    }

    #[test]
    fn names_that_the_kernel_would_cut_are_refused() {
        assert!(numbered("HIST", 99_999_999_999).is_ok());
        assert!(matches!(numbered("HIST", 999_999_999_999), Err(LinkError::Name(_))));
    }
}
