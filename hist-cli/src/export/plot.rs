//! Takes a document with a key in buckets. Gives bars, one line a bucket, and percentiles that
//! are estimated from them. Buckets without an entry are shown, too: a gap is part of the picture.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::document::{Document, Entry, Key};
use super::error::ExportError;
use crate::print;
use crate::print::cell::Cell;
use crate::read::snapshot::KeyShow;

/// A gap of more buckets of equal width than this is one line.
const LONGEST_GAP: i128 = 16;
/// What bars have at least, in columns.
const SHORTEST_BAR: usize = 10;
/// Parts of a hundred below which so many of the hits are.
const PERCENTILES: [u64; 3] = [50, 90, 99];

/// The bars, for each combination of the other keys, within `width` columns if there is room.
pub(super) fn plot(
    document: &Document,
    weight: Option<&str>,
    width: usize,
) -> Result<Vec<u8>, ExportError> {
    let index = bucket_key(&document.keys)?;
    let measure = document.weight(weight)?;
    let mut groups: BTreeMap<Vec<Cow<'_, str>>, Bars> = BTreeMap::new();
    for row in &document.rows {
        if let Cell::Number(number) = row.cells[index] {
            let bars = groups.entry(others(document, index, row)).or_default();
            let bar = bars.entry(Bucket::new(&document.keys[index], number)).or_default();
            *bar += u128::from(measure(row));
        }
    }
    let key = &document.keys[index];
    let mut out = format!("# {} {}\n", document.meta.event, document.trigger_line());
    for (names, bars) in &groups {
        let head = names.join(", ");
        let plot = Plot { key, weight: weight.unwrap_or("hitcount"), bars, width };
        write_plot(&mut out, &head, &plot).expect("writing to a String cannot fail");
    }
    if groups.is_empty() {
        out.push_str("\nno entries\n");
    }
    Ok(out.into_bytes())
}

/// Which of the keys is in buckets.
fn bucket_key(keys: &[Key]) -> Result<usize, ExportError> {
    let is_bucket = |key: &Key| matches!(key.show, KeyShow::Log2 | KeyShow::Buckets(_));
    let buckets: Vec<_> = (0..keys.len()).filter(|index| is_bucket(&keys[*index])).collect();
    let names = |indices: &[usize]| indices.iter().map(|index| keys[*index].name.clone()).collect();
    match buckets[..] {
        [index] => Ok(index),
        [] => Err(ExportError::NoBuckets(keys.iter().map(|key| key.name.clone()).collect())),
        _ => Err(ExportError::SeveralBuckets(names(&buckets))),
    }
}

/// What the entry's other keys are.
fn others<'a>(document: &Document, index: usize, row: &'a Entry) -> Vec<Cow<'a, str>> {
    let keys = document.keys.iter().zip(&row.cells).enumerate();
    let others = keys.filter(|(other, _)| *other != index);
    others.map(|(_, (key, cell))| format!("{}: {}", key.name, shown(key, cell)).into()).collect()
}

fn shown<'a>(key: &Key, cell: &'a Cell<'_>) -> Cow<'a, str> {
    match cell {
        Cell::Number(number) => print::number(key.show, *number).into(),
        Cell::Named(named) => match (key.show, named.number) {
            (KeyShow::Execname | KeyShow::Syscall, Some(number)) => {
                format!("{} [{number}]", String::from_utf8_lossy(&named.name)).into()
            }
            _ => String::from_utf8_lossy(&named.name),
        },
        Cell::Text(text) => String::from_utf8_lossy(text),
        Cell::Stack(frames) => {
            let names = frames.iter().map(|frame| String::from_utf8_lossy(&frame.name));
            names.collect::<Vec<_>>().join(";").into()
        }
    }
}

/// The numbers that one bar is about, by rising number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bucket {
    low: i128,
    high: i128,
}

/// What was counted in each bucket.
type Bars = BTreeMap<Bucket, u128>;

impl Bucket {
    fn new(key: &Key, number: u64) -> Self {
        match key.show {
            KeyShow::Buckets(width) => {
                let low = match key.signed {
                    true => i128::from(number.cast_signed()),
                    false => i128::from(number),
                };
                Self { low, high: low + i128::from(width) - 1 }
            }
            _ => Self::power_of_two(number),
        }
    }

