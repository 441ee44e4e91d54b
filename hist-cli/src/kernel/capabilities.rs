//! Finds in the text of /proc/self/status which of the capabilities that loading needs the process
//! lacks.

/// What tracing programs need since Linux 5.8, with their bit numbers
/// (include/uapi/linux/capability.h).
const NEEDED: [(&str, u32); 2] = [("CAP_PERFMON", 38), ("CAP_BPF", 39)];
/// Stands for both.
const CAP_SYS_ADMIN: u32 = 21;

/// The names of the missing ones; empty also if the text does not tell.
#[must_use]
pub fn missing(status: &str) -> Vec<&'static str> {
    let Some(effective) = effective(status) else { return Vec::new() };
    let has = |bit: u32| effective >> bit & 1 == 1;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED.into_iter().filter(|(_, bit)| !has(*bit)).map(|(name, _)| name).collect()
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {

    #[test]
    fn names_what_is_missing() {
        for (mask, missing) in [
            ("000001ffffffffff", vec![]),
            ("0000000000200000", vec![]),
            ("0000000000000000", vec!["CAP_PERFMON", "CAP_BPF"]),
            ("0000008000000000", vec!["CAP_PERFMON"]),
            ("0000004000000000", vec!["CAP_BPF"]),
        ] {
            let status = format!("Name:\tx\nCapEff:\t{mask}\nCapBnd:\t0\n");
            assert_eq!(super::missing(&status), missing, "{mask}");
        }
    }
}
