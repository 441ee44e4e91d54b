//! Takes documents of one trigger, of several machines or times. Gives their exact sum.
//!
//! Within one boot a key is its number and its name. Between boots addresses mean nothing: there
//! functions are the same if they have the same name, and their addresses are left out.
//! Everything is added up modulo 2^64, as the kernel counts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::document::{Document, Entry, Key, Meta};
use super::error::MergeError;
use crate::print::cell::{Cell, Named};
use crate::read::snapshot::{KeyShow, Losses};
use crate::resolve::hist::{Sort, SortBy};

/// The sum. That of one document is the document itself; the rows of others are sorted as the
/// trigger says, those that compare equal by their keys.
///
/// # Errors
/// If the documents are of different triggers, or rows are missing in one of them.
pub fn merge(documents: &[Document]) -> Result<Document, MergeError> {
    let (first, rest) = documents.split_first().ok_or(MergeError::Nothing)?;
    documents.iter().try_for_each(check_whole)?;
    rest.iter().try_for_each(|other| check_same(first, other))?;
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let meta = meta(documents);
    let is_one_boot = meta.sources.windows(2).all(|pair| pair[0].boot == pair[1].boot);
    let mut sum = Document {
        rows: rows(documents, is_one_boot),
        paused: documents.iter().all(|document| document.paused),
        hits: 0,
        entries: 0,
        losses: losses(documents),
        meta,
        ..first.clone()
    };
    sum.entries = sum.rows.len() as u64;
    sum.hits = sum.rows.iter().fold(0, |hits, row| hits.wrapping_add(row.hitcount));
    sort(&mut sum);
    Ok(sum)
}

/// Whether every entry is among the rows.
///
/// # Errors
/// If only the totals know some of them.
pub fn check_whole(document: &Document) -> Result<(), MergeError> {
    let (rows, entries) = (document.rows.len(), document.entries);
    if rows as u64 == entries { Ok(()) } else { Err(MergeError::Cut { rows, entries }) }
}

fn check_same(one: &Document, other: &Document) -> Result<(), MergeError> {
    let mut parts = Vec::new();
    let mut differ = |name: &str, one: &str, other: &str| {
        if one != other {
            parts.push(format!("{name} {} and {}", or_none(one), or_none(other)));
        }
    };
    differ("event", &one.meta.event, &other.meta.event);
    let (ours, theirs) = (parts_of(&one.trigger), parts_of(&other.trigger));
    for name in ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))) {
        let part = |parts: &BTreeMap<&str, String>| parts.get(name).cloned().unwrap_or_default();
        differ(name, &part(&ours), &part(&theirs));
    }
    if parts.is_empty() && !has_same_columns(one, other) {
        parts.push("the same words, but other columns: another version wrote them".to_owned());
    }
    if parts.is_empty() { Ok(()) } else { Err(MergeError::Different(parts)) }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { format!("`{text}`") }
}

fn has_same_columns(one: &Document, other: &Document) -> bool {
    one.keys == other.keys
        && one.values == other.values
        && one.sort == other.sort
        && one.show_hitcount == other.show_hitcount
}

/// The parts of a canonical trigger line by name.
fn parts_of(trigger: &str) -> BTreeMap<&str, String> {
    let (words, filter) = trigger.split_once(" if ").unwrap_or((trigger, ""));
    let mut parts: BTreeMap<&str, String> = BTreeMap::new();
    for word in words.split(':').filter(|word| *word != "hist") {
        let (name, value) = word.split_once('=').unwrap_or((word, word));
        let part = parts.entry(name).or_default();
        part.push_str(value);
    }
    parts.insert("filter", filter.to_owned());
    parts
}

fn meta(documents: &[Document]) -> Meta {
    let metas = || documents.iter().map(|document| &document.meta);
    let mut sources: Vec<_> = metas().flat_map(|meta| meta.sources.clone()).collect();
    sources.sort_unstable();
    sources.dedup();
    let first = &documents[0].meta;
    Meta {
        event: first.event.clone(),
        sources,
        since: metas().map(|meta| meta.since).min().unwrap_or(first.since),
        time: metas().map(|meta| meta.time).max().unwrap_or(first.time),
    }
}

fn losses(documents: &[Document]) -> Losses {
    documents.iter().fold(Losses::default(), |sum, document| Losses {
        full: sum.full.wrapping_add(document.losses.full),
        busy: sum.busy.wrapping_add(document.losses.busy),
        missed: sum.missed.wrapping_add(document.losses.missed),
    })
}

/// The rows of all, those of equal keys added up, by their keys.
fn rows(documents: &[Document], is_one_boot: bool) -> Vec<Entry> {
    let mut rows: BTreeMap<Cow<'_, [Cell<'static>]>, (u64, Vec<u64>)> = BTreeMap::new();
    for document in documents {
        for row in &document.rows {
            let cells = match is_one_boot {
                true => Cow::Borrowed(&row.cells[..]),
                false => Cow::Owned(without_addresses(&document.keys, &row.cells)),
            };
            let sum = rows.entry(cells).or_insert_with(|| (0, vec![0; row.sums.len()]));
            sum.0 = sum.0.wrapping_add(row.hitcount);
            for (sum, more) in sum.1.iter_mut().zip(&row.sums) {
                *sum = sum.wrapping_add(*more);
            }
        }
    }
    let entry = |(cells, (hitcount, sums)): (Cow<'_, [Cell<'static>]>, _)| Entry {
        cells: cells.into_owned(),
        hitcount,
        sums,
    };
    rows.into_iter().map(entry).collect()
}

fn without_addresses(keys: &[Key], cells: &[Cell<'static>]) -> Vec<Cell<'static>> {
    let nameless = |named: &Named<'static>| Named { name: named.name.clone(), number: None };
    let cells = keys.iter().zip(cells).map(|(key, cell)| match (key.show, cell) {
        (KeyShow::Sym | KeyShow::SymOffset, Cell::Named(named)) => Cell::Named(nameless(named)),
        (_, Cell::Stack(frames)) => Cell::Stack(frames.iter().map(nameless).collect()),
        (_, cell) => cell.clone(),
    });
    cells.collect()
}

/// Orders rows, which are in the order of their keys, by the sort keys.
fn sort(document: &mut Document) {
    let Document { rows, sort, keys, .. } = document;
    rows.sort_by(|a, b| {
        let by = sort.iter().map(|sort| compare(keys, *sort, a, b));
        by.fold(Ordering::Equal, Ordering::then)
    });
}

fn compare(keys: &[Key], sort: Sort, a: &Entry, b: &Entry) -> Ordering {
    let order = match sort.by {
        SortBy::Hitcount => a.hitcount.cmp(&b.hitcount),
        SortBy::Value(index) => a.sums[index].cmp(&b.sums[index]),
        SortBy::Key(index) => compare_cells(&keys[index], &a.cells[index], &b.cells[index]),
    };
    if sort.descending { order.reverse() } else { order }
}

/// Numbers by their number; addresses that have been left out, by name; stacks are all equal, as
/// for the kernel.
fn compare_cells(key: &Key, a: &Cell<'_>, b: &Cell<'_>) -> Ordering {
    let number = |number: u64| match key.signed {
        true => i128::from(number.cast_signed()),
        false => i128::from(number),
    };
    match (a, b) {
        (Cell::Number(a), Cell::Number(b)) => number(*a).cmp(&number(*b)),
        (Cell::Named(a), Cell::Named(b)) => match (a.number, b.number) {
            (Some(a), Some(b)) => number(a).cmp(&number(b)),
            _ => a.name.cmp(&b.name),
        },
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
