//! Takes a [`Plan`](crate::plan::Plan). Gives [`code::Code`]: eBPF instructions for each hole,
//! with a note beside each that says why it is there.

pub mod code;
pub mod insn;
