//! Writes linked programs as one ELF object, as aya 0.14's loader reads it.
//!
//! No BTF: aya does not need any for these programs, and a stale one would not load. Programs
//! of one type share a section, as maps do; the symbols tell them apart. Relocations of data
//! count from the section's start, because aya gives each data section one map.

use std::collections::HashMap;

use object::write::{
    Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection,
};
use object::{Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags};
use object::{SymbolKind, SymbolScope, elf};

use super::error::LinkError;
use super::fill::Program;
use super::template::{DataSection, LICENSE, MAPS, MapDef, Target};
use crate::bpf::insn::INSN_SIZE;
use crate::plan::map::MapId;

/// What has been written so far.
struct Writer<'programs> {
    object: Object<'static>,
    maps_section: Option<SectionId>,
    maps: HashMap<MapId, (SymbolId, &'programs MapDef)>,
    data: HashMap<&'programs str, (SymbolId, &'programs DataSection)>,
    code: HashMap<&'programs str, SectionId>,
}

/// Writes the object.
///
/// # Errors
/// When two programs bring different maps, data or licences of one name.
pub(super) fn write(programs: &[Program]) -> Result<Vec<u8>, LinkError> {
    let mut writer = Writer {
        object: Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        maps_section: None,
        maps: HashMap::new(),
        data: HashMap::new(),
        code: HashMap::new(),
    };
    writer.license(programs)?;
    for program in programs {
        program.maps.iter().try_for_each(|map| writer.map(map))?;
        program.data.iter().try_for_each(|section| writer.data_section(section))?;
    }
    // A program may use the maps of a later one.
    programs.iter().try_for_each(|program| writer.program(program))?;
    Ok(writer.object.write()?)
}

impl<'programs> Writer<'programs> {
    fn license(&mut self, programs: &[Program]) -> Result<(), LinkError> {
        let Some(first) = programs.first() else { return Ok(()) };
        if programs.iter().any(|program| program.license != first.license) {
            return Err(LinkError::Conflict(LICENSE.to_owned()));
        }
        let section = self.section(LICENSE, SectionKind::ReadOnlyData);
        self.object.append_section_data(section, &first.license, 1);
        Ok(())
    }

    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        let segment = self.object.segment_name(StandardSegment::Data).to_vec();
        self.object.add_section(segment, name.as_bytes().to_vec(), kind)
    }

    /// A map, unless it is a shared one that is there already.
    fn map(&mut self, map: &'programs MapDef) -> Result<(), LinkError> {
        let name = map.id.name();
        if let Some((_, other)) = self.maps.get(&map.id) {
            return ensure_same(&name, *other == map);
        }
        // Created late: aya takes no empty section of maps.
        let section = match self.maps_section {
            Some(section) => section,
            None => self.section(MAPS, SectionKind::Data),
        };
        self.maps_section = Some(section);
        let offset = self.object.append_section_data(section, &map.encode(), 4);
        let symbol =
            self.symbol(&name, section, (offset, MapDef::RECORD_SIZE as u64), SymbolKind::Data);
        self.maps.insert(map.id, (symbol, map));
        Ok(())
    }

    /// Variables or constants, unless they are shared ones that are there already.
    fn data_section(&mut self, data: &'programs DataSection) -> Result<(), LinkError> {
        if let Some((_, other)) = self.data.get(data.name.as_str()) {
            return ensure_same(&data.name, *other == data);
        }
        let kind = match (data.is_bss(), data.is_read_only()) {
            (true, _) => SectionKind::UninitializedData,
            (_, true) => SectionKind::ReadOnlyData,
            _ => SectionKind::Data,
        };
        let section = self.section(&data.name, kind);
        if data.is_bss() {
            self.object.append_section_bss(section, data.bytes.len() as u64, 8);
        } else {
            self.object.append_section_data(section, &data.bytes, 8);
        }
        for symbol in &data.symbols {
            let place = (u64::from(symbol.offset), u64::from(symbol.size));
            self.symbol(&symbol.name, section, place, SymbolKind::Data);
        }
        let symbol = self.object.section_symbol(section);
        self.data.insert(&data.name, (symbol, data));
        Ok(())
    }

    /// A global symbol at `(offset, size)`, both in bytes.
    fn symbol(
        &mut self,
        name: &str,
        section: SectionId,
        (offset, size): (u64, u64),
        kind: SymbolKind,
    ) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: offset,
            size,
            kind,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn program(&mut self, program: &'programs Program) -> Result<(), LinkError> {
        let section = match self.code.get(program.section.as_str()) {
            Some(section) => *section,
            None => self.section(&program.section, SectionKind::Text),
        };
        self.code.insert(&program.section, section);
        let bytes = encode(program);
        let start = self.object.append_section_data(section, &bytes, INSN_SIZE as u64);
        let place = (start, bytes.len() as u64);
        self.symbol(&program.name, section, place, SymbolKind::Text);
        for reference in &program.references {
            let symbol = self.target(&reference.target)?;
            let offset = start + (reference.slot * INSN_SIZE) as u64;
            let flags = RelocationFlags::Elf { r_type: elf::R_BPF_64_64 };
            self.object.add_relocation(section, Relocation { offset, symbol, addend: 0, flags })?;
        }
        Ok(())
    }

    fn target(&self, target: &Target) -> Result<SymbolId, LinkError> {
        let (name, symbol) = match target {
            Target::Map(map) => (map.name(), self.maps.get(map).map(|map| map.0)),
            Target::Data { section, .. } => {
                (section.clone(), self.data.get(section.as_str()).map(|data| data.0))
            }
            Target::Hole(hole) => ((*hole).to_owned(), None),
        };
        symbol.ok_or_else(|| LinkError::Template(format!("it refers to `{name}`, but has none")))
    }
}

