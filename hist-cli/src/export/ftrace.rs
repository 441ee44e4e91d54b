//! Writes a document as the kernel's `hist` file, byte for byte as print writes the snapshot that
//! it was made of.

use std::borrow::Cow;
use std::fmt;

use super::document::Document;
use super::order;
use crate::escape::{Charset, shown};
use crate::print::cell::clean_cell;
use crate::print::{self, Bytes};
use crate::snapshot::ValueColumn;

/// The text.
pub(super) fn ftrace(document: &Document, terminal: Option<Charset>) -> Vec<u8> {
    let mut out = Bytes::default();
    write(&mut out, document, terminal).expect("writing to memory cannot fail");
    out.into_vec()
}

fn write(out: &mut Bytes, document: &Document, terminal: Option<Charset>) -> fmt::Result {
    let clean = |text: &str| match terminal {
        Some(charset) => shown(text.as_bytes(), charset),
        None => text.to_owned(),
    };
    let columns: Vec<_> = document
        .values
        .iter()
        .map(|value| ValueColumn {
            label: clean(&value.label),
            show: value.show,
            hidden: value.hidden,
            fold: value.fold,
            number: value.number(),
        })
        .collect();
    let scales = print::scales(&columns, document.rows.iter().map(|row| &row.counts));
    let labels: Vec<_> = document.keys.iter().map(|key| clean(&key.label)).collect();
    print::head(out, clean(&document.trigger_line()).as_bytes());
    for row in order::as_the_kernel(document) {
        let keys = document.keys.iter().zip(&labels).zip(&row.cells);
        let line = print::EntryLine {
            keys: keys.map(|((key, label), cell)| {
                (&label[..], key.show, clean_cell(Cow::Borrowed(cell), terminal))
            }),
            hits: document.show_hitcount.then_some(row.counts.hits),
            columns: &columns,
            values: &row.counts.values,
            scales: &scales,
        };
        print::entry(out, line)?;
    }
    print::totals(out, (document.hits, document.entries, document.losses.full))
}
