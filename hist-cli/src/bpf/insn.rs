//! eBPF instructions as fields: a constructor for each form, and their 8 bytes both ways.
//!
//! Encoding: Linux Documentation/bpf/standardization/instruction-set.rst (RFC 9669). Section
//! numbers below are the RFC's.

use super::helper;

/// One eBPF instruction slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Insn {
    /// Operation code.
    pub opcode: u8,
    /// Destination register, 0 to 10.
    pub dst: u8,
    /// Source register, 0 to 10, or a pseudo source.
    pub src: u8,
    /// Signed offset: bytes for memory, instructions for jumps.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

/// A register's number.
pub type Reg = u8;

/// Result of calls and of holes.
pub const R0: Reg = 0;
/// First argument.
pub const R1: Reg = 1;
/// Second argument.
pub const R2: Reg = 2;
/// Third argument.
pub const R3: Reg = 3;
/// Fourth argument.
pub const R4: Reg = 4;
/// Fifth argument.
pub const R5: Reg = 5;
/// Kept over calls; the template's.
pub const R6: Reg = 6;
/// Kept over calls; the template's.
pub const R7: Reg = 7;
/// Kept over calls; the template's.
pub const R8: Reg = 8;
/// Kept over calls; the template's.
pub const R9: Reg = 9;
/// Frame pointer: the stack lies below it. Read only.
pub const R10: Reg = 10;

/// Bytes of one instruction slot.
pub const INSN_SIZE: usize = 8;

/// `src` of `ld_imm64`: the immediate is a map's file descriptor (`BPF_PSEUDO_MAP_FD`).
pub const PSEUDO_MAP_FD: u8 = 1;
/// `src` of `ld_imm64`: an address inside a map's value (`BPF_PSEUDO_MAP_VALUE`).
pub const PSEUDO_MAP_VALUE: u8 = 2;
/// `src` of a call: the immediate counts instructions, not helpers (`BPF_PSEUDO_CALL`).
pub const PSEUDO_CALL: u8 = 1;

/// Instruction class, the low three bits of the opcode (section 3.1).
pub(super) mod class {
    pub(in crate::bpf) const LD: u8 = 0x00;
    pub(in crate::bpf) const LDX: u8 = 0x01;
    pub(in crate::bpf) const ST: u8 = 0x02;
    pub(in crate::bpf) const STX: u8 = 0x03;
    pub(in crate::bpf) const ALU: u8 = 0x04;
    pub(in crate::bpf) const JMP: u8 = 0x05;
    pub(in crate::bpf) const JMP32: u8 = 0x06;
    pub(in crate::bpf) const ALU64: u8 = 0x07;
    pub(in crate::bpf) const MASK: u8 = 0x07;
}

/// Mode of loads and stores, the high three bits of the opcode (section 5).
pub(super) mod mode {
    pub(in crate::bpf) const IMM: u8 = 0x00;
    pub(in crate::bpf) const MEM: u8 = 0x60;
    pub(in crate::bpf) const MEMSX: u8 = 0x80;
    pub(in crate::bpf) const ATOMIC: u8 = 0xc0;
    pub(in crate::bpf) const MASK: u8 = 0xe0;
}

/// Opcode bit of arithmetic and jumps: the operand is `src`, not `imm` (section 4).
pub(super) const SOURCE_REG: u8 = 0x08;
/// The high four bits of an arithmetic or jump opcode.
pub(super) const OP_MASK: u8 = 0xf0;
/// Jump operations that are no comparison (table 7).
pub(super) const JMP_ALWAYS: u8 = 0x00;
pub(super) const JMP_CALL: u8 = 0x80;
pub(super) const JMP_EXIT: u8 = 0x90;
/// Byte swap, an arithmetic operation of its own form (section 4.2).
pub(super) const ALU_END: u8 = 0xd0;
/// `imm` of an atomic operation: also give the old value (section 5.3).
pub(super) const ATOMIC_FETCH: i32 = 0x01;
pub(super) const ATOMIC_XCHG: i32 = 0xe1;
pub(super) const ATOMIC_CMPXCHG: i32 = 0xf1;

