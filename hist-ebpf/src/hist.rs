//! The template of a hist trigger: counts an event in the entry of its key.
//!
//! Everything that depends on the trigger is a hole; what stands here is the same for all of them.
//! It is compiled into these objects: `hist`; with feature `log` `hist_log`, which logs every event;
//! with feature `large` `hist_large`, whose keys are larger than the stack allows; with feature
//! `array` `hist_array`, whose entries are found by number; and with feature `spill` `hist_spill` and
//! `hist_large_spill`, which pass on the hits that find no room.
//!
//! Nothing is allocated when an event fires: the maps are preallocated, the key and a new
//! entry's value are built on the stack. Map values are touched by holes only, because link
//! gives the map its real key and value size.
#![no_std]
#![no_main]
// `AtomicU64` cannot add on this target, as it could not compare and exchange.
#![feature(core_intrinsics)]
#![allow(internal_features)]

use aya_ebpf::EbpfContext;
use aya_ebpf::cty::c_void;
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::TracePointContext;
use hist_common::holes;
use hist_common::layout::{self, Losses};

/// Where the init hole writes.
type Value = [u64; layout::VALUE_ROOM / 8];

/// What could not be counted. Its own map: it is read and written apart from the entries.
#[map]
static LOSSES: PerCpuArray<Losses> = PerCpuArray::with_max_entries(1, 0);

// `link_name` takes literals only; that they are hist-common's is asserted below.
unsafe extern "C" {
    #[link_name = "hist_hole_filter"]
    fn filter(ctx: *mut c_void) -> u64;
    #[link_name = "hist_hole_update"]
    fn update(ctx: *mut c_void, value: *mut Value);
}

const _: () = {
    assert!(hist_common::same(holes::FILTER, "hist_hole_filter"));
    assert!(hist_common::same(holes::KEY, "hist_hole_key"));
    assert!(hist_common::same(holes::INDEX, "hist_hole_index"));
    assert!(hist_common::same(holes::UPDATE, "hist_hole_update"));
    assert!(hist_common::same(holes::INIT, "hist_hole_init"));
    assert!(holes::ALL.len() == 5);
    assert!(hist_common::same(layout::MAP_HIST, "HIST"));
    assert!(hist_common::same(layout::MAP_LOSSES, "LOSSES"));
    assert!(hist_common::same(layout::MAP_SCRATCH, "SCRATCH"));
    assert!(hist_common::same(layout::MAP_SPILL, "SPILL"));
};

/// One line per event in the logging template, nothing in the ordinary one.
macro_rules! log_outcome {
    ($ctx:expr, $format:literal $(, $key:expr)?) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($ctx, $format, $ctx.pid() $(, $crate::entry::first_word($key))?);
    };
}

mod common;

#[cfg(feature = "array")]
#[path = "array.rs"]
mod entry;
#[cfg(not(feature = "array"))]
#[path = "hash.rs"]
mod entry;

/// The program. It returns 0, or perf would go on to build a sample of the event.
#[tracepoint]
pub fn hist(ctx: TracePointContext) -> u32 {
    on_event(&ctx);
    0
}

/// Filter, then the entry of the key.
#[inline(always)]
fn on_event(ctx: &TracePointContext) {
    // SAFETY: link puts code there that obeys the hole ABI.
    if unsafe { filter(ctx.as_ptr()) } == 0 {
        log_outcome!(ctx, "filtered out: pid {}");
        return;
    }
    entry::count(ctx);
}

/// Why a hit got no entry.
#[derive(Clone, Copy)]
enum Loss {
    /// [`Losses::full`]
    #[cfg_attr(feature = "array", expect(dead_code, reason = "an array has all its entries"))]
    Full,
    /// [`Losses::busy`]
    Busy,
}

/// Counts a hit that got no entry. Programs of other events may count here, too, and interrupt
/// this one.
#[inline(always)]
fn lose(loss: Loss) {
    let Some(losses) = LOSSES.get_ptr_mut(0) else { return };
    // SAFETY: the value is this CPU's, aligned, and all programs add to it atomically.
    unsafe {
        let counter = match loss {
            Loss::Full => &raw mut (*losses).full,
            Loss::Busy => &raw mut (*losses).busy,
        };
        common::add(counter, 1);
    }
}
