//! Reads the JSON of a document's rows, each straight into a [`DocumentRow`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::document::{DocumentRow, Key, Value};
use super::json;
use crate::print::cell::{Cell, Named};
use crate::snapshot::{Counts, KeyShow, Values};

/// A document of which only the rows are looked at.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    /// What rows have for keys.
    pub(super) keys: &'a [Key],
    /// What they have for values.
    pub(super) values: &'a [Value],
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = Vec<DocumentRow>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<DocumentRow>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = Vec<DocumentRow>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<DocumentRow>, A::Error> {
        let mut rows = None;
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match &*name.0 {
                "rows" => rows = Some(map.next_value_seed(Rows(self))?),
                _ => IgnoredAny = map.next_value()?,
            }
        }
        rows.ok_or_else(|| Error::missing_field("rows"))
    }
}

/// A name; one without escapes is not copied.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Rows<'a>(Whole<'a>);

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Vec<DocumentRow>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<DocumentRow>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Vec<DocumentRow>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<DocumentRow>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) =
            seq.next_element_seed(OneRow { whole: self.0, number: rows.len() + 1 })?
        {
            rows.push(row);
        }
        Ok(rows)
    }
}

/// One row; `number` is for messages.
#[derive(Clone, Copy)]
struct OneRow<'a> {
    whole: Whole<'a>,
    number: usize,
}

impl OneRow<'_> {
    fn wrong<E: Error>(self, what: impl fmt::Display) -> E {
        E::custom(format!("row {}: {what}", self.number))
    }
}

impl<'de> DeserializeSeed<'de> for OneRow<'_> {
    type Value = DocumentRow;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<DocumentRow, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_> {
    type Value = DocumentRow;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DocumentRow, A::Error> {
        let (mut cells, mut hits, mut values) = (None, None, None);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match &*name.0 {
                "key" => cells = Some(map.next_value_seed(Cells(self))?),
                "hitcount" => hits = Some(map.next_value()?),
                "values" => values = Some(map.next_value_seed(ValuesOf(self))?),
                _ => IgnoredAny = map.next_value()?,
            }
        }
        Ok(DocumentRow {
            cells: cells.ok_or_else(|| self.wrong("missing field `key`"))?,
            counts: Counts {
                hits: hits.ok_or_else(|| self.wrong("missing field `hitcount`"))?,
                values: values.ok_or_else(|| self.wrong("missing field `values`"))?,
            },
        })
    }
}

/// The keys by name.
struct Cells<'a>(OneRow<'a>);

impl<'de> DeserializeSeed<'de> for Cells<'_> {
    type Value = Vec<Cell<'static>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Cells<'_> {
    type Value = Vec<Cell<'static>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("keys by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let keys = self.0.whole.keys;
        let mut cells: Vec<Option<Cell<'static>>> = vec![None; keys.len()];
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let Some(index) = keys.iter().position(|key| key.name == *name.0) else {
                let IgnoredAny = map.next_value()?;
                continue;
            };
            let key = &keys[index];
            let cell = map.next_value::<CellIn>()?.cell(key);
            let wrong = |mistake| self.0.wrong(format_args!("key `{}`: {mistake}", key.name));
            cells[index] = Some(cell.map_err(wrong)?);
        }
        let cells = cells.into_iter().zip(keys).map(|(cell, key)| {
            cell.ok_or_else(|| self.0.wrong(format_args!("no key `{}`", key.name)))
        });
        cells.collect()
    }
}

/// The values by name.
struct ValuesOf<'a>(OneRow<'a>);

impl<'de> DeserializeSeed<'de> for ValuesOf<'_> {
    type Value = Values;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ValuesOf<'_> {
    type Value = Values;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("values by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let values = self.0.whole.values;
        let mut numbers = vec![None; values.len()];
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let Some(index) = values.iter().position(|value| value.name == *name.0) else {
                let IgnoredAny = map.next_value()?;
                continue;
            };
            let value = &values[index];
            let number = map.next_value::<Word>()?.of(value.number().signed);
            let wrong = |mistake| self.0.wrong(format_args!("value `{}`: {mistake}", value.name));
            numbers[index] = Some(number.map_err(wrong)?);
        }
        let numbers = numbers.into_iter().zip(values).map(|(number, value)| {
            number.ok_or_else(|| self.0.wrong(format_args!("no value `{}`", value.name)))
        });
        numbers.collect()
    }
}

