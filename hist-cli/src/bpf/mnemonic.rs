//! Prints instructions in the manner of the verifier's log.

use std::fmt;

use super::helper;
use super::insn::{
    ALU_END, ATOMIC_CMPXCHG, ATOMIC_FETCH, ATOMIC_XCHG, Alu, Compare, Insn, JMP_ALWAYS, JMP_CALL,
    JMP_EXIT, OP_MASK, PSEUDO_CALL, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, SOURCE_REG, Width, class,
    mode,
};

/// In the manner of the verifier's log: `r1 = *(u64 *)(r6 +8)`. The second slot of `ld_imm64`
/// reads as its upper half, an unknown instruction as its eight bytes.
impl fmt::Display for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opcode & class::MASK {
            class::ALU | class::ALU64 => self.fmt_alu(f),
            class::JMP | class::JMP32 => self.fmt_jump(f),
            class::LDX => self.fmt_load(f),
            class::ST | class::STX => self.fmt_store(f),
            _ => self.fmt_wide(f),
        }
    }
}

/// The parts of `Display`, one per class.
impl Insn {
    fn fmt_alu(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.opcode & OP_MASK == ALU_END {
            return self.fmt_swap(f);
        }
        let Some(op) = Alu::of_opcode(self.opcode) else { return self.fmt_bytes(f) };
        let bank = if self.opcode & class::MASK == class::ALU64 { 'r' } else { 'w' };
        let dst = self.dst;
        if op == Alu::Neg {
            return write!(f, "{bank}{dst} = -{bank}{dst}");
        }
        let sign = if self.off == 1 && matches!(op, Alu::Div | Alu::Mod) { "s" } else { "" };
        write!(f, "{bank}{dst} {sign}{} ", op.assignment())?;
        if op == Alu::Mov && self.off != 0 {
            write!(f, "(s{})", self.off)?;
        }
        self.fmt_operand(f, bank)
    }

    fn fmt_swap(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match (self.opcode & class::MASK, self.opcode & SOURCE_REG) {
            (class::ALU64, _) => "bswap",
            (_, 0) => "le",
            _ => "be",
        };
        write!(f, "r{0} = {order}{1} r{0}", self.dst, self.imm)
    }

    fn fmt_jump(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opcode & OP_MASK {
            JMP_ALWAYS if self.is_long_jump() => write!(f, "goto {:+}", self.imm),
            JMP_ALWAYS => write!(f, "goto {:+}", self.off),
            JMP_CALL => self.fmt_call(f),
            JMP_EXIT => f.write_str("exit"),
            _ => self.fmt_branch(f),
        }
    }

    fn fmt_call(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.src, helper::name(self.imm)) {
            (0, Some(name)) => write!(f, "call {name}"),
            (0, None) => write!(f, "call helper#{}", self.imm),
            (PSEUDO_CALL, _) => write!(f, "call pc{:+}", self.imm),
            _ => write!(f, "call kfunc#{}", self.imm),
        }
    }

    fn fmt_branch(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(op) = Compare::of_opcode(self.opcode) else { return self.fmt_bytes(f) };
        let bank = if self.opcode & class::MASK == class::JMP { 'r' } else { 'w' };
        write!(f, "if {bank}{} {} ", self.dst, op.symbol())?;
        self.fmt_operand(f, bank)?;
        write!(f, " goto {:+}", self.off)
    }

    fn fmt_operand(self, f: &mut fmt::Formatter<'_>, bank: char) -> fmt::Result {
        if self.opcode & SOURCE_REG == 0 {
            write!(f, "{}", self.imm)
        } else {
            write!(f, "{bank}{}", self.src)
        }
    }

    fn fmt_load(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.opcode & mode::MASK {
            mode::MEM => 'u',
            mode::MEMSX => 's',
            _ => return self.fmt_bytes(f),
        };
        let bits = Width::of_opcode(self.opcode).bits();
        write!(f, "r{} = *({sign}{bits} *)(r{} {:+})", self.dst, self.src, self.off)
    }

    fn fmt_store(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_reg = self.opcode & class::MASK == class::STX;
        match self.opcode & mode::MASK {
            mode::ATOMIC if is_reg => self.fmt_atomic(f),
            mode::MEM if is_reg => write!(f, "{} = r{}", self.place(), self.src),
            mode::MEM => write!(f, "{} = {}", self.place(), self.imm),
            _ => self.fmt_bytes(f),
        }
    }

    fn fmt_atomic(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, src) = (self.place(), self.src);
        match self.imm {
            ATOMIC_XCHG => write!(f, "r{src} = xchg({place}, r{src})"),
            ATOMIC_CMPXCHG => write!(f, "r0 = cmpxchg({place}, r0, r{src})"),
            imm => {
                let op = u8::try_from(imm & !ATOMIC_FETCH).ok().and_then(Alu::of_opcode);
                let Some(op) = op else { return self.fmt_bytes(f) };
                if imm & ATOMIC_FETCH != 0 {
                    write!(f, "r{src} = fetch ")?;
                }
                write!(f, "lock {place} {} r{src}", op.assignment())
            }
        }
    }

    fn place(self) -> String {
        let bits = Width::of_opcode(self.opcode).bits();
        format!("*(u{bits} *)(r{} {:+})", self.dst, self.off)
    }

    fn fmt_wide(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_wide(), self.src) {
            (true, 0) => write!(f, "r{} = {:#x} ll", self.dst, self.imm),
            (true, PSEUDO_MAP_FD) => write!(f, "r{} = map[fd:{}]", self.dst, self.imm),
            (true, PSEUDO_MAP_VALUE) => write!(f, "r{} = map[fd:{}] value", self.dst, self.imm),
            (false, 0) if self.opcode == 0 => write!(f, "   (upper half {:#x})", self.imm),
            _ => self.fmt_bytes(f),
        }
    }

    fn fmt_bytes(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(bytes {:02x?})", self.encode())
    }
}
