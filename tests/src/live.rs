//! What tests that count in this machine's kernel share: tracefs where they may use it, triggers that
//! are attached, and calls for them to count.

use std::hint::black_box;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use hist_cli::kernel::Context as KernelContext;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, AttachedTrigger};
use hist_cli::pipeline;
use hist_cli::plan::Wishes;
use hist_test_support::needs;

/// tracefs, if this process may load programs. If not, the test is skipped.
///
/// # Panics
/// If root has none, or if nothing may be skipped.
#[must_use]
#[track_caller]
pub fn tracefs() -> Option<&'static Tracefs> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    needs::root().then(|| &*TRACEFS)
}

/// What `system:event` has in its records.
///
/// # Errors
/// If this kernel has no such event.
pub fn format(event: &str) -> Result<EventFormat> {
    Ok(find_or_mount()?.event(&event.parse()?)?)
}

/// A trigger on `system:event` that counts.
///
/// # Errors
/// If there is a mistake in it, or the kernel refuses it.
pub fn attached(
    event: &str,
    trigger: &str,
    context: &KernelContext<'_>,
    wishes: Wishes,
) -> Result<AttachedTrigger> {
    let built = pipeline::build_text(trigger, &format(event)?, context, wishes)?;
    load::attach(built)?.triggers.pop().context("one trigger")
}

/// Makes this thread call getppid(2), which does nothing, and hardly anything else calls.
pub fn getppid(times: u64) {
    for _ in 0..times {
        black_box(rustix::process::getppid());
    }
}
