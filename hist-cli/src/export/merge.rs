//! Adds up documents of one trigger, of several machines or times, exactly.
//!
//! Within one boot a key is its number and its name. Between boots addresses mean nothing: there
//! functions are the same if they have the same name, and their addresses are left out.
//! Everything is added up modulo 2^64, as the kernel counts.

use std::collections::BTreeMap;

use super::document::{Document, DocumentRow, Key, Meta, Value};
use super::error::MergeError;
use super::order;
use crate::escape::excerpt;
use crate::print::cell::Cell;
use crate::snapshot::{Fold, KeyShow, Losses};

/// The sum. That of one document is the document itself; the rows of others are sorted as the
/// trigger says, those that compare equal by their keys.
///
/// # Errors
/// If the documents are of different triggers, or rows are missing in one of them.
pub fn merge(mut documents: Vec<Document>) -> Result<Document, MergeError> {
    let (first, rest) = documents.split_first().ok_or(MergeError::Nothing)?;
    documents.iter().try_for_each(check_whole)?;
    rest.iter().try_for_each(|other| check_same(first, other))?;
    let like = head(first, rest);
    rest.iter().try_for_each(|other| check_same(&like, other))?;
    if rest.is_empty() {
        return documents.pop().ok_or(MergeError::Nothing);
    }
    let meta = meta(&documents);
    let is_one_boot = meta.sources.windows(2).all(|pair| pair[0].boot == pair[1].boot);
    let mut sum = Document {
        paused: documents.iter().all(|document| document.paused),
        losses: losses(&documents),
        enough_size: enough_size(&documents),
        rows: rows(documents, &like.folds(), is_one_boot),
        meta,
        ..like
    };
    sum.entries = sum.rows.len() as u64;
    sum.hits = sum.hits_of_rows();
    order::sort(&mut sum);
    Ok(sum)
}

/// The first document without its rows; what an earlier version did not say of the columns is
/// taken from one that does.
fn head(first: &Document, rest: &[Document]) -> Document {
    let mut keys = first.keys.clone();
    for (index, key) in keys.iter_mut().enumerate().filter(|(_, key)| key.order.is_none()) {
        let mut others = rest.iter().filter_map(|other| other.keys.get(index));
        if let Some(known) = others.find(|other| other.order.is_some()) {
            (key.number, key.order) = (known.number, known.order);
        }
    }
    let mut values = first.values.clone();
    for (index, value) in values.iter_mut().enumerate() {
        let mut others = rest.iter().filter_map(|other| other.values.get(index)?.signed);
        value.signed = value.signed.or_else(|| others.next());
    }
    Document {
        meta: first.meta.clone(),
        trigger: first.trigger.clone(),
        sort: first.sort.clone(),
        rows: Vec::new(),
        keys,
        values,
        ..*first
    }
}

/// Whether every entry is among the rows.
///
/// # Errors
/// If only the totals know some of them.
pub fn check_whole(document: &Document) -> Result<(), MergeError> {
    let (rows, entries) = (document.rows.len(), document.entries);
    if rows as u64 == entries { Ok(()) } else { Err(MergeError::Cut { rows, entries }) }
}

/// Whether both count the same in the same way.
///
/// # Errors
/// What differs.
pub fn check_same(one: &Document, other: &Document) -> Result<(), MergeError> {
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
    if text.is_empty() { "none".to_owned() } else { format!("`{}`", excerpt(text)) }
}

fn has_same_columns(one: &Document, other: &Document) -> bool {
    one.keys.len() == other.keys.len()
        && one.values.len() == other.values.len()
        && one.keys.iter().zip(&other.keys).all(|(one, other)| is_same_key(one, other))
        && one.values.iter().zip(&other.values).all(|(one, other)| is_same_value(one, other))
        && one.sort == other.sort
        && one.show_hitcount == other.show_hitcount
}

/// What an earlier version did not say may be anything.
fn is_same_key(one: &Key, other: &Key) -> bool {
    let is_known = one.order.is_some() && other.order.is_some();
    let is_same_type = (one.number, one.order) == (other.number, other.order);
    let is_both_unknown = one.order.is_none() && other.order.is_none();
    (&one.name, &one.label, one.show) == (&other.name, &other.label, other.show)
        && (is_same_type || !is_known)
        && (one.is_signed() == other.is_signed() || !is_both_unknown)
}

fn is_same_value(one: &Value, other: &Value) -> bool {
    let is_known = one.signed.is_some() && other.signed.is_some();
    (&one.name, &one.label, one.show, one.hidden, one.fold)
        == (&other.name, &other.label, other.show, other.hidden, other.fold)
        && (one.signed == other.signed || !is_known)
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
    documents.iter().fold(Losses::default(), |sum, document| sum.add(document.losses))
}

/// What would have been enough for each of the tables.
fn enough_size(documents: &[Document]) -> Option<u32> {
    let is_unknown = |one: &Document| one.losses.full > 0 && one.enough_size.is_none();
    let sizes = documents.iter().filter_map(|document| document.enough_size);
    sizes.max().filter(|_| !documents.iter().any(is_unknown))
}

/// The rows of all, those of equal keys added up, by their keys.
fn rows(documents: Vec<Document>, folds: &[Fold], is_one_boot: bool) -> Vec<DocumentRow> {
    let mut rows = Vec::with_capacity(documents.iter().map(|document| document.rows.len()).sum());
    for mut document in documents {
        if !is_one_boot {
            document.rows.iter_mut().for_each(|row| leave_addresses_out(&document.keys, row));
        }
        rows.append(&mut document.rows);
    }
    rows.sort_unstable_by(|a, b| a.cells.cmp(&b.cells));
    rows.dedup_by(|row, sum| {
        let is_same = row.cells == sum.cells;
        if is_same {
            sum.counts.add(&row.counts, folds);
        }
        is_same
    });
    rows
}

fn leave_addresses_out(keys: &[Key], row: &mut DocumentRow) {
    for (key, cell) in keys.iter().zip(&mut row.cells) {
        match (key.show, cell) {
            (KeyShow::Sym | KeyShow::SymOffset, Cell::Named(named)) => named.number = None,
            (_, Cell::Stack(frames)) => frames.iter_mut().for_each(|frame| frame.number = None),
            _ => {}
        }
    }
}
