//! The program that goes on to the one in the first slot, which can be changed while events fire.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features)]

mod common;

use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::TracePointContext;
use hist_common::layout::{COUNT_SLOT, MAP_SLOTS, SPILL_SLOT};

/// What counts, and what counts hits that find no room there.
#[map]
static SLOTS: ProgramArray = ProgramArray::with_max_entries(SPILL_SLOT + 1, 0);

const _: () = assert!(hist_common::same(MAP_SLOTS, "SLOTS"));

/// The program that is entered returns in its place. While none is there, nothing is counted.
#[tracepoint]
pub fn hist_stub(ctx: TracePointContext) -> u32 {
    // SAFETY: the programs in it are of this one's type and take the same context.
    unsafe { SLOTS.tail_call(&ctx, COUNT_SLOT) };
    0
}
