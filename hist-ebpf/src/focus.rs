//! The programs that keep the set of followed processes up to date while others count.
//!
//! - `focus_exec`: the process that is armed enters the set when it executes a program.
//! - `focus_fork` and `focus_fork_raw`: what a process of the set forks enters it, before it first
//!   runs: `task_newtask` fires in the parent, which only then wakes the new task. Unlike
//!   `sched_process_fork` it fires for the threads of io_uring, too.
//! - `focus_exit`: a process leaves the set when its last thread exits, so before its pid can be
//!   another's.
//!
//! They run on raw tracepoints, or on classic ones where raw programs could be preempted. But for
//! forks, they do not look at what the event has, so that each is loaded as either type.
#![no_std]
#![no_main]
// `AtomicU64` cannot add on this target, as it could not compare and exchange.
#![feature(core_intrinsics)]
#![allow(internal_features)]

mod common;

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::generated::bpf_get_ns_current_pid_tgid;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel};
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::{Array, HashMap};
use aya_ebpf::programs::TracePointContext;
use hist_common::focus::{FACTS_SYMBOL, Facts, MAP_PROCESSES, MAP_STATE, State};

/// `CLONE_THREAD` in Linux include/uapi/linux/sched.h.
const CLONE_THREAD: u32 = 0x0001_0000;

/// The followed processes, by pid as the initial namespace has it. User space replaces capacity and
/// value size.
#[map]
static FOCUS_PIDS: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);

/// What the programs and user space tell each other.
#[map]
static FOCUS_STATE: Array<State> = Array::with_max_entries(1, 0);

/// What user space knows of the kernel; it fills this in before the programs are loaded.
#[unsafe(no_mangle)]
static FOCUS_FACTS: Facts = Facts::UNKNOWN;

const _: () = {
    assert!(hist_common::same(MAP_PROCESSES, "FOCUS_PIDS"));
    assert!(hist_common::same(MAP_STATE, "FOCUS_STATE"));
    assert!(hist_common::same(FACTS_SYMBOL, "FOCUS_FACTS"));
};

/// The fact of that name. A plain read would give what it is when this is compiled.
macro_rules! fact {
    ($name:ident) => {
        // SAFETY: it is a field of a static.
        unsafe { ptr::read_volatile(&raw const FOCUS_FACTS.$name) }
    };
}

/// The armed process executes a program.
#[tracepoint(category = "sched", name = "sched_process_exec")]
pub fn focus_exec(_: TracePointContext) -> u32 {
    let _ = executes();
    0
}

/// A process forks: the classic event's record says what.
#[tracepoint(category = "task", name = "task_newtask")]
pub fn focus_fork(ctx: TracePointContext) -> u32 {
    let _ = forks(&ctx);
    0
}

/// The same, on the raw tracepoint, whose first argument is the new task.
#[tracepoint(category = "raw", name = "task_newtask")]
pub fn focus_fork_raw(ctx: TracePointContext) -> u32 {
    // SAFETY: the context of a raw tracepoint is its arguments, and this one has two.
    let task = unsafe { *ctx.as_ptr().cast::<u64>() };
    let _ = forks_task(task);
    0
}

/// A task exits, perhaps the last one of its process.
#[tracepoint(category = "sched", name = "sched_process_exit")]
pub fn focus_exit(_: TracePointContext) -> u32 {
    let _ = exits();
    0
}

#[inline(always)]
fn executes() -> Option<()> {
    let state = FOCUS_STATE.get_ptr_mut(0)?;
    // SAFETY: it is the map's value, which user space may write at any time.
    let armed = unsafe { ptr::read_volatile(&raw const (*state).armed) };
    if armed == 0 {
        return None;
    }
    let mut ids = MaybeUninit::<bpf_pidns_info>::uninit();
    let (device, inode) = (fact!(namespace_device), fact!(namespace_inode));
    let size = size_of::<bpf_pidns_info>() as u32;
    // SAFETY: the buffer has that size. What it does not fill it leaves, and then it fails.
    if unsafe { bpf_get_ns_current_pid_tgid(device, inode, ids.as_mut_ptr(), size) } != 0 {
        // A task of another namespace.
        return None;
    }
    // SAFETY: it has been filled.
    if unsafe { ids.assume_init_ref() }.tgid != armed {
        return None;
    }
    // SAFETY: as above.
    unsafe { ptr::write_volatile(&raw mut (*state).armed, 0) };
    enter(current());
    Some(())
}

#[inline(always)]
fn forks(ctx: &TracePointContext) -> Option<()> {
    let flags: u32 = read(ctx.as_ptr() as u64 + fact!(record_clone_flags))?;
    if flags & CLONE_THREAD != 0 || !is_followed(current()) {
        return None;
    }
    enter(read(ctx.as_ptr() as u64 + fact!(record_pid))?);
    Some(())
}

#[inline(always)]
fn forks_task(task: u64) -> Option<()> {
    let parent = current();
    if !is_followed(parent) {
        return None;
    }
    let process: u32 = read(task + fact!(task_tgid))?;
    // Else it is only a thread.
    if process != parent {
        enter(process);
    }
    Some(())
}

#[inline(always)]
fn exits() -> Option<()> {
    // SAFETY: the helper takes nothing.
    let task = unsafe { bpf_get_current_task() };
    let signal: u64 = read(task + fact!(task_signal))?;
    let others: u32 = read(signal + fact!(signal_live))?;
    if others == 0 {
        // Its pid may become another's.
        let _ = FOCUS_PIDS.remove(&current());
    }
    Some(())
}

/// The current process's pid, as the initial namespace has it.
#[inline(always)]
fn current() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn is_followed(pid: u32) -> bool {
    FOCUS_PIDS.get_ptr(&pid).is_some()
}

/// Puts a process into the set, or counts that there is no room.
#[inline(always)]
fn enter(pid: u32) {
    if FOCUS_PIDS.insert(&pid, &0, 0).is_err()
        && let Some(state) = FOCUS_STATE.get_ptr_mut(0)
    {
        // SAFETY: it is the map's value, and only added to.
        unsafe { common::add(&raw mut (*state).full, 1) };
    }
}

/// What is at an address in the kernel's memory.
#[inline(always)]
fn read<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, and any bytes are a number.
    unsafe { bpf_probe_read_kernel((address as *const c_void).cast::<T>()) }.ok()
}
