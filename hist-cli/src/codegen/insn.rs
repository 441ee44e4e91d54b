//! Takes eBPF instructions as fields or as 8 bytes. Gives the other form, and a mnemonic.
//!
//! Encoding: Linux Documentation/bpf/standardization/instruction-set.rst (RFC 9669).

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
