//! Draws a document with a key in buckets: a bar for each bucket, and percentiles that are
//! estimated from them. Empty buckets between others are shown, too: a gap is part of the picture.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::document::{Document, DocumentRow, Key};
use super::error::ExportError;
use crate::escape::{Charset, shown};
use crate::modifier::BucketWidth;
use crate::print;
use crate::print::cell::Cell;
use crate::snapshot::bucket::{Bucket, Buckets};

/// A longer stretch of empty buckets is one line.
const LONGEST_GAP: i128 = 3;
/// What bars have at least, in columns.
const SHORTEST_BAR: usize = 10;
/// Parts of a hundred below which so many of the hits are.
const PERCENTILES: [u64; 3] = [50, 90, 99];

/// The bars, for each combination of the other keys, within `width` columns if there is room.
/// Names are shown without anything that a terminal obeys, for they stand in lines of their own.
pub(super) fn plot(
    document: &Document,
    weight: Option<&str>,
    width: usize,
    charset: Charset,
) -> Result<Vec<u8>, ExportError> {
    let (index, buckets) = bucket_key(&document.keys)?;
    let measure = document.weight(weight)?;
    let mut groups: BTreeMap<String, Bars> = BTreeMap::new();
    for row in &document.rows {
        if let Cell::Number(word) = row.cells[index] {
            let bars = groups.entry(others(document, index, row, charset)).or_default();
            *bars.entry(buckets.bucket(word)).or_default() += measure(row);
        }
    }
    let clean = |text: &str| shown(text.as_bytes(), charset);
    let (key, weight) = (clean(&document.keys[index].name), clean(weight.unwrap_or("hitcount")));
    let (event, trigger) = (clean(&document.meta.event), clean(&document.trigger_line()));
    let mut out = format!("# {event} {trigger}\n");
    for (head, bars) in &groups {
        let plot = Plot { key: &key, buckets, weight: &weight, bars, width };
        write_plot(&mut out, head, &plot).expect("writing to a String cannot fail");
    }
    if groups.is_empty() {
        out.push_str("\nno entries\n");
    }
    Ok(out.into_bytes())
}

/// Which of the keys is in buckets, and in which.
fn bucket_key(keys: &[Key]) -> Result<(usize, Buckets), ExportError> {
    let buckets = keys.iter().map(|key| Buckets::of(key.show, key.number)).enumerate();
    let found: Vec<_> = buckets.filter_map(|(index, buckets)| Some((index, buckets?))).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(ExportError::NoBuckets(keys.iter().map(|key| key.name.clone()).collect())),
        _ => {
            let names = found.iter().map(|(index, _)| keys[*index].name.clone());
            Err(ExportError::SeveralBuckets(names.collect()))
        }
    }
}

/// What the entry's other keys are.
fn others(document: &Document, index: usize, row: &DocumentRow, charset: Charset) -> String {
    let keys = document.keys.iter().zip(&row.cells).enumerate();
    let others = keys.filter(|(other, _)| *other != index);
    let others = others.map(|(_, (key, cell))| {
        let name = shown(key.name.as_bytes(), charset);
        format!("{name}: {}", shown_key(key, cell, charset))
    });
    others.collect::<Vec<_>>().join(", ")
}

fn shown_key(key: &Key, cell: &Cell<'_>, charset: Charset) -> String {
    match cell {
        Cell::Number(word) => print::shown_number(key.show, key.number, *word),
        Cell::Named(named) => print::shown_name(key.show, key.number, named, charset),
        Cell::Text(text) => shown(text, charset),
        Cell::Stack(frames) => {
            let names = frames.iter().map(|frame| shown(&frame.name, charset));
            names.collect::<Vec<_>>().join(";")
        }
    }
}

/// What was counted in each bucket.
type Bars = BTreeMap<Bucket, i128>;

/// All that is drawn together.
struct Plot<'a> {
    key: &'a str,
    buckets: Buckets,
    weight: &'a str,
    bars: &'a Bars,
    /// In columns.
    width: usize,
}

/// A line of the picture.
enum Line {
    Bar(Bucket, i128),
    /// So many empty buckets.
    Gap(i128),
}

