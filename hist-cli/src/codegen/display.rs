//! Takes generated code. Gives a listing: one line per instruction, its note behind it.

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
        writeln!(f, "{}: {} instructions, {} bytes of stack", self.symbol, self.lines.len(), self.stack)?;
        let mut wide = false;
        for (idx, line) in self.lines.iter().enumerate() {
            // The second half of an ld_imm64 is shown by the first.
            if !std::mem::replace(&mut wide, !wide && line.insn.is_wide()) {
                let text = line.insn.to_string();
                let note = if line.note.is_empty() { String::new() } else { format!("; {}", line.note) };
                writeln!(f, "{}", format!("{idx:>4}: {text:<32}{note}").trim_end())?;
            }
        }
        Ok(())
    }
}
