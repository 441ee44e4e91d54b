//! Takes what the kernel's types tell. Gives whole programs that keep the set of a focus's processes
//! up to date: for raw tracepoints, or for classic ones where raw programs could be preempted.
//!
//! - `exec`: the process that is armed enters the set when it executes a program.
//! - `fork`: what a process of the set forks enters it, before it first runs: `task_newtask` fires
//!   in the parent, which only then wakes the new task. Unlike `sched_process_fork` it fires for
//!   the threads of io_uring, too.
//! - `exit`: a process leaves the set when its last thread exits, so before its pid can be another's.

use super::CodegenError;
use super::code::HoleCode;
use super::emit::{Emitter, Label};
use crate::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R3, R4, R6, R7, R10, Reg, Width, helper};
use crate::plan::focus::{FocusMap, STATE_ARMED, STATE_FULL, TaskOffsets};

/// A program that watches processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The armed process executes.
    Exec,
    /// A process of the set forks.
    Fork,
    /// A process of the set exits.
    Exit,
}

impl Watch {
    /// The system of its event.
    #[must_use]
    pub const fn system(self) -> &'static str {
        match self {
            Self::Exec | Self::Exit => "sched",
            Self::Fork => "task",
        }
    }

    /// The tracepoint that it is for, which has the name of its event.
    #[must_use]
    pub const fn tracepoint(self) -> &'static str {
        match self {
            Self::Exec => "sched_process_exec",
            Self::Fork => "task_newtask",
            Self::Exit => "sched_process_exit",
        }
    }

    /// The program's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "focus_exec",
            Self::Fork => "focus_fork",
            Self::Exit => "focus_exit",
        }
    }
}

/// What the watching programs need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Where the kernel keeps things.
    pub offsets: TaskOffsets,
    /// The pid namespace that armed pids are of: device, as the kernel has it, and inode.
    pub namespace: (u64, u64),
    /// What the program that sees forks gets.
    pub new_task: NewTask,
}

/// Where a program on `task_newtask` finds what has been forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTask {
    /// The raw tracepoint's first argument is the task.
    Argument,
    /// The record has it, at these bytes from its start.
    Record {
        /// Its own number, an int: the process's pid unless it is only a thread.
        pid: u32,
        /// The flags of clone(2); the low 32 bits count.
        clone_flags: u32,
    },
}

/// `CLONE_THREAD` in Linux include/uapi/linux/sched.h.
const CLONE_THREAD: i32 = 0x0001_0000;

/// The key of a look-up, and what user space calls it (two u32).
const KEY: i16 = -8;
/// A value, or what is read from the kernel's memory.
const VALUE: i16 = -16;

/// The program.
///
/// # Errors
/// If a jump or an offset does not fit an instruction.
pub fn watch(watch: Watch, around: &Surroundings) -> Result<HoleCode, CodegenError> {
    let mut emitter = Emitter::program(watch.name());
    let out = emitter.label();
    match watch {
        Watch::Exec => exec(&mut emitter, around.namespace, out),
        Watch::Fork => fork(&mut emitter, around, out)?,
        Watch::Exit => exit(&mut emitter, around.offsets, out),
    }
    emitter.place(out);
    emitter.push(Insn::mov64_imm(R0, 0), "");
    emitter.push(Insn::exit(), "");
    emitter.finish()
}

fn exec(emitter: &mut Emitter, (device, inode): (u64, u64), out: Label) {
    emitter.push_state(R6, "the armed process");
    emitter.push(Insn::load(Width::W, R7, R6, STATE_ARMED as i16), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R7, 0, 0), out, "none is");
    emitter.push_wide(Insn::ld_imm64(R1, device), "its pid namespace");
    emitter.push_wide(Insn::ld_imm64(R2, inode), "");
    address(emitter, R3, KEY);
    emitter.push(Insn::mov64_imm(R4, 8), "");
    emitter.push(Insn::call(helper::GET_NS_CURRENT_PID_TGID), "");
    emitter.jump(Insn::jump_imm(Compare::Ne, R0, 0, 0), out, "a task of another namespace");
    // `struct bpf_pidns_info` has the thread first.
    emitter.push(Insn::load(Width::W, R1, R10, KEY + 4), "");
    emitter.jump(Insn::jump_reg(Compare::Ne, R1, R7, 0), out, "another process");
    emitter.push(Insn::store_imm(Width::W, R6, STATE_ARMED as i16, 0), "it executes");
    current(emitter, R7);
    emitter.push(Insn::store_reg(Width::W, R10, KEY, R7), "");
    insert(emitter, out);
}