fn write_plot(out: &mut String, head: &str, plot: &Plot<'_>) -> fmt::Result {
    out.push('\n');
    if !head.is_empty() {
        writeln!(out, "{head}")?;
    }
    let lines = lines(plot);
    let labels = lines.iter().map(|line| label(plot.buckets, line)).collect::<Vec<_>>();
    let (key, weight) = (plot.key, plot.weight);
    let left = labels.iter().map(String::len).chain([key.chars().count()]).max().unwrap_or(0);
    let counts = plot.bars.values().map(|count| count.to_string().len());
    let right = counts.chain([weight.chars().count()]).max().unwrap_or(0);
    let most = plot.bars.values().map(|count| count.unsigned_abs()).max().unwrap_or(0);
    let room = plot.width.saturating_sub(left + right + 3).max(SHORTEST_BAR);
    writeln!(out, "{key:>left$} {weight:>right$}")?;
    for (line, label) in lines.iter().zip(&labels) {
        match line {
            Line::Bar(_, count) => {
                let bar = bar(*count, most, room);
                writeln!(out, "{}", format!("{label:>left$} {count:>right$} {bar}").trim_end())?;
            }
            Line::Gap(n) => writeln!(out, "{label:>left$} ({n} empty rows)")?,
        }
    }
    percentiles(out, plot)
}

/// Every bucket from the first to the last.
fn lines(plot: &Plot<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut next = None;
    for (&bucket, &count) in plot.bars {
        let place = plot.buckets.place(bucket);
        lines.extend(empty(plot.buckets, next.unwrap_or(place), place));
        lines.push(Line::Bar(bucket, count));
        next = Some(place + 1);
    }
    lines
}

/// The lines from one place to before another.
fn empty(buckets: Buckets, from: i128, to: i128) -> Vec<Line> {
    match to - from {
        gap @ ..=LONGEST_GAP => {
            (0..gap).map(|step| Line::Bar(buckets.at(from + step), 0)).collect()
        }
        gap => vec![Line::Gap(gap)],
    }
}

fn label(buckets: Buckets, line: &Line) -> String {
    match line {
        Line::Bar(Bucket { low: ..0, .. }, _) if buckets.width == BucketWidth::Log2 => {
            "< 0".to_owned()
        }
        Line::Bar(Bucket { low, high }, _) => format!("{low}..{high}"),
        Line::Gap(_) => "...".to_owned(),
    }
}

/// The bar of `count` if that of `most` takes all the `room`. What is there is seen, and what is
/// negative is seen to be.
fn bar(count: i128, most: u128, room: usize) -> String {
    let mark = if count < 0 { "-" } else { "#" };
    let count = count.unsigned_abs();
    let cells = (count * room as u128).checked_div(most).unwrap_or(0);
    mark.repeat(usize::try_from(cells).unwrap_or(room).max(usize::from(count > 0)))
}

/// Of what has a place among the numbers: all negative ones together have none.
fn percentiles(out: &mut String, plot: &Plot<'_>) -> fmt::Result {
    if plot.bars.values().any(|count| *count < 0) {
        return writeln!(out, "(no percentiles: {} is negative in a row)", plot.weight);
    }
    let is_log2 = plot.buckets.width == BucketWidth::Log2;
    let bars: Vec<_> = plot
        .bars
        .iter()
        .filter(|(bucket, _)| !is_log2 || bucket.low >= 0)
        .map(|(bucket, count)| (*bucket, count.unsigned_abs()))
        .collect();
    let total: u128 = bars.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return Ok(());
    }
    let estimates = PERCENTILES.map(|part| format!("p{part} ~{}", percentile(&bars, total, part)));
    let of = if bars.len() < plot.bars.len() { "of what is not negative; " } else { "" };
    writeln!(out, "{}  ({of}estimated: interpolated within buckets)", estimates.join("  "))
}

