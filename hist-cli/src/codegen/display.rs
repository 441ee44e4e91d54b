//! Prints generated code as a listing: one line per instruction, followed by its note.

use std::fmt;

use super::code::{Code, HoleCode};

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, hole) in self.holes.iter().enumerate() {
            write!(f, "{}{hole}", if idx > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for HoleCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} instructions, {} bytes of stack",
            self.symbol,
            self.lines.len(),
            self.stack
        )?;
        if !self.data.is_empty() {
            writeln!(f, "      {} bytes of constants", self.data.len())?;
        }
        let mut lines = self.lines.iter().enumerate();
        while let Some((idx, line)) = lines.next() {
            let note = if line.note.is_empty() { "" } else { &format!("; {}", line.note) };
            let data = self.data_uses.iter().find(|(line, _)| *line == idx);
            let map = self.map_uses.iter().find(|(line, _)| *line == idx);
            let mnemonic = match (data, map) {
                (Some((_, offset)), _) => format!("r{} = &data+{offset}", line.insn.dst),
                (None, Some((_, map))) => format!("r{} = &{}", line.insn.dst, map.name()),
                (None, None) => line.insn.to_string(),
            };
            let text = format!("{idx:>4}: {mnemonic:<32}{note}");
            writeln!(f, "{}", text.trim_end())?;
            // The second half of an ld_imm64 is shown by the first.
            if line.insn.is_wide() {
                lines.next();
            }
        }
        Ok(())
    }
}
