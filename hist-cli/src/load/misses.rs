//! Takes a kernel's release. Gives whether it counts the events that pass programs by.

use crate::plan::Attach;

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
