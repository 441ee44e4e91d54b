//! Takes a [`Hist`]. Gives where its keys and values lie in the map, in bytes.

use hist_common::layout::STACK_DEPTH;

pub(super) use super::scan::COMM_SIZE;
use super::{KeySlot, Origin, Plan, PlanError, ValueSlot};
use crate::resolve::hist::{
    Condition, Hist, Key, KeyModifier, KeySource, Location, RecordField, Source, TextField,
    TextSource, TextTest,
};
use crate::snapshot::counts::HITS;

/// Bytes of a number in a key: every number is kept as its u64 image.
const NUMBER_SIZE: u32 = 8;
/// Bytes of a sum in a value.
pub(super) const VALUE_SIZE: u32 = 8;
/// Bytes of a string whose length is not known beforehand: 255 and a NUL, as in the kernel.
const TEXT_SIZE: u32 = 256;
/// Bytes of the word that says where dynamic data are (`__data_loc`).
const LOCATION_SIZE: u32 = 4;
/// The first bytes of a record belong to the kernel: they hold a pointer when a program runs
/// (`tp_prog_is_valid_access()` in kernel/trace/bpf_trace.c).
const HIDDEN: u32 = 8;

pub(super) fn key_slots(hist: &Hist) -> Vec<KeySlot> {
    let mut offset = 0;
    let mut slots = Vec::with_capacity(hist.keys.len());
    for key in &hist.keys {
        let size = slot_size(&key.source);
        slots.push(KeySlot { offset, size, source: key.source.clone(), label: key.to_string() });
        offset += size;
    }
    slots
}

const fn slot_size(source: &KeySource) -> u32 {
    match source {
        KeySource::Number(_) => NUMBER_SIZE,
        KeySource::Text(TextField::Static { size, .. }) => size.next_multiple_of(8),
        KeySource::Text(_) => TEXT_SIZE,
        KeySource::Comm => COMM_SIZE,
        KeySource::Stack => 8 * STACK_DEPTH as u32,
    }
}

/// What is counted, the hitcount first, and how the histogram's values come of it. Nothing needs to
/// be counted for a value that is a key, too: all hits of an entry have the same.
pub(super) fn value_slots(hist: &Hist) -> (Vec<ValueSlot>, Vec<Origin>) {
    let (source, label) = (Source::Constant(1), "hitcount".to_owned());
    let hitcount = ValueSlot { offset: 0, source, fold: HITS, label };
    let (mut slots, mut origins) = (vec![hitcount], Vec::new());
    for value in &hist.values {
        let is_same =
            |key: &Key| matches!(&key.source, KeySource::Number(source) if *source == value.source);
        origins.push(match hist.keys.iter().position(is_same) {
            Some(key) => Origin::Key(key),
            None => Origin::Slot(slots.len()),
        });
        if let Some(Origin::Slot(_)) = origins.last() {
            let offset = VALUE_SIZE * u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let (source, label) = (value.source.clone(), value.to_string());
            slots.push(ValueSlot { offset, source, fold: value.fold, label });
        }
    }
    (slots, origins)
}

/// A key is shown with the task's name.
pub(super) fn keeps_comm(hist: &Hist) -> bool {
    hist.keys.iter().any(|key| key.modifier == KeyModifier::Execname)
}

/// Every load must lie in the part of the record that a program may read: the kernel would
/// refuse the program only when it is attached.
pub(super) fn check_loads(plan: &Plan) -> Result<(), PlanError> {
    let record_size = plan.hist.record_size;
    for slot in &plan.keys {
        check_key(&slot.label, &slot.source, record_size)?;
    }
    for slot in &plan.values {
        check_source(&slot.label, &slot.source, record_size)?;
    }
    plan.filter.as_ref().map_or(Ok(()), |filter| check_condition(filter, record_size))
}

fn check_key(label: &str, source: &KeySource, record_size: u32) -> Result<(), PlanError> {
    match source {
        KeySource::Number(source) => check_source(label, source, record_size),
        KeySource::Text(TextField::Static { offset, size }) => {
            check_range(label, *offset, *size, record_size)
        }
        KeySource::Text(TextField::Dynamic { offset } | TextField::Relative { offset }) => {
            check_range(label, *offset, LOCATION_SIZE, record_size)
        }
        KeySource::Text(TextField::Copied { .. }) | KeySource::Comm | KeySource::Stack => Ok(()),
    }
}

fn check_condition(condition: &Condition, record_size: u32) -> Result<(), PlanError> {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter().try_for_each(|part| check_condition(part, record_size))
        }
        Condition::Not(inner) => check_condition(inner, record_size),
        Condition::Compare(compare) => check_source(&compare.label, &compare.source, record_size),
        Condition::Within(within) => check_source(&within.label, &within.source, record_size),
        Condition::Text(test) => check_text(test, record_size),
        Condition::Cpumask(test) => check_location(&test.label, test.location, record_size),
        Condition::Always(_) => Ok(()),
    }
}

fn check_text(test: &TextTest, record_size: u32) -> Result<(), PlanError> {
    match test.source {
        TextSource::Static { offset, size } => check_range(&test.label, offset, size, record_size),
        TextSource::Dynamic(location) => check_location(&test.label, location, record_size),
        TextSource::Pointer { offset, .. } => check_range(&test.label, offset, 8, record_size),
        TextSource::Copied { .. } | TextSource::Comm => Ok(()),
    }
}

/// Where the word points to is known only when the event fires; programs read it with care.
fn check_location(label: &str, location: Location, record_size: u32) -> Result<(), PlanError> {
    check_range(label, location.offset, LOCATION_SIZE, record_size)
}

fn check_source(label: &str, source: &Source, record_size: u32) -> Result<(), PlanError> {
    match source {
        Source::Record(field) => check_field(label, *field, record_size),
        Source::Log2(inner) | Source::Buckets(_, inner) | Source::Negate(inner) => {
            check_source(label, inner, record_size)
        }
        Source::Binary(_, lhs, rhs) => {
            check_source(label, lhs, record_size)?;
            check_source(label, rhs, record_size)
        }
        Source::Pid | Source::Cpu | Source::Timestamp { .. } | Source::Constant(_) => Ok(()),
    }
}

fn check_field(label: &str, field: RecordField, record_size: u32) -> Result<(), PlanError> {
    if !matches!(field.size, 1 | 2 | 4 | 8) {
        return Err(PlanError::FieldSize { label: label.to_owned(), size: field.size });
    }
    check_range(label, field.offset, field.size, record_size)
}

fn check_range(label: &str, offset: u32, size: u32, record_size: u32) -> Result<(), PlanError> {
    let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(size));
    if offset < HIDDEN || end > u64::from(record_size) {
        return Err(PlanError::OutsideRecord { label: label.to_owned(), start, end, record_size });
    }
    Ok(())
}
