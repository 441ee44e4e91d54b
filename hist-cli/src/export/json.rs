//! Writes a document as JSON, on one line; `docs/snapshot.schema.json` describes it.
//!
//! Numbers are JSON numbers up to 2^64, which RFC 8259 allows and which readers that keep them as
//! floating point round above 2^53. A string that is no UTF-8 has U+FFFD where it is not, and its bytes in hex
//! beside it.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentRow, Key, Source, Value};
use super::time;
use crate::modifier::BucketWidth;
use crate::print;
use crate::print::cell::{Cell, Named};
use crate::resolve::hist::{Sort, SortBy};
use crate::snapshot::{Fold, KeyOrder, Losses, Show};

/// The version of the documents that are written, and read.
pub(super) const VERSION: u32 = 1;

/// The document and a newline.
pub(super) fn json(document: &Document) -> Vec<u8> {
    line(&Whole::new(document))
}

/// Any value and a newline.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).expect("keys are strings, and memory takes all");
    out.push(b'\n');
    out
}

/// A document as it is written.
#[derive(Serialize)]
struct Whole<'a> {
    version: u32,
    event: &'a str,
    trigger: &'a str,
    state: &'a str,
    sources: &'a [Source],
    #[serde(with = "time")]
    since: SystemTime,
    #[serde(with = "time")]
    time: SystemTime,
    keys: Vec<KeyOut<'a>>,
    values: Vec<ValueOut<'a>>,
    show_hitcount: bool,
    sort: Vec<SortOut<'a>>,
    rows: Vec<RowOut<'a>>,
    totals: Totals,
    losses: LossesOut,
}

impl<'a> Whole<'a> {
    fn new(document: &'a Document) -> Self {
        Self {
            version: VERSION,
            event: &document.meta.event,
            trigger: &document.trigger,
            state: document.state(),
            sources: &document.meta.sources,
            since: document.meta.since,
            time: document.meta.time,
            keys: document.keys.iter().map(KeyOut::new).collect(),
            values: document.values.iter().map(ValueOut::new).collect(),
            show_hitcount: document.show_hitcount,
            sort: document.sort.iter().map(|sort| SortOut::new(document, sort)).collect(),
            rows: document.rows.iter().map(|row| RowOut::new(document, row)).collect(),
            totals: Totals::new(document),
            losses: LossesOut::new(document),
        }
    }
}

#[derive(Serialize)]
struct KeyOut<'a> {
    name: &'a str,
    label: &'a str,
    show: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u64>,
    signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
}

impl<'a> KeyOut<'a> {
    fn new(key: &'a Key) -> Self {
        let width = match key.show {
            Show::Bucket(BucketWidth::Fixed(width)) => Some(width),
            _ => None,
        };
        let is_number = !matches!(key.show, Show::Text | Show::Stack);
        Self {
            name: &key.name,
            label: &key.label,
            show: key.show.name(),
            width,
            signed: key.is_signed(),
            bits: key.order.filter(|_| is_number).map(|_| key.number.bits),
            order: key.order.map(order),
        }
    }
}

/// As types of numbers are called.
pub(super) fn order(order: KeyOrder) -> String {
    match order {
        KeyOrder::Signed(bytes) => format!("s{}", 8 * bytes),
        KeyOrder::Unsigned(bytes) => format!("u{}", 8 * bytes),
        KeyOrder::Text => "text".to_owned(),
        KeyOrder::None => "none".to_owned(),
    }
}

#[derive(Serialize)]
struct ValueOut<'a> {
    name: &'a str,
    label: &'a str,
    show: &'static str,
    hidden: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<bool>,
    /// Left out of sums, as earlier versions wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<&'static str>,
}

impl<'a> ValueOut<'a> {
    fn new(value: &'a Value) -> Self {
        let show = value.show.name();
        let Value { name, label, hidden, fold, signed, .. } = value;
        let fold = (*fold != Fold::Sum).then(|| fold.name());
        Self { name, label, show, hidden: *hidden, signed: *signed, fold }
    }
}

#[derive(Serialize)]
struct SortOut<'a> {
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    descending: bool,
}

