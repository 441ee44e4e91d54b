//! The two programs that count the events which perf drops: one that sees every event adds one to
//! its CPU's balance, one that perf calls as it calls the classic program takes one off.
#![no_std]
#![no_main]
// `AtomicU64` cannot add on this target, as it could not compare and exchange.
#![feature(core_intrinsics)]
#![allow(internal_features)]

mod common;

use core::ptr;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::TracePointContext;
use hist_common::sentinel::{Balance, MAP_BALANCE};

/// A balance for each CPU; user space replaces the capacity.
#[map(name = "watch_balance")]
static BALANCES: Array<Balance> = Array::with_max_entries(1, BPF_F_MMAPABLE);

const _: () = assert!(hist_common::same(MAP_BALANCE, "watch_balance"));

/// On the raw tracepoint: it adds one.
#[tracepoint(category = "raw", name = "called")]
pub fn watch_called(_: TracePointContext) -> u32 {
    count(1);
    0
}

/// On the classic one: it takes one off.
#[tracepoint(category = "classic", name = "ran")]
pub fn watch_ran(_: TracePointContext) -> u32 {
    count(u64::MAX);
    0
}

/// Adds to this CPU's balance, unless it does not count now.
#[inline(always)]
fn count(step: u64) {
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(balance) = BALANCES.get_ptr_mut(cpu) else { return };
    // SAFETY: it is the map's value, which user space may write at any time.
    let number = unsafe { &raw mut (*balance).number };
    // SAFETY: as above.
    if unsafe { ptr::read_volatile(number) } != 0 {
        // SAFETY: as above; an interrupt's program may come in between.
        unsafe { common::add(number, step) };
    }
}
