//! Takes what the kernel has counted of a program's missed events. Gives which of them are losses,
//! and whether the kernel counts them at all.
//!
//! The kernel skips a program that would nest, before the program could look at its flag. So it
//! counts misses of a paused trigger, too, and those are no losses.

use crate::plan::Attach;

/// What is known of one program's misses. The kernel's own count only ever grows; it is `now` in
/// what follows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Misses {
    /// Those that are no losses: from before the table was cleared last, or of a paused trigger.
    excused: u64,
    /// What the kernel had counted when the trigger was paused; `None` while it counts.
    stopped_at: Option<u64>,
}

impl Misses {
    /// Those of a program that has just been loaded and not run yet.
    pub(super) fn new(paused: bool) -> Self {
        Self { excused: 0, stopped_at: paused.then_some(0) }
    }

    /// How many are losses.
    pub(super) fn lost(&self, now: u64) -> u64 {
        self.stopped_at.unwrap_or(now).saturating_sub(self.excused)
    }

    /// The trigger has been paused. Already paused, nothing changes.
    pub(super) fn stop(&mut self, now: u64) {
        self.stopped_at.get_or_insert(now);
    }

    /// The trigger is about to count on. Not paused, nothing changes.
    pub(super) fn go_on(&mut self, now: u64) {
        if let Some(then) = self.stopped_at.take() {
            self.excused += now.saturating_sub(then);
        }
    }

    /// What was lost so far is forgotten.
    pub(super) fn forget(&mut self, now: u64) {
        self.excused = now;
        if let Some(then) = &mut self.stopped_at {
            *then = now;
        }
    }
}

/// Whether a kernel of that release (`uname -r`) counts what programs so attached miss.
///
/// It skips programs of perf events whenever another one runs on the CPU, and counts that since
/// Linux 6.7 (`trace_call_bpf()` in kernel/trace/bpf_trace.c). Raw tracepoint programs are only
/// skipped, and counted, when they would nest in themselves. A release that does not begin like
/// one is taken for a new one.
#[must_use]
pub fn counts_misses(attach: &Attach, release: &str) -> bool {
    match attach {
        Attach::Tracepoint { .. } => version(release).is_none_or(|version| version >= (6, 7)),
        Attach::RawTracepoint { .. } => true,
    }
}

/// The first two numbers of a release such as `6.12.95+deb13-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_paused_trigger_misses_is_not_lost() {
        let mut misses = Misses::new(false);
        assert_eq!(misses.lost(3), 3);
        misses.stop(5);
        misses.stop(7);
        assert_eq!(misses.lost(9), 5);
        misses.go_on(10);
        misses.go_on(11);
        assert_eq!((misses.lost(10), misses.lost(14)), (5, 9));
    }

    #[test]
    fn what_is_missed_before_the_start_is_not_lost() {
        let mut misses = Misses::new(true);
        assert_eq!(misses.lost(4), 0);
        misses.go_on(4);
        assert_eq!((misses.lost(4), misses.lost(6)), (0, 2));
    }

    #[test]
    fn clearing_forgets_whether_or_not_it_counts() {
        for paused in [false, true] {
            let mut misses = Misses::new(paused);
            misses.forget(8);
            assert_eq!(misses.lost(8), 0, "{paused}");
            misses.go_on(12);
            assert_eq!(misses.lost(13), if paused { 1 } else { 5 }, "{paused}");
        }
    }

    #[test]
    fn kernels_count_what_perf_programs_miss_since_6_7() {
        let perf = Attach::Tracepoint { system: "a".into(), event: "b".into(), id: 1 };
        let raw = Attach::RawTracepoint { name: "b".into(), btf_id: None };
        for (release, counted) in [
            ("5.10.0-32-cloud-amd64", false),
            ("6.1.176", false),
            ("6.6.0-rc1", false),
            ("6.7.0", true),
            ("6.12.95+deb13-cloud-amd64", true),
            ("7.0-rc1", true),
            ("next", true),
        ] {
            assert_eq!(counts_misses(&perf, release), counted, "{release}");
            assert!(counts_misses(&raw, release));
        }
    }
}
