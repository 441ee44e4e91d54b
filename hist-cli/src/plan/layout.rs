//! Where a histogram's keys and values lie in its map.

use hist_common::layout::STACK_DEPTH;

use super::{KeySlot, Sum, ValueSlot};
use crate::resolve::hist::{COMM_SIZE, Hist, Key, KeyModifier, KeySource, Room, Source, TextField};

/// Bytes of a number in a key: every number is kept as its u64 image.
const NUMBER_SIZE: u32 = 8;
/// Bytes of a sum in a value.
const VALUE_SIZE: u32 = 8;
/// Bytes of a string whose length is not known beforehand: 255 and a NUL, as in the kernel.
const TEXT_SIZE: u32 = 256;

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
        KeySource::Text(TextField { room: Room::Array(size), .. }) => size.next_multiple_of(8),
        KeySource::Text(TextField { room: Room::Varying, .. }) => TEXT_SIZE,
        KeySource::Comm => COMM_SIZE,
        KeySource::Stack => 8 * STACK_DEPTH as u32,
    }
}

/// What is added up, the hitcount first, and how the histogram's values come of it. Nothing needs
/// to be added up for a value that is a key, too: its sum is that number times the hitcount.
pub(super) fn value_slots(hist: &Hist) -> (Vec<ValueSlot>, Vec<Sum>) {
    let hitcount =
        ValueSlot { offset: 0, source: Source::Constant(1), label: "hitcount".to_owned() };
    let (mut slots, mut sums) = (vec![hitcount], Vec::new());
    for value in &hist.values {
        let is_same =
            |key: &Key| matches!(&key.source, KeySource::Number(source) if *source == value.source);
        sums.push(match hist.keys.iter().position(is_same) {
            Some(key) => Sum::Key(key),
            None => Sum::Slot(slots.len()),
        });
        if let Some(Sum::Slot(_)) = sums.last() {
            let offset = VALUE_SIZE * u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let (source, label) = (value.source.clone(), value.to_string());
            slots.push(ValueSlot { offset, source, label });
        }
    }
    (slots, sums)
}

/// Bytes of a key.
pub(super) fn key_size(keys: &[KeySlot]) -> u32 {
    keys.last().map_or(0, |slot| slot.offset + slot.size)
}

/// Bytes of a value; and where in it the task's name is, if a key is shown with that.
pub(super) fn value_size(hist: &Hist, values: &[ValueSlot]) -> (u32, Option<u32>) {
    let words = VALUE_SIZE * u32::try_from(values.len()).unwrap_or(u32::MAX);
    match hist.keys.iter().any(|key| key.modifier == KeyModifier::Execname) {
        true => (words + COMM_SIZE, Some(words)),
        false => (words, None),
    }
}