/// A number that fits in 64 bits, with or without a sign.
#[derive(Clone, Copy)]
enum Word {
    Positive(u64),
    Negative(i64),
}

impl Word {
    /// Its 64 bits, if a number of that kind can have them.
    fn of(self, signed: bool) -> Result<u64, String> {
        match self {
            // Earlier versions wrote sums with a sign like this.
            Self::Positive(number) => Ok(number),
            Self::Negative(number) if signed => Ok(number.cast_unsigned()),
            Self::Negative(number) => Err(format!("{number} is negative, and it has no sign")),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Raw::deserialize(from)? {
            Raw::One(word) => Ok(word),
            Raw::Frames(_) => Err(Error::custom("a sum is a whole number below 2^64")),
        }
    }
}

/// What is called `raw`.
enum Raw {
    One(Word),
    Frames(Vec<u64>),
}

impl<'de> serde::Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a whole number below 2^64, or an array of such")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::One(Word::Positive(number)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Raw, E> {
        let positive = u64::try_from(number).map(Word::Positive);
        Ok(Raw::One(positive.unwrap_or(Word::Negative(number))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut frames = Vec::new();
        while let Some(frame) = seq.next_element()? {
            frames.push(frame);
        }
        Ok(Raw::Frames(frames))
    }
}

/// What is called `text`.
enum Text {
    One(String),
    Frames(Vec<String>),
}

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a string or an array of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::One(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text::One(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        let mut frames = Vec::new();
        while let Some(frame) = seq.next_element()? {
            frames.push(frame);
        }
        Ok(Text::Frames(frames))
    }
}

/// A key as it is written.
#[derive(serde::Deserialize)]
struct CellIn {
    raw: Option<Raw>,
    text: Text,
    bytes: Option<String>,
}

/// What is wrong with a cell.
type Mistake = String;

impl CellIn {
    fn cell(self, key: &Key) -> Result<Cell<'static>, Mistake> {
        let Self { raw, text, bytes } = self;
        let number = match &raw {
            Some(Raw::One(word)) => Some(word.of(key.is_signed())?),
            Some(Raw::Frames(_)) | None => None,
        };
        match (key.show, raw, text) {
            (KeyShow::Stack, raw, Text::Frames(names)) => stack(raw, names),
            (KeyShow::Text, None, Text::One(text)) => Ok(Cell::Text(exact(text, bytes)?.into())),
            (KeyShow::Sym | KeyShow::SymOffset, None, Text::One(text)) => {
                Ok(Cell::Named(Named { name: exact(text, bytes)?.into(), number: None }))
            }
            (
                KeyShow::Sym | KeyShow::SymOffset | KeyShow::Execname | KeyShow::Syscall,
                _,
                Text::One(text),
            ) if number.is_some() => {
                Ok(Cell::Named(Named { name: exact(text, bytes)?.into(), number }))
            }
            (KeyShow::Log2, _, _) if number > Some(64) => {
                Err("an exponent of 2 is 64 at most".to_owned())
            }
            (
                KeyShow::Decimal | KeyShow::Hex | KeyShow::Log2 | KeyShow::Buckets(_),
                _,
                Text::One(_),
            ) if number.is_some() => Ok(Cell::Number(number.unwrap_or_default())),
            _ => Err(format!("`raw` and `text` are not those of `{}`", json::key_show(key.show))),
        }
    }
}

fn stack(raw: Option<Raw>, names: Vec<String>) -> Result<Cell<'static>, Mistake> {
    let numbers: Vec<_> = match raw {
        None => vec![None; names.len()],
        Some(Raw::Frames(numbers)) => numbers.into_iter().map(Some).collect(),
        Some(Raw::One(_)) => return Err("the `raw` of a stack is an array".to_owned()),
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
