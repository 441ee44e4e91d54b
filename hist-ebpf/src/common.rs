//! What every object of this crate has: a licence, and a handler for panics that never happen.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::panic::PanicInfo;

/// Adds to a number that programs on other CPUs, or that interrupt this one, may add to as well.
///
/// # Safety
/// `number` is aligned, in a map's value, and written by atomic additions only while programs run.
#[inline(always)]
pub(crate) unsafe fn add(number: *mut u64, more: u64) {
    // SAFETY: by this function's contract.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(number, more) };
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // No program can panic; link refuses an object in which this is left.
    loop {}
}

/// Without a GPL-compatible licence the kernel refuses the helpers that tracing needs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
