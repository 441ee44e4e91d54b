//! Sorts a [`Snapshot`]'s rows in the order in which the kernel prints them, ties included.
//!
//! The kernel compares the raw keys first, byte by byte, and heap-sorts the result by the sort
//! keys (`tracing_map_sort_entries()` in kernel/trace/tracing_map.c). Heapsort is not stable, so
//! the order of ties follows from every swap that it makes, and those have changed once
//! (lib/sort.c). Comparing is made cheap instead: each row's sort key becomes one `u64`, and only
//! (word, index) pairs move.

use std::cmp::Ordering;
use std::mem;

use super::{KeyColumn, KeyOrder, Row, Snapshot, ValueColumn};
use crate::resolve::hist::{Sort, SortBy};

/// Whose heapsort decides about rows that compare equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// Linux 6.1: one element leaves the heap at a time.
    Linux6_1,
    /// Linux 6.12 to 7.3, the reference: two elements leave the heap at a time.
    #[default]
    Linux6_12,
}

/// Puts the rows into the order in which the kernel prints them.
pub fn sort(snapshot: &mut Snapshot, ties: Ties) {
    let mut items = by_raw_key(&snapshot.rows);
    if let Some(&first) = snapshot.sort.first() {
        fill(&mut items, snapshot, first);
        heapsort(&mut items, ties);
    }
    if let Some(&second) = snapshot.sort.get(1) {
        for run in items.chunk_by_mut(|a, b| a.word == b.word).filter(|run| run.len() > 1) {
            fill(run, snapshot, second);
            heapsort(run, ties);
        }
    }
    arrange(&mut snapshot.rows, &mut items);
}

/// A row on its way through the sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    /// Compares as the row does.
    word: u64,
    /// The row's index before sorting.
    row: usize,
}

/// All rows in memcmp order of their raw keys.
fn by_raw_key(rows: &[Row]) -> Vec<Item> {
    let mut items: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(row, r)| Item { word: r.word(0).swap_bytes(), row })
        .collect();
    items.sort_unstable_by(|a, b| {
        a.word.cmp(&b.word).then_with(|| rows[a.row].key.cmp(&rows[b.row].key))
    });
    items
}

/// Gives each item the word that compares as its row does by `sort`.
fn fill(items: &mut [Item], snapshot: &Snapshot, sort: Sort) {
    let flip = if sort.descending { u64::MAX } else { 0 };
    let texts = texts(items, snapshot, sort.by);
    for item in items {
        let row = &snapshot.rows[item.row];
        item.word = flip
            ^ match sort.by {
                SortBy::Hitcount => row.counts.hits,
                SortBy::Value(index) => row.counts.values[index],
                SortBy::Key(index) => key_word(&snapshot.keys[index], row, &texts),
            };
    }
}

/// The different texts of a text key, in order: a text compares as its place here does.
fn texts<'a>(items: &[Item], snapshot: &'a Snapshot, by: SortBy) -> Vec<&'a [u8]> {
    let SortBy::Key(index) = by else { return Vec::new() };
    let column = &snapshot.keys[index];
    if column.order != KeyOrder::Text {
        return Vec::new();
    }
    let rows = items.iter().map(|item| &snapshot.rows[item.row]);
    let mut texts: Vec<_> = rows.map(|row| row.text(column.offset, column.size)).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// A number that compares, unsigned, as the row's key does. Numbers are read with their own width
/// and sign, which for a power of two or a bucket may be another number than the one shown.
pub(crate) fn key_word(column: &KeyColumn, row: &Row, texts: &[&[u8]]) -> u64 {
    match column.order {
        KeyOrder::Text => {
            let text = row.text(column.offset, column.size);
            texts.partition_point(|other| *other < text) as u64
        }
        order => number_word(order, row.word(column.offset)),
    }
}

