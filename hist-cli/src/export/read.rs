//! Reads JSON documents, one after the other, or says where the first mistake is.
//!
//! Each document is gone through twice: first for all but its rows, which say how rows are read, then
//! for the rows, one at a time. So a row is never held in any other form than its own.

use std::time::SystemTime;

use serde::Deserialize;
use serde::de::{DeserializeSeed as _, IgnoredAny};

use super::document::{Document, Key, Meta, Source, Value};
use super::error::ReadError;
use super::json::{self, LossesOut, Totals, VERSION};
use super::{rows, time};
use crate::escape::excerpt;
use crate::modifier::{BucketWidth, NameError, Role};
use crate::resolve::hist::{Sort, SortBy};
use crate::snapshot::{Fold, IntType, KeyOrder, Show};

/// All documents of a text, in order.
///
/// # Errors
/// If the text is no JSON, of another shape, or contradicts itself.
pub fn read(text: &[u8]) -> Result<Vec<Document>, ReadError> {
    Documents::of(text).collect()
}

/// The documents of a text, one at a time; nothing comes after a mistake.
#[derive(Debug)]
pub struct Documents<'a> {
    text: &'a [u8],
    place: Place,
    is_over: bool,
}

impl<'a> Documents<'a> {
    /// The documents of that text.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self { text, place: Place::default(), is_over: false }
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.text[self.place.offset..];
        let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.place.advance(self.text, self.place.offset + spaces);
        let rest = &rest[spaces..];
        if self.is_over || rest.is_empty() {
            return None;
        }
        let mut heads = serde_json::Deserializer::from_slice(rest).into_iter::<Head>();
        let document = match heads.next()? {
            Ok(head) => head.document(&rest[..heads.byte_offset()], &self.place),
            Err(error) => Err(mistake(rest, &self.place, &error)),
        };
        self.is_over = document.is_err();
        self.place.advance(self.text, self.place.offset + heads.byte_offset());
        Some(document)
    }
}

/// How far a text has been looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// In bytes.
    offset: usize,
    /// Lines that end before.
    lines: usize,
    /// Where the line begins, in bytes.
    line_start: usize,
}

impl Place {
    /// Looks at the text up to `offset`.
    fn advance(&mut self, text: &[u8], offset: usize) {
        for newline in memchr::memchr_iter(b'\n', &text[self.offset..offset]) {
            self.lines += 1;
            self.line_start = self.offset + newline + 1;
        }
        self.offset = offset;
    }

    /// From 1.
    const fn line(&self) -> usize {
        self.lines + 1
    }

    /// Of something that is wrong in the text from here on.
    fn json(&self, error: &serde_json::Error) -> ReadError {
        let before = if error.line() == 1 { self.offset - self.line_start } else { 0 };
        let mut message = error.to_string();
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        if message.ends_with(&suffix) {
            message.truncate(message.len() - suffix.len());
        }
        let (line, column) = (self.lines + error.line(), before + error.column());
        ReadError::Json { line, column, message: excerpt(&message) }
    }

    fn content(&self, message: &str) -> ReadError {
        ReadError::Content { line: self.line(), message: excerpt(message) }
    }
}