/// Where that many hundredths of `total` are reached, as if a bucket's hits were spread evenly
/// over its numbers. It is never outside of the bucket in which they are.
fn percentile(bars: &[(Bucket, u128)], total: u128, hundredths: u64) -> i128 {
    let rank = (total * u128::from(hundredths)).div_ceil(100);
    let mut below = 0;
    for (bucket, count) in bars {
        if below + count >= rank {
            let share = (rank - below) as f64 / *count as f64;
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

    const LOG2: Buckets = Buckets { width: BucketWidth::Log2, signed: true };
    const TENS: Buckets = Buckets { width: BucketWidth::Fixed(10), signed: true };

    fn bucket(low: i128, high: i128) -> Bucket {
        Bucket { low, high }
    }

    fn image(number: i64) -> u64 {
        number.cast_unsigned()
    }

    /// What a plot of keys with one hit each looks like, without its bars.
    fn drawn(buckets: Buckets, words: &[u64]) -> Vec<String> {
        let bars: Bars = words.iter().map(|word| (buckets.bucket(*word), 1)).collect();
        let plot = Plot { key: "k", buckets, weight: "hitcount", bars: &bars, width: 0 };
        let mut out = String::new();
        write_plot(&mut out, "", &plot).expect("memory");
        let lines = out.lines().skip(2).map(|line| line.replace('#', "").trim().to_owned());
        lines.collect()
    }

    #[test]
    fn percentiles_follow_from_the_buckets() {
        let bars = [(bucket(1, 10), 50), (bucket(11, 20), 40), (bucket(21, 30), 10)];
        assert_eq!(percentile(&bars, 100, 50), 10);
        assert_eq!(percentile(&bars, 100, 90), 20);
        // The ninth of ten in 21..30.
        assert_eq!(percentile(&bars, 100, 99), 29);
        assert_eq!(percentile(&[(bucket(5, 5), 1)], 1, 50), 5);
    }

    #[test]
    fn gaps_are_filled_and_long_ones_told() {
        let labels = |buckets: Buckets, words: &[u64]| {
            let mut lines = drawn(buckets, words);
            lines.pop();
            lines
        };
        assert_eq!(
            labels(LOG2, &[0, 3]),
            ["0..1        1", "2..2        0", "3..4        0", "5..8        1"]
        );
        assert_eq!(
            labels(LOG2, &[1, 5]),
            [
                "2..2        1",
                "3..4        0",
                "5..8        0",
                "9..16        0",
                "17..32        1"
            ]
        );
        assert_eq!(
            labels(LOG2, &[1, 14]),
            ["2..2        1", "... (12 empty rows)", "8193..16384        1"]
        );
        assert_eq!(
            labels(TENS, &[0, 1000]),
            ["0..9        1", "... (99 empty rows)", "1000..1009        1"]
        );
    }

    /// A row `-616..383` stood beside `0..999`.
    #[test]
    fn buckets_of_negative_numbers_overlapped_those_from_zero_on() {
        let thousands = Buckets { width: BucketWidth::Fixed(1000), signed: true };
        let words = [image(-616), 0, image(-2616)];
        assert_eq!(
            drawn(thousands, &words)[..4],
            [
                "-2616..-1617        1",
                "-1616..-617        0",
                "-616..-1        1",
                "0..999        1",
            ]
        );
        let unsigned = Buckets { signed: false, ..TENS };
        let last = u64::MAX / 10 * 10;
        assert_eq!(unsigned.bucket(last), bucket(last.into(), u64::MAX.into()));
    }

    /// They were the row from 2^63 to 2^64, and moved every percentile there.
    #[test]
    fn negative_numbers_were_the_largest_power_of_two() {
        assert_eq!(
            drawn(LOG2, &[64, 0, 0, 1]),
            [
                "< 0        1",
                "0..1        1",
                "2..2        1",
                "p50 ~1  p90 ~2  p99 ~2  (of what is not negative; estimated: interpolated within buckets)",
            ]
        );
        let unsigned = Buckets { signed: false, ..LOG2 };
        assert!(drawn(unsigned, &[64])[0].starts_with("9223372036854775809..18446744073709551616"));
        assert_eq!(drawn(LOG2, &[64]), ["< 0        1"]);
    }

    #[test]
    fn negative_weights_are_bars_of_another_kind() {
        assert_eq!((bar(-5, 10, 10), bar(10, 10, 10)), ("-----".into(), "##########".into()));
        let bars: Bars = [(bucket(0, 9), -90), (bucket(10, 19), 45)].into();
        let plot = Plot { key: "k", buckets: TENS, weight: "ret", bars: &bars, width: 21 };
        let mut out = String::new();
        write_plot(&mut out, "", &plot).expect("memory");
        assert_eq!(
            out,
            "\n     k ret\n  0..9 -90 ----------\n10..19  45 #####\n\
             (no percentiles: ret is negative in a row)\n"
        );
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
            let mut bars: BTreeMap<Bucket, u128> = BTreeMap::new();
            for number in &numbers {
                *bars.entry(LOG2.bucket(log2(*number))).or_default() += 1;
            }
            let bars: Vec<_> = bars.into_iter().collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let rank = (numbers.len() * usize::try_from(hundredths).expect("small")).div_ceil(100);
            let exact = sorted[rank - 1];
            let estimate = percentile(&bars, numbers.len() as u128, hundredths);
            let Bucket { low, high } = LOG2.bucket(log2(exact));
            prop_assert!((low..=high).contains(&estimate), "{estimate} is not in {low}..{high}");
        }
    }
}
