//! Takes the text of JSON documents, one after the other. Gives the [`Document`]s, or the place
//! of the first mistake.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Deserialize;

use super::document::{Document, Entry, Key, Meta, Source, Value};
use super::error::ReadError;
use super::json::{self, LossesOut, Totals, VERSION};
use super::time;
use crate::print::cell::{Cell, Named};
use crate::read::snapshot::{KeyShow, ValueShow};
use crate::resolve::hist::{Sort, SortBy};

/// All documents of a text, in order.
///
/// # Errors
/// If the text is no JSON, of another shape, or contradicts itself.
pub fn read(text: &[u8]) -> Result<Vec<Document>, ReadError> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Whole>();
    loop {
        let start = stream.byte_offset();
        let line = line_of_next(text, start);
        match stream.next() {
            None => return Ok(documents),
            Some(Ok(whole)) => documents
                .push(whole.document().map_err(|message| ReadError::Content { line, message })?),
            // Another version may have other parts, so that is what there is to say.
            Some(Err(error)) => {
                let other =
                    version(&text[start..]).and_then(|version| check_version(version).err());
                return Err(other.map_or_else(
                    || place(&error),
                    |message| ReadError::Content { line, message },
                ));
            }
        }
    }
}

/// The version of the first document, if it has one.
fn version(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Versioned>();
    Some(stream.next()?.ok()?.version)
}

fn check_version(version: u32) -> Result<(), Mistake> {
    match version {
        VERSION => Ok(()),
        _ => Err(format!("version {version} of the format; this hist-bpf reads {VERSION}")),
    }
}

