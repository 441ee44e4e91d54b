//! Reads a template's ELF object into a [`TemplateObject`]: the program, what it refers to, and its
//! open holes.

use aya_obj::generated::bpf_map_type;
use hist_common::holes;
use object::read::elf::{ElfFile64, ElfSection64, ElfSymbol64};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, elf};
use object::{RelocationFlags, RelocationTarget, SectionIndex, SectionKind, SymbolKind};

use super::error::LinkError;
use crate::bpf::frame;
use crate::bpf::insn::{INSN_SIZE, Insn, PSEUDO_CALL};
use crate::plan::MapPlan;
use crate::plan::focus::FocusMap;
use crate::plan::map::{MapId, Role};

type File<'data> = ElfFile64<'data, Endianness>;
type Section<'data, 'file> = ElfSection64<'data, 'file, Endianness>;
type Symbol<'data, 'file> = ElfSymbol64<'data, 'file, Endianness>;

/// The section of map definitions in libbpf's old format.
pub(super) const MAPS: &str = "maps";
/// The section of the licence's name.
pub(super) const LICENSE: &str = "license";

/// A program with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateObject {
    /// The program's name.
    pub program: String,
    /// Its section: how aya knows the program's type.
    pub section: String,
    /// One per slot.
    pub insns: Vec<Insn>,
    /// What instructions refer to, by ascending slot.
    pub references: Vec<Reference>,
    /// Bytes of stack that the program uses, a multiple of 8.
    pub stack: u32,
    /// The maps it declares.
    pub maps: Vec<MapDef>,
    /// Its global variables and constants.
    pub data: Vec<DataSection>,
    /// The licence's name, NUL included.
    pub license: Vec<u8>,
}

impl TemplateObject {
    /// The room on the stack for key and value, and what the map takes of it.
    pub(super) fn rooms(&self, map: &MapPlan) -> Vec<HoleRoom> {
        let Some(def) = self.maps.iter().find(|def| def.id.role == Role::Hist) else {
            return vec![];
        };
        let has_hole = |hole| self.references.iter().any(|used| used.target == Target::Hole(hole));
        // A large key is not on the stack.
        let key_in_map = self.maps.iter().any(|def| def.id.role == Role::Scratch);
        let key = HoleRoom { hole: holes::KEY, size: def.key_size, used: map.key_size };
        let value = HoleRoom { hole: holes::INIT, size: def.value_size, used: map.value_size };
        let rooms = [(key, !key_in_map), (value, true)].into_iter();
        let there = rooms.filter(|(room, on_stack)| *on_stack && has_hole(room.hole));
        there.map(|(room, _)| room).collect()
    }

    /// Bytes of the stack that the map leaves unused: optimizing cuts them out.
    pub(super) fn spare(&self, map: &MapPlan) -> u32 {
        self.rooms(map).iter().map(|room| room.size.saturating_sub(room.used)).sum()
    }
}

/// An instruction that refers to something outside of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The instruction's slot.
    pub slot: usize,
    /// What it refers to.
    pub target: Target,
}

/// What an instruction refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A call: the hole's symbol.
    Hole(&'static str),
    /// `ld_imm64`: that map.
    Map(MapId),
    /// `ld_imm64`: an address in a data section.
    Data {
        /// The section's name.
        section: String,
        /// From the section's start, in bytes.
        offset: u32,
    },
}

/// The room on the stack for what a hole writes: its second argument points to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoleRoom {
    /// The hole's symbol.
    pub hole: &'static str,
    /// Bytes that the template keeps, a multiple of 8.
    pub size: u32,
    /// Bytes from its start that are used, a multiple of 8.
    pub used: u32,
}

/// A map's definition: the seven words of a record in the `maps` section (`bpf_map_def` in
/// aya-obj's maps.rs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDef {
    /// Whose it is, and what for.
    pub id: MapId,
    /// `enum bpf_map_type`
    pub map_type: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes, per CPU for per-CPU maps.
    pub value_size: u32,
    /// Entries; bytes for a ring buffer.
    pub max_entries: u32,
    /// `BPF_F_*`; 0 means preallocated.
    pub map_flags: u32,
}

impl MapDef {
    /// A flag of an array that a process may map (`BPF_F_MMAPABLE` in Linux include/uapi/linux/bpf.h,
    /// since 5.5).
    pub(crate) const MMAPABLE: u32 = 1 << 10;

