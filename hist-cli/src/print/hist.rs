//! ftrace's exact text of a sorted [`Snapshot`]: header, entries, totals (`hist_trigger_show()` in
//! the kernel's trace_events_hist.c).

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;

use super::bytes::Bytes;
use super::cell::{Cell, cell, clean_cell};
use super::modifier::{self, Scale};
use crate::escape::{Charset, clean};
use crate::kernel::symbols::Symbols;
use crate::snapshot::{Counts, KeyShow, Row, Snapshot, ValueColumn};

/// The `hist` file's text for one trigger; strings of the kernel stand in it byte for byte, so it
/// may be no UTF-8. Addresses that have no symbol print as numbers;
/// [`Symbols::problem`] then says why, if all of them do.
#[must_use]
pub fn hist(snapshot: &Snapshot, symbols: &Symbols) -> Vec<u8> {
    hist_on(None, snapshot, 0..snapshot.rows.len(), symbols)
}

/// The same with some of the entries only; totals and parts of the whole stay those of all. A terminal
/// with that charset gets nothing that it would obey, anything else the text as it is.
#[must_use]
pub fn hist_on(
    terminal: Option<Charset>,
    snapshot: &Snapshot,
    rows: Range<usize>,
    symbols: &Symbols,
) -> Vec<u8> {
    let mut out = Bytes::with_capacity(length(snapshot, rows.len()));
    write_hist(&mut out, snapshot, rows, (symbols, terminal))
        .expect("writing to memory cannot fail");
    out.into_vec()
}

/// The file's text when several triggers are set on one event: two blank lines between them.
#[must_use]
pub fn blocks<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, text) in texts.into_iter().enumerate() {
        if number > 0 {
            out.extend(b"\n\n");
        }
        out.extend(text.as_ref());
    }
    out
}

/// About how long the text will be, in bytes.
fn length(snapshot: &Snapshot, n_rows: usize) -> usize {
    let columns = snapshot.keys.len() + snapshot.values.len() + 1;
    256 + snapshot.trigger.len() + 32 * columns * n_rows
}

fn write_hist(
    out: &mut Bytes,
    snapshot: &Snapshot,
    rows: Range<usize>,
    (symbols, terminal): (&Symbols, Option<Charset>),
) -> fmt::Result {
    head(out, &clean(&snapshot.trigger, terminal));
    let scales = scales(&snapshot.values, snapshot.rows.iter().map(|row| &row.counts));
    for row in &snapshot.rows[rows] {
        row_entry(out, snapshot, row, (&scales, symbols, terminal))?;
    }
    totals(out, (snapshot.hits(), snapshot.rows.len() as u64, snapshot.losses.full))
}

/// The lines before the entries.
pub(crate) fn head(out: &mut Bytes, trigger: &[u8]) {
    out.push_str("# event histogram\n#\n# trigger info: ");
    out.push_bytes(trigger);
    out.push_str("\n#\n\n");
}

/// What the parts of each column are parts of, from the counts of every entry.
pub(crate) fn scales<'a>(
    values: &[ValueColumn],
    rows: impl Iterator<Item = &'a Counts>,
) -> Vec<Scale> {
    let nothing = values.iter().map(|value| Scale { total: value.fold.nothing(), max: 0 });
    let mut scales: Vec<_> = nothing.collect();
    for counts in rows {
        for ((scale, &number), column) in scales.iter_mut().zip(&counts.values).zip(values) {
            scale.total = column.fold.add(scale.total, number);
            scale.max = scale.max.max(number);
        }
    }
    scales
}

fn row_entry(
    out: &mut Bytes,
    snapshot: &Snapshot,
    row: &Row,
    (scales, symbols, terminal): (&[Scale], &Symbols, Option<Charset>),
) -> fmt::Result {
    let keys = snapshot.keys.iter();
    let line = EntryLine {
        keys: keys.map(|column| {
            let cell = Cow::Owned(cell(column, row, symbols));
            (&column.label[..], column.show, clean_cell(cell, terminal))
        }),
        hits: snapshot.show_hitcount.then_some(row.counts.hits),
        columns: &snapshot.values,
        values: &row.counts.values,
        scales,
    };
    entry(out, line)
}

