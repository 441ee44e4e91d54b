//! Measures what this process costs, as every Prometheus exporter tells it.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exposition::{Family, Kind, Labels, Number, Point, Points};

/// What this process costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// User and system time.
    cpu_seconds: f64,
    /// Memory that it has now.
    resident_bytes: u64,
    /// Open files.
    files: usize,
}

impl Cost {
    /// Now.
    ///
    /// # Errors
    /// If /proc does not tell.
    pub(super) fn read() -> io::Result<Self> {
        let broken = |path: &str| io::Error::new(io::ErrorKind::InvalidData, path.to_owned());
        let [stat, statm] = ["/proc/self/stat", "/proc/self/statm"];
        let ticks = ticks(&fs::read_to_string(stat)?).ok_or_else(|| broken(stat))?;
        let pages = pages(&fs::read_to_string(statm)?).ok_or_else(|| broken(statm))?;
        Ok(Self {
            cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            resident_bytes: pages * rustix::param::page_size() as u64,
            files: fs::read_dir("/proc/self/fd")?.count(),
        })
    }

    pub(super) fn families(&self) -> [Family<'static>; 3] {
        [
            one(
                "process_cpu_seconds",
                "CPU time spent, user and system; that of the eBPF programs is not in it",
                Kind::Counter,
                Number::Float(self.cpu_seconds),
            ),
            one(
                "process_resident_memory_bytes",
                "Memory in use; the tables, which the kernel keeps, are not in it",
                Kind::Gauge,
                Number::Unsigned(self.resident_bytes),
            ),
            one("process_open_fds", "Open files", Kind::Gauge, Number::Unsigned(self.files as u64)),
        ]
    }
}

/// A family of one sample without labels.
pub(super) fn one(
    name: &'static str,
    help: &'static str,
    kind: Kind,
    value: Number,
) -> Family<'static> {
    family(name, help, kind, vec![(Vec::new(), value)])
}

/// A family of numbers.
pub(super) fn family<'a>(
    name: &'a str,
    help: &'static str,
    kind: Kind,
    points: Vec<(Labels<'a>, Number)>,
) -> Family<'a> {
    let points = points.into_iter().map(|(labels, value)| Point { labels, value });
    let points = Points::Numbers(points.collect());
    Family { name, help: help.into(), unit: None, kind, points }
}

/// Seconds since 1970.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// `utime` and `stime`, the 14th and 15th field of proc_pid_stat(5). The second one is a name, which
/// may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// `resident`, the second field of proc_pid_statm(5), in pages.
fn pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 55 66 0 0 20 0 1 0 9 8 7";
        assert_eq!(ticks(stat), Some(121));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(pages("100 25 3 4\n"), Some(25));
    }

    #[test]
    fn this_process_costs_something() {
        let cost = Cost::read().expect("/proc");
        assert!(cost.resident_bytes > 100_000 && cost.files > 2, "{cost:?}");
    }
}