/// Another version may have other parts, so that is what there is to say.
fn mistake(text: &[u8], place: &Place, error: &serde_json::Error) -> ReadError {
    let other = version(text).and_then(|version| check_version(version).err());
    other.map_or_else(|| place.json(error), |message| place.content(&message))
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

/// A document as it is written, but for its rows. What a later version adds to it is not looked
/// at.
#[derive(Deserialize)]
struct Head {
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
    /// They are there.
    #[serde(rename = "rows")]
    _rows: IgnoredAny,
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
    bits: Option<u32>,
    order: Option<String>,
}

#[derive(Deserialize)]
struct ValueIn {
    name: String,
    label: String,
    show: String,
    hidden: bool,
    signed: Option<bool>,
    /// Without it, a sum.
    fold: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
enum SortIn {
    Hitcount { descending: bool },
    Value { name: String, descending: bool },
    Key { name: String, descending: bool },
}

/// What is wrong with a document.
type Mistake = String;

impl Head {
    /// The document of which this is the head, whole: `text` is its own, and begins at `place`.
    fn document(self, text: &[u8], place: &Place) -> Result<Document, ReadError> {
        let mut document = self.without_rows().map_err(|message| place.content(&message))?;
        let seed = rows::Whole { keys: &document.keys, values: &document.values };
        let mut rows = serde_json::Deserializer::from_slice(text);
        document.rows = seed.deserialize(&mut rows).map_err(|error| place.json(&error))?;
        check_totals(&document).map_err(|message| place.content(&message))?;
        Ok(document)
    }

    fn without_rows(self) -> Result<Document, Mistake> {
        check_version(self.version)?;
        let keys: Vec<_> = self.keys.into_iter().map(KeyIn::key).collect::<Result<_, _>>()?;
        let values: Vec<_> =
            self.values.into_iter().map(ValueIn::value).collect::<Result<_, _>>()?;
        check_names(&keys.iter().map(|key| &*key.name).collect::<Vec<_>>())?;
        check_names(&values.iter().map(|value| &*value.name).collect::<Vec<_>>())?;
        let sort = self.sort.into_iter().map(|sort| sort.sort(&keys, &values));
        let sort = sort.collect::<Result<_, _>>()?;
        let Totals { hits, entries, .. } = self.totals;
        let mut sources = self.sources;
        sources.sort_unstable();
        Ok(Document {
            meta: Meta { event: self.event, sources, since: self.since, time: self.time },
            trigger: self.trigger,
            paused: self.state == State::Paused,
            show_hitcount: self.show_hitcount,
            enough_size: self.losses.enough_size,
            losses: self.losses.into(),
            keys,
            values,
            sort,
            rows: Vec::new(),
            hits,
            entries,
        })
    }
}

/// Keys, or values, that a document has at most. Each row is searched for each of them.
const MOST_COLUMNS: usize = 64;

/// Rows are read by name.
fn check_names(names: &[&str]) -> Result<(), Mistake> {
    if names.len() > MOST_COLUMNS {
        return Err(format!("{} keys or values, of at most {MOST_COLUMNS}", names.len()));
    }
    let mut all = names.iter().enumerate();
    let twice = all.find(|(index, name)| names[..*index].contains(name));
    twice.map_or(Ok(()), |(_, name)| Err(format!("`{name}` is there twice")))
}

/// A document that is cut must not pass for a whole one.
fn check_totals(document: &Document) -> Result<(), Mistake> {
    let (rows, entries) = (document.rows.len() as u64, document.entries);
    let hits = document.hits_of_rows();
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
        let show = self.show()?;
        let order = self.order.as_deref().map(order).transpose()?;
        let is_number = !matches!(show, Show::Text | Show::Stack);
        let bits = match self.bits {
            Some(bits @ (8 | 16 | 32 | 64)) if order.is_some() && is_number => bits,
            None | Some(8 | 16 | 32 | 64) => 64,
            Some(bits) => return Err(format!("the key `{}` cannot have {bits} bits", self.name)),
        };
        let signed = match show {
            // Exponents have no sign, but what they are exponents of may.
            Show::Bucket(BucketWidth::Log2) => matches!(order, Some(KeyOrder::Signed(_))),
            _ => self.signed,
        };
        let number = IntType { signed, bits };
        Ok(Key { name: self.name, label: self.label, show, number, order })
    }

    fn show(&self) -> Result<Show, Mistake> {
        Show::named(&self.show, self.width, Role::Key).map_err(|error| match error {
            NameError::NoWidth => format!("the key `{}` has no width", self.name),
            NameError::Unknown => format!("a key cannot be shown as `{}`", self.show),
        })
    }
}

fn order(text: &str) -> Result<KeyOrder, Mistake> {
    let sizes = [1, 2, 4, 8].into_iter();
    let numbers = sizes.flat_map(|bytes| [KeyOrder::Signed(bytes), KeyOrder::Unsigned(bytes)]);
    let mut all = numbers.chain([KeyOrder::Text, KeyOrder::None]);
    let order = all.find(|order| json::order(*order) == text);
    order.ok_or_else(|| format!("a key cannot be ordered as `{text}`"))
}

impl ValueIn {
    fn value(self) -> Result<Value, Mistake> {
        let show = Show::named(&self.show, None, Role::Value)
            .map_err(|_| format!("a value cannot be shown as `{}`", self.show))?;
        let fold = self.fold.as_deref().map_or(Ok(Fold::Sum), fold)?;
        let Self { name, label, hidden, signed, .. } = self;
        Ok(Value { name, label, show, hidden, fold, signed })
    }
}

/// Values of a fold that is not known here must not be put together in another way.
fn fold(name: &str) -> Result<Fold, Mistake> {
    let fold = Fold::ALL.into_iter().find(|fold| fold.name() == name);
    fold.ok_or_else(|| format!("a value cannot be put together as `{name}`"))
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
