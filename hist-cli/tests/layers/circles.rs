//! Finds files that import each other, in a ring of any length.
//!
//! A folder's `mod.rs` is its hall. Two arrows around it do not count:
//! - from a file up to the `mod.rs` of a folder that it lies in: a child may use what its parent
//!   defines for all, although the parent calls it;
//! - `mod` and `pub use` of what lies below: they say where something is found, and use nothing.
//!
//! All others do: what one child takes from another counts as taken from the file that defines it, by
//! whatever way it is named; and for a file outside the folder, its `mod.rs` is a file like any other.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::Arrow;

/// Each circle: the arrows between its files, one a line, with the names that tie them.
pub(crate) fn circles(arrows: &BTreeSet<Arrow>) -> Vec<String> {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let arrows = arrows.iter().filter(|arrow| !arrow.hands_on);
    let arrows = arrows.filter_map(|arrow| Some((arrow, arrow.to.as_deref()?)));
    let arrows: Vec<_> = arrows.filter(|(arrow, to)| !is_hall_of(to, &arrow.from)).collect();
    for (arrow, to) in &arrows {
        below.entry(&arrow.from).or_default().insert(to);
    }
    let mut rest: BTreeSet<&str> = below.keys().copied().collect();
    let mut circles = Vec::new();
    while let Some(file) = rest.pop_first() {
        let reached = reached(file, &below);
        let ring: BTreeSet<&str> = reached
            .iter()
            .copied()
            .filter(|other| self::reached(other, &below).contains(file))
            .collect();
        rest.retain(|file| !ring.contains(file));
        if !ring.is_empty() {
            circles.push(listing(&ring, &arrows));
        }
    }
    circles
}

/// Whether `hall` is the `mod.rs` of a folder in which `file` lies.
fn is_hall_of(hall: &str, file: &str) -> bool {
    hall.strip_suffix("mod.rs").is_some_and(|folder| file.starts_with(folder))
}

/// All files that imports lead to from `file`.
fn reached<'a>(file: &str, below: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let next = |file: &str| below.get(file).into_iter().flatten().copied();
    let mut waiting: Vec<&str> = next(file).collect();
    let mut reached = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if reached.insert(file) {
            waiting.extend(next(file));
        }
    }
    reached
}

fn listing(ring: &BTreeSet<&str>, arrows: &[(&Arrow, &str)]) -> String {
    let mut ties: BTreeMap<(&str, &str), (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (arrow, to) in
        arrows.iter().filter(|(arrow, to)| ring.contains(&*arrow.from) && ring.contains(to))
    {
        let (_, names) = ties.entry((&arrow.from, to)).or_insert((arrow.line, BTreeSet::new()));
        names.extend(arrow.name.last().map(String::as_str));
    }
    let line = |((from, to), (line, names)): (&(&str, &str), &(usize, BTreeSet<&str>))| {
        let names: Vec<_> = names.iter().copied().collect();
        format!("hist-cli/src/{from}:{line} -> {to} ({})", names.join(", "))
    };
    ties.iter().map(line).collect::<Vec<_>>().join("\n  ")
}