impl<'a> SortOut<'a> {
    fn new(document: &'a Document, sort: &Sort) -> Self {
        let (by, name) = match sort.by {
            SortBy::Hitcount => ("hitcount", None),
            SortBy::Value(index) => ("value", Some(&*document.values[index].name)),
            SortBy::Key(index) => ("key", Some(&*document.keys[index].name)),
        };
        Self { by, name, descending: sort.descending }
    }
}

/// Sums over all entries.
#[derive(Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) hits: u64,
    pub(super) entries: u64,
    pub(super) dropped: u64,
}

impl Totals {
    pub(super) const fn new(document: &Document) -> Self {
        let Document { hits, entries, losses, .. } = document;
        Self { hits: *hits, entries: *entries, dropped: losses.full }
    }
}

/// [`Losses`].
#[derive(Serialize, Deserialize)]
pub(super) struct LossesOut {
    full: u64,
    busy: u64,
    missed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) enough_size: Option<u32>,
}

impl LossesOut {
    pub(super) const fn new(document: &Document) -> Self {
        let Losses { full, busy, missed } = document.losses;
        Self { full, busy, missed, enough_size: document.enough_size }
    }
}

impl From<LossesOut> for Losses {
    fn from(LossesOut { full, busy, missed, .. }: LossesOut) -> Self {
        Self { full, busy, missed }
    }
}

/// One entry: `key`, `hitcount` and `values`.
#[derive(Serialize)]
pub(super) struct RowOut<'a> {
    key: KeysOut<'a>,
    hitcount: u64,
    values: ValuesOut<'a>,
}

impl<'a> RowOut<'a> {
    pub(super) fn new(document: &'a Document, row: &'a DocumentRow) -> Self {
        let values = ValuesOut { values: &document.values, numbers: &row.counts.values };
        let key = KeysOut { keys: &document.keys, cells: &row.cells };
        Self { key, hitcount: row.counts.hits, values }
    }
}

/// The cells by name.
struct KeysOut<'a> {
    keys: &'a [Key],
    cells: &'a [Cell<'static>],
}

impl Serialize for KeysOut<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.keys.len()))?;
        for (key, cell) in self.keys.iter().zip(self.cells) {
            map.serialize_entry(&key.name, &CellOut::new(key, cell))?;
        }
        map.end()
    }
}

/// The sums by name.
struct ValuesOut<'a> {
    values: &'a [Value],
    numbers: &'a [u64],
}

impl Serialize for ValuesOut<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let values = self.values.iter().zip(self.numbers);
        to.collect_map(values.map(|(value, sum)| (&value.name, raw(value.number().signed, *sum))))
    }
}

/// A key's value: its number, its text as the kernel shows it, and that in hex where it is no
/// UTF-8.
#[derive(Serialize)]
struct CellOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<RawOut>,
    text: TextOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RawOut {
    Unsigned(u64),
    Signed(i64),
    Frames(Vec<u64>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum TextOut<'a> {
    One(Cow<'a, str>),
    Frames(Vec<Cow<'a, str>>),
}

const fn raw(signed: bool, word: u64) -> RawOut {
    if signed { RawOut::Signed(word.cast_signed()) } else { RawOut::Unsigned(word) }
}

impl<'a> CellOut<'a> {
    fn new(key: &Key, cell: &'a Cell<'static>) -> Self {
        let number = |number: u64| raw(key.is_signed(), number);
        match cell {
            Cell::Number(raw) => {
                let text = TextOut::One(print::number(key.show, *raw).into());
                Self { raw: Some(number(*raw)), text, bytes: None }
            }
            Cell::Named(named) => Self::text(named.number.map(number), &named.name),
            Cell::Text(text) => Self::text(None, text),
            Cell::Stack(frames) => Self::stack(frames),
        }
    }

    fn text(raw: Option<RawOut>, bytes: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let is_lossy = matches!(text, Cow::Owned(_));
        Self { raw, text: TextOut::One(text), bytes: is_lossy.then(|| hex(bytes)) }
    }

    fn stack(frames: &'a [Named<'static>]) -> Self {
        let text = frames.iter().map(|frame| String::from_utf8_lossy(&frame.name)).collect();
        let raw = frames.iter().map(|frame| frame.number).collect::<Option<_>>();
        Self { raw: raw.map(RawOut::Frames), text: TextOut::Frames(text), bytes: None }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