    /// What `.log2` makes `exponent` of: numbers above the power of two before.
    fn power_of_two(exponent: u64) -> Self {
        let power = |exponent: u64| 1_i128 << exponent.min(64);
        match exponent {
            0 => Self { low: 0, high: 1 },
            _ => Self { low: power(exponent - 1) + 1, high: power(exponent) },
        }
    }

    /// The one above this.
    fn next(self, key: &Key) -> Self {
        match key.show {
            KeyShow::Buckets(width) => {
                Self { low: self.high + 1, high: self.high + i128::from(width) }
            }
            _ => Self { low: self.high + 1, high: 2 * self.high },
        }
    }

    /// How many lie between this one and a higher one.
    fn gap(self, key: &Key, higher: Self) -> i128 {
        match key.show {
            KeyShow::Buckets(width) => (higher.low - self.high - 1) / i128::from(width),
            _ => i128::from(higher.high.ilog2()) - i128::from(self.high.ilog2()) - 1,
        }
    }
}

/// All that is drawn together.
struct Plot<'a> {
    key: &'a Key,
    weight: &'a str,
    bars: &'a Bars,
    /// In columns.
    width: usize,
}

/// A line of the picture.
enum Line {
    Bar(Bucket, u128),
    /// So many empty buckets.
    Gap(i128),
}

fn write_plot(out: &mut String, head: &str, plot: &Plot<'_>) -> fmt::Result {
    out.push('\n');
    if !head.is_empty() {
        writeln!(out, "{head}")?;
    }
    let lines = lines(plot);
    let labels = lines.iter().map(label).collect::<Vec<_>>();
    let (key, weight) = (&plot.key.name, plot.weight);
    let left = labels.iter().map(String::len).chain([key.chars().count()]).max().unwrap_or(0);
    let most = plot.bars.values().copied().max().unwrap_or(0);
    let right = most.to_string().len().max(weight.chars().count());
    let room = plot.width.saturating_sub(left + right + 3).max(SHORTEST_BAR);
    writeln!(out, "{key:>left$} {weight:>right$}")?;
    for (line, label) in lines.iter().zip(&labels) {
        match line {
            Line::Bar(_, count) => {
                let bar = "#".repeat(cells(*count, most, room));
                writeln!(out, "{}", format!("{label:>left$} {count:>right$} {bar}").trim_end())?;
            }
            Line::Gap(_) => writeln!(out, "{label:>left$}")?,
        }
    }
    percentiles(out, plot)
}

/// Every bucket from the first to the last.
fn lines(plot: &Plot<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut before: Option<Bucket> = None;
    for (&bucket, &count) in plot.bars {
        if let Some(before) = before {
            lines.extend(empty(plot.key, before, bucket));
        }
        lines.push(Line::Bar(bucket, count));
        before = Some(bucket);
    }
    lines
}

/// The lines between two buckets.
fn empty(key: &Key, before: Bucket, after: Bucket) -> Vec<Line> {
    let gap = before.gap(key, after);
    if gap > LONGEST_GAP && key.show != KeyShow::Log2 {
        return vec![Line::Gap(gap)];
    }
    let mut bucket = before;
    let buckets = (0..gap).map(|_| {
        bucket = bucket.next(key);
        Line::Bar(bucket, 0)
    });
    buckets.collect()
}

fn label(line: &Line) -> String {
    match line {
        Line::Bar(Bucket { low, high }, _) => format!("{low}..{high}"),
        Line::Gap(n) => format!("({n} empty)"),
    }
}

/// How long the bar of `count` is if that of `most` takes all the `room`. What is there is seen.
fn cells(count: u128, most: u128, room: usize) -> usize {
    let scaled = (count * room as u128).checked_div(most).unwrap_or(0);
    usize::try_from(scaled).unwrap_or(room).max(usize::from(count > 0))
}

fn percentiles(out: &mut String, plot: &Plot<'_>) -> fmt::Result {
    let total: u128 = plot.bars.values().sum();
    if total == 0 {
        return Ok(());
    }
    let estimates =
        PERCENTILES.map(|part| format!("p{part} ~{}", percentile(plot.bars, total, part)));
    writeln!(out, "{}  (estimated: interpolated within buckets)", estimates.join("  "))
}

