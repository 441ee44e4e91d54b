//! Takes a [`Hist`]. Gives a [`Plan`]: which template, how keys and values lie in the map, what
//! fills each hole.

use crate::resolve::hist::{Condition, Hist, KeyModifier, Source};

/// Everything that codegen and link need to know about one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is planned.
    pub hist: Hist,
    /// The prebuilt program that the code goes into.
    pub template: Template,
    /// How the program is attached.
    pub attach: Attach,
    /// The length of the event's record in bytes; no load may pass it.
    pub record_size: u32,
    /// Sizes of the histogram map.
    pub map: MapPlan,
    /// What the filter hole tests; everything passes if absent.
    pub filter: Option<Condition>,
    /// What the key hole writes, in order, without gaps.
    pub keys: Vec<KeySlot>,
    /// What the update and init holes add, in order, without gaps; the first is the hitcount.
    pub values: Vec<ValueSlot>,
}

/// A prebuilt program with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// One event, key on the stack.
    Hist,
    /// The same, and every event is logged through aya-log.
    HistLog,
}

/// How a program gets its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// As a program of type TRACEPOINT; the context is the record.
    Tracepoint {
        /// The event's system.
        system: String,
        /// The event's name.
        event: String,
    },
}

/// Sizes of the histogram map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlan {
    /// Bytes per key, a multiple of 8.
    pub key_size: u32,
    /// Bytes per value and CPU, a multiple of 8.
    pub value_size: u32,
    /// Entries.
    pub max_entries: u32,
}

/// One part of the key in the map: a u64, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// From the key's start, in bytes.
    pub offset: u32,
    /// In bytes.
    pub size: u32,
    /// What is written there.
    pub source: Source,
    /// Only `Log2` and `Buckets` change what is written.
    pub modifier: KeyModifier,
    /// For notes and listings.
    pub label: String,
}

/// One u64 sum in the map's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSlot {
    /// From the value's start, in bytes.
    pub offset: u32,
    /// What is added at each hit.
    pub source: Source,
    /// For notes and listings.
    pub label: String,
}
