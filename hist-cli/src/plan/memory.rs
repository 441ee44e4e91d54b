//! Chooses the kind of map that a histogram is kept in, by the memory that it takes in the kernel.

use super::size::size_text;
use super::{MapKind, MapPlan, Plan, PlanError};

/// What a histogram may take before its CPUs share one table, in bytes, unless the caller says
/// otherwise: 131072 entries with one sum fit until there are 24 CPUs.
pub const BUDGET: u64 = 64 << 20;

/// Bytes of an element's head in a hash (`struct htab_elem` in Linux kernel/bpf/hashtab.c).
const HASH_ELEMENT: u64 = 48;
/// Bytes of a bucket there (`struct bucket`). There are as many as entries, rounded up to a power
/// of two.
const HASH_BUCKET: u64 = 16;
/// Bytes of a pointer.
const POINTER: u64 = 8;

impl MapPlan {
    /// What it takes in the kernel, in bytes, on a machine that may have `cpus` CPUs
    /// (`htab_map_mem_usage()` and `array_map_mem_usage()`, but for what does not depend on size).
    #[must_use]
    pub fn bytes(&self, cpus: u32) -> u64 {
        let (entries, cpus) = (u64::from(self.max_entries), u64::from(cpus.max(1)));
        let value = u64::from(self.value_size.next_multiple_of(8));
        let element = HASH_ELEMENT + u64::from(self.key_size.next_multiple_of(8));
        let buckets = HASH_BUCKET * u64::from(self.max_entries.max(1)).next_power_of_two();
        match self.kind {
            MapKind::PerCpuArray => entries * (POINTER + value * cpus),
            MapKind::PerCpuHash => buckets + entries * (element + POINTER + value * cpus),
            // Each CPU has an element in reserve.
            MapKind::Hash => buckets + (entries + cpus) * (element + value) + cpus * POINTER,
        }
    }

    /// The copies of a value that bpf(2) gives.
    #[must_use]
    pub const fn copies(&self, cpus: usize) -> usize {
        match self.kind {
            MapKind::Hash => 1,
            MapKind::PerCpuHash | MapKind::PerCpuArray => cpus,
        }
    }
}

/// `per_cpu` as it is, or shared by all CPUs if it takes more than `memory`.
///
/// # Errors
/// If that takes more, too, and the caller has named the limit.
pub(super) fn hash(per_cpu: MapPlan, memory: Option<u64>, cpus: u32) -> Result<MapPlan, PlanError> {
    let budget = memory.unwrap_or(BUDGET);
    let shared = MapPlan { kind: MapKind::Hash, ..per_cpu };
    if per_cpu.bytes(cpus) <= budget {
        return Ok(per_cpu);
    }
    if memory.is_none() || shared.bytes(cpus) <= budget {
        return Ok(shared);
    }
    let fits = |entries: &u32| MapPlan { max_entries: *entries, ..shared }.bytes(cpus) <= budget;
    Err(PlanError::Memory {
        budget,
        entries: per_cpu.max_entries,
        needed: shared.bytes(cpus),
        fitting: SIZES.into_iter().rev().find(fits),
    })
}

impl Plan {
    /// The size that would have held every key, for a table that was full for `dropped` hits: each
    /// of them brings one key at most. `None` if no size is certain to.
    #[must_use]
    pub fn enough_size(&self, dropped: u64) -> Option<u32> {
        enough_size(self.hist.size, dropped)
    }

    /// Which `size=` helps, for a message about `dropped` hits that found the table full.
    #[must_use]
    pub fn size_advice(&self, dropped: u64) -> String {
        size_advice(self.hist.size, dropped, |size| self.bytes_at(size))
    }

    /// What the table takes in the kernel if it has `size` entries, in bytes.
    fn bytes_at(&self, size: u32) -> u64 {
        let map = MapPlan { max_entries: size, ..self.map };
        let is_per_cpu = map.kind == MapKind::PerCpuHash;
        // Without a limit that is named this cannot fail.
        let map = if is_per_cpu { hash(map, None, self.cpus).unwrap_or(map) } else { map };
        map.bytes(self.cpus)
    }
}

fn enough_size(size: u32, dropped: u64) -> Option<u32> {
    let keys = u64::from(size).saturating_add(dropped);
    SIZES.into_iter().find(|size| u64::from(*size) >= keys)
}

fn size_advice(size: u32, dropped: u64, bytes_at: impl Fn(u32) -> u64) -> String {
    let largest = SIZES[SIZES.len() - 1];
    match enough_size(size, dropped) {
        Some(size) => {
            format!("size={size} would have been enough, and takes {}", size_text(bytes_at(size)))
        }
        None if size < largest => format!("size={largest}, the largest, may not be enough either"),
        None => format!("size={largest} is the largest; a filter or .log2 makes fewer keys"),
    }
}

/// The sizes that a trigger can ask for (`parse_map_size()` in Linux
/// kernel/trace/trace_events_hist.c).
const SIZES: [u32; 11] = [128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072];

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: MapPlan =
        MapPlan { kind: MapKind::PerCpuHash, key_size: 8, value_size: 16, max_entries: 131_072 };

    #[test]
    fn what_is_too_much_for_each_cpu_is_shared() {
        assert_eq!(hash(MAP, None, 4), Ok(MAP));
        let shared = MapPlan { kind: MapKind::Hash, ..MAP };
        assert_eq!(hash(MAP, None, 256), Ok(shared));
        assert_eq!(hash(MAP, Some(1 << 40), 256), Ok(MAP));
        assert_eq!(hash(MAP, Some(shared.bytes(4)), 4), Ok(shared));
    }

    #[test]
    fn only_a_limit_that_was_named_is_an_error() {
        let large = MapPlan { key_size: 1024, ..MAP };
        assert_eq!(hash(large, None, 4).map(|map| map.kind), Ok(MapKind::Hash));
        let error = hash(large, Some(BUDGET), 4).unwrap_err().to_string();
        assert_eq!(
            error,
            "131072 entries take 138 MiB even with one value for all CPUs, and --memory allows \
             64.0 MiB; size=32768 fits, or use --memory 141317K"
        );
        let error = hash(MAP, Some(100), 4).unwrap_err().to_string();
        assert!(error.ends_with("allows 100 B; no size fits: use --memory 11265K"), "{error}");
    }

    /// It was said that `size=` makes the table larger, whatever the size was already.
    #[test]
    fn a_full_table_is_told_the_size_that_would_have_been_enough() {
        for (size, dropped, want) in [
            (128, 1, "size=256 would have been enough, and takes 2.00 KiB"),
            (2048, 2048, "size=4096 would have been enough, and takes 32.0 KiB"),
            (2048, 2049, "size=8192 would have been enough, and takes 64.0 KiB"),
            (65536, 65537, "size=131072, the largest, may not be enough either"),
            (128, u64::MAX, "size=131072, the largest, may not be enough either"),
            (131_072, 1, "size=131072 is the largest; a filter or .log2 makes fewer keys"),
        ] {
            assert_eq!(size_advice(size, dropped, |size| 8 * u64::from(size)), want);
        }
    }
}