/// Bytes moved by one load or store: the opcode's size bits (section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Width {
    /// 4 bytes.
    W = 0x00,
    /// 2 bytes.
    H = 0x08,
    /// 1 byte.
    B = 0x10,
    /// 8 bytes.
    Dw = 0x18,
}

impl Width {
    /// Every width.
    pub const ALL: [Self; 4] = [Self::B, Self::H, Self::W, Self::Dw];

    /// The width of that many bytes, if 1, 2, 4 or 8.
    #[must_use]
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            1 => Some(Self::B),
            2 => Some(Self::H),
            4 => Some(Self::W),
            8 => Some(Self::Dw),
            _ => None,
        }
    }

    /// Bits moved.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::B => 8,
            Self::H => 16,
            Self::W => 32,
            Self::Dw => 64,
        }
    }

    pub(super) fn of_opcode(opcode: u8) -> Self {
        match opcode & 0x18 {
            0x00 => Self::W,
            0x08 => Self::H,
            0x10 => Self::B,
            _ => Self::Dw,
        }
    }
}

/// An arithmetic operation (table 3). 32-bit forms clear the upper half of `dst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of RFC 9669, table 3")]
#[repr(u8)]
pub enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    /// Unsigned; division by zero gives 0.
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    /// Unsigned; modulo zero leaves `dst`.
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
    /// Shift right, keeping the sign.
    Arsh = 0xc0,
}

impl Alu {
    /// Every operation.
    pub const ALL: [Self; 13] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Or,
        Self::And,
        Self::Lsh,
        Self::Rsh,
        Self::Neg,
        Self::Mod,
        Self::Xor,
        Self::Mov,
        Self::Arsh,
    ];

    pub(super) fn of_opcode(opcode: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|op| *op as u8 == opcode & OP_MASK)
    }

    pub(super) fn assignment(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Sub => "-=",
            Self::Mul => "*=",
            Self::Div => "/=",
            Self::Or => "|=",
            Self::And => "&=",
            Self::Lsh => "<<=",
            Self::Rsh => ">>=",
            Self::Neg => "= -",
            Self::Mod => "%=",
            Self::Xor => "^=",
            Self::Mov => "=",
            Self::Arsh => "s>>=",
        }
    }
}

/// The comparison of a conditional jump (table 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compare {
    /// `dst == operand`
    Eq = 0x10,
    /// `dst > operand`, unsigned
    Gt = 0x20,
    /// `dst >= operand`, unsigned
    Ge = 0x30,
    /// `dst & operand` is not zero
    Set = 0x40,
    /// `dst != operand`
    Ne = 0x50,
    /// `dst > operand`, signed
    Sgt = 0x60,
    /// `dst >= operand`, signed
    Sge = 0x70,
    /// `dst < operand`, unsigned
    Lt = 0xa0,
    /// `dst <= operand`, unsigned
    Le = 0xb0,
    /// `dst < operand`, signed
    Slt = 0xc0,
    /// `dst <= operand`, signed
    Sle = 0xd0,
}

impl Compare {
    /// Every comparison.
    pub const ALL: [Self; 11] = [
        Self::Eq,
        Self::Gt,
        Self::Ge,
        Self::Set,
        Self::Ne,
        Self::Sgt,
        Self::Sge,
        Self::Lt,
        Self::Le,
        Self::Slt,
        Self::Sle,
    ];

    pub(super) fn of_opcode(opcode: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|op| *op as u8 == opcode & OP_MASK)
    }

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Set => "&",
            Self::Ne => "!=",
            Self::Sgt => "s>",
            Self::Sge => "s>=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Slt => "s<",
            Self::Sle => "s<=",
        }
    }
}