fn fork(emitter: &mut Emitter, around: &Surroundings, out: Label) -> Result<(), CodegenError> {
    match around.new_task {
        NewTask::Argument => emitter.push(Insn::load(Width::Dw, R6, R1, 0), "the new task"),
        NewTask::Record { pid, clone_flags } => {
            let (pid, flags) = (emitter.offset(pid)?, emitter.offset(clone_flags)?);
            emitter.push(Insn::load(Width::W, R2, R1, flags), "how it is forked");
            emitter.push(Insn::alu64_imm(Alu::And, R2, CLONE_THREAD), "");
            emitter.jump(Insn::jump_imm(Compare::Ne, R2, 0, 0), out, "only a thread");
            emitter.push(Insn::load(Width::W, R6, R1, pid), "the new process");
        }
    }
    current(emitter, R7);
    emitter.push(Insn::store_reg(Width::W, R10, KEY, R7), "");
    address(emitter, R2, KEY);
    emitter.push_map(R1, FocusMap::Processes, "");
    emitter.push(Insn::call(helper::MAP_LOOKUP_ELEM), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R0, 0, 0), out, "its parent is not in the set");
    if around.new_task == NewTask::Argument {
        read(emitter, (KEY, 4), (R6, around.offsets.tgid), out);
        emitter.push(Insn::load(Width::W, R1, R10, KEY), "");
        emitter.jump(Insn::jump_reg(Compare::Eq, R1, R7, 0), out, "only a thread");
    } else {
        emitter.push(Insn::store_reg(Width::W, R10, KEY, R6), "");
    }
    insert(emitter, out);
    Ok(())
}

fn exit(emitter: &mut Emitter, offsets: TaskOffsets, out: Label) {
    emitter.push(Insn::call(helper::GET_CURRENT_TASK), "");
    emitter.push(Insn::mov64_reg(R6, R0), "");
    read(emitter, (VALUE, 8), (R6, offsets.signal), out);
    emitter.push(Insn::load(Width::Dw, R6, R10, VALUE), "");
    read(emitter, (VALUE, 4), (R6, offsets.live), out);
    emitter.push(Insn::load(Width::W, R1, R10, VALUE), "");
    emitter.jump(Insn::jump_imm(Compare::Ne, R1, 0, 0), out, "other threads live");
    current(emitter, R7);
    emitter.push(Insn::store_reg(Width::W, R10, KEY, R7), "");
    address(emitter, R2, KEY);
    emitter.push_map(R1, FocusMap::Processes, "");
    emitter.push(Insn::call(helper::MAP_DELETE_ELEM), "its pid may become another's");
}

/// `dst` = the current process's pid, as the initial namespace has it.
fn current(emitter: &mut Emitter, dst: Reg) {
    emitter.push(Insn::call(helper::GET_CURRENT_PID_TGID), "");
    emitter.push(Insn::mov64_reg(dst, R0), "");
    emitter.push(Insn::alu64_imm(Alu::Rsh, dst, 32), "the process's pid");
}

/// `dst` = the address of the stack at `slot`.
fn address(emitter: &mut Emitter, dst: Reg, slot: i16) {
    emitter.push(Insn::mov64_reg(dst, R10), "");
    emitter.push(Insn::alu64_imm(Alu::Add, dst, i32::from(slot)), "");
}

/// Copies `size` bytes of the kernel's memory to the stack at `slot`.
fn read(emitter: &mut Emitter, (slot, size): (i16, i32), (base, offset): (Reg, u32), out: Label) {
    address(emitter, R1, slot);
    emitter.push(Insn::mov64_imm(R2, size), "");
    emitter.push(Insn::mov64_reg(R3, base), "");
    emitter.push(Insn::alu64_imm(Alu::Add, R3, offset.cast_signed()), "");
    emitter.push(Insn::call(helper::PROBE_READ_KERNEL), "");
    emitter.jump(Insn::jump_imm(Compare::Ne, R0, 0, 0), out, "it is not there");
}

/// Puts the pid at [`KEY`] into the set, or counts that there is no room.
fn insert(emitter: &mut Emitter, out: Label) {
    emitter.push(Insn::store_imm(Width::Dw, R10, VALUE, 0), "");
    emitter.push_map(R1, FocusMap::Processes, "enters the set");
    address(emitter, R2, KEY);
    address(emitter, R3, VALUE);
    emitter.push(Insn::mov64_imm(R4, 0), "");
    emitter.push(Insn::call(helper::MAP_UPDATE_ELEM), "");
    emitter.jump(Insn::jump_imm(Compare::Eq, R0, 0, 0), out, "");
    emitter.push_state(R1, "it is full");
    emitter.push(Insn::mov64_imm(R2, 1), "");
    emitter.push(Insn::atomic_add64(R1, STATE_FULL as i16, R2), "");
}
