//! Prints linked programs as text for people: `--emit asm`.

use std::fmt;

use super::Object;
use super::fill::{Program, ProgramLine};
use super::template::{MapDef, Target};

/// Where notes begin, in characters after the slot number.
const NOTE_COLUMN: usize = 40;

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, program) in self.programs.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{program}")?;
        }
        Ok(())
    }
}

/// Head, maps, and one line per instruction: its slot, what it does, and why. The template's own
/// instructions and each hole's begin with a line of their own.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, section) = (&self.name, &self.section);
        writeln!(f, "program {name} ({section}): {} slots", self.lines.len())?;
        writeln!(f, "stack {} bytes", self.stack)?;
        for map in &self.maps {
            writeln!(f, "{map}")?;
        }
        let mut hole = None;
        for (slot, line) in self.lines.iter().enumerate() {
            if slot == 0 || line.hole != hole {
                hole = line.hole;
                writeln!(f, "; {}", hole.unwrap_or("template"))?;
            }
            if slot == 0 || !self.lines[slot - 1].insn.is_wide() {
                self.fmt_line(f, slot, line)?;
            }
        }
        Ok(())
    }
}

impl Program {
    fn fmt_line(&self, f: &mut fmt::Formatter<'_>, slot: usize, line: &ProgramLine) -> fmt::Result {
        let mnemonic = self.mnemonic(slot, line);
        let note = notes(slot, line).join("; ");
        if note.is_empty() {
            writeln!(f, "{slot:4}: {mnemonic}")
        } else {
            writeln!(f, "{slot:4}: {mnemonic:NOTE_COLUMN$} ; {note}")
        }
    }

    /// `ld_imm64` takes two slots and may refer to something with a name.
    fn mnemonic(&self, slot: usize, line: &ProgramLine) -> String {
        let insn = line.insn;
        let reference = self.references.iter().find(|reference| reference.slot == slot);
        match (reference.map(|reference| &reference.target), self.lines.get(slot + 1)) {
            (Some(Target::Map(map)), _) => format!("r{} = map {}", insn.dst, map.name()),
            (Some(Target::Data { section, offset }), _) => {
                format!("r{} = &{}", insn.dst, self.variable(section, *offset))
            }
            (_, Some(high)) if insn.is_wide() && insn.src == 0 => {
                let low = u64::from(insn.imm.cast_unsigned());
                let value = u64::from(high.insn.imm.cast_unsigned()) << 32 | low;
                format!("r{} = {value:#x} ll", insn.dst)
            }
            _ => insn.to_string(),
        }
    }

    /// The variable at that place, or section and offset.
    fn variable(&self, section: &str, offset: u32) -> String {
        let data = self.data.iter().find(|data| data.name == section);
        let mut symbols = data.into_iter().flat_map(|data| &data.symbols);
        match symbols.find(|symbol| symbol.offset == offset) {
            Some(symbol) => symbol.name.clone(),
            None => format!("{section}+{offset}"),
        }
    }
}

/// Where a jump goes, and why the instruction is there.
fn notes(slot: usize, line: &ProgramLine) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(target) = jump_target(slot, line) {
        notes.push(format!("to {target}"));
    }
    if !line.note.is_empty() {
        notes.push(line.note.clone());
    }
    notes
}

fn jump_target(slot: usize, line: &ProgramLine) -> Option<usize> {
    let is_jump = line.insn.is_jump();
    is_jump.then(|| (slot + 1).checked_add_signed(isize::from(line.insn.off)))?
}

/// `map HIST0: per-CPU hash, 8 → 16 bytes, 2048 entries, preallocated`
impl fmt::Display for MapDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, key_size, value_size, max_entries, .. } = self;
        write!(f, "map {}: ", id.name())?;
        match map_type_name(self.map_type) {
            Some("ring buffer") => return write!(f, "ring buffer, {max_entries} bytes"),
            Some(kind) => write!(f, "{kind}")?,
            None => write!(f, "type {}", self.map_type)?,
        }
        let entries = if *max_entries == 1 { "entry" } else { "entries" };
        write!(f, ", key {key_size} bytes, value {value_size} bytes, {max_entries} {entries}")?;
        match self.map_flags {
            0 => f.write_str(", preallocated"),
            flags => write!(f, ", flags {flags:#x}"),
        }
    }
}

/// The types that templates use (`enum bpf_map_type` in Linux include/uapi/linux/bpf.h).
fn map_type_name(map_type: u32) -> Option<&'static str> {
    Some(match map_type {
        1 => "hash",
        2 => "array",
        3 => "program array",
        5 => "per-CPU hash",
        6 => "per-CPU array",
        27 => "ring buffer",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use hist_common::holes;

    use crate::bpf::insn::{Insn, R0, R2, Width};
    use crate::codegen::code::{Code, HoleCode, Line};
    use crate::link::{fill, template};
    use crate::plan::{MapKind, MapPlan, Template};

    fn listing() -> String {
        let hole = |symbol, insn: Insn, note: &str| {
            let lines = vec![Line { insn, note: note.to_owned() }];
            HoleCode { symbol, lines, stack: 0, data: vec![], data_uses: vec![], map_uses: vec![] }
        };
        let code = Code {
            holes: vec![
                hole(holes::FILTER, Insn::mov64_imm(R0, 1), "always"),
                hole(holes::KEY, Insn::store_imm(Width::Dw, R2, 0, 5), "key: five"),
                hole(holes::UPDATE, Insn::store_imm(Width::Dw, R2, 0, 2), ""),
                hole(holes::INIT, Insn::store_imm(Width::Dw, R2, 0, 1), ""),
            ],
        };
        let map =
            MapPlan { kind: MapKind::PerCpuHash, key_size: 8, value_size: 16, max_entries: 2048 };
        fill(&template(Template::Hist).unwrap(), &map, &code, 0).unwrap().to_string()
    }

    #[test]
    fn a_listing_names_maps_helpers_and_holes() {
        let listing = listing();
        for line in [
            "map HIST0: per-CPU hash, key 8 bytes, value 16 bytes, 2048 entries, preallocated\n",
            "map LOSSES0: per-CPU array, key 4 bytes, value 16 bytes, 1 entry, preallocated\n",
            "; hist_hole_key\n",
            "; template\n",
            "r1 = map HIST0\n",
            "call bpf_map_lookup_elem\n",
            "*(u64 *)(r2 +0) = 5                      ; key: five\n",
            "r1 = 0xffffffef ll\n",
        ] {
            assert!(listing.contains(line), "no {line:?} in\n{listing}");
        }
        assert!(!listing.contains("upper half") && !listing.contains("(bytes"), "{listing}");
    }

    #[test]
    fn jumps_say_where_they_go() {
        let listing = listing();
        for line in listing.lines().filter(|line| line.contains("goto")) {
            let slot = line.trim_start().split(':').next().unwrap();
            let off = line.split("goto ").nth(1).unwrap().split(' ').next().unwrap();
            let target = slot.parse::<i64>().unwrap() + 1 + off.parse::<i64>().unwrap();
            assert!(line.ends_with(&format!("; to {target}")), "{line}");
            assert!(listing.contains(&format!("\n{target:4}: ")), "{line}");
        }
    }
}