/// Bytes ↔ fields.
impl Insn {
    /// The eight bytes, little-endian.
    #[must_use]
    pub const fn encode(self) -> [u8; INSN_SIZE] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        let regs = self.src << 4 | self.dst & 0x0f;
        [self.opcode, regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]
    }

    /// The fields of eight little-endian bytes.
    #[must_use]
    pub const fn decode(bytes: [u8; INSN_SIZE]) -> Self {
        let [opcode, regs, off0, off1, imm0, imm1, imm2, imm3] = bytes;
        Self {
            opcode,
            dst: regs & 0x0f,
            src: regs >> 4,
            off: i16::from_le_bytes([off0, off1]),
            imm: i32::from_le_bytes([imm0, imm1, imm2, imm3]),
        }
    }

    const fn new(opcode: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> Self {
        Self { opcode, dst, src, off, imm }
    }
}

/// Arithmetic.
impl Insn {
    /// `dst op= imm`, 64 bits; `imm` is sign-extended.
    #[must_use]
    pub const fn alu64_imm(op: Alu, dst: Reg, imm: i32) -> Self {
        Self::new(class::ALU64 | op as u8, dst, 0, 0, imm)
    }

    /// `dst op= src`, 64 bits.
    #[must_use]
    pub const fn alu64_reg(op: Alu, dst: Reg, src: Reg) -> Self {
        Self::new(class::ALU64 | SOURCE_REG | op as u8, dst, src, 0, 0)
    }

    /// `dst op= imm`, low 32 bits; the upper half becomes 0.
    #[must_use]
    pub const fn alu32_imm(op: Alu, dst: Reg, imm: i32) -> Self {
        Self::new(class::ALU | op as u8, dst, 0, 0, imm)
    }

    /// `dst op= src`, low 32 bits; the upper half becomes 0.
    #[must_use]
    pub const fn alu32_reg(op: Alu, dst: Reg, src: Reg) -> Self {
        Self::new(class::ALU | SOURCE_REG | op as u8, dst, src, 0, 0)
    }

    /// `dst = imm`, sign-extended to 64 bits.
    #[must_use]
    pub const fn mov64_imm(dst: Reg, imm: i32) -> Self {
        Self::alu64_imm(Alu::Mov, dst, imm)
    }

    /// `dst = src`
    #[must_use]
    pub const fn mov64_reg(dst: Reg, src: Reg) -> Self {
        Self::alu64_reg(Alu::Mov, dst, src)
    }

    /// `dst = imm`, zero-extended to 64 bits.
    #[must_use]
    pub const fn mov32_imm(dst: Reg, imm: i32) -> Self {
        Self::alu32_imm(Alu::Mov, dst, imm)
    }

    /// `dst = low 32 bits of src`, zero-extended.
    #[must_use]
    pub const fn mov32_reg(dst: Reg, src: Reg) -> Self {
        Self::alu32_reg(Alu::Mov, dst, src)
    }

    /// `dst = -dst`, 64 bits.
    #[must_use]
    pub const fn neg64(dst: Reg) -> Self {
        Self::alu64_imm(Alu::Neg, dst, 0)
    }

    /// `dst = -dst`, low 32 bits; the upper half becomes 0.
    #[must_use]
    pub const fn neg32(dst: Reg) -> Self {
        Self::alu32_imm(Alu::Neg, dst, 0)
    }

    /// `dst = value`: two slots, always in this order.
    #[must_use]
    pub const fn ld_imm64(dst: Reg, value: u64) -> [Self; 2] {
        Self::wide(dst, 0, value as i32, (value >> 32) as i32)
    }

    /// `dst = map` by its open file descriptor: two slots. aya leaves it alone.
    #[must_use]
    pub const fn ld_map_fd(dst: Reg, fd: i32) -> [Self; 2] {
        Self::wide(dst, PSEUDO_MAP_FD, fd, 0)
    }

    const fn wide(dst: Reg, src: u8, low: i32, high: i32) -> [Self; 2] {
        let opcode = class::LD | mode::IMM | Width::Dw as u8;
        [Self::new(opcode, dst, src, 0, low), Self::new(0, 0, 0, 0, high)]
    }
}

