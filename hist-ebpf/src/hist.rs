//! Takes an event. Gives one more hit in the entry of its key.
//!
//! The template of a hist trigger on a classic tracepoint. Everything that depends on the
//! trigger is a hole; what stands here is the same for all of them. Three objects come from this
//! file: `hist`; with feature `log` `hist_log`, which logs every event; with feature `large`
//! `hist_large`, whose keys are larger than the stack allows.
//!
//! Nothing is allocated when an event fires: the maps are preallocated, the key and a new
//! entry's value are built on the stack. Map values are touched by holes only, because link
//! gives the map its real key and value size.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::cty::c_void;
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::{PerCpuArray, PerCpuHashMap};
use aya_ebpf::programs::TracePointContext;
use hist_common::holes;
use hist_common::layout::{self, Losses};

/// Where the key hole writes. Words, so that it is aligned for any number.
#[cfg(not(feature = "large"))]
type Key = [u64; layout::KEY_ROOM / 8];
/// Where the key hole writes, when that is no room on the stack.
#[cfg(feature = "large")]
type Key = [u64; layout::LARGE_KEY_ROOM / 8];
/// Where the init hole writes.
type Value = [u64; layout::VALUE_ROOM / 8];

/// The entries. Link replaces key size, value size and capacity; flags 0 mean preallocated.
#[map]
static HIST: PerCpuHashMap<Key, Value> = PerCpuHashMap::with_max_entries(1, 0);

/// Large keys are built here. One program does not nest on a CPU, so each CPU needs one.
#[cfg(feature = "large")]
#[map]
static SCRATCH: PerCpuArray<Key> = PerCpuArray::with_max_entries(1, 0);

/// What could not be counted. Its own map: it is read and written apart from the entries.
#[map]
static LOSSES: PerCpuArray<Losses> = PerCpuArray::with_max_entries(1, 0);

/// Non-zero while the trigger is paused; written by user space. It lies in `.bss`, where reading
/// it takes a load and no look-up.
#[unsafe(no_mangle)]
static PAUSED: Flag = Flag(UnsafeCell::new(0));

/// A word that user space changes. No atomic type: LLVM has no atomic loads for this target.
#[repr(transparent)]
struct Flag(UnsafeCell<u32>);

// SAFETY: programs only read it, in one aligned load.
unsafe impl Sync for Flag {}

impl Flag {
    #[inline(always)]
    fn is_set(&self) -> bool {
        // SAFETY: the pointer is the static's own; volatile, because user space writes.
        unsafe { self.0.get().read_volatile() != 0 }
    }
}

// `link_name` takes literals only; that they are hist-common's is asserted below.
unsafe extern "C" {
    #[link_name = "hist_hole_filter"]
    fn filter(ctx: *mut c_void) -> u64;
    #[link_name = "hist_hole_key"]
    fn write_key(ctx: *mut c_void, key: *mut Key);
    #[link_name = "hist_hole_update"]
    fn update(ctx: *mut c_void, value: *mut Value);
    #[link_name = "hist_hole_init"]
    fn init(ctx: *mut c_void, value: *mut Value);
}

const _: () = {
    assert!(same(holes::FILTER, "hist_hole_filter"));
    assert!(same(holes::KEY, "hist_hole_key"));
    assert!(same(holes::UPDATE, "hist_hole_update"));
    assert!(same(holes::INIT, "hist_hole_init"));
    assert!(holes::ALL.len() == 4);
    assert!(same(layout::MAP_HIST, "HIST"));
    assert!(same(layout::MAP_LOSSES, "LOSSES"));
    assert!(same(layout::MAP_SCRATCH, "SCRATCH"));
    assert!(same(layout::VAR_PAUSED, "PAUSED"));
};

/// `left == right`, which `str` cannot do in a constant.
const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut i = 0;
    while i < left.len() && i < right.len() && left[i] == right[i] {
        i += 1;
    }
    i == left.len() && i == right.len()
}

/// One line per event in the logging template, nothing in the ordinary one.
macro_rules! log_outcome {
    ($ctx:expr, $format:literal $(, $key:expr)?) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!($ctx, $format, $ctx.pid() $(, first_word($key))?);
    };
}

/// The program. It returns 0, or perf would go on to build a sample of the event.
#[tracepoint]
pub fn hist(ctx: TracePointContext) -> u32 {
    if !PAUSED.is_set() {
        on_event(&ctx);
    }
    0
}

/// Filter, key, look-up; then the entry's update, or a new entry.
#[inline(always)]
fn on_event(ctx: &TracePointContext) {
    // SAFETY: link puts code there that obeys the hole ABI.
    if unsafe { filter(ctx.as_ptr()) } == 0 {
        log_outcome!(ctx, "filtered out: pid {}");
        return;
    }
    #[cfg(not(feature = "large"))]
    count(ctx, &mut MaybeUninit::uninit());
    #[cfg(feature = "large")]
    if let Some(key) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's, and this program does not nest.
        count(ctx, unsafe { &mut *key.cast() });
    }
}

/// Builds the key and counts the hit.
#[inline(always)]
fn count(ctx: &TracePointContext, key: &mut MaybeUninit<Key>) {
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
            lose(|losses| losses.full += 1);
            log_outcome!(ctx, "full: pid {}, key 0x{:x}", key);
        }
        Err(_) => {
            lose(|losses| losses.busy += 1);
            log_outcome!(ctx, "busy: pid {}, key 0x{:x}", key);
        }
    }
}

/// Another CPU inserted the key between look-up and insertion.
#[inline(always)]
fn update_after_race(ctx: &TracePointContext, key: &MaybeUninit<Key>) {
    match HIST.get_ptr_mut(as_key(key)) {
        Some(value) => {
            // SAFETY: as in `on_event`.
            unsafe { update(ctx.as_ptr(), value) };
            log_outcome!(ctx, "counted: pid {}, key 0x{:x}", key);
        }
        // And it was deleted again: the histogram is being cleared.
        None => {
            lose(|losses| losses.busy += 1);
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
fn first_word(key: &MaybeUninit<Key>) -> u64 {
    as_key(key)[0]
}

/// Counts a hit that got no entry.
#[inline(always)]
fn lose(count: impl FnOnce(&mut Losses)) {
    if let Some(losses) = LOSSES.get_ptr_mut(0) {
        // SAFETY: the value is this CPU's, and this program does not nest.
        count(unsafe { &mut *losses });
    }
}

/// What the map says of a key that is there already (`-EEXIST`).
const EEXIST: i32 = -17;
/// What a hash map says when no element is left (`-E2BIG`, `alloc_htab_elem()` in Linux
/// kernel/bpf/hashtab.c).
const E2BIG: i32 = -7;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // Nothing above can panic; link refuses an object in which this is left.
    loop {}
}

/// Without a GPL-compatible licence the kernel refuses the helpers that tracing needs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
