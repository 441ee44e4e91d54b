//! Takes resolved triggers. Gives whether the kernel takes one for the other
//! (`hist_trigger_match()` in kernel/trace/trace_events_hist.c).
//!
//! Not compared: size, clock, `nohitcount`, the N of `.buckets=N`, constants.

use std::mem::{Discriminant, discriminant};

use super::hist::{Hist, KeyModifier, Sort, ValueModifier};
use crate::tracefs::format::EventFormat;

/// What the kernel compares of a trigger: the shape of its table, and its filter. Event and name
/// are not part of it, for named triggers of different events share a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Keys, values and sort order.
    pub shape: Shape,
    /// The filter's text, byte for byte.
    pub filter: Option<String>,
}

/// What triggers that share a table must have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    keys: Vec<Column<KeyModifier>>,
    values: Vec<Column<ValueModifier>>,
    sort: Vec<Sort>,
}

/// One key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column<Modifier> {
    /// As typed: the kernel tells `cpu` from `common_cpu`.
    label: String,
    /// What the event says of a field of that name.
    field: Option<FieldType>,
    modifier: Discriminant<Modifier>,
}

/// What is compared of a field besides its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldType {
    type_name: String,
    size: u32,
    signed: bool,
}

impl Identity {
    /// That of `hist`, which was resolved against `event`.
    #[must_use]
    pub fn new(hist: &Hist, event: &EventFormat) -> Self {
        let keys = hist.keys.iter().map(|key| column(&key.label, &key.modifier, event));
        let values = hist.values.iter().map(|value| column(&value.label, &value.modifier, event));
        Self {
            shape: Shape {
                keys: keys.collect(),
                values: values.collect(),
                sort: hist.sort.clone(),
            },
            filter: hist.filter.as_ref().map(|filter| filter.text.clone()),
        }
    }
}

impl Hist {
    /// The kernel would refuse one of the two as "already exists", both being unnamed triggers
    /// of one event.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let labels = |hist: &Self| -> Vec<_> {
            let keys =
                hist.keys.iter().map(|key| (key.label.clone(), Err(discriminant(&key.modifier))));
            let values = hist.values.iter();
            let values =
                values.map(|value| (value.label.clone(), Ok(discriminant(&value.modifier))));
            keys.chain(values).collect()
        };
        let filter = |hist: &Self| hist.filter.as_ref().map(|filter| filter.text.clone());
        (&self.system, &self.event) == (&other.system, &other.event)
            && labels(self) == labels(other)
            && self.sort == other.sort
            && filter(self) == filter(other)
    }
}

fn column<Modifier>(label: &str, modifier: &Modifier, event: &EventFormat) -> Column<Modifier> {
    let field = event.field(label).map(|field| FieldType {
        type_name: field.type_name.clone(),
        size: field.size,
        signed: field.signed,
    });
    Column { label: label.to_owned(), field, modifier: discriminant(modifier) }
}
