//! Takes a [`Hist`]. Gives where its keys and values lie in the map, in bytes.

use super::{KeySlot, Plan, PlanError, ValueSlot};
use crate::resolve::hist::{Condition, Hist, Location, RecordField, Source, TextSource, TextTest};

/// Bytes of a number in a key: every number is kept as its u64 image.
const NUMBER_SIZE: u32 = 8;
/// Bytes of a sum in a value.
pub(super) const VALUE_SIZE: u32 = 8;
/// The first bytes of a record belong to the kernel: they hold a pointer when a program runs
/// (`tp_prog_is_valid_access()` in kernel/trace/bpf_trace.c).
const HIDDEN: u32 = 8;
/// Bytes of the word that says where dynamic data are (`__data_loc`).
const LOCATION_SIZE: u32 = 4;

pub(super) fn key_slots(hist: &Hist) -> Vec<KeySlot> {
    let mut offset = 0;
    let mut slots = Vec::with_capacity(hist.keys.len());
    for key in &hist.keys {
        slots.push(KeySlot {
            offset,
            size: NUMBER_SIZE,
            source: key.source,
            modifier: key.modifier,
            label: key.to_string(),
        });
        offset += NUMBER_SIZE;
    }
    slots
}

pub(super) fn value_slots(hist: &Hist) -> Vec<ValueSlot> {
    let hitcount = ("hitcount".to_owned(), Source::Constant(1));
    let sums = hist.values.iter().map(|value| (value.to_string(), value.source));
    let sources = std::iter::once(hitcount).chain(sums);
    (0..)
        .step_by(VALUE_SIZE as usize)
        .zip(sources)
        .map(|(offset, (label, source))| ValueSlot { offset, source, label })
        .collect()
}

/// Every load must lie in the part of the record that a program may read: the kernel would
/// refuse the program only when it is attached.
pub(super) fn check_loads(plan: &Plan) -> Result<(), PlanError> {
    let record_size = plan.hist.record_size;
    let keys = plan.keys.iter().map(|slot| (&slot.label, slot.source));
    let values = plan.values.iter().map(|slot| (&slot.label, slot.source));
    for (label, source) in keys.chain(values) {
        check_source(label, source, record_size)?;
    }
    plan.filter.as_ref().map_or(Ok(()), |filter| check_condition(filter, record_size))
}

fn check_condition(condition: &Condition, record_size: u32) -> Result<(), PlanError> {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter().try_for_each(|part| check_condition(part, record_size))
        }
        Condition::Not(inner) => check_condition(inner, record_size),
        Condition::Compare(compare) => check_source(&compare.label, compare.source, record_size),
        Condition::Within(within) => check_source(&within.label, within.source, record_size),
        Condition::Text(test) => check_text(test, record_size),
        Condition::Cpumask(test) => check_location(&test.label, test.location, record_size),
        Condition::Always(_) => Ok(()),
    }
}

fn check_text(test: &TextTest, record_size: u32) -> Result<(), PlanError> {
    match test.source {
        TextSource::Static { offset, size } => check_bounds(&test.label, offset, size, record_size),
        TextSource::Dynamic(location) => check_location(&test.label, location, record_size),
        TextSource::Pointer { offset, .. } => check_bounds(&test.label, offset, 8, record_size),
        TextSource::Comm => Ok(()),
    }
}

/// Where the word points to is known only when the event fires; programs read it with care.
fn check_location(label: &str, location: Location, record_size: u32) -> Result<(), PlanError> {
    check_bounds(label, location.offset, LOCATION_SIZE, record_size)
}

fn check_source(label: &str, source: Source, record_size: u32) -> Result<(), PlanError> {
    match source {
        Source::Record(field) => check_field(label, field, record_size),
        Source::Pid | Source::Cpu | Source::Constant(_) => Ok(()),
    }
}

fn check_field(label: &str, field: RecordField, record_size: u32) -> Result<(), PlanError> {
    if !matches!(field.size, 1 | 2 | 4 | 8) {
        return Err(PlanError::FieldSize { label: label.to_owned(), size: field.size });
    }
    check_bounds(label, field.offset, field.size, record_size)
}

fn check_bounds(label: &str, offset: u32, size: u32, record_size: u32) -> Result<(), PlanError> {
    let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(size));
    if offset < HIDDEN || end > u64::from(record_size) {
        let label = label.to_owned();
        return Err(PlanError::OutsideRecord { label, start, end, record_size });
    }
    Ok(())
}