fn ensure_same(name: &str, is_same: bool) -> Result<(), LinkError> {
    if is_same { Ok(()) } else { Err(LinkError::Conflict(name.to_owned())) }
}

/// The program's bytes. The format keeps no addend beside a relocation, so an offset into data
/// stands in the instruction.
fn encode(program: &Program) -> Vec<u8> {
    let mut insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
    for reference in &program.references {
        if let Target::Data { offset, .. } = reference.target {
            insns[reference.slot].imm = offset.cast_signed();
        }
    }
    insns.into_iter().flat_map(|insn| insn.encode()).collect()
}

#[cfg(test)]
mod tests {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

    use super::*;
    use crate::bpf::insn::Insn;
    use crate::link::fill::ProgramLine;
    use crate::link::template::{DataSymbol, Reference};
    use crate::plan::map::Role;

    const LOG: MapId = MapId::shared(Role::Log);

    fn map(id: MapId) -> MapDef {
        MapDef { id, map_type: 5, key_size: 8, value_size: 8, max_entries: 128, map_flags: 0 }
    }

    fn bss(name: &str, variable: &str) -> DataSection {
        let symbols = vec![DataSymbol { name: variable.into(), offset: 4, size: 4 }];
        DataSection { name: name.into(), bytes: vec![0; 8], symbols }
    }

    /// Loads the addresses of a map, a variable and a constant.
    fn program(index: usize) -> Program {
        let hist = MapId::of_trigger(index, Role::Hist);
        let wide = Insn::ld_imm64(1, 0);
        let insns = [wide[0], wide[1], wide[0], wide[1], wide[0], wide[1], Insn::exit()];
        let line = |insn: Insn| ProgramLine { insn, hole: None, note: String::new() };
        let data = |section: String, offset| Target::Data { section, offset };
        let rodata = DataSection { name: ".rodata".into(), bytes: vec![7; 3], symbols: vec![] };
        Program {
            section: "tracepoint".into(),
            lines: insns.into_iter().map(line).collect(),
            references: vec![
                Reference { slot: 0, target: Target::Map(hist) },
                Reference { slot: 2, target: data(format!(".bss.{index}"), 4) },
                Reference { slot: 4, target: data(".rodata".into(), 2) },
            ],
            maps: vec![map(hist), map(LOG)],
            data: vec![bss(&format!(".bss.{index}"), &format!("FLAG{index}")), rodata],
            license: b"GPL\0".to_vec(),
            stack: 0,
            rooms: vec![],
            name: format!("hist{index}"),
        }
    }

    #[test]
    fn two_programs_share_sections_and_what_is_shared() {
        let bytes = write(&[program(0), program(1)]).unwrap();
        let file = object::read::elf::ElfFile64::<Endianness>::parse(bytes.as_slice()).unwrap();
        let size = |name| file.section_by_name(name).unwrap().size();
        assert_eq!(size("maps"), 3 * MapDef::RECORD_SIZE as u64);
        assert_eq!(size("tracepoint"), 2 * 7 * INSN_SIZE as u64);
        assert_eq!((size(".bss.0"), size(".bss.1"), size(".rodata")), (8, 8, 3));
        let second = file.symbol_by_name("hist1").unwrap();
        assert_eq!((second.address(), second.size()), (56, 56));
        assert_eq!(file.symbol_by_name("FLAG1").unwrap().address(), 4);
        let relocations = file.section_by_name("tracepoint").unwrap().relocations();
        let offsets: Vec<_> = relocations.map(|(offset, _)| offset).collect();
        assert_eq!(offsets, [0, 16, 32, 56, 72, 88]);
    }

    #[test]
    fn offsets_into_data_stand_in_the_instructions() {
        let bytes = encode(&program(0));
        assert_eq!(bytes[2 * INSN_SIZE..][..INSN_SIZE], [0x18, 1, 0, 0, 4, 0, 0, 0]);
        assert_eq!(bytes[4 * INSN_SIZE..][..INSN_SIZE], [0x18, 1, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn different_things_of_one_name_are_refused() {
        let mut other = program(1);
        other.maps[1].max_entries = 7;
        let error = write(&[program(0), other]).unwrap_err();
        assert_eq!(error, LinkError::Conflict("AYA_LOGS".into()));
        let mut other = program(1);
        other.license = b"MIT\0".to_vec();
        let error = write(&[program(0), other]).unwrap_err();
        assert_eq!(error, LinkError::Conflict("license".into()));
    }

    /// A program may use several maps of one role, by their owners.
    #[test]
    fn a_program_may_use_the_map_of_another_trigger() {
        let (mut first, second) = (program(0), program(1));
        let others = MapId::of_trigger(1, Role::Hist);
        first.references[0].target = Target::Map(others);
        let bytes = write(&[first.clone(), second]).unwrap();
        let file = object::read::elf::ElfFile64::<Endianness>::parse(bytes.as_slice()).unwrap();
        let (_, relocation) =
            file.section_by_name("tracepoint").unwrap().relocations().next().unwrap();
        let object::RelocationTarget::Symbol(index) = relocation.target() else {
            panic!("no symbol")
        };
        assert_eq!(file.symbol_by_index(index).unwrap().name(), Ok("HIST1"));
        assert!(matches!(write(&[first]), Err(LinkError::Template(_))));
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        let mut program = program(0);
        program.maps.remove(0);
        assert!(matches!(write(&[program]), Err(LinkError::Template(_))));
    }
}