/// Memory.
impl Insn {
    /// `dst = *(width *)(src + off)`, zero-extended.
    #[must_use]
    pub const fn load(width: Width, dst: Reg, src: Reg, off: i16) -> Self {
        Self::new(class::LDX | mode::MEM | width as u8, dst, src, off, 0)
    }

    /// `*(width *)(dst + off) = src`
    #[must_use]
    pub const fn store_reg(width: Width, dst: Reg, off: i16, src: Reg) -> Self {
        Self::new(class::STX | mode::MEM | width as u8, dst, src, off, 0)
    }

    /// `*(width *)(dst + off) = imm`, sign-extended to the width.
    #[must_use]
    pub const fn store_imm(width: Width, dst: Reg, off: i16, imm: i32) -> Self {
        Self::new(class::ST | mode::MEM | width as u8, dst, 0, off, imm)
    }

    /// `*(u64 *)(dst + off) += src`, atomically. The place must be aligned.
    #[must_use]
    pub const fn atomic_add64(dst: Reg, off: i16, src: Reg) -> Self {
        Self::new(class::STX | mode::ATOMIC | Width::Dw as u8, dst, src, off, Alu::Add as i32)
    }
}

/// Control. Jumps count instruction slots from the one after the jump.
impl Insn {
    /// Jump if `dst` compares so with `imm`, 64 bits; `imm` is sign-extended.
    #[must_use]
    pub const fn jump_imm(op: Compare, dst: Reg, imm: i32, off: i16) -> Self {
        Self::new(class::JMP | op as u8, dst, 0, off, imm)
    }

    /// Jump if `dst` compares so with `src`, 64 bits.
    #[must_use]
    pub const fn jump_reg(op: Compare, dst: Reg, src: Reg, off: i16) -> Self {
        Self::new(class::JMP | SOURCE_REG | op as u8, dst, src, off, 0)
    }

    /// Jump if the low 32 bits of `dst` compare so with `imm`.
    #[must_use]
    pub const fn jump32_imm(op: Compare, dst: Reg, imm: i32, off: i16) -> Self {
        Self::new(class::JMP32 | op as u8, dst, 0, off, imm)
    }

    /// Jump if the low 32 bits of `dst` and `src` compare so.
    #[must_use]
    pub const fn jump32_reg(op: Compare, dst: Reg, src: Reg, off: i16) -> Self {
        Self::new(class::JMP32 | SOURCE_REG | op as u8, dst, src, off, 0)
    }

    /// Jump always.
    #[must_use]
    pub const fn jump(off: i16) -> Self {
        Self::new(class::JMP | JMP_ALWAYS, 0, 0, off, 0)
    }

    /// `r0 = helper(r1, r2, r3, r4, r5)`; r1 to r5 are lost. Numbers are in [`helper`].
    #[must_use]
    pub const fn call(number: i32) -> Self {
        Self::new(class::JMP | JMP_CALL, 0, 0, 0, number)
    }

    /// Leave the program, or the hole.
    #[must_use]
    pub const fn exit() -> Self {
        Self::new(class::JMP | JMP_EXIT, 0, 0, 0, 0)
    }
}

