//! Takes a document. Gives records as RFC 4180 has them: comma, CRLF, quotes where needed.
//!
//! A key has a column of its name with its number; where the kernel shows another text than that,
//! a second one, `NAME.text`. Strings have the one column, byte for byte.

use std::borrow::Cow;

use csv::{Terminator, WriterBuilder};

use super::document::{Document, Entry, Key};
use super::names;
use super::time;
use crate::print;
use crate::print::cell::{Cell, Named};
use crate::read::snapshot::KeyShow;

/// The records, with the header before them if asked for.
pub(super) fn csv(document: &Document, header: bool) -> Vec<u8> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let time = time::text(document.meta.time);
    let header = header.then(|| names(document).into_iter().map(String::into_bytes).collect());
    let records = document.rows.iter().map(|row| record(document, row, &time));
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
const fn has_text(show: KeyShow) -> bool {
    !matches!(show, KeyShow::Decimal | KeyShow::Text)
}

fn record(document: &Document, row: &Entry, time: &str) -> Vec<Vec<u8>> {
    let mut fields = vec![time.as_bytes().to_vec()];
    for (key, cell) in document.keys.iter().zip(&row.cells) {
        key_fields(&mut fields, key, cell);
    }
    fields.push(row.hitcount.to_string().into());
    fields.extend(document.shown_values().map(|(index, _)| row.sums[index].to_string().into()));
    fields
}

fn key_fields(fields: &mut Vec<Vec<u8>>, key: &Key, cell: &Cell<'_>) {
    match cell {
        Cell::Number(raw) => {
            fields.push(number(key, *raw));
            if has_text(key.show) {
                fields.push(print::number(key.show, *raw).into());
            }
        }
        Cell::Named(named) => {
            fields.push(named.number.map_or_else(Vec::new, |raw| number(key, raw)));
            fields.push(named.name.to_vec());
        }
        Cell::Text(text) => fields.push(text.to_vec()),
        Cell::Stack(frames) => {
            fields.push(joined(frames, |frame| {
                frame.number.map_or_else(Vec::new, |raw| format!("{raw:#x}").into())
            }));
            fields.push(joined(frames, |frame| frame.name.to_vec()));
        }
    }
}

fn number(key: &Key, raw: u64) -> Vec<u8> {
    match key.signed {
        true => raw.cast_signed().to_string().into(),
        false => raw.to_string().into(),
    }
}

/// The frames with semicolons between them, the innermost first.
fn joined(frames: &[Named<'_>], part: impl Fn(&Named<'_>) -> Vec<u8>) -> Vec<u8> {
    frames.iter().map(part).collect::<Vec<_>>().join(&b';')
}