/// All that an entry's line is made of.
pub(crate) struct EntryLine<'a, K> {
    /// Label, how it is shown, and what.
    pub(crate) keys: K,
    /// If they are shown.
    pub(crate) hits: Option<u64>,
    /// Those of `values`.
    pub(crate) columns: &'a [ValueColumn],
    /// One for each column.
    pub(crate) values: &'a [u64],
    /// One for each column.
    pub(crate) scales: &'a [Scale],
}

/// Appends an entry's line; with a stack, lines.
pub(crate) fn entry<'a, 'b, C, K>(out: &mut Bytes, line: EntryLine<'a, K>) -> fmt::Result
where
    C: std::borrow::Borrow<Cell<'b>>,
    K: Iterator<Item = (&'a str, KeyShow, C)>,
{
    out.push_str("{ ");
    let mut has_stack = false;
    for (number, (label, show, cell)) in line.keys.enumerate() {
        if number > 0 {
            out.push_str(", ");
        }
        modifier::key(out, label, show, cell.borrow())?;
        has_stack |= show == KeyShow::Stack;
    }
    // A stack ends with its own newline, and the kernel then leaves out the space.
    out.push_str(if has_stack { "}" } else { " }" });
    if let Some(hits) = line.hits {
        out.push_str(" hitcount: ");
        modifier::decimal(out, hits);
    }
    let values = line.columns.iter().zip(line.values).zip(line.scales);
    for ((column, &number), &scale) in values.filter(|((column, _), _)| !column.hidden) {
        // One space separates, another belongs to the value.
        out.push(' ');
        modifier::value(out, column, number, scale)?;
    }
    out.push('\n');
    Ok(())
}

/// The lines behind the entries: hits, entries and what the full table dropped.
pub(crate) fn totals(out: &mut Bytes, (hits, entries, dropped): (u64, u64, u64)) -> fmt::Result {
    write!(out, "\nTotals:\n    Hits: {hits}\n    Entries: {entries}\n    Dropped: {dropped}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Fold, IntType, KeyColumn, KeyOrder, Losses, ValueShow};
    use proptest::prelude::*;

    fn key(label: &str, index: usize, show: KeyShow) -> KeyColumn {
        let order = KeyOrder::Signed(4);
        let number = IntType::S64;
        KeyColumn { label: label.into(), offset: 8 * index, size: 8, show, order, number }
    }

    fn value(label: &str, show: ValueShow) -> ValueColumn {
        let (fold, number) = (Fold::Sum, IntType::S64);
        ValueColumn { label: label.into(), show, hidden: false, fold, number }
    }

    fn row(keys: &[u64], hitcount: u64, sums: &[u64]) -> Row {
        let key: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        Row { key: key.into(), counts: Counts::new(hitcount, sums), comm: [0; 16] }
    }

    fn snapshot(keys: &[KeyColumn], values: &[ValueColumn], rows: &[Row]) -> Snapshot {
        Snapshot {
            trigger: "hist:keys=s32:vals=hitcount:sort=hitcount:size=2048 [active]".into(),
            keys: keys.to_vec(),
            values: values.to_vec(),
            show_hitcount: true,
            sort: vec![],
            rows: rows.to_vec(),
            losses: Losses::default(),
        }
    }

    fn no_symbols() -> Symbols {
        Symbols::from_kallsyms("1000 T _stext\n2000 T _etext\n")
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_whole_file() {
        let keys = [key("s32", 0, KeyShow::Decimal)];
        let rows = [row(&[2], 1, &[]), row(&[1], 130, &[])];
        let mut snapshot = snapshot(&keys, &[], &rows);
        snapshot.losses = Losses { full: 13, busy: 5, missed: 7 };
        let want = "\
# event histogram
#
# trigger info: hist:keys=s32:vals=hitcount:sort=hitcount:size=2048 [active]
#

{ s32:          2 } hitcount:          1
{ s32:          1 } hitcount:        130

Totals:
    Hits: 131
    Entries: 2
    Dropped: 13
";
        assert_eq!(text(hist(&snapshot, &no_symbols())), want);
    }

    #[test]
    fn without_entries_two_blank_lines_remain() {
        let snapshot = snapshot(&[key("s32", 0, KeyShow::Decimal)], &[], &[]);
        let want = "\
# event histogram
#
# trigger info: hist:keys=s32:vals=hitcount:sort=hitcount:size=2048 [active]
#


Totals:
    Hits: 0
    Entries: 0
    Dropped: 0
";
        assert_eq!(text(hist(&snapshot, &no_symbols())), want);
    }

    #[test]
    fn two_blank_lines_stand_between_triggers() {
        assert_eq!(blocks(["a\n", "b\n", "c\n"]), b"a\n\n\nb\n\n\nc\n");
        assert_eq!(blocks(["a\n"]), b"a\n");
        assert_eq!(blocks::<&str>([]), b"");
    }

    fn check_entry(snapshot: &Snapshot, want: &str) {
        let mut out = Bytes::default();
        let rows = snapshot.rows.iter();
        let scales = scales(&snapshot.values, rows.map(|row| &row.counts));
        row_entry(&mut out, snapshot, &snapshot.rows[0], (&scales, &no_symbols(), None))
            .expect("memory");
        assert_eq!(text(out.into_vec()), format!("{want}\n"));
    }

    #[test]
    fn values_stand_two_spaces_apart() {
        let decimal = ValueShow::Decimal;
        let keys = [key("s32", 0, KeyShow::Decimal), key("b", 1, KeyShow::Decimal)];
        check_entry(
            &snapshot(
                &keys,
                &[value("b", decimal), value("c", decimal)],
                &[row(&[1, 2], 1, &[2, 3])],
            ),
            "{ s32:          1, b:          2 } hitcount:          1  b:          2  c:          3",
        );
        let keys = [key("prev_pid", 0, KeyShow::Decimal)];
        let values = [value("prev_prio", decimal), value("next_prio", ValueShow::Hex)];
        check_entry(
            &snapshot(&keys, &values, &[row(&[0], 18, &[2160, 0x870])]),
            "{ prev_pid:          0 } hitcount:         18  prev_prio:       2160  next_prio:        870",
        );
    }

    #[test]
    fn without_hitcount_two_spaces_follow_the_key() {
        let keys = [key("s32", 0, KeyShow::Decimal)];
        let values = [value("b", ValueShow::Decimal)];
        let mut snapshot = snapshot(&keys, &values, &[row(&[2], 1, &[2])]);
        snapshot.show_hitcount = false;
        check_entry(&snapshot, "{ s32:          2 }  b:          2");
    }

    #[test]
    fn negative_numbers_print_unsigned() {
        let keys = [key("s32", 0, KeyShow::Decimal)];
        let values = [value("s32", ValueShow::Decimal)];
        let sum = (-1_i64).cast_unsigned().wrapping_mul(2);
        check_entry(
            &snapshot(&keys, &values, &[row(&[(-5_i64).cast_unsigned()], 2, &[sum])]),
            "{ s32: 18446744073709551611 } hitcount:          2  s32: 18446744073709551614",
        );
    }

    proptest! {
        #[test]
        fn entries_and_hits_follow_from_the_rows(
            rows in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..40)
        ) {
            let keys = [key("k", 0, KeyShow::Decimal)];
            let values = [value("v", ValueShow::Decimal)];
            let rows: Vec<_> = rows.iter().map(|&(k, hits, sum)| row(&[k], hits, &[sum])).collect();
            let text = text(hist(&snapshot(&keys, &values, &rows), &no_symbols()));
            let entries: Vec<Vec<u64>> = text
                .lines()
                .filter(|line| line.starts_with("{ "))
                .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
                .collect();
            let want: Vec<Vec<u64>> =
                rows.iter().map(|row| vec![row.word(0), row.counts.hits, row.counts.values[0]]).collect();
            prop_assert_eq!(entries, want);
            let hits = rows.iter().fold(0_u64, |hits, row| hits.wrapping_add(row.counts.hits));
            let totals = format!(
                "\n\nTotals:\n    Hits: {hits}\n    Entries: {}\n    Dropped: 0\n", rows.len());
            prop_assert!(text.ends_with(&totals));
        }
    }
}
