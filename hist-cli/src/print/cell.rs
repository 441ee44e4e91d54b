//! Looks up what a row's key is called: its number, and the name that it is shown with.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::escape::{Charset, shown};
use crate::kernel::symbols::{Symbol, Symbols};
use crate::modifier::{Naming, Show};
use crate::snapshot::{KeyColumn, Row};

/// One key of an entry, looked up but not laid out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell<'a> {
    /// What numbers, powers of two and buckets are.
    Number(u64),
    /// What symbols, tasks and system calls are.
    Named(Named<'a>),
    /// A string, which may be no UTF-8.
    Text(Cow<'a, [u8]>),
    /// The frames of a stack, the innermost first.
    Stack(Vec<Named<'a>>),
}

/// A number and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named<'a> {
    /// The name, which for a task may be no UTF-8.
    pub name: Cow<'a, [u8]>,
    /// `None` for an address that is another one on each of the machines it stands for.
    pub number: Option<u64>,
}

impl<'a> Named<'a> {
    fn new(number: u64, name: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { name: name.into(), number: Some(number) }
    }
}

/// The key of `row` that `column` describes. Addresses without a symbol are called by their number.
#[must_use]
pub fn cell<'a>(column: &KeyColumn, row: &'a Row, symbols: &'a Symbols) -> Cell<'a> {
    let word = row.word(column.offset);
    match column.show {
        Show::Digits(_) | Show::Bucket(_) | Show::Share(_) => Cell::Number(word),
        Show::Name(naming) => Cell::Named(named(naming, word, row, symbols)),
        Show::Stack => Cell::Stack(stack(column, row, symbols)),
        Show::Text => Cell::Text(row.text(column.offset, column.size).into()),
    }
}

fn named<'a>(naming: Naming, word: u64, row: &'a Row, symbols: &'a Symbols) -> Named<'a> {
    match naming {
        Naming::Symbol => address(word, symbols, false),
        Naming::SymbolOffset => address(word, symbols, true),
        Naming::Task => Named::new(word, task_name(word, &row.comm)),
        Naming::SystemCall => Named::new(word, syscall_name(word, symbols).into_bytes()),
    }
}

/// A key whose strings are as they are, or as a terminal with that charset may get them.
#[must_use]
pub fn clean_cell<'a, 'b>(cell: Cow<'a, Cell<'b>>, terminal: Option<Charset>) -> Cow<'a, Cell<'b>> {
    let Some(charset) = terminal else { return cell };
    let bytes = |bytes: &[u8]| shown(bytes, charset).into_bytes().into();
    let named = |named: &Named<'_>| Named { name: bytes(&named.name), number: named.number };
    match &*cell {
        Cell::Number(_) => cell,
        Cell::Named(one) => Cow::Owned(Cell::Named(named(one))),
        Cell::Text(text) => Cow::Owned(Cell::Text(bytes(text))),
        Cell::Stack(frames) => Cow::Owned(Cell::Stack(frames.iter().map(named).collect())),
    }
}

/// The frames up to the first that is zero.
fn stack<'a>(column: &KeyColumn, row: &Row, symbols: &'a Symbols) -> Vec<Named<'a>> {
    let frames = (0..column.size / 8).map(|frame| row.word(column.offset + 8 * frame));
    frames.take_while(|frame| *frame != 0).map(|frame| address(frame, symbols, true)).collect()
}

fn address(address: u64, symbols: &Symbols, offset: bool) -> Named<'_> {
    let name: Cow<'_, str> = match symbols.resolve(address) {
        Some(Symbol { name, module: None, .. }) if !offset => name.into(),
        Some(symbol) => symbol_name(symbol, offset).into(),
        None => format!("{address:#x}").into(),
    };
    let name = match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
        Cow::Owned(name) => Cow::Owned(name.into_bytes()),
    };
    Named { name, number: Some(address) }
}

/// As `%ps` and, with the offset, `%pS` write it.
fn symbol_name(symbol: Symbol<'_>, offset: bool) -> String {
    let mut text = symbol.name.to_owned();
    if offset {
        write!(text, "+{:#x}/{:#x}", symbol.offset, symbol.size).expect("String");
    }
    if let Some(module) = symbol.module {
        write!(text, " [{module}]").expect("String");
    }
    text
}

/// What `save_comm()` in the kernel's trace_events_hist.c makes of the current task.
fn task_name(pid: u64, comm: &[u8; 16]) -> &[u8] {
    if pid == 0 {
        return b"<idle>";
    }
    comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The kernel looks up the low 32 bits only.
fn syscall_name(word: u64, symbols: &Symbols) -> String {
    let number = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    match symbols.syscall(number) {
        Some(name) => format!("sys_{name}"),
        None => "unknown_syscall".to_owned(),
    }
}