/// What an instruction is.
impl Insn {
    /// It takes two slots; this is the first.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.opcode == class::LD | mode::IMM | Width::Dw as u8
    }

    /// It leaves the program.
    #[must_use]
    pub const fn is_exit(self) -> bool {
        self.opcode == class::JMP | JMP_EXIT
    }

    /// It calls something: a helper if `src` is 0.
    #[must_use]
    pub const fn is_call(self) -> bool {
        self.opcode == class::JMP | JMP_CALL
    }

    /// It jumps, conditionally or not, by `off` slots. The 32-bit `goto` of newer instruction
    /// sets, whose distance is `imm`, does not count: see [`Self::is_long_jump`].
    #[must_use]
    pub const fn is_jump(self) -> bool {
        let is_jump_class = matches!(self.opcode & class::MASK, class::JMP | class::JMP32);
        is_jump_class
            && !matches!(self.opcode & OP_MASK, JMP_CALL | JMP_EXIT)
            && !self.is_long_jump()
    }

    /// It jumps by `imm` slots (`gotol`, instruction set v4).
    #[must_use]
    pub const fn is_long_jump(self) -> bool {
        self.opcode == class::JMP32 | JMP_ALWAYS
    }

    /// It loads from `src + off`.
    #[must_use]
    pub const fn is_load(self) -> bool {
        self.opcode & class::MASK == class::LDX
    }

    /// It stores to `dst + off`.
    #[must_use]
    pub const fn is_store(self) -> bool {
        matches!(self.opcode & class::MASK, class::ST | class::STX)
    }

    /// The register that it writes, besides those that a call loses.
    #[must_use]
    pub const fn writes(self) -> Option<Reg> {
        match self.opcode & class::MASK {
            class::ALU | class::ALU64 | class::LDX => Some(self.dst),
            class::LD if self.is_wide() => Some(self.dst),
            class::STX if self.opcode & mode::MASK == mode::ATOMIC => match self.imm {
                ATOMIC_CMPXCHG => Some(R0),
                imm if imm & ATOMIC_FETCH != 0 => Some(self.src),
                _ => None,
            },
            _ => None,
        }
    }

    /// The registers whose values matter to it, one bit for each. A helper that is not known is
    /// taken to have five arguments.
    #[must_use]
    pub const fn reads(self) -> u16 {
        let (dst, src) = (1 << self.dst, 1 << self.src);
        let operand = if self.opcode & SOURCE_REG != 0 { src } else { 0 };
        match self.opcode & class::MASK {
            class::LDX => src,
            class::ST => dst,
            class::STX if self.imm == ATOMIC_CMPXCHG && self.is_atomic() => dst | src | 1 << R0,
            class::STX => dst | src,
            class::ALU | class::ALU64 => match self.opcode & OP_MASK {
                ALU_END => dst,
                op if op == Alu::Mov as u8 => operand,
                op if op == Alu::Neg as u8 => dst,
                _ => dst | operand,
            },
            class::JMP | class::JMP32 => match self.opcode & OP_MASK {
                JMP_ALWAYS => 0,
                JMP_EXIT => 1 << R0,
                JMP_CALL if self.src == 0 => ((1 << helper::arguments(self.imm)) - 1) << R1,
                JMP_CALL => 0b11_1110,
                _ => dst | operand,
            },
            _ => 0,
        }
    }

    /// It reads and writes memory at once.
    #[must_use]
    pub const fn is_atomic(self) -> bool {
        self.opcode & class::MASK == class::STX && self.opcode & mode::MASK == mode::ATOMIC
    }

    /// Whether it jumps, if it compares 64 bits of `dst`, which are `value`, with a constant.
    #[must_use]
    pub fn decides(self, value: u64) -> Option<bool> {
        if self.opcode & class::MASK != class::JMP || self.opcode & SOURCE_REG != 0 {
            return None;
        }
        let constant = i64::from(self.imm);
        let (number, unsigned) = (value.cast_signed(), constant.cast_unsigned());
        Some(match Compare::of_opcode(self.opcode)? {
            Compare::Eq => value == unsigned,
            Compare::Ne => value != unsigned,
            Compare::Gt => value > unsigned,
            Compare::Ge => value >= unsigned,
            Compare::Lt => value < unsigned,
            Compare::Le => value <= unsigned,
            Compare::Set => value & unsigned != 0,
            Compare::Sgt => number > constant,
            Compare::Sge => number >= constant,
            Compare::Slt => number < constant,
            Compare::Sle => number <= constant,
        })
    }

    /// It loads 64 bits.
    #[must_use]
    pub const fn is_load64(self) -> bool {
        self.opcode == class::LDX | mode::MEM | Width::Dw as u8
    }

    /// It stores the 64 bits of `src`.
    #[must_use]
    pub const fn is_store64_reg(self) -> bool {
        self.opcode == class::STX | mode::MEM | Width::Dw as u8
    }

    /// It jumps whatever the registers hold.
    #[must_use]
    pub const fn is_goto(self) -> bool {
        self.opcode == class::JMP | JMP_ALWAYS
    }

    /// It is `dst = imm`, 64 bits.
    #[must_use]
    pub const fn is_mov64_imm(self) -> bool {
        self.opcode == class::ALU64 | Alu::Mov as u8 && self.off == 0
    }

    /// Its operand is `src`.
    #[must_use]
    pub const fn has_source(self) -> bool {
        match self.opcode & class::MASK {
            class::LDX | class::STX => true,
            class::ALU | class::ALU64 => {
                self.opcode & SOURCE_REG != 0 && self.opcode & OP_MASK != ALU_END
            }
            class::JMP | class::JMP32 => self.is_jump() && self.opcode & SOURCE_REG != 0,
            _ => false,
        }
    }

    /// It is `dst += imm`, 64 bits.
    #[must_use]
    pub const fn is_add64_imm(self) -> bool {
        self.opcode == class::ALU64 | Alu::Add as u8
    }

    /// It is `dst = src`, 64 bits, without sign extension.
    #[must_use]
    pub const fn is_mov64_reg(self) -> bool {
        self.opcode == class::ALU64 | SOURCE_REG | Alu::Mov as u8 && self.off == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes assembled by hand from RFC 9669, beside the constructor and the mnemonic.
    const TABLE: &[(Insn, [u8; 8], &str)] = &[
        (Insn::mov64_imm(R0, -1), [0xb7, 0x00, 0, 0, 0xff, 0xff, 0xff, 0xff], "r0 = -1"),
        (Insn::mov64_reg(R6, R1), [0xbf, 0x16, 0, 0, 0, 0, 0, 0], "r6 = r1"),
        (Insn::mov32_imm(R3, 7), [0xb4, 0x03, 0, 0, 7, 0, 0, 0], "w3 = 7"),
        (Insn::mov32_reg(R3, R9), [0xbc, 0x93, 0, 0, 0, 0, 0, 0], "w3 = w9"),
        (Insn::alu64_imm(Alu::Add, R2, -8), [0x07, 0x02, 0, 0, 0xf8, 0xff, 0xff, 0xff], "r2 += -8"),
        (Insn::alu64_reg(Alu::Sub, R2, R3), [0x1f, 0x32, 0, 0, 0, 0, 0, 0], "r2 -= r3"),
        (Insn::alu64_reg(Alu::Mul, R2, R3), [0x2f, 0x32, 0, 0, 0, 0, 0, 0], "r2 *= r3"),
        (Insn::alu64_imm(Alu::Div, R2, 10), [0x37, 0x02, 0, 0, 10, 0, 0, 0], "r2 /= 10"),
        (Insn::alu64_imm(Alu::Or, R2, 1), [0x47, 0x02, 0, 0, 1, 0, 0, 0], "r2 |= 1"),
        (Insn::alu32_imm(Alu::And, R2, 255), [0x54, 0x02, 0, 0, 255, 0, 0, 0], "w2 &= 255"),
        (Insn::alu64_imm(Alu::Lsh, R2, 32), [0x67, 0x02, 0, 0, 32, 0, 0, 0], "r2 <<= 32"),
        (Insn::alu64_imm(Alu::Rsh, R2, 32), [0x77, 0x02, 0, 0, 32, 0, 0, 0], "r2 >>= 32"),
        (Insn::neg64(R2), [0x87, 0x02, 0, 0, 0, 0, 0, 0], "r2 = -r2"),
        (Insn::neg32(R2), [0x84, 0x02, 0, 0, 0, 0, 0, 0], "w2 = -w2"),
        (Insn::alu64_imm(Alu::Mod, R2, 3), [0x97, 0x02, 0, 0, 3, 0, 0, 0], "r2 %= 3"),
        (Insn::alu32_reg(Alu::Xor, R2, R2), [0xac, 0x22, 0, 0, 0, 0, 0, 0], "w2 ^= w2"),
        (Insn::alu64_imm(Alu::Arsh, R2, 56), [0xc7, 0x02, 0, 0, 56, 0, 0, 0], "r2 s>>= 56"),
        (Insn::load(Width::B, R1, R6, 8), [0x71, 0x61, 8, 0, 0, 0, 0, 0], "r1 = *(u8 *)(r6 +8)"),
        (Insn::load(Width::H, R1, R6, 8), [0x69, 0x61, 8, 0, 0, 0, 0, 0], "r1 = *(u16 *)(r6 +8)"),
        (Insn::load(Width::W, R1, R6, 8), [0x61, 0x61, 8, 0, 0, 0, 0, 0], "r1 = *(u32 *)(r6 +8)"),
        (Insn::load(Width::Dw, R1, R6, 8), [0x79, 0x61, 8, 0, 0, 0, 0, 0], "r1 = *(u64 *)(r6 +8)"),
        (
            Insn::store_reg(Width::Dw, R10, -8, R1),
            [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0],
            "*(u64 *)(r10 -8) = r1",
        ),
        (
            Insn::store_reg(Width::B, R2, 3, R0),
            [0x73, 0x02, 3, 0, 0, 0, 0, 0],
            "*(u8 *)(r2 +3) = r0",
        ),
        (
            Insn::store_imm(Width::Dw, R2, 0, 1),
            [0x7a, 0x02, 0, 0, 1, 0, 0, 0],
            "*(u64 *)(r2 +0) = 1",
        ),
        (
            Insn::store_imm(Width::H, R2, 2, 0),
            [0x6a, 0x02, 2, 0, 0, 0, 0, 0],
            "*(u16 *)(r2 +2) = 0",
        ),
        (
            Insn::atomic_add64(R2, 16, R1),
            [0xdb, 0x12, 16, 0, 0, 0, 0, 0],
            "lock *(u64 *)(r2 +16) += r1",
        ),
        (
            Insn::jump_imm(Compare::Eq, R0, 0, 5),
            [0x15, 0x00, 5, 0, 0, 0, 0, 0],
            "if r0 == 0 goto +5",
        ),
        (
            Insn::jump_imm(Compare::Ne, R0, -17, -3),
            [0x55, 0x00, 0xfd, 0xff, 0xef, 0xff, 0xff, 0xff],
            "if r0 != -17 goto -3",
        ),
        (
            Insn::jump_reg(Compare::Gt, R1, R2, 1),
            [0x2d, 0x21, 1, 0, 0, 0, 0, 0],
            "if r1 > r2 goto +1",
        ),
        (
            Insn::jump_reg(Compare::Sle, R1, R2, 1),
            [0xdd, 0x21, 1, 0, 0, 0, 0, 0],
            "if r1 s<= r2 goto +1",
        ),
        (
            Insn::jump32_imm(Compare::Set, R1, 4, 2),
            [0x46, 0x01, 2, 0, 4, 0, 0, 0],
            "if w1 & 4 goto +2",
        ),
        (
            Insn::jump32_reg(Compare::Lt, R1, R2, 2),
            [0xae, 0x21, 2, 0, 0, 0, 0, 0],
            "if w1 < w2 goto +2",
        ),
        (Insn::jump(-2), [0x05, 0, 0xfe, 0xff, 0, 0, 0, 0], "goto -2"),
        (
            Insn::call(helper::MAP_LOOKUP_ELEM),
            [0x85, 0, 0, 0, 1, 0, 0, 0],
            "call bpf_map_lookup_elem",
        ),
        (Insn::call(9999), [0x85, 0, 0, 0, 0x0f, 0x27, 0, 0], "call helper#9999"),
        (Insn::exit(), [0x95, 0, 0, 0, 0, 0, 0, 0], "exit"),
    ];

    #[test]
    fn constructors_give_the_bytes_of_the_rfc() {
        for (insn, bytes, text) in TABLE {
            assert_eq!(insn.encode(), *bytes, "{text}");
            assert_eq!(insn.to_string(), *text);
        }
    }

    #[test]
    fn wide_instructions_take_two_slots() {
        let [low, high] = Insn::ld_imm64(R4, 0x1122_3344_5566_7788);
        assert_eq!(low.encode(), [0x18, 0x04, 0, 0, 0x88, 0x77, 0x66, 0x55]);
        assert_eq!(high.encode(), [0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]);
        assert!(low.is_wide() && !high.is_wide());
        let [low, high] = Insn::ld_map_fd(R1, 7);
        assert_eq!(low.encode(), [0x18, 0x11, 0, 0, 7, 0, 0, 0]);
        assert_eq!(high, Insn::default());
        assert_eq!(low.to_string(), "r1 = map[fd:7]");
    }

    /// Every operation in every form.
    fn all() -> Vec<Insn> {
        let mut insns = vec![Insn::jump(i16::MIN), Insn::exit(), Insn::call(i32::MAX)];
        insns.extend(Insn::ld_imm64(R9, u64::MAX - 1));
        for op in Alu::ALL {
            insns.extend([Insn::alu64_imm(op, R1, i32::MIN), Insn::alu32_imm(op, R2, -5)]);
            insns.extend([Insn::alu64_reg(op, R3, R4), Insn::alu32_reg(op, R5, R6)]);
        }
        for op in Compare::ALL {
            insns.extend([Insn::jump_imm(op, R7, -1, -1), Insn::jump32_imm(op, R8, 2, 3)]);
            insns.extend([Insn::jump_reg(op, R9, R10, -9), Insn::jump32_reg(op, R0, R1, 1)]);
        }
        for width in Width::ALL {
            insns.push(Insn::load(width, R1, R10, i16::MIN));
            insns.push(Insn::store_reg(width, R10, -8, R1));
            insns.push(Insn::store_imm(width, R10, i16::MAX, -1));
        }
        insns.push(Insn::atomic_add64(R1, -16, R2));
        insns
    }

    #[test]
    fn decoding_undoes_encoding() {
        for insn in all() {
            assert_eq!(Insn::decode(insn.encode()), insn);
        }
    }

    #[test]
    fn no_constructor_gives_an_unknown_mnemonic_or_a_twin() {
        let insns = all();
        for (i, insn) in insns.iter().enumerate() {
            assert!(!insn.to_string().contains("bytes"), "{insn:?}");
            let twins = insns[..i].iter().filter(|other| other.to_string() == insn.to_string());
            assert_eq!(twins.count(), 0, "{insn}");
        }
    }

    #[test]
    fn jumps_are_told_from_calls_and_exits() {
        assert!(Insn::jump(1).is_jump());
        assert!(Insn::jump32_imm(Compare::Eq, R1, 0, 1).is_jump());
        assert!(!Insn::call(1).is_jump() && !Insn::exit().is_jump());
        assert!(!Insn::mov64_imm(R1, 0).is_jump());
        let long = Insn { opcode: 0x06, imm: 70000, ..Insn::default() };
        assert!(!long.is_jump() && long.is_long_jump());
    }

    #[test]
    fn written_registers_are_known() {
        assert_eq!(Insn::mov64_imm(R3, 0).writes(), Some(R3));
        assert_eq!(Insn::load(Width::B, R4, R6, 0).writes(), Some(R4));
        assert_eq!(Insn::ld_imm64(R5, 0)[0].writes(), Some(R5));
        assert_eq!(Insn::store_reg(Width::Dw, R6, 0, R7).writes(), None);
        assert_eq!(Insn::atomic_add64(R6, 0, R7).writes(), None);
        let fetch = Insn { imm: ATOMIC_FETCH, ..Insn::atomic_add64(R6, 0, R7) };
        assert_eq!(fetch.writes(), Some(R7));
        assert_eq!(Insn::jump_imm(Compare::Eq, R6, 0, 0).writes(), None);
    }

    #[test]
    fn unknown_opcodes_show_their_bytes() {
        let insn = Insn { opcode: 0xff, ..Insn::default() };
        assert_eq!(insn.to_string(), "(bytes [ff, 00, 00, 00, 00, 00, 00, 00])");
    }
}
