//! Whether the kernel takes one trigger for another (`hist_trigger_match()` in
//! kernel/trace/trace_events_hist.c).
//!
//! Not compared: size, clock, `nohitcount`, the N of `.buckets=N`, constants, and of expressions
//! all but the type of their first operand, in keys without its size.

use bstr::BString;

use super::hist::{Hist, KeySource, Sort, Source};
use crate::kernel::format::EventFormat;
use crate::modifier::Modifier;

/// What the kernel compares of a trigger: the shape of its table, and its filter. Event and name
/// are not part of it, for named triggers of different events share a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Keys, values and sort order.
    pub shape: Shape,
    /// The filter's text, byte for byte.
    pub filter: Option<BString>,
}

/// What triggers that share a table must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    keys: Vec<Column>,
    values: Vec<Column>,
    sort: Vec<Sort>,
}

/// One key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    what: What,
    /// The modifier's word; arguments are not compared.
    modifier: Option<&'static str>,
}

/// What a column counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A name as typed, for the kernel tells `cpu` from `common_cpu`; and what the event says of
    /// a field of that name.
    Name(String, Option<FieldType>),
    Constant,
    Expression(Operand),
}

/// What is compared of a field besides its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldType {
    type_name: String,
    size: u32,
    signed: bool,
}

/// The type of an expression's first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operand {
    /// In bytes.
    size: u32,
    signed: bool,
    timestamp: bool,
}

impl Identity {
    /// That of `hist`, which was resolved against `event`.
    #[must_use]
    pub fn new(hist: &Hist, event: &EventFormat) -> Self {
        let keys = hist.keys.iter().map(|key| Column {
            what: match &key.source {
                KeySource::Number(source) => key_what(&key.label, source, event),
                KeySource::Text(_) | KeySource::Comm | KeySource::Stack => name(&key.label, event),
            },
            modifier: word(key.modifier),
        });
        let values = hist.values.iter().map(|value| Column {
            what: what(&value.label, &value.source, event),
            modifier: word(value.modifier),
        });
        let shape =
            Shape { keys: keys.collect(), values: values.collect(), sort: hist.sort.clone() };
        Self { shape, filter: hist.filter.as_ref().map(|filter| filter.text.clone()) }
    }
}

fn word(modifier: Option<Modifier>) -> Option<&'static str> {
    modifier.map(|modifier| modifier.row().word)
}

fn what(label: &str, source: &Source, event: &EventFormat) -> What {
    match source {
        Source::Binary(..) | Source::Negate(_) => What::Expression(first_operand(source)),
        Source::Constant(_) if label.is_empty() => What::Constant,
        _ => name(label, event),
    }
}

/// The kernel compares a key once its size has become that of a slot.
fn key_what(label: &str, source: &Source, event: &EventFormat) -> What {
    match what(label, source, event) {
        What::Expression(operand) => What::Expression(Operand { size: 8, ..operand }),
        what => what,
    }
}

fn name(label: &str, event: &EventFormat) -> What {
    let field = event.field(label).map(|field| FieldType {
        type_name: field.type_name.clone(),
        size: field.size,
        signed: field.signed,
    });
    What::Name(label.to_owned(), field)
}

fn first_operand(source: &Source) -> Operand {
    let plain = |size, signed| Operand { size, signed, timestamp: false };
    match source {
        Source::Binary(_, lhs, _) => first_operand(lhs),
        Source::Negate(inner) => first_operand(inner),
        // The kernel takes over the size of what is put into buckets, but not its sign.
        Source::Bucket(_, inner) => plain(first_operand(inner).size, false),
        Source::Field(field) => plain(field.size, field.signed),
        Source::Pid => plain(4, true),
        Source::Cpu => plain(4, false),
        Source::Constant(_) => plain(8, false),
        Source::Timestamp { .. } => Operand { timestamp: true, ..plain(8, false) },
    }
}
