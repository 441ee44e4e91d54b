//! Takes a document. Gives the text of the kernel's `hist` file, byte for byte that of the
//! snapshot which it was made of.

use std::fmt;

use super::document::Document;
use crate::print;
use crate::read::snapshot::ValueColumn;

/// The text.
pub(super) fn ftrace(document: &Document) -> String {
    let mut out = String::new();
    write(&mut out, document).expect("writing to a String cannot fail");
    out
}

fn write(out: &mut String, document: &Document) -> fmt::Result {
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
    print::head(out, &document.trigger_line())?;
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