/// A number that compares, unsigned, as the kernel compares the key `word`. What it takes for a
/// string compares byte by byte up to the first NUL.
pub(crate) fn number_word(order: KeyOrder, word: u64) -> u64 {
    match order {
        KeyOrder::Unsigned(size) => word << unused_bits(size),
        // The sign bit is at the top now: flipped, negative numbers come first.
        KeyOrder::Signed(size) => (word << unused_bits(size)) ^ (1 << 63),
        KeyOrder::Text => {
            let mut is_over = false;
            let text = word.to_le_bytes().map(|byte| {
                is_over |= byte == 0;
                if is_over { 0 } else { byte }
            });
            u64::from_be_bytes(text)
        }
        KeyOrder::None => 0,
    }
}

/// Puts rows that are in the kernel's order into that of their numbers as they are shown. Where
/// both are the same nothing moves, and neither do rows that are equal.
pub fn sort_as_shown(snapshot: &mut Snapshot) {
    let Snapshot { keys, values, sort, rows, .. } = snapshot;
    if sort.iter().any(|sort| is_shown_otherwise(keys, values, sort.by)) {
        rows.sort_by(|a, b| {
            let by = |sort: &Sort| {
                let ordering = compare_as_shown(keys, values, sort.by, a, b);
                if sort.descending { ordering.reverse() } else { ordering }
            };
            sort.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
}

/// Sums have no sign for the kernel, and keys may have another width or sign.
fn is_shown_otherwise(keys: &[KeyColumn], values: &[ValueColumn], by: SortBy) -> bool {
    match by {
        SortBy::Hitcount => false,
        SortBy::Value(index) => values[index].number.signed,
        SortBy::Key(index) => match keys[index].order {
            KeyOrder::Signed(_) | KeyOrder::Unsigned(_) => true,
            KeyOrder::Text | KeyOrder::None => false,
        },
    }
}

fn compare_as_shown(
    keys: &[KeyColumn],
    values: &[ValueColumn],
    by: SortBy,
    a: &Row,
    b: &Row,
) -> Ordering {
    match by {
        SortBy::Hitcount => a.counts.hits.cmp(&b.counts.hits),
        SortBy::Value(index) => {
            let rank = |row: &Row| values[index].number.rank(row.counts.values[index]);
            rank(a).cmp(&rank(b))
        }
        SortBy::Key(index) => {
            let column = &keys[index];
            match column.order {
                KeyOrder::Signed(_) | KeyOrder::Unsigned(_) => {
                    let rank = |row: &Row| column.number.rank(row.word(column.offset));
                    rank(a).cmp(&rank(b))
                }
                KeyOrder::Text => {
                    let (offset, size) = (column.offset, column.size);
                    a.text(offset, size).cmp(b.text(offset, size))
                }
                KeyOrder::None => Ordering::Equal,
            }
        }
    }
}

/// The bits of a `u64` above a number of `size` bytes.
fn unused_bits(size: u32) -> u32 {
    64 - 8 * size.clamp(1, 8)
}

/// Moves the rows to where the items are, in place: each circle of rows that take each other's
/// place is gone through once.
fn arrange(rows: &mut [Row], items: &mut [Item]) {
    for start in 0..items.len() {
        let mut place = start;
        while items[place].row != start {
            let from = mem::replace(&mut items[place].row, place);
            rows.swap(place, from);
            place = from;
        }
        items[place].row = place;
    }
}

/// The kernel's heapsort.
fn heapsort(items: &mut [Item], ties: Ties) {
    if items.len() < 2 {
        return;
    }
    match ties {
        Ties::Linux6_1 => heapsort_single(items),
        Ties::Linux6_12 => heapsort_double(items),
    }
}

/// Builds a heap, then moves its root behind it until nothing is left.
fn heapsort_single(items: &mut [Item]) {
    let is_left = Ordering::is_ge;
    for root in (0..items.len() / 2).rev() {
        sift(items, root, is_left);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift(&mut items[..end], 0, is_left);
    }
}

/// The same, but the larger child of the root leaves together with it as long as more than three
/// remain.
fn heapsort_double(items: &mut [Item]) {
    let is_left = Ordering::is_gt;
    for root in (0..items.len() / 2).rev() {
        sift(items, root, is_left);
    }
    let mut end = items.len();
    while end > 3 {
        items.swap(0, end - 1);
        let child = if items[1].word <= items[2].word { 2 } else { 1 };
        items.swap(child, end - 2);
        end -= 2;
        sift(&mut items[..end], child, is_left);
        sift(&mut items[..end], 0, is_left);
    }
    items.swap(0, end - 1);
    if end == 3 && items[0].word > items[1].word {
        items.swap(0, 1);
    }
}

/// Sinks `root` into the heap below it, bottom-up: follows the larger children to a leaf, climbs
/// to where `root` belongs and shifts the path. `is_left` says which child equal ones count as.
fn sift(heap: &mut [Item], root: usize, is_left: impl Fn(Ordering) -> bool) {
    let mut node = leaf(heap, root, is_left);
    while node != root && heap[root].word >= heap[node].word {
        node = (node - 1) / 2;
    }
    let target = node;
    while node != root {
        node = (node - 1) / 2;
        heap.swap(node, target);
    }
}

/// The leaf at the end of the path of larger children.
fn leaf(heap: &[Item], root: usize, is_left: impl Fn(Ordering) -> bool) -> usize {
    let mut node = root;
    while let [left, right] = [2 * node + 1, 2 * node + 2]
        && right < heap.len()
    {
        node = if is_left(heap[left].word.cmp(&heap[right].word)) { left } else { right };
    }
    // The last inner node may have one child only.
    if 2 * node + 2 == heap.len() { 2 * node + 1 } else { node }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{IntType, Show};
    use proptest::prelude::*;

    fn row(keys: &[i64], hitcount: u64, sums: &[u64]) -> Row {
        let words: Vec<_> = keys.iter().map(|key| key.cast_unsigned()).collect();
        Row::of_words(&words, hitcount, sums)
    }

    fn by(by: SortBy) -> Sort {
        Sort { by, descending: false }
    }

    fn snapshot(orders: &[KeyOrder], sort: &[Sort], rows: Vec<Row>) -> Snapshot {
        let n_values = rows.first().map_or(0, |row| row.counts.values.len());
        let keys = orders.iter().fold(Snapshot::named(""), |snapshot, &order| {
            snapshot.with_key("k", 8, Show::DECIMAL, order)
        });
        let values = (0..n_values)
            .fold(keys, |snapshot, _| snapshot.with_value("v", Show::DECIMAL, IntType::S64));
        Snapshot { sort: sort.to_vec(), rows, ..values }
    }

    fn first_keys(snapshot: &Snapshot) -> Vec<i64> {
        snapshot.rows.iter().map(|row| row.word(0).cast_signed()).collect()
    }

    fn check(order: KeyOrder, sort: &[Sort], ties: Ties, rows: &[(i64, u64, u64)], want: &[i64]) {
        let rows = rows.iter().map(|&(key, hits, sum)| row(&[key], hits, &[sum])).collect();
        let mut snapshot = snapshot(&[order], sort, rows);
        super::sort(&mut snapshot, ties);
        assert_eq!(first_keys(&snapshot), want, "{order:?} {sort:?} {ties:?}");
    }

    #[test]
    fn ties_are_those_of_the_kernels() {
        // Captured on both kernels.
        let rows = [(-5, 1, 0), (0, 1, 0), (1, 2, 0)];
        let hitcount = [by(SortBy::Hitcount)];
        check(KeyOrder::Signed(4), &hitcount, Ties::Linux6_12, &rows, &[-5, 0, 1]);
        check(KeyOrder::Signed(4), &hitcount, Ties::Linux6_1, &rows, &[0, -5, 1]);
    }

    #[test]
    fn equal_rows_come_out_as_traced_by_hand() {
        let hitcount = [by(SortBy::Hitcount)];
        let rows = |n: i64| (0..n).map(|key| (key, 1, 0)).collect::<Vec<_>>();
        for (ties, n, want) in [
            (Ties::Linux6_1, 1, &[0][..]),
            (Ties::Linux6_12, 1, &[0]),
            // Nothing sinks; the root goes to the end.
            (Ties::Linux6_1, 2, &[1, 0]),
            (Ties::Linux6_12, 2, &[1, 0]),
            // [0 1 2] → [2 1 | 0] → [1 | 2 0]
            (Ties::Linux6_1, 3, &[1, 2, 0]),
            // [0 1 2] → [2 1 0]; the remaining two are in order.
            (Ties::Linux6_12, 3, &[2, 1, 0]),
            // [0 1 2 3] → [3 1 2 | 0] → [2 1 | 3 0] → [1 2 3 0]
            (Ties::Linux6_1, 4, &[1, 2, 3, 0]),
            // [0 1 2 3] → root: [3 1 2 | 0], child 2 is already last: [3 1 | 2 0] → [1 3 2 0]
            (Ties::Linux6_12, 4, &[1, 3, 2, 0]),
        ] {
            check(KeyOrder::Unsigned(8), &hitcount, ties, &rows(n), want);
        }
    }

    #[test]
    fn keys_compare_by_their_own_width_and_sign() {
        let key = [by(SortBy::Key(0))];
        let rows = |keys: &[i64]| keys.iter().map(|&key| (key, 1, 0)).collect::<Vec<_>>();
        for (order, keys, want) in [
            (KeyOrder::Signed(4), &[0, 3, -5][..], &[-5, 0, 3][..]),
            (KeyOrder::Unsigned(8), &[-5, 3, 0], &[0, 3, -5]),
            // Little-endian bytes would put 256 first.
            (KeyOrder::Unsigned(4), &[1, 256, 2], &[1, 2, 256]),
            // An s8 bucket that starts at -136 compares as +120.
            (KeyOrder::Signed(1), &[-136, 100, 121, -1], &[-1, 100, -136, 121]),
            (KeyOrder::Unsigned(2), &[0x1_0001, 2, 3], &[0x1_0001, 2, 3]),
            (KeyOrder::Signed(8), &[i64::MAX, i64::MIN, -1, 0], &[i64::MIN, -1, 0, i64::MAX]),
        ] {
            for ties in [Ties::Linux6_1, Ties::Linux6_12] {
                check(order, &key, ties, &rows(keys), want);
            }
        }
    }

    #[test]
    fn values_compare_unsigned_and_descending_reverses() {
        let sums = [(1, 1, u64::MAX), (2, 1, 7), (3, 1, 0)];
        let value = by(SortBy::Value(0));
        check(KeyOrder::Signed(4), &[value], Ties::Linux6_12, &sums, &[3, 2, 1]);
        let down = Sort { descending: true, ..value };
        check(KeyOrder::Signed(4), &[down], Ties::Linux6_12, &sums, &[1, 2, 3]);
    }

    #[test]
    fn the_second_key_orders_equal_runs() {
        let rows = [(4, 2, 9), (1, 1, 5), (2, 2, 8), (3, 1, 6)];
        let down = Sort { by: SortBy::Value(0), descending: true };
        let sort = [by(SortBy::Hitcount), down];
        check(KeyOrder::Signed(4), &sort, Ties::Linux6_12, &rows, &[3, 1, 4, 2]);
        check(KeyOrder::Signed(4), &sort, Ties::Linux6_1, &rows, &[3, 1, 4, 2]);
    }

    #[test]
    fn an_empty_table_stays_empty() {
        check(KeyOrder::Signed(4), &[by(SortBy::Hitcount)], Ties::Linux6_12, &[], &[]);
    }

    /// Both heapsorts word for word as the kernel runs them, with its one loop and its variables,
    /// on plain tuples.
    mod reference {
        type Pair = (u64, usize);

        fn sift(v: &mut [Pair], a: usize, n: usize, left_on_tie: bool) {
            let mut b = a;
            let mut d;
            loop {
                let c = 2 * b + 1;
                d = c + 1;
                if d >= n {
                    break;
                }
                let left = v[c].0 > v[d].0 || (left_on_tie && v[c].0 == v[d].0);
                b = if left { c } else { d };
            }
            if d == n {
                b = d - 1;
            }
            while b != a && v[a].0 >= v[b].0 {
                b = (b - 1) / 2;
            }
            let c = b;
            while b != a {
                b = (b - 1) / 2;
                v.swap(b, c);
            }
        }

        pub(super) fn linux6_1(v: &mut [Pair]) {
            let (mut a, mut n) = (v.len() / 2, v.len());
            while a > 0 || n > 1 {
                if a > 0 {
                    a -= 1;
                } else {
                    n -= 1;
                    v.swap(0, n);
                }
                sift(v, a, n, true);
            }
        }

        pub(super) fn linux6_12(v: &mut [Pair]) {
            let (mut a, mut n, mut shift) = (v.len() / 2, v.len(), 0);
            if a == 0 {
                return;
            }
            loop {
                if a > 0 {
                    a -= 1 << shift;
                } else if n > 3 {
                    n -= 1;
                    v.swap(0, n);
                    shift = usize::from(v[1].0 <= v[2].0);
                    a = 1 << shift;
                    n -= 1;
                    v.swap(a, n);
                } else {
                    break;
                }
                sift(v, a, n, false);
            }
            n -= 1;
            v.swap(0, n);
            if n == 2 && v[0].0 > v[1].0 {
                v.swap(0, 1);
            }
        }
    }

    proptest! {
        #[test]
        fn heapsorts_make_the_kernels_swaps(words in prop::collection::vec(0_u64..6, 0..120)) {
            for (ties, reference) in [
                (Ties::Linux6_1, reference::linux6_1 as fn(&mut [(u64, usize)])),
                (Ties::Linux6_12, reference::linux6_12),
            ] {
                let pairs = words.iter().copied().zip(0..);
                let mut want: Vec<(u64, usize)> = pairs.clone().collect();
                reference(&mut want);
                let mut items: Vec<_> = pairs.map(|(word, row)| Item { word, row }).collect();
                heapsort(&mut items, ties);
                let got: Vec<_> = items.iter().map(|item| (item.word, item.row)).collect();
                prop_assert_eq!(got, want);
            }
        }

        #[test]
        fn sorting_permutes_and_orders(
            keys in prop::collection::hash_set((-300_i64..300, -3_i64..3), 0..200),
            hits in prop::collection::vec((1_u64..4, 0_u64..5), 200),
            old in any::<bool>(),
            first_down in any::<bool>(),
            second_down in any::<bool>(),
        ) {
            let rows: Vec<_> = keys.iter().zip(&hits)
                .map(|(&(a, b), &(hit, sum))| row(&[a, b], hit, &[sum])).collect();
            let sort = [
                Sort { by: SortBy::Key(0), descending: first_down },
                Sort { by: SortBy::Value(0), descending: second_down },
            ];
            let orders = [KeyOrder::Signed(1), KeyOrder::Unsigned(8)];
            let mut sorted = snapshot(&orders, &sort, rows.clone());
            super::sort(&mut sorted, if old { Ties::Linux6_1 } else { Ties::Linux6_12 });

            let rank = |row: &Row| {
                #[allow(clippy::cast_possible_truncation, reason = "compared as an s8")]
                let first = i64::from(row.word(0) as i8);
                let second = row.counts.values[0].cast_signed();
                let turn = |number: i64, down: bool| if down { -number } else { number };
                (turn(first, first_down), turn(second, second_down))
            };
            prop_assert!(sorted.rows.is_sorted_by_key(rank));
            let by_bytes = |mut rows: Vec<Row>| {
                rows.sort_by(|a, b| a.key.cmp(&b.key));
                rows
            };
            prop_assert_eq!(by_bytes(sorted.rows), by_bytes(rows));
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(
            keys in prop::collection::btree_set(-300_i64..300, 2..60),
            turn in 1_usize..59,
        ) {
            let rows: Vec<_> = keys.iter().map(|&key| row(&[key], 1, &[])).collect();
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            let sort = [by(SortBy::Hitcount)];
            let mut one = snapshot(&[KeyOrder::Signed(8)], &sort, rows);
            let mut other = snapshot(&[KeyOrder::Signed(8)], &sort, turned);
            super::sort(&mut one, Ties::default());
            super::sort(&mut other, Ties::default());
            prop_assert_eq!(one, other);
        }
    }
}
