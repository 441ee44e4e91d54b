//! Counts a hit in the entry that its key finds, inserting it on a miss.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::cty::c_void;
use aya_ebpf::macros::map;
#[cfg(feature = "large")]
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::maps::PerCpuHashMap;
#[cfg(feature = "spill")]
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::TracePointContext;
use hist_common::layout;

use crate::{Loss, Value, lose, update};

/// Where the key hole writes. Words, so that it is aligned for any number.
#[cfg(not(feature = "large"))]
type Key = [u64; layout::KEY_ROOM / 8];
/// Where the key hole writes, when that is no room on the stack.
#[cfg(feature = "large")]
type Key = [u64; layout::LARGE_KEY_ROOM / 8];

/// The entries. Link replaces key size, value size and capacity; flags 0 mean preallocated.
#[map]
static HIST: PerCpuHashMap<Key, Value> = PerCpuHashMap::with_max_entries(1, 0);

/// Large keys are built here. One program does not nest on a CPU, so each CPU needs one.
#[cfg(feature = "large")]
#[map]
static SCRATCH: PerCpuArray<Key> = PerCpuArray::with_max_entries(1, 0);

/// What counts hits that find no room here, without the keys that take it.
#[cfg(feature = "spill")]
#[map]
static SPILL: ProgramArray = ProgramArray::with_max_entries(layout::SPILL_SLOT + 1, 0);

// `link_name` takes literals only; that they are hist-common's is asserted in the crate's root.
unsafe extern "C" {
    #[link_name = "hist_hole_key"]
    fn write_key(ctx: *mut c_void, key: *mut Key);
    #[link_name = "hist_hole_init"]
    fn init(ctx: *mut c_void, value: *mut Value);
}

/// Counts the hit.
#[inline(always)]
pub(crate) fn count(ctx: &TracePointContext) {
    #[cfg(not(feature = "large"))]
    count_in(ctx, &mut MaybeUninit::uninit());
    #[cfg(feature = "large")]
    if let Some(key) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's, and this program does not nest.
        count_in(ctx, unsafe { &mut *key.cast() });
    }
}

/// Builds the key and counts the hit.
#[inline(always)]
fn count_in(ctx: &TracePointContext, key: &mut MaybeUninit<Key>) {
    // SAFETY: link puts code there that writes the map's key size, which is at most `Key`'s.
    unsafe { write_key(ctx.as_ptr(), key.as_mut_ptr()) };
    match HIST.get_ptr_mut(as_key(key)) {
        Some(value) => {
            // SAFETY: as above; the value is this CPU's, and this program does not nest.
            unsafe { update(ctx.as_ptr(), value) };
            log_outcome!(ctx, "counted: pid {}, key 0x{:x}", key);
        }
        None => insert(ctx, key),
    }
}

/// The first hit of a key on any CPU.
#[inline(always)]
fn insert(ctx: &TracePointContext, key: &MaybeUninit<Key>) {
    let mut value = MaybeUninit::<Value>::uninit();
    // SAFETY: link puts code there that writes the map's value size, at most `VALUE_ROOM`.
    unsafe { init(ctx.as_ptr(), value.as_mut_ptr()) };
    // SAFETY: the map reads no more than what the holes wrote.
    let new = unsafe { value.assume_init_ref() };
    match HIST.insert(as_key(key), new, u64::from(BPF_NOEXIST)) {
        Ok(()) => {
            log_outcome!(ctx, "new: pid {}, key 0x{:x}", key);
        }
        Err(EEXIST) => update_after_race(ctx, key),
        Err(E2BIG) => {
            lose(Loss::Full);
            log_outcome!(ctx, "full: pid {}, key 0x{:x}", key);
            // Returns only if there is no such program: then the hit is lost.
            #[cfg(feature = "spill")]
            // SAFETY: the programs in it are of this one's type and take the same context.
            let _ = unsafe { SPILL.tail_call(ctx, layout::SPILL_SLOT) };
        }
        Err(_) => {
            lose(Loss::Busy);
            log_outcome!(ctx, "busy: pid {}, key 0x{:x}", key);
        }
    }
}

/// Another CPU inserted the key between look-up and insertion.
#[inline(always)]
fn update_after_race(ctx: &TracePointContext, key: &MaybeUninit<Key>) {
    match HIST.get_ptr_mut(as_key(key)) {
        Some(value) => {
            // SAFETY: as in `count_in`.
            unsafe { update(ctx.as_ptr(), value) };
            log_outcome!(ctx, "counted: pid {}, key 0x{:x}", key);
        }
        // And it was deleted again: the histogram is being cleared.
        None => {
            lose(Loss::Busy);
            log_outcome!(ctx, "busy: pid {}, key 0x{:x}", key);
        }
    }
}

/// The key as the map takes it.
#[inline(always)]
fn as_key(key: &MaybeUninit<Key>) -> &Key {
    // SAFETY: the map reads no more than its key size, which the key hole wrote.
    unsafe { key.assume_init_ref() }
}

/// The key's first eight bytes, for the log.
#[cfg(feature = "log")]
#[inline(always)]
pub(crate) fn first_word(key: &MaybeUninit<Key>) -> u64 {
    as_key(key)[0]
}

/// What the map says of a key that is there already (`-EEXIST`).
const EEXIST: i32 = -17;
/// What a hash map says when no element is left (`-E2BIG`, `alloc_htab_elem()` in Linux
/// kernel/bpf/hashtab.c).
const E2BIG: i32 = -7;
