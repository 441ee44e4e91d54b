//! The parts of a kernel's release, such as `6.12.95+deb12-cloud-amd64`, that decide behaviour.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl FromStr for Version {
    type Err = Error;

    fn from_str(release: &str) -> Result<Version> {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        let mut number = || -> Result<u32> {
            let digits = parts.next().unwrap_or_default();
            digits.parse().with_context(|| format!("`{release}` is no kernel version"))
        };
        Ok(Version(number()?, number()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Which kernels a case is for: `>=6.12`, `<7.0`, or both with a comma between.
///
/// # Errors
/// When a condition is neither `>=` nor `<` and a version.
pub fn matches(range: &str, version: Version) -> Result<bool> {
    let mut all = true;
    for condition in range.split(',').map(str::trim) {
        all &= if let Some(least) = condition.strip_prefix(">=") {
            version >= least.parse()?
        } else if let Some(above) = condition.strip_prefix('<') {
            version < above.parse()?
        } else {
            bail!("`{condition}` is neither `>=V` nor `<V`");
        };
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let old: Version = "6.1.0-50-cloud-amd64".parse().unwrap();
        let new: Version = "6.12.95+deb12".parse().unwrap();
        assert!(old < new);
        assert!("linux".parse::<Version>().is_err());
    }

    #[test]
    fn ranges_are_conjunctions() {
        assert!(matches(">=6.12, <7.0", Version(6, 12)).unwrap());
        assert!(!matches(">=6.12,<7.0", Version(7, 0)).unwrap());
        assert!(!matches(">=6.12", Version(6, 1)).unwrap());
        assert!(matches("=6.12", Version(6, 12)).is_err());
    }
}
