//! Where the keys and values of a histogram lie in the map, in bytes.

use hist_common::layout::STACK_DEPTH;

use super::{KeySlot, Origin, ValueSlot};
use crate::resolve::hist::{COMM_SIZE, Hist, Key, KeySource, Room, Source, TextField};
use crate::snapshot::counts::HITS;

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

/// Bytes of a key.
pub(super) fn key_size(keys: &[KeySlot]) -> u32 {
    keys.last().map_or(0, |slot| slot.offset + slot.size)
}

/// Bytes of a value; and where in it the task's name is, if a key is shown with that.
pub(super) fn value_size(hist: &Hist, values: &[ValueSlot]) -> (u32, Option<u32>) {
    let words = VALUE_SIZE * u32::try_from(values.len()).unwrap_or(u32::MAX);
    match hist.keeps_comm() {
        true => (words + COMM_SIZE, Some(words)),
        false => (words, None),
    }
}
