//! Takes a document. Gives the text of the kernel's `hist` file, byte for byte that of the
//! snapshot which it was made of.

use std::fmt;

use super::document::Document;
use crate::print::{self, Bytes};
use crate::read::snapshot::ValueColumn;

/// The text.
pub(super) fn ftrace(document: &Document) -> Vec<u8> {
    let mut out = Bytes::default();
    write(&mut out, document).expect("writing to memory cannot fail");
    out.into_vec()
}

fn write(out: &mut Bytes, document: &Document) -> fmt::Result {
    let columns: Vec<_> = document
        .values
        .iter()
        .map(|value| ValueColumn {
            label: value.label.clone(),
            show: value.show,
            hidden: value.hidden,
        })
        .collect();
    let sums = document.rows.iter().map(|row| &row.sums[..]);
    let scales = print::scales(columns.len(), sums);
    print::head(out, document.trigger_line().as_bytes());
    for row in &document.rows {
        let keys = document.keys.iter().zip(&row.cells);
        let entry = print::Entry {
            keys: keys.map(|(key, cell)| (&key.label[..], key.show, cell)),
            hitcount: document.show_hitcount.then_some(row.hitcount),
            values: &columns,
            sums: &row.sums,
            scales: &scales,
        };
        print::entry(out, entry)?;
    }
    print::totals(out, (document.hits, document.entries, document.losses.full))
}
