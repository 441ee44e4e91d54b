//! Counts a hit in the entry whose number its key has.
//!
//! For keys of which there are few. Every entry is there from the beginning, so none is ever
//! inserted, and the table is never full.

use aya_ebpf::EbpfContext;
use aya_ebpf::cty::c_void;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::TracePointContext;

use crate::{Loss, Value, lose, update};

/// The entries. Link replaces value size and number.
#[map]
static HIST: PerCpuArray<Value> = PerCpuArray::with_max_entries(1, 0);

unsafe extern "C" {
    #[link_name = "hist_hole_index"]
    fn index(ctx: *mut c_void) -> u64;
}

/// Counts the hit.
#[inline(always)]
pub(crate) fn count(ctx: &TracePointContext) {
    // SAFETY: link puts code there that obeys the hole ABI.
    let index = unsafe { index(ctx.as_ptr()) };
    #[expect(clippy::cast_possible_truncation, reason = "maps have fewer entries than 2^32")]
    match HIST.get_ptr_mut(index as u32) {
        // SAFETY: as above; the value is this CPU's, and this program does not nest.
        Some(value) => unsafe { update(ctx.as_ptr(), value) },
        // There is an entry for each key, unless the event is not what its format says.
        None => lose(Loss::Busy),
    }
}
