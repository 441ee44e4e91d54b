//! The order of a document's rows: that of the numbers as they are shown, which is the one in the
//! document, or the kernel's own for its text.

use std::cmp::Ordering;

use super::document::{Document, DocumentRow, Key};
use crate::print::cell::{Cell, Named};
use crate::resolve::hist::{Sort, SortBy};
use crate::snapshot::KeyOrder;
use crate::snapshot::sort::number_word;

/// Whose order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Numbers have their sign and width.
    Shown,
    /// Sums have no sign, and keys in buckets are cut to their field's width.
    Kernel,
}

/// Puts rows, which are in the order of their keys, into the order of the sort keys.
pub(super) fn sort(document: &mut Document) {
    let mut rows = std::mem::take(&mut document.rows);
    rows.sort_by(|a, b| compare(document, Order::Shown, a, b));
    document.rows = rows;
}

/// The rows as the kernel orders them. Those that it takes for equal keep their order, which is
/// its own. Documents of earlier versions are in the kernel's order already, and do not say which that is.
pub(super) fn as_the_kernel(document: &Document) -> Vec<&DocumentRow> {
    let mut rows: Vec<_> = document.rows.iter().collect();
    let is_known = |sort: &Sort| match sort.by {
        SortBy::Hitcount => true,
        SortBy::Value(index) => document.values[index].signed.is_some(),
        SortBy::Key(index) => document.keys[index].order.is_some(),
    };
    if document.sort.iter().all(is_known) {
        rows.sort_by(|a, b| compare(document, Order::Kernel, a, b));
    }
    rows
}

fn compare(document: &Document, order: Order, a: &DocumentRow, b: &DocumentRow) -> Ordering {
    let by = |sort: &Sort| {
        let ordering = compare_by(document, order, sort.by, a, b);
        if sort.descending { ordering.reverse() } else { ordering }
    };
    document.sort.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare_by(
    document: &Document,
    order: Order,
    by: SortBy,
    a: &DocumentRow,
    b: &DocumentRow,
) -> Ordering {
    match by {
        SortBy::Hitcount => a.counts.hits.cmp(&b.counts.hits),
        SortBy::Value(index) if order == Order::Shown => {
            let number = document.values[index].number();
            number.rank(a.counts.values[index]).cmp(&number.rank(b.counts.values[index]))
        }
        SortBy::Value(index) => a.counts.values[index].cmp(&b.counts.values[index]),
        SortBy::Key(index) => {
            compare_cells(&document.keys[index], order, &a.cells[index], &b.cells[index])
        }
    }
}

/// Stacks are all equal, as for the kernel.
fn compare_cells(key: &Key, order: Order, a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
    let number = |word: u64| match (order, key.order) {
        (Order::Kernel, Some(order)) => number_word(order, word),
        _ => key.number.rank(word),
    };
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => number(*a).cmp(&number(*b)),
        (Cell::Named(a), Cell::Named(b)) => compare_named(number, a, b),
        (Cell::Text(a), Cell::Text(b)) => match (order, key.order) {
            (Order::Kernel, Some(KeyOrder::None)) => Ordering::Equal,
            _ => a.cmp(b),
        },
        _ => Ordering::Equal,
    }
}

/// Numbers by their number, then those whose number has been left out, by name. Some rows of a
/// document may have one and others none, and this must be an order for all of them.
fn compare_named(number: impl Fn(u64) -> u64, a: &Named<'_>, b: &Named<'_>) -> Ordering {
    match (a.number, b.number) {
        (Some(a), Some(b)) => number(a).cmp(&number(b)),
        (None, None) => a.name.cmp(&b.name),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