    /// A map that the programs of a focus share.
    #[must_use]
    pub fn of_focus(map: FocusMap) -> Self {
        let (key_size, value_size, max_entries) = map.sizes();
        let map_type = match map {
            FocusMap::Processes => bpf_map_type::BPF_MAP_TYPE_HASH,
            FocusMap::Cgroup => bpf_map_type::BPF_MAP_TYPE_CGROUP_ARRAY,
            FocusMap::State | FocusMap::Valve => bpf_map_type::BPF_MAP_TYPE_ARRAY,
        };
        let (id, map_type) = (MapId::shared(Role::Focus(map)), map_type as u32);
        let map_flags = if map == FocusMap::Valve { Self::MMAPABLE } else { 0 };
        Self { id, map_type, key_size, value_size, max_entries, map_flags }
    }

    /// Bytes of a record: these five words, then an id and a pinning mode, both 0 here.
    pub(super) const RECORD_SIZE: usize = 28;

    /// The record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let words =
            [self.map_type, self.key_size, self.value_size, self.max_entries, self.map_flags, 0, 0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn decode(id: MapId, record: &[u8]) -> Option<Self> {
        let mut words =
            record.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_le_bytes));
        (record.len() == Self::RECORD_SIZE).then_some(())?;
        Some(Self {
            id,
            map_type: words.next()?,
            key_size: words.next()?,
            value_size: words.next()?,
            max_entries: words.next()?,
            map_flags: words.next()?,
        })
    }
}

/// A section of global variables or constants. To user space it is an array map of one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSection {
    /// `.bss`, `.data` or `.rodata`, perhaps with a suffix.
    pub name: String,
    /// The initial contents.
    pub bytes: Vec<u8>,
    /// The named variables in it.
    pub symbols: Vec<DataSymbol>,
}

impl DataSection {
    /// All zeroes, and no room in the file.
    #[must_use]
    pub fn is_bss(&self) -> bool {
        self.name.starts_with(".bss")
    }

    /// Constant, so that programs can share it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.name.starts_with(".rodata")
    }
}

/// A named variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSymbol {
    /// The name.
    pub name: String,
    /// From the section's start, in bytes.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Reads a template.
///
/// # Errors
/// When it is no ELF object, has not exactly one program, or the program needs anything besides
/// holes, maps and data sections: another function, for one.
pub(super) fn parse(bytes: &[u8]) -> Result<TemplateObject, LinkError> {
    let mut programs = parse_all(bytes)?;
    match (programs.pop(), programs.pop()) {
        (Some(program), None) => Ok(program),
        _ => Err(defect("it must have exactly one program section")),
    }
}

/// Reads an object of one program or more, each in a section of its own. All have all of its maps and
/// data.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_all(bytes: &[u8]) -> Result<Vec<TemplateObject>, LinkError> {
    let file = File::parse(bytes)?;
    program_sections(&file).map(|section| parse_program(&file, &section)).collect()
}

fn parse_program(file: &File<'_>, section: &Section<'_, '_>) -> Result<TemplateObject, LinkError> {
    let insns = instructions(section.data()?)?;
    let references = references(file, section, &insns)?;
    ensure_calls_are_known(&insns, &references)?;
    let uses =
        frame::uses(&insns).map_err(|slot| LinkError::FramePointer { place: "template", slot })?;
    Ok(TemplateObject {
        program: program_name(file, section)?,
        section: section.name()?.to_owned(),
        stack: frame::depth(&uses),
        insns,
        references,
        maps: maps(file)?,
        data: data_sections(file)?,
        license: section_data(file, LICENSE)?,
    })
}

/// The sections of code, `.text` aside: that has functions which no program calls.
fn program_sections<'data, 'file>(
    file: &'file File<'data>,
) -> impl Iterator<Item = Section<'data, 'file>> {
    file.sections().filter(|section| {
        section.kind() == SectionKind::Text && section.size() > 0 && section.name() != Ok(".text")
    })
}

/// The only function of the section.
fn program_name(file: &File<'_>, section: &Section<'_, '_>) -> Result<String, LinkError> {
    let in_section = symbols_of(file, section.index());
    let mut functions = in_section.filter(|symbol| symbol.kind() == SymbolKind::Text);
    match (functions.next(), functions.next()) {
        (Some(function), None) if function.address() == 0 && function.size() == section.size() => {
            Ok(function.name()?.to_owned())
        }
        _ => Err(defect("its program section must be one function")),
    }
}

fn symbols_of<'data, 'file>(
    file: &'file File<'data>,
    section: SectionIndex,
) -> impl Iterator<Item = Symbol<'data, 'file>> {
    file.symbols().filter(move |symbol| symbol.section_index() == Some(section))
}

