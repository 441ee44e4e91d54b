//! Writes a document as CSV, RFC 4180: comma, CRLF, quotes where needed.
//!
//! A key has a column of its name with its number; where the kernel shows another text than that,
//! a second one, `NAME.text`. Strings have the one column, byte for byte.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use super::document::{Document, DocumentRow, Key, Value};
use super::names;
use super::time;
use crate::escape::{Charset, clean};
use crate::modifier::Show;
use crate::print;
use crate::print::cell::{Cell, Named};

/// The records, with the header before them if asked for.
pub(super) fn csv(document: &Document, header: bool, terminal: Option<Charset>) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let time = time::text(document.meta.time);
    let header = header
        .then(|| names(document).iter().map(|name| text(name.as_bytes(), terminal)).collect());
    let records = document.rows.iter().map(|row| record(document, row, &time, terminal));
    for record in header.into_iter().chain(records) {
        writer.write_record(record).expect("a Vec takes all, and the columns are the document's");
    }
    writer.into_inner().expect("a Vec takes all")
}

/// The header, no name in it twice.
fn names(document: &Document) -> Vec<String> {
    let mut labels = vec![Cow::Borrowed("time")];
    for key in &document.keys {
        labels.push(Cow::Borrowed(&key.name));
        if has_text(key.show) {
            labels.push(format!("{}.text", key.name).into());
        }
    }
    labels.push(Cow::Borrowed("hitcount"));
    labels.extend(document.shown_values().map(|(_, value)| Cow::Borrowed(&*value.name)));
    names::unique(labels.iter().map(|label| &**label))
}

/// Whether the kernel shows something else than the number in decimal.
fn has_text(show: Show) -> bool {
    !matches!(show, Show::DECIMAL | Show::Text)
}

/// A text as a spreadsheet may get it: one that it would take for a formula gets an apostrophe
/// before it, as does one that begins with an apostrophe. Without the first one, all are as they
/// were.
fn text(bytes: &[u8], terminal: Option<Charset>) -> Vec<u8> {
    let bytes = clean(bytes, terminal);
    let is_risky =
        matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n' | b'\''));
    if is_risky { [b"'", &*bytes].concat() } else { bytes.into_owned() }
}

fn record(
    document: &Document,
    row: &DocumentRow,
    time: &str,
    terminal: Option<Charset>,
) -> Vec<Vec<u8>> {
    let mut fields = vec![time.as_bytes().to_vec()];
    for (key, cell) in document.keys.iter().zip(&row.cells) {
        key_fields(&mut fields, key, cell, terminal);
    }
    fields.push(row.counts.hits.to_string().into());
    let sum =
        |(index, value): (usize, &Value)| value.number().decimal(row.counts.values[index]).into();
    fields.extend(document.shown_values().map(sum));
    fields
}

fn key_fields(fields: &mut Vec<Vec<u8>>, key: &Key, cell: &Cell<'_>, terminal: Option<Charset>) {
    match cell {
        Cell::Number(raw) => {
            fields.push(key.number.decimal(*raw).into());
            if has_text(key.show) {
                fields.push(print::number(key.show, *raw).into());
            }
        }
        Cell::Named(named) => {
            fields.push(named.number.map_or_else(Vec::new, |raw| key.number.decimal(raw).into()));
            fields.push(text(&named.name, terminal));
        }
        Cell::Text(bytes) => fields.push(text(bytes, terminal)),
        Cell::Stack(frames) => {
            fields.push(joined(frames, |frame| {
                frame.number.map_or_else(Vec::new, |raw| format!("{raw:#x}").into())
            }));
            let names = joined(frames, |frame| frame.name.to_vec());
            fields.push(text(&names, terminal));
        }
    }
}

/// The frames with semicolons between them, the innermost first.
fn joined(frames: &[Named<'_>], part: impl Fn(&Named<'_>) -> Vec<u8>) -> Vec<u8> {
    frames.iter().map(part).collect::<Vec<_>>().join(&b';')
}
