//! Tells which of a trigger's lost events nothing counts, on a kernel of some release.

use std::fmt::{self, Display, Formatter};

use super::AttachedTrigger;
use super::source::EventSource;
use crate::plan::Guard;

/// Lost events of a trigger that are not counted as missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncounted {
    /// Those that occur while another BPF program runs on the CPU, on a kernel of that release.
    Skipped(String),
    /// Those [inside perf's handlers](INSIDE_PERF): counting them was not wanted.
    Dropped,
    /// The same: the kernel can preempt what would count them.
    Preempted,
    /// The same: what would count them does not run, and why.
    Unwatched(String),
}

/// What perf drops, for people.
pub const INSIDE_PERF: &str =
    "events that occur while perf handles another tracepoint on the CPU are lost";

/// A sentence without a full stop.
impl Display for Uncounted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(release) => write!(
                f,
                "Linux {release} does not count the events that are missed while another BPF program \
                 runs on the CPU, so they cannot be reported; Linux 6.7 and later count them"
            ),
            Self::Dropped => write!(f, "{INSIDE_PERF}, and they are not counted"),
            Self::Preempted => write!(
                f,
                "{INSIDE_PERF}, and they cannot be counted: this kernel can preempt the program that \
                 would count them"
            ),
            Self::Unwatched(problem) => {
                write!(f, "{INSIDE_PERF}, and they cannot be counted here: {problem}")
            }
        }
    }
}

/// What a trigger of that source, so guarded, loses uncounted on a kernel of that release; `problem` is
/// [why it is unwatched](AttachedTrigger::unwatched), if so.
fn uncounted(
    source: &dyn EventSource,
    guard: Guard,
    problem: Option<String>,
    release: &str,
) -> Vec<Uncounted> {
    let inside = match (guard, problem) {
        // A sentinel counts all events that pass the program by.
        (Guard::Watched, None) => return Vec::new(),
        (Guard::Watched, Some(problem)) => Some(Uncounted::Unwatched(problem)),
        (Guard::Unwatchable, _) => Some(Uncounted::Preempted),
        (Guard::Unwatched, _) => Some(Uncounted::Dropped),
        (Guard::Harmless, _) => None,
    };
    let is_skipped = !(source.kind().counts_misses)(release);
    is_skipped.then(|| Uncounted::Skipped(release.to_owned())).into_iter().chain(inside).collect()
}

impl AttachedTrigger {
    /// Which of its lost events are not counted as missed, on a kernel of that release.
    #[must_use]
    pub fn uncounted(&self, release: &str) -> Vec<Uncounted> {
        uncounted(self.feeder.source(), self.plan.guard, self.unwatched(), release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::source::{RawTracepoint, Tracepoint};

    #[test]
    fn kernels_count_what_perf_programs_miss_since_6_7() {
        let (perf, raw) = (Tracepoint::of_ours("b", 1), RawTracepoint::new("b"));
        for (release, counted) in [
            ("5.10.0-32-cloud-amd64", false),
            ("6.1.176", false),
            ("6.6.0-rc1", false),
            ("6.7.0", true),
            ("6.12.95+deb13-cloud-amd64", true),
            ("7.0-rc1", true),
            ("next", true),
        ] {
            assert_eq!((perf.kind().counts_misses)(release), counted, "{release}");
            assert!((raw.kind().counts_misses)(release));
        }
    }

    /// `serve` asked the release alone: before 6.7 it left out what a sentinel had counted, and later
    /// it gave 0 for what nothing counts.
    #[test]
    fn what_is_counted_depends_on_the_guard_and_not_on_the_release_alone() {
        use Uncounted::{Dropped, Preempted, Skipped, Unwatched};
        let (perf, raw) = (Tracepoint::of_ours("b", 1), RawTracepoint::new("b"));
        let on = |release, guard| uncounted(&perf, guard, None, release);
        let skipped = || Skipped("6.1.0".to_owned());
        assert_eq!(on("6.1.0", Guard::Watched), []);
        assert_eq!(on("6.1.0", Guard::Harmless), [skipped()]);
        assert_eq!(on("6.1.0", Guard::Unwatched), [skipped(), Dropped]);
        assert_eq!(on("6.12.0", Guard::Harmless), []);
        assert_eq!(on("6.12.0", Guard::Unwatched), [Dropped]);
        assert_eq!(on("7.3.0", Guard::Unwatchable), [Preempted]);
        let failed = |release| uncounted(&perf, Guard::Watched, Some("why".into()), release);
        assert_eq!(failed("6.12.0"), [Unwatched("why".into())]);
        assert_eq!(failed("6.1.0"), [skipped(), Unwatched("why".into())]);
        assert_eq!(uncounted(&raw, Guard::Harmless, None, "6.1.0"), []);
    }
}