fn instructions(data: &[u8]) -> Result<Vec<Insn>, LinkError> {
    let (slots, rest) = data.as_chunks::<INSN_SIZE>();
    if !rest.is_empty() {
        return Err(defect("its program ends within an instruction"));
    }
    let insns: Vec<_> = slots.iter().map(|slot| Insn::decode(*slot)).collect();
    match insns.iter().position(|insn| insn.is_long_jump()) {
        Some(_) => Err(defect("it has a 32-bit jump, for which no target has been set up")),
        None => Ok(insns),
    }
}

/// The program's relocations, by slot.
fn references(
    file: &File<'_>,
    section: &Section<'_, '_>,
    insns: &[Insn],
) -> Result<Vec<Reference>, LinkError> {
    let mut references = Vec::new();
    for (offset, relocation) in section.relocations() {
        let slot = offset as usize / INSN_SIZE;
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return Err(defect("it has a relocation without symbol"));
        };
        let symbol = file.symbol_by_index(index)?;
        let insn = *insns.get(slot).ok_or_else(|| defect("a relocation is out of the program"))?;
        let target = match relocation.flags() {
            RelocationFlags::Elf { r_type: elf::R_BPF_64_32 } => hole(&symbol, slot)?,
            RelocationFlags::Elf { r_type: elf::R_BPF_64_64 } => address(file, &symbol, insn)?,
            other => return Err(defect(format!("it has a relocation of kind {other:?}"))),
        };
        references.push(Reference { slot, target });
    }
    references.sort_by_key(|reference| reference.slot);
    Ok(references)
}

/// The hole that a call's symbol names.
fn hole(symbol: &Symbol<'_, '_>, slot: usize) -> Result<Target, LinkError> {
    let name = symbol.name()?;
    let hole = holes::ALL.into_iter().find(|hole| *hole == name && symbol.is_undefined());
    hole.map(Target::Hole).ok_or_else(|| LinkError::UnknownCall { name: name.to_owned(), slot })
}

/// What the `ld_imm64` `insn` loads the address of. Its immediate counts from the symbol.
fn address(file: &File<'_>, symbol: &Symbol<'_, '_>, insn: Insn) -> Result<Target, LinkError> {
    let Some(index) = symbol.section_index() else {
        return Err(defect(format!("it refers to `{}`, which is undefined", symbol.name()?)));
    };
    let section = file.section_by_index(index)?.name()?.to_owned();
    if section == MAPS {
        return Ok(Target::Map(map_id(symbol)?));
    }
    if !is_data(&section) {
        return Err(defect(format!("it takes an address in section `{section}`")));
    }
    let offset = size(symbol.address())?.checked_add_signed(insn.imm);
    let offset = offset.ok_or_else(|| defect("it takes an address before a section"))?;
    Ok(Target::Data { section, offset })
}

/// A call within the object needs no relocation, so look at the instructions, too.
fn ensure_calls_are_known(insns: &[Insn], references: &[Reference]) -> Result<(), LinkError> {
    let is_known = |slot| references.iter().any(|reference| reference.slot == slot);
    let unknown = insns
        .iter()
        .enumerate()
        .find(|(slot, insn)| insn.is_call() && insn.src != 0 && !is_known(*slot));
    match unknown {
        Some((slot, insn)) if insn.src == PSEUDO_CALL => {
            Err(LinkError::UnknownCall { name: format!("pc{:+}", insn.imm), slot })
        }
        Some((slot, insn)) => Err(LinkError::UnknownCall { name: insn.to_string(), slot }),
        None => Ok(()),
    }
}

fn maps(file: &File<'_>) -> Result<Vec<MapDef>, LinkError> {
    let Some(section) = file.section_by_name(MAPS) else { return Ok(Vec::new()) };
    let data = section.data()?;
    symbols_of(file, section.index())
        .filter(|symbol| symbol.kind() != SymbolKind::Section)
        .map(|symbol| {
            let (start, size) = (symbol.address() as usize, symbol.size() as usize);
            let record = start.checked_add(size).and_then(|end| data.get(start..end));
            let def = MapDef::decode(map_id(&symbol)?, record.unwrap_or_default());
            def.ok_or_else(|| {
                defect(format!("map `{}` has no 28-byte record", symbol.name().unwrap_or("?")))
            })
        })
        .collect()
}

/// The map that a symbol in the section of maps names.
fn map_id(symbol: &Symbol<'_, '_>) -> Result<MapId, LinkError> {
    let name = symbol.name()?;
    MapId::in_template(name).ok_or_else(|| defect(format!("nothing is known of a map `{name}`")))
}

