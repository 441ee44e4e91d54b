//! The test of a program on an event of all system calls: whether it sees the one that is counted.

use super::CodegenError;
use super::access;
use super::emit::{Emitter, Label};
use crate::bpf::helper;
use crate::bpf::insn::{Alu, Compare, Insn, R0, R3, Width};
use crate::plan::access::system_call::SystemCall;

/// `TS_COMPAT` in Linux arch/x86/include/asm/thread_info.h: a 32-bit system call is under way.
const TS_COMPAT: i32 = 0x0002;

/// Bytes of a call's number, an `int`.
const NUMBER_SIZE: u32 = 4;

/// Goes to `other` unless the system call is the one that is counted. Destroys r0 to r5.
pub(super) fn only(
    emitter: &mut Emitter,
    call: &SystemCall,
    other: Label,
) -> Result<(), CodegenError> {
    if !access::image(emitter, &call.id, NUMBER_SIZE, "which system call")? {
        return Err(CodegenError::NoCallNumber);
    }
    // Numbers are below 1000.
    let number = call.number.cast_signed();
    emitter.jump(Insn::jump_imm(Compare::Ne, R3, number, 0), other, "another one");
    emitter.push(Insn::call(helper::GET_CURRENT_TASK_BTF), "");
    let status = emitter.offset(call.status)?;
    emitter.push(Insn::load(Width::W, R3, R0, status), "");
    emitter.push(Insn::alu64_imm(Alu::And, R3, TS_COMPAT), "");
    let compat = Insn::jump_imm(Compare::Ne, R3, 0, 0);
    emitter.jump(compat, other, "one of 32 bits, with another meaning of numbers");
    Ok(())
}
