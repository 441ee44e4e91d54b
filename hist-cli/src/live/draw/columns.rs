//! Decides which columns of a table are shown where, by the width of the screen.
//!
//! Where there is not enough place, the bar goes first, then keys shrink, then columns go, from
//! the right; the first one and the one that is sorted by stay.

use crate::live::sheet::Column;
use crate::live::tab::Tab;
use crate::live::text::width;

/// Blank cells between columns.
const GAP: usize = 2;
/// What keys keep when they shrink.
const KEY_MIN: usize = 12;
/// More is not needed to compare bars.
const BAR_MAX: usize = 40;
/// A bar of fewer cells says nothing.
const BAR_MIN: usize = 8;
/// What the longest number takes; longer names are cut off.
const NUMBER_MAX: usize = 20;
/// What rates take.
const RATE: usize = 11;

/// What a line is made of. All in cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// From left to right.
    pub placed: Vec<Placed>,
    /// Where the bar is, and how long it is at most.
    pub bar: Option<(usize, usize)>,
    /// How many columns are not shown.
    pub hidden: usize,
}

/// A column on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Which one.
    pub column: Column,
    /// Its name.
    pub label: String,
    /// Its left side.
    pub x: usize,
    /// Its width.
    pub width: usize,
    /// What it needs, if that is more.
    want: usize,
}

/// Places the tab's columns on a screen.
pub(super) fn columns(tab: &Tab, screen: usize) -> Columns {
    let mut placed: Vec<_> = wanted(tab);
    let n_columns = placed.len();
    while total(&placed) > screen && drop_one(&mut placed, tab.sort) {}
    let left = screen.saturating_sub(total(&placed));
    let kept_for_bar = if left >= 2 * (BAR_MIN + GAP) { BAR_MIN + GAP } else { 0 };
    widen_keys(&mut placed, left - kept_for_bar);
    let end = put_side_by_side(&mut placed);
    let bar = screen.saturating_sub(end + GAP).min(BAR_MAX);
    Columns {
        bar: (bar >= BAR_MIN).then_some((end + GAP, bar)),
        hidden: n_columns - placed.len(),
        placed,
    }
}

fn wanted(tab: &Tab) -> Vec<Placed> {
    let headings = tab.sheet.columns.iter();
    let placed = headings.map(|heading| {
        let column = heading.column;
        let (label, want) = match column {
            Column::Rate => {
                let label = format!("{}/s", tab.sheet.measure_label(tab.measure));
                let want = RATE.max(width(&label) + 2);
                (label, want)
            }
            _ => (heading.label.clone(), heading.width),
        };
        let width = if is_key(column) { want.min(KEY_MIN) } else { want.min(NUMBER_MAX) };
        Placed { column, label, x: 0, width, want }
    });
    placed.collect()
}

const fn is_key(column: Column) -> bool {
    matches!(column, Column::Key(_))
}

fn total(placed: &[Placed]) -> usize {
    placed.iter().map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Drops the last number, else the last key; not the first column, and not that of the sort.
fn drop_one(placed: &mut Vec<Placed>, sort: Column) -> bool {
    let may_go = |(index, column): &(usize, &Placed)| *index > 0 && column.column != sort;
    let mut from_right = placed.iter().enumerate().filter(may_go).rev();
    let number = from_right.clone().find(|(_, column)| !is_key(column.column));
    let index = number.or_else(|| from_right.next()).map(|(index, _)| index);
    index.map(|index| placed.remove(index)).is_some()
}

/// Shares what is left among the keys that need it.
fn widen_keys(placed: &mut [Placed], mut left: usize) {
    let mut n_keys = placed.iter().filter(|column| is_key(column.column)).count();
    for column in placed.iter_mut().filter(|column| is_key(column.column)) {
        let more = (column.want - column.width).min(left / n_keys);
        column.width += more;
        left -= more;
        n_keys -= 1;
    }
    // What a later one did not need.
    for column in placed.iter_mut().filter(|column| is_key(column.column)) {
        let more = (column.want - column.width).min(left);
        column.width += more;
        left -= more;
    }
}

/// Gives where they end.
fn put_side_by_side(placed: &mut [Placed]) -> usize {
    let mut x = 0;
    for column in placed.iter_mut() {
        column.x = x;
        x += column.width + GAP;
    }
    x.saturating_sub(GAP)
}
