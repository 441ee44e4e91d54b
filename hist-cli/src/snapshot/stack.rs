//! Makes the stacks that programs see those of the kernel's own histograms: without the frames of
//! tracing itself, cut to the kernel's depth.
//!
//! How many frames tracing adds depends on the kind of program and on how many probes the
//! tracepoint has, so they are told by their symbols, not by number. Rows whose keys become equal
//! are added up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Fold, KeyColumn, KeyShow, Row, Snapshot};
use crate::kernel::symbols::Symbols;

/// Frames that the reference kernel keeps (`HIST_STACKTRACE_DEPTH`).
pub const DEPTH: usize = 31;

/// How the kernel's own stacks differ from those that programs see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How the functions begin that lie between the event and a BPF program.
    pub tracing: Vec<&'static str>,
    /// The most frames that are left.
    pub depth: usize,
}

/// Makes every stack in a key the kernel's own. Without stacks nothing is done, and no symbol is read. Where the symbols are [unknown](Symbols::problem), so
/// are the functions of tracing: they stay, because how many there are depends on the number of
/// the event's probes.
pub fn settle(snapshot: &mut Snapshot, symbols: &Symbols, cut: &Cut) {
    if !snapshot.keys.iter().any(is_stack) {
        return;
    }
    let old = snapshot.keys.clone();
    let mut offset = 0;
    for column in &mut snapshot.keys {
        let size = if is_stack(column) { 8 * cut.depth } else { column.size };
        (column.offset, column.size) = (offset, size);
        offset += size;
    }
    let (rows, folds) = (std::mem::take(&mut snapshot.rows), snapshot.folds());
    let rows = rows.into_iter().map(|row| {
        let parts = old.iter().zip(&snapshot.keys);
        let key =
            parts.flat_map(|(old, new)| part(&row, (old, new), symbols, &cut.tracing)).collect();
        Row { key, ..row }
    });
    snapshot.rows = merge(rows, &folds);
}

fn is_stack(column: &KeyColumn) -> bool {
    column.show == KeyShow::Stack
}

/// A row's bytes for one column.
fn part(
    row: &Row,
    (old, new): (&KeyColumn, &KeyColumn),
    symbols: &Symbols,
    tracing: &[&str],
) -> Vec<u8> {
    let bytes = &row.key[old.offset..old.offset + old.size];
    if !is_stack(old) {
        return bytes.to_vec();
    }
    let frames = bytes.as_chunks::<8>().0;
    let is_tracing = |frame: &&[u8; 8]| {
        let symbol = symbols.resolve(u64::from_le_bytes(**frame));
        symbol.is_some_and(|symbol| tracing.iter().any(|start| symbol.name.starts_with(start)))
    };
    let mut stack = frames.iter().skip_while(is_tracing).flatten().copied().collect::<Vec<_>>();
    stack.resize(new.size, 0);
    stack
}

/// Adds up rows of equal keys; the first one's task name stays.
fn merge(rows: impl Iterator<Item = Row>, folds: &[Fold]) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        match places.entry(row.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(row);
            }
            Entry::Occupied(place) => merged[*place.get()].counts.add(&row.counts, folds),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use bstr::BString;

    use super::*;
    use crate::snapshot::{Counts, IntType, KeyOrder, Losses, ValueColumn, ValueShow};

    const KALLSYMS: &str = "1000 T _stext\n1100 T __traceiter_kmalloc\n1200 T kmalloc_user\n\
                            1300 T do_syscall_64\n1400 T bpf_trace_run6\n2000 T _etext\n";

    fn cut() -> Cut {
        Cut { tracing: vec!["__traceiter_", "bpf_trace_run"], depth: 2 }
    }

    fn row(stack: &[u64], number: u64, hitcount: u64) -> Row {
        let mut frames = stack.to_vec();
        frames.resize(4, 0);
        frames.push(number);
        let key = frames.iter().flat_map(|frame| frame.to_le_bytes()).collect();
        Row { key, counts: Counts::new(hitcount, [hitcount * 10].as_slice()), comm: [0; 16] }
    }

    fn snapshot(rows: Vec<Row>) -> Snapshot {
        let column = |label: &str, offset, size, show| KeyColumn {
            label: label.into(),
            offset,
            size,
            show,
            order: KeyOrder::None,
            number: IntType::U64,
        };
        let sum = ValueColumn {
            label: "v".into(),
            show: ValueShow::Decimal,
            hidden: false,
            fold: Fold::Sum,
            number: IntType::U64,
        };
        Snapshot {
            trigger: BString::default(),
            keys: vec![
                column("common_stacktrace", 0, 32, KeyShow::Stack),
                column("n", 32, 8, KeyShow::Decimal),
            ],
            values: vec![sum],
            show_hitcount: true,
            sort: Vec::new(),
            rows,
            losses: Losses::default(),
        }
    }

    #[test]
    fn frames_of_tracing_go_and_equal_rows_become_one() {
        let mut snapshot = snapshot(vec![
            row(&[0x1105, 0x1205, 0x1305], 7, 1),
            row(&[0x1405, 0x1105, 0x1205, 0x1305], 7, 2),
            row(&[0x1205, 0x1305], 8, 4),
            // Not a leading one: it stays.
            row(&[0x1205, 0x1105], 7, 8),
        ]);
        settle(&mut snapshot, &Symbols::from_kallsyms(KALLSYMS), &cut());
        let rows: Vec<_> = snapshot
            .rows
            .iter()
            .map(|row| {
                (row.word(0), row.word(8), row.word(16), row.counts.hits, row.counts.values[0])
            })
            .collect();
        assert_eq!(
            rows,
            [(0x1205, 0x1305, 7, 3, 30), (0x1205, 0x1305, 8, 4, 40), (0x1205, 0x1105, 7, 8, 80)]
        );
        let sizes: Vec<_> = snapshot.keys.iter().map(|key| (key.offset, key.size)).collect();
        assert_eq!(sizes, [(0, 16), (16, 8)]);
    }

    #[test]
    fn without_stacks_nothing_changes() {
        let mut one = snapshot(vec![row(&[0x1105], 7, 1)]);
        one.keys.remove(0);
        let same = one.clone();
        settle(&mut one, &Symbols::from_kallsyms(KALLSYMS), &cut());
        assert_eq!(one, same);
    }
}