/// Where that many hundredths of `total` are reached, as if a bucket's hits were spread evenly
/// over its numbers. It is never outside of the bucket in which they are.
fn percentile(bars: &Bars, total: u128, hundredths: u64) -> i128 {
    let rank = (total * u128::from(hundredths)).div_ceil(100);
    let mut below = 0;
    for (bucket, &count) in bars {
        if below + count >= rank {
            let share = (rank - below) as f64 / count as f64;
            let step = ((bucket.high - bucket.low) as f64 * share).round() as i128;
            return (bucket.low + step).min(bucket.high);
        }
        below += count;
    }
    unreachable!("the rank is not above the total")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(show: KeyShow, signed: bool) -> Key {
        Key { name: "k".into(), label: "k".into(), show, signed }
    }

    fn bucket(low: i128, high: i128) -> Bucket {
        Bucket { low, high }
    }

    #[test]
    fn buckets_are_those_of_the_kernel() {
        let log2 = key(KeyShow::Log2, false);
        for (exponent, low, high) in
            [(0, 0, 1), (1, 2, 2), (2, 3, 4), (10, 513, 1024), (64, (1 << 63) + 1, 1 << 64)]
        {
            assert_eq!(Bucket::new(&log2, exponent), bucket(low, high));
        }
        let minus_six = (-6_i64).cast_unsigned();
        assert_eq!(Bucket::new(&key(KeyShow::Buckets(10), true), minus_six), bucket(-6, 3));
        let high = i128::from(minus_six) + 9;
        let unsigned = Bucket::new(&key(KeyShow::Buckets(10), false), minus_six);
        assert_eq!(unsigned, bucket(minus_six.into(), high));
    }

    #[test]
    fn percentiles_follow_from_the_buckets() {
        let bars: Bars = [(bucket(1, 10), 50), (bucket(11, 20), 40), (bucket(21, 30), 10)].into();
        assert_eq!(percentile(&bars, 100, 50), 10);
        assert_eq!(percentile(&bars, 100, 90), 20);
        // The ninth of ten in 21..30.
        assert_eq!(percentile(&bars, 100, 99), 29);
        assert_eq!(percentile(&[(bucket(5, 5), 1)].into(), 1, 50), 5);
    }

    #[test]
    fn gaps_are_filled_and_long_ones_told() {
        let labels = |key: &Key, numbers: &[u64]| {
            let bars: Bars = numbers.iter().map(|n| (Bucket::new(key, *n), 1)).collect();
            let plot = Plot { key, weight: "hitcount", bars: &bars, width: 80 };
            lines(&plot).iter().map(label).collect::<Vec<_>>()
        };
        let log2 = key(KeyShow::Log2, false);
        assert_eq!(labels(&log2, &[0, 3]), ["0..1", "2..2", "3..4", "5..8"]);
        assert_eq!(labels(&log2, &[1, 4]), ["2..2", "3..4", "5..8", "9..16"]);
        let tens = key(KeyShow::Buckets(10), true);
        assert_eq!(
            labels(&tens, &[(-10_i64).cast_unsigned(), 20]),
            ["-10..-1", "0..9", "10..19", "20..29"]
        );
        assert_eq!(labels(&tens, &[0, 1000]), ["0..9", "(99 empty)", "1000..1009"]);
    }

    proptest! {
        #[test]
        fn a_percentile_is_in_the_bucket_of_its_rank(
            numbers in prop::collection::vec(0_u64..2000, 1..200),
            hundredths in 1_u64..100,
        ) {
            let log2 = |number: u64| match number {
                0 | 1 => 0,
                _ => u64::from((number - 1).ilog2()) + 1,
            };
            let mut bars = Bars::new();
            for number in &numbers {
                *bars.entry(Bucket::power_of_two(log2(*number))).or_default() += 1;
            }
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let rank = (numbers.len() * usize::try_from(hundredths).expect("small")).div_ceil(100);
            let exact = sorted[rank - 1];
            let estimate = percentile(&bars, numbers.len() as u128, hundredths);
            let Bucket { low, high } = Bucket::power_of_two(log2(exact));
            prop_assert!((low..=high).contains(&estimate), "{estimate} is not in {low}..{high}");
        }
    }
}
