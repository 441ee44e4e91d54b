//! Decides by the kernel's version and preemption model whether another task can preempt a program
//! on a raw tracepoint.
//!
//! It matters because the kernel never nests such a program on a CPU: while a preempted task is
//! inside it, the events of all other tasks on that CPU are skipped (`bpf_prog_get_recursion_context()`
//! in Linux include/linux/bpf.h, called by `__bpf_trace_run()` in kernel/trace/bpf_trace.c).
//! Classic tracepoints run their programs with preemption off on every kernel.

use crate::kernel::release::numbers;

/// When another task can preempt a program on a raw tracepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preemption {
    /// Never. It is the default for tests and for formats of other kernels, which run nothing.
    #[default]
    Never,
    /// Wherever the event's call site can be preempted.
    Preemptible,
    /// There, and in places that have preemption off on other kernels (`PREEMPT_RT`).
    Realtime,
}

/// The first release whose tracepoints leave preemption on while they run programs (SRCU in
/// `__DECLARE_TRACE()`, Linux include/linux/tracepoint.h).
const FIRST_PREEMPTIBLE: (u32, u32) = (7, 0);
/// Releases before it are not Linux's own: `setarch --uname-2.6` makes up such ones.
const FIRST_CREDIBLE: (u32, u32) = (3, 0);
/// Bytes to which the kernel's build cuts `uname -v` (Linux init/Makefile).
const VERSION_MAX: usize = 64;

impl Preemption {
    /// That of the kernel with that `release` (`uname -r`) and `version` (`uname -v`). `mode` gives
    /// the text of `sched/preempt` in debugfs where it can be read; it is asked only if the model
    /// can be changed while the kernel runs. What cannot be known counts as preemptible.
    #[must_use]
    pub fn of(release: &str, version: &str, mode: impl FnOnce() -> Option<String>) -> Self {
        let holds_off = |release| (FIRST_CREDIBLE..FIRST_PREEMPTIBLE).contains(&release);
        if numbers(release).is_some_and(holds_off) {
            return Self::Never;
        }
        let mut words = version.split_whitespace();
        // `PREEMPT`, `PREEMPT_DYNAMIC`, `PREEMPT_RT`: `UTS_VERSION` in Linux init/Makefile.
        let model = words.find(|word| word.starts_with("PREEMPT"));
        match model {
            Some(model) if model.contains("RT") => Self::Realtime,
            Some("PREEMPT_DYNAMIC") if mode().is_some_and(|text| is_off(&text)) => Self::Never,
            Some(_) => Self::Preemptible,
            None if version.starts_with('#') && version.len() < VERSION_MAX => Self::Never,
            None => Self::Realtime,
        }
    }

    /// A raw program may lose events; `is_off` says that the event's call sites have preemption off.
    #[must_use]
    pub const fn loses(self, is_off: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Preemptible => !is_off,
            Self::Realtime => true,
        }
    }
}

/// Whether the mode in parentheses, as in `none voluntary (full) lazy`, lets tasks run on until they
/// sleep.
fn is_off(modes: &str) -> bool {
    modes.contains("(none)") || modes.contains("(voluntary)")
}

#[cfg(test)]
mod tests {
    use super::Preemption::{self, Never, Preemptible, Realtime};

    const DYNAMIC: &str = "#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1~bpo13+1 (2026-11-15)";

    fn of(release: &str, version: &str, mode: Option<&str>) -> Preemption {
        Preemption::of(release, version, || mode.map(str::to_owned))
    }

    #[test]
    fn tracepoints_hold_preemption_off_before_7_0() {
        let realtime = "#1 SMP PREEMPT_RT Debian 6.12.95-1 (2026-07-05)";
        for release in ["5.10.0-32-cloud-amd64", "6.1.176", "6.12.95+deb13", "6.18.0", "6.19-rc1"] {
            for version in [DYNAMIC, realtime, "#1 SMP PREEMPT Thu", "#1 SMP", ""] {
                assert_eq!(of(release, version, None), Never, "{release} {version}");
            }
        }
    }

    #[test]
    fn from_7_0_on_the_model_decides() {
        for (version, mode, expected) in [
            (DYNAMIC, None, Preemptible),
            (DYNAMIC, Some("none voluntary (full) lazy\n"), Preemptible),
            (DYNAMIC, Some("full (lazy)\n"), Preemptible),
            (DYNAMIC, Some("(none) voluntary full\n"), Never),
            (DYNAMIC, Some("none (voluntary) full\n"), Never),
            (DYNAMIC, Some("none voluntary full\n"), Preemptible),
            (DYNAMIC, Some(""), Preemptible),
            // Only a dynamic model has modes.
            ("#7 SMP PREEMPT Thu Jan 1 00:00:00 UTC 2026", Some("(none)"), Preemptible),
            ("#7 PREEMPT_LAZY Thu Jan 1 00:00:00 UTC 2026", None, Preemptible),
            ("#1 SMP PREEMPT_RT Debian 7.3.4-1 (2026-11-15)", None, Realtime),
            ("#1 SMP PREEMPT_{RT,LAZY} Thu Jan 1 00:00:00 UTC 2026", Some("(none)"), Realtime),
            ("#1 SMP Thu Jan 1 00:00:00 UTC 2026", None, Never),
            ("#1 Thu Jan 1 00:00:00 UTC 2026", Some("(full)"), Never),
        ] {
            for release in ["7.0.0", "7.3.4+deb13-cloud-amd64", "8.0-rc1", "10.1.2"] {
                assert_eq!(of(release, version, mode), expected, "{release} {version} {mode:?}");
            }
        }
    }

    /// A version that is cut may have lost the word, and an empty one has none to lose.
    #[test]
    fn what_cannot_be_known_counts_as_preemptible() {
        for release in ["", "next", "2.6.123", "2.6.43-cloud", "99999999999.1"] {
            assert_eq!(of(release, DYNAMIC, None), Preemptible, "{release}");
        }
        assert_eq!(of("7.3.4", "", None), Realtime);
        assert_eq!(of("7.3.4", "SMP something else", None), Realtime);
        assert_eq!(of("7.3.4", &format!("#1-{} SMP", "x".repeat(60)), None), Realtime);
    }

    #[test]
    fn a_call_site_with_preemption_off_is_safe_but_for_realtime_kernels() {
        assert_eq!([Never, Preemptible, Realtime].map(|one| one.loses(true)), [false, false, true]);
        assert_eq!([Never, Preemptible, Realtime].map(|one| one.loses(false)), [false, true, true]);
    }
}