/// The line on which the document behind `offset` begins.
fn line_of_next(text: &[u8], offset: usize) -> usize {
    let start = text[offset..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    1 + text[..offset + start].iter().filter(|byte| **byte == b'\n').count()
}

fn place(error: &serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let mut message = error.to_string();
    let suffix = format!(" at line {line} column {column}");
    if message.ends_with(&suffix) {
        message.truncate(message.len() - suffix.len());
    }
    ReadError::Json { line, column, message }
}

/// A document as it is written. What a later version adds to it is not looked at.
#[derive(Deserialize)]
struct Whole {
    version: u32,
    event: String,
    trigger: String,
    state: State,
    sources: Vec<Source>,
    #[serde(with = "time")]
    since: SystemTime,
    #[serde(with = "time")]
    time: SystemTime,
    keys: Vec<KeyIn>,
    values: Vec<ValueIn>,
    show_hitcount: bool,
    sort: Vec<SortIn>,
    rows: Vec<RowIn>,
    totals: Totals,
    losses: LossesOut,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Paused,
}

#[derive(Deserialize)]
struct KeyIn {
    name: String,
    label: String,
    show: String,
    width: Option<u64>,
    signed: bool,
}

#[derive(Deserialize)]
struct ValueIn {
    name: String,
    label: String,
    show: String,
    hidden: bool,
}

#[derive(Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
enum SortIn {
    Hitcount { descending: bool },
    Value { name: String, descending: bool },
    Key { name: String, descending: bool },
}

#[derive(Deserialize)]
struct RowIn {
    key: BTreeMap<String, CellIn>,
    hitcount: u64,
    values: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct CellIn {
    raw: Option<RawIn>,
    text: TextIn,
    bytes: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`raw` is a whole number below 2^64 or an array of such")]
enum RawIn {
    Unsigned(u64),
    Signed(i64),
    Frames(Vec<u64>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`text` is a string or an array of strings")]
enum TextIn {
    One(String),
    Frames(Vec<String>),
}

/// What is wrong with a document.
type Mistake = String;

impl Whole {
    fn document(self) -> Result<Document, Mistake> {
        check_version(self.version)?;
        let keys: Vec<_> = self.keys.into_iter().map(KeyIn::key).collect::<Result<_, _>>()?;
        let values: Vec<_> =
            self.values.into_iter().map(ValueIn::value).collect::<Result<_, _>>()?;
        let rows = self.rows.into_iter().enumerate().map(|(index, row)| {
            row.entry(&keys, &values).map_err(|mistake| format!("row {}: {mistake}", index + 1))
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let sort = self.sort.into_iter().map(|sort| sort.sort(&keys, &values));
        let sort = sort.collect::<Result<_, _>>()?;
        let Totals { hits, entries, .. } = self.totals;
        let mut sources = self.sources;
        sources.sort_unstable();
        let document = Document {
            meta: Meta { event: self.event, sources, since: self.since, time: self.time },
            trigger: self.trigger,
            paused: self.state == State::Paused,
            show_hitcount: self.show_hitcount,
            losses: self.losses.into(),
            keys,
            values,
            sort,
            rows,
            hits,
            entries,
        };
        check_totals(&document).map(|()| document)
    }
}

/// A document that is cut must not pass for a whole one.
fn check_totals(document: &Document) -> Result<(), Mistake> {
    let (rows, entries) = (document.rows.len() as u64, document.entries);
    let hits = document.rows.iter().fold(0_u64, |hits, row| hits.wrapping_add(row.hitcount));
    if rows > entries {
        return Err(format!("{rows} rows, and the totals say {entries} entries"));
    }
    if rows == entries && hits != document.hits {
        return Err(format!("{hits} hits in the rows, and the totals say {}", document.hits));
    }
    Ok(())
}

impl KeyIn {
    fn key(self) -> Result<Key, Mistake> {
        let plain = [
            KeyShow::Decimal,
            KeyShow::Hex,
            KeyShow::Sym,
            KeyShow::SymOffset,
            KeyShow::Log2,
            KeyShow::Execname,
            KeyShow::Syscall,
            KeyShow::Stack,
            KeyShow::Text,
        ];
        let show = match (&*self.show, self.width) {
            ("buckets", Some(width)) if width > 0 => KeyShow::Buckets(width),
            ("buckets", _) => return Err(format!("the key `{}` has no width", self.name)),
            (show, _) => plain
                .into_iter()
                .find(|plain| json::key_show(*plain) == show)
                .ok_or_else(|| format!("a key cannot be shown as `{show}`"))?,
        };
        Ok(Key { name: self.name, label: self.label, show, signed: self.signed })
    }
}

impl ValueIn {
    fn value(self) -> Result<Value, Mistake> {
        let all = [ValueShow::Decimal, ValueShow::Hex, ValueShow::Percent, ValueShow::Graph];
        let show = all.into_iter().find(|show| json::value_show(*show) == self.show);
        let show = show.ok_or_else(|| format!("a value cannot be shown as `{}`", self.show))?;
        Ok(Value { name: self.name, label: self.label, show, hidden: self.hidden })
    }
}

impl SortIn {
    fn sort(self, keys: &[Key], values: &[Value]) -> Result<Sort, Mistake> {
        let missing = |name: &str| format!("it is sorted by `{name}`, which is not there");
        let (by, descending) = match self {
            Self::Hitcount { descending } => (SortBy::Hitcount, descending),
            Self::Value { name, descending } => {
                let index = values.iter().position(|value| value.name == name);
                (SortBy::Value(index.ok_or_else(|| missing(&name))?), descending)
            }
            Self::Key { name, descending } => {
                let index = keys.iter().position(|key| key.name == name);
                (SortBy::Key(index.ok_or_else(|| missing(&name))?), descending)
            }
        };
        Ok(Sort { by, descending })
    }
}

impl RowIn {
    fn entry(mut self, keys: &[Key], values: &[Value]) -> Result<Entry, Mistake> {
        let cell = |key: &Key| {
            let cell = self.key.remove(&key.name);
            let cell = cell.ok_or_else(|| format!("no key `{}`", key.name))?;
            cell.cell(key.show).map_err(|mistake| format!("key `{}`: {mistake}", key.name))
        };
        let cells = keys.iter().map(cell).collect::<Result<_, _>>()?;
        let sum = |value: &Value| {
            let sum = self.values.get(&value.name).copied();
            sum.ok_or_else(|| format!("no value `{}`", value.name))
        };
        let sums = values.iter().map(sum).collect::<Result<_, _>>()?;
        Ok(Entry { cells, hitcount: self.hitcount, sums })
    }
}

impl CellIn {
    fn cell(self, show: KeyShow) -> Result<Cell<'static>, Mistake> {
        let Self { raw, text, bytes } = self;
        let number = match &raw {
            Some(RawIn::Unsigned(number)) => Some(*number),
            Some(RawIn::Signed(number)) => Some(number.cast_unsigned()),
            Some(RawIn::Frames(_)) | None => None,
        };
        match (show, raw, text) {
            (KeyShow::Stack, raw, TextIn::Frames(names)) => stack(raw, names),
            (KeyShow::Text, None, TextIn::One(text)) => Ok(Cell::Text(exact(text, bytes)?.into())),
            (KeyShow::Sym | KeyShow::SymOffset, None, TextIn::One(text)) => {
                Ok(Cell::Named(Named { name: exact(text, bytes)?.into(), number: None }))
            }
            (
                KeyShow::Sym | KeyShow::SymOffset | KeyShow::Execname | KeyShow::Syscall,
                _,
                TextIn::One(text),
            ) if number.is_some() => {
                Ok(Cell::Named(Named { name: exact(text, bytes)?.into(), number }))
            }
            (
                KeyShow::Decimal | KeyShow::Hex | KeyShow::Log2 | KeyShow::Buckets(_),
                _,
                TextIn::One(_),
            ) if number.is_some() => Ok(Cell::Number(number.unwrap_or_default())),
            _ => Err(format!("`raw` and `text` are not those of `{}`", json::key_show(show))),
        }
    }
}

fn stack(raw: Option<RawIn>, names: Vec<String>) -> Result<Cell<'static>, Mistake> {
    let numbers: Vec<_> = match raw {
        None => vec![None; names.len()],
        Some(RawIn::Frames(numbers)) => numbers.into_iter().map(Some).collect(),
        Some(_) => return Err("the `raw` of a stack is an array".to_owned()),
    };
    if numbers.len() != names.len() {
        return Err(format!("{} addresses have {} names", numbers.len(), names.len()));
    }
    let frames = names.into_iter().zip(numbers);
    let named = |(name, number): (String, _)| Named { name: name.into_bytes().into(), number };
    Ok(Cell::Stack(frames.map(named).collect()))
}

/// The bytes of a text: those in hex if there are any.
fn exact(text: String, hex: Option<String>) -> Result<Vec<u8>, Mistake> {
    let Some(hex) = hex else { return Ok(text.into_bytes()) };
    let wrong = || format!("`{hex}` are no bytes in hex");
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect::<Option<_>>().ok_or_else(wrong)
}
