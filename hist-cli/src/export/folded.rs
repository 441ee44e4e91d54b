//! Writes a document with a stack among its keys as the lines that flamegraph.pl and inferno draw:
//! `outermost;...;innermost WEIGHT`. The other keys precede the stack, as frames.

use std::collections::BTreeMap;

use super::document::{Document, DocumentRow};
use super::error::ExportError;
use crate::escape::{Charset, clean};
use crate::print;
use crate::print::cell::Cell;
use crate::snapshot::Show;

/// The lines, sorted. Stacks that differ in offsets only are one line.
pub(super) fn folded(
    document: &Document,
    weight: Option<&str>,
    terminal: Option<Charset>,
) -> Result<Vec<u8>, ExportError> {
    if !document.keys.iter().any(|key| key.show == Show::Stack) {
        return Err(ExportError::NoStack(
            document.keys.iter().map(|key| key.name.clone()).collect(),
        ));
    }
    let weight = document.weight(weight)?;
    let mut lines: BTreeMap<Vec<u8>, i128> = BTreeMap::new();
    for row in &document.rows {
        let line = lines.entry(frames(document, row).join(&b';')).or_default();
        *line += weight(row);
    }
    let mut out = Vec::new();
    for (line, weight) in lines.into_iter().filter(|(_, weight)| *weight != 0) {
        out.extend_from_slice(&clean(&line, terminal));
        out.extend(format!(" {weight}\n").into_bytes());
    }
    Ok(out)
}

fn frames(document: &Document, row: &DocumentRow) -> Vec<Vec<u8>> {
    let is_stack = |cell: &Cell<'_>| matches!(cell, Cell::Stack(_));
    let keys = || document.keys.iter().zip(&row.cells);
    let others = keys().filter(|(_, cell)| !is_stack(cell));
    let others = others.map(|(key, cell)| match cell {
        Cell::Number(word) => print::shown_number(key.show, key.number, *word).into_bytes(),
        Cell::Named(named) => without_offset(&named.name).to_vec(),
        Cell::Text(text) => text.to_vec(),
        Cell::Stack(_) => Vec::new(),
    });
    let stacks = row.cells.iter().flat_map(|cell| match cell {
        Cell::Stack(frames) => &frames[..],
        _ => &[],
    });
    let stacks = stacks.rev().map(|frame| without_offset(&frame.name));
    others.chain(stacks).map(|frame| frame.into_iter().map(plain).collect()).collect()
}

/// A byte that is part of a frame's name, not of the line's form.
const fn plain(byte: u8) -> u8 {
    match byte {
        b';' => b':',
        b'\n' | b'\r' => b' ',
        byte => byte,
    }
}

/// `name+0x1/0x2 [module]` as `name [module]`.
fn without_offset(name: &[u8]) -> Vec<u8> {
    let is_plus = |pair: &[u8]| pair == b"+0x";
    let Some(plus) = name.windows(3).rposition(is_plus) else { return name.to_vec() };
    let rest = &name[plus..];
    let module = rest.iter().position(|byte| *byte == b' ').map_or(&[][..], |space| &rest[space..]);
    [&name[..plus], module].concat()
}
