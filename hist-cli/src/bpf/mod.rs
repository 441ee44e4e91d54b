//! eBPF as plain data: instructions, the helpers that they call, and where they use the stack.

pub mod frame;
pub mod helper;
pub mod insn;
mod mnemonic;