fn data_sections(file: &File<'_>) -> Result<Vec<DataSection>, LinkError> {
    let mut sections = Vec::new();
    for section in file.sections() {
        let name = section.name()?.to_owned();
        if !is_data(&name) || section.size() == 0 {
            continue;
        }
        if section.relocations().next().is_some() {
            return Err(defect(format!("section `{name}` holds addresses")));
        }
        let mut bytes = section.data()?.to_vec();
        bytes.resize(section.size() as usize, 0);
        sections.push(DataSection { name, bytes, symbols: data_symbols(file, &section)? });
    }
    Ok(sections)
}

/// The variables that user space may look for; those with local names are the compiler's.
fn data_symbols(file: &File<'_>, section: &Section<'_, '_>) -> Result<Vec<DataSymbol>, LinkError> {
    symbols_of(file, section.index())
        .filter(|symbol| symbol.is_global())
        .map(|symbol| {
            Ok(DataSymbol {
                name: symbol.name()?.to_owned(),
                offset: size(symbol.address())?,
                size: size(symbol.size())?,
            })
        })
        .collect()
}

/// The names that make aya create a map of a section.
fn is_data(name: &str) -> bool {
    [".bss", ".data", ".rodata"].iter().any(|prefix| name.starts_with(prefix))
}

fn section_data(file: &File<'_>, name: &str) -> Result<Vec<u8>, LinkError> {
    let section = file.section_by_name(name);
    let section = section.ok_or_else(|| defect(format!("it has no section `{name}`")))?;
    Ok(section.data()?.to_vec())
}

fn size(number: u64) -> Result<u32, LinkError> {
    u32::try_from(number).map_err(|_| defect("it has a symbol beyond 4 GiB"))
}

fn defect(what: impl Into<String>) -> LinkError {
    LinkError::Template(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{prebuilt, template};
    use crate::plan::Template;

    #[test]
    fn the_template_has_all_holes_and_preallocated_maps() {
        let object = template(Template::Hist).unwrap();
        for hole in holes::ALL.into_iter().filter(|hole| *hole != holes::INDEX) {
            let target = Target::Hole(hole);
            assert!(object.references.iter().any(|reference| reference.target == target), "{hole}");
        }
        let names: Vec<_> = object.maps.iter().map(|map| map.id.name()).collect();
        assert_eq!(names, ["HIST", "LOSSES"]);
        assert!(object.maps.iter().all(|map| map.map_flags == 0));
        assert_eq!((object.program.as_str(), object.section.as_str()), ("hist", "tracepoint"));
        assert_eq!(object.license, b"Dual MIT/GPL\0");
    }

    #[test]
    fn the_template_leaves_the_holes_some_stack() {
        for which in [Template::Hist, Template::HistLog] {
            let stack = template(which).unwrap().stack;
            let needed = hist_common::layout::KEY_ROOM + hist_common::layout::VALUE_ROOM;
            assert!(stack as usize >= needed, "{which:?} uses {stack}");
            assert!(stack <= frame::STACK - 32, "{which:?} uses {stack}");
        }
    }

    #[test]
    fn only_the_logging_template_logs() {
        let has_logs = |which| {
            template(which).unwrap().maps.iter().any(|map| map.id == MapId::shared(Role::Log))
        };
        assert!(!has_logs(Template::Hist));
        assert!(has_logs(Template::HistLog));
    }

    /// The template with the name of a symbol changed.
    fn with_symbol(from: &str, to: &str) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let mut bytes = prebuilt(Template::Hist).to_vec();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    }

    #[test]
    fn a_call_of_an_unknown_function_is_refused() {
        let bytes = with_symbol(holes::INIT, "hist_hole_oops");
        let error = parse(&bytes).unwrap_err();
        let LinkError::UnknownCall { name, .. } = error else { panic!("{error}") };
        assert_eq!(name, "hist_hole_oops");
    }

    #[test]
    fn a_call_within_the_object_is_refused() {
        let call = Insn { src: PSEUDO_CALL, ..Insn::call(3) };
        let error = ensure_calls_are_known(&[Insn::exit(), call], &[]).unwrap_err();
        assert_eq!(error, LinkError::UnknownCall { name: "pc+3".into(), slot: 1 });
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(matches!(parse(b"no object"), Err(LinkError::Read(_))));
        let mut cut = prebuilt(Template::Hist).to_vec();
        cut.truncate(200);
        assert!(parse(&cut).is_err());
    }

    #[test]
    fn map_records_have_28_bytes() {
        let map = MapDef {
            id: MapId::own(Role::Hist),
            map_type: 5,
            key_size: 8,
            value_size: 16,
            max_entries: 128,
            map_flags: 0,
        };
        let record = map.encode();
        assert_eq!(record.len(), MapDef::RECORD_SIZE);
        assert_eq!(MapDef::decode(map.id, &record), Some(map.clone()));
        assert_eq!(MapDef::decode(map.id, &record[..20]), None);
    }
}
