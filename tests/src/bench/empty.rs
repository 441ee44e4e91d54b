//! Takes nothing. Gives a running program that does nothing: two instructions, `r0 = 0; exit`.

use anyhow::{Context, Result};
use aya::programs::{RawTracePoint, TracePoint};
use aya::{Ebpf, EbpfLoader};
use hist_cli::bpf::insn::{INSN_SIZE, Insn, R0};
use object::write::{Object, StandardSegment, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use super::Call;

/// The program's name.
const NAME: &str = "empty";

/// Loads and attaches it to the classic tracepoint; it runs until it is dropped.
pub(super) fn attach() -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new().load(&elf(b"tracepoint")?)?;
    let program: &mut TracePoint = ebpf.program_mut(NAME).context("the program")?.try_into()?;
    program.load()?;
    let (system, event) = Call::Getppid.event();
    program.attach(system, event)?;
    Ok(ebpf)
}

/// The same for the raw tracepoint.
pub(super) fn attach_raw() -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new().load(&elf(b"raw_tracepoint")?)?;
    let program: &mut RawTracePoint = ebpf.program_mut(NAME).context("the program")?.try_into()?;
    program.load()?;
    let (_, event) = Call::Getppid.event();
    program.attach(event)?;
    Ok(ebpf)
}

/// The object file that aya reads. The section's name says of which type the program is.
fn elf(section: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let segment = elf.segment_name(StandardSegment::Text).to_vec();
    let license = elf.add_section(segment.clone(), b"license".to_vec(), SectionKind::ReadOnlyData);
    elf.append_section_data(license, b"Dual MIT/GPL\0", 1);
    let text = elf.add_section(segment, section.to_vec(), SectionKind::Text);
    let code = [Insn::mov64_imm(R0, 0), Insn::exit()].map(|insn| insn.encode()).concat();
    elf.append_section_data(text, &code, INSN_SIZE as u64);
    elf.add_symbol(Symbol {
        name: NAME.as_bytes().to_vec(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    Ok(elf.write()?)
}
