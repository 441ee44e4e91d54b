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
        writeln!(
            f,
            "{}: {} instructions, {} bytes of stack",
            self.symbol,
            self.lines.len(),
            self.stack
        )?;
        let mut lines = self.lines.iter().enumerate();
        while let Some((idx, line)) = lines.next() {
            let note = if line.note.is_empty() { "" } else { &format!("; {}", line.note) };
            let text = format!("{idx:>4}: {:<32}{note}", line.insn.to_string());
            writeln!(f, "{}", text.trim_end())?;
            // The second half of an ld_imm64 is shown by the first.
            if line.insn.is_wide() {
                lines.next();
            }
        }
        Ok(())
    }
}
