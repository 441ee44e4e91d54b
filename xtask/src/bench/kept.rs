//! Keeps instruction ratios in the repository, and finds those that have become worse.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::workspace;

/// Where they are kept, from the root of the source tree.
pub(super) const FILE: &str = "xtask/bench-limits.toml";

/// How much worse than kept a ratio may be: instructions repeat to four digits, but another build
/// of a kernel or another compiler may move something.
const ROOM: f64 = 1.02;

/// What the file begins with.
const HEADER: &str = "\
# Guest instructions that hist-bpf adds to one event, divided by those that the kernel's own trigger
# adds, for each kernel. `cargo xtask bench --check` fails on a ratio more than 2 % above;
# `cargo xtask bench --only vm --bless` writes new ones.
";

/// A kernel's ratios by case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept(BTreeMap<String, f64>);

impl<const N: usize> From<[(String, f64); N]> for Kept {
    fn from(ratios: [(String, f64); N]) -> Self {
        Self(BTreeMap::from(ratios))
    }
}

impl Kept {
    /// The ratio kept for a case.
    pub(super) fn ratio(&self, case: &str) -> Option<f64> {
        self.0.get(case).copied()
    }

    /// Why `ratio` will not do, if it will not.
    pub(super) fn complaint(&self, case: &str, ratio: f64) -> Option<String> {
        match self.ratio(case) {
            None => Some("no ratio is kept".to_owned()),
            Some(kept) if ratio > kept * ROOM => Some(format!("kept is {kept:.4}")),
            Some(_) => None,
        }
    }

    /// One line for each case that is worse, not kept, or kept and not measured.
    pub(super) fn complaints(&self, ratios: &[(String, f64)]) -> Vec<String> {
        let measured = ratios.iter().filter_map(|(case, ratio)| {
            let complaint = self.complaint(case, *ratio)?;
            Some(format!("{case}: {ratio:.4}, {complaint}"))
        });
        let lost = self.0.keys().filter(|case| ratios.iter().all(|(other, _)| other != *case));
        measured.chain(lost.map(|case| format!("{case}: kept, but not measured"))).collect()
    }
}

/// The ratios kept for `kernel`; none if there are none.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(kernel: &str) -> Result<Kept> {
    Ok(Kept(read_all()?.remove(kernel).unwrap_or_default()))
}

/// Keeps these ratios for `kernel`.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn keep(kernel: &str, ratios: &[(String, f64)]) -> Result<()> {
    let mut all = read_all()?;
    all.insert(kernel.to_owned(), ratios.iter().cloned().collect());
    fs::write(path(), text(&all)).context(FILE)
}

fn path() -> PathBuf {
    workspace().join(FILE)
}

fn read_all() -> Result<BTreeMap<String, BTreeMap<String, f64>>> {
    let text = fs::read_to_string(path()).context(FILE)?;
    toml::from_str(&text).context(FILE)
}

fn text(all: &BTreeMap<String, BTreeMap<String, f64>>) -> String {
    let mut text = HEADER.to_owned();
    for (kernel, ratios) in all {
        text += &format!("\n[\"{kernel}\"]\n");
        for (case, ratio) in ratios {
            text += &format!("\"{case}\" = {ratio:.4}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_ratios_are_named() {
        let kept = Kept(BTreeMap::from([("a".to_owned(), 0.5), ("gone".to_owned(), 0.5)]));
        let of = |ratio| kept.complaints(&[("a".to_owned(), ratio), ("gone".to_owned(), 0.5)]);
        assert!(of(0.509).is_empty());
        assert_eq!(of(0.52), ["a: 0.5200, kept is 0.5000"]);
        let new = kept.complaints(&[("a".to_owned(), 0.1), ("b".to_owned(), 0.1)]);
        assert_eq!(new, ["b: 0.1000, no ratio is kept", "gone: kept, but not measured"]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let ratios = BTreeMap::from([("keys=id:vals=id if id==5".to_owned(), 0.5)]);
        let all = BTreeMap::from([("6.12".to_owned(), ratios)]);
        let read: BTreeMap<String, BTreeMap<String, f64>> = toml::from_str(&text(&all)).unwrap();
        assert_eq!(read, all);
    }
}
