//! Takes a [`Hist`]. Gives a [`Plan`]: which template, how keys and values lie in the map, what
//! fills each hole.

mod display;
mod error;
mod filter;
mod layout;
pub mod scan;

pub use error::PlanError;

use hist_common::layout::{KEY_ROOM, VALUE_ROOM};

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

/// Chooses template and layout for `hist`.
///
/// # Errors
/// If keys or values do not fit a template's stack, a field lies outside of what a program may
/// read of its record, or the verifier would not follow the filter to its end.
pub fn plan(hist: Hist, template: Template) -> Result<Plan, PlanError> {
    let keys = layout::key_slots(&hist);
    let values = layout::value_slots(&hist);
    let map = MapPlan {
        key_size: keys.last().map_or(0, |slot| slot.offset + slot.size),
        value_size: layout::VALUE_SIZE * u32::try_from(values.len()).unwrap_or(u32::MAX),
        max_entries: hist.size,
    };
    check_room("keys", map.key_size, KEY_ROOM)?;
    check_room("values", map.value_size, VALUE_ROOM)?;
    let filter = hist.filter.as_ref().and_then(|filter| filter::simplify(&filter.tree));
    filter.as_ref().map_or(Ok(()), filter::check_complexity)?;
    let plan = Plan { template, attach: attach(&hist), map, filter, keys, values, hist };
    layout::check_loads(&plan)?;
    Ok(plan)
}

fn attach(hist: &Hist) -> Attach {
    Attach::Tracepoint { system: hist.system.clone(), event: hist.event.clone() }
}

fn check_room(what: &'static str, size: u32, room: usize) -> Result<(), PlanError> {
    if size as usize > room {
        return Err(PlanError::NoRoom { what, size, room });
    }
    Ok(())
}
