//! Takes a [`Hist`]. Gives a [`Plan`]: which template, how keys and values lie in the map, what
//! fills each hole.

mod display;
mod error;
mod filter;
mod layout;
pub mod raw;
pub mod scan;

pub use error::PlanError;
pub use raw::AttachWish;

use hist_common::layout::{KEY_ROOM, LARGE_KEY_ROOM, VALUE_ROOM};

use self::raw::copy::{BtfId, FieldCopy, SystemCall};
use crate::btf::Btf;
use crate::resolve::hist::{Condition, Hist, KeySource, Source};

/// Everything that codegen and link need to know about one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is planned.
    pub hist: Hist,
    /// The prebuilt program that the code goes into.
    pub template: Template,
    /// How the program is attached.
    pub attach: Attach,
    /// Programs of other events may count in the same table, and interrupt this one: values are
    /// added to atomically.
    pub shared: bool,
    /// Sizes of the histogram map.
    pub map: MapPlan,
    /// What the filter hole tests; everything passes if absent.
    pub filter: Option<Condition>,
    /// What the key hole writes, in order, without gaps.
    pub keys: Vec<KeySlot>,
    /// What the update and init holes add, in order, without gaps; the first is the hitcount.
    pub values: Vec<ValueSlot>,
    /// Without a record: what the fields are copies of that the holes read.
    pub copies: Vec<FieldCopy>,
    /// The program runs at every system call, and this one counts.
    pub system_call: Option<SystemCall>,
    /// Why it is attached as it is, line by line; nothing if that was not asked.
    pub why: Vec<String>,
    /// Where a new value keeps the current task's name, in bytes from its start. Only the copy of
    /// the CPU that made the entry has it.
    pub comm: Option<u32>,
}

impl Plan {
    /// `system:event`
    #[must_use]
    pub fn event_name(&self) -> String {
        format!("{}:{}", self.hist.system, self.hist.event)
    }

    /// The program's context is the event's record.
    #[must_use]
    pub const fn has_record(&self) -> bool {
        matches!(self.attach, Attach::Tracepoint { .. })
    }

    /// The program knows its arguments' types, and may follow pointers.
    #[must_use]
    pub const fn is_typed(&self) -> bool {
        matches!(self.attach, Attach::RawTracepoint { btf_id: Some(_), .. })
    }
}

/// A prebuilt program with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// One event, key on the stack.
    Hist,
    /// The same with a key that is larger than the stack allows, built in a map.
    HistLarge,
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
        /// The event's number, by which the kernel knows it.
        id: u32,
    },
    /// As a program of type RAW_TRACEPOINT; the context is the tracepoint's arguments, 8 bytes
    /// each.
    RawTracepoint {
        /// The tracepoint's name, without system.
        name: String,
        /// By which the kernel's verifier knows the arguments' types, as a program of type TRACING
        /// ("tp_btf"): it may follow pointers.
        btf_id: Option<BtfId>,
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

/// One part of the key in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// From the key's start, in bytes.
    pub offset: u32,
    /// In bytes.
    pub size: u32,
    /// What is written there.
    pub source: KeySource,
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

/// How the caller wants the program to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Log every event through aya-log.
    pub log: bool,
    /// How programs are to be attached.
    pub attach: AttachWish,
}

/// Chooses template, layout and attachment for `hist`. Without `btf` it is attached to the classic
/// tracepoint.
///
/// # Errors
/// If keys or values fit no template, a field lies outside of what a program may read of its
/// record, the verifier would not follow the filter to its end, or only a raw tracepoint is wished
/// and cannot be used.
pub fn plan(hist: Hist, wishes: Wishes, btf: Option<&Btf>) -> Result<Plan, PlanError> {
    let keys = layout::key_slots(&hist);
    let values = layout::value_slots(&hist);
    let sums = layout::VALUE_SIZE * u32::try_from(values.len()).unwrap_or(u32::MAX);
    let comm = layout::keeps_comm(&hist).then_some(sums);
    let map = MapPlan {
        key_size: keys.last().map_or(0, |slot| slot.offset + slot.size),
        value_size: sums + comm.map_or(0, |_| layout::COMM_SIZE),
        max_entries: hist.size,
    };
    let template = template(map.key_size, wishes)?;
    check_room("values", map.value_size, VALUE_ROOM)?;
    let filter = hist.filter.as_ref().and_then(|filter| filter::simplify(&filter.tree));
    filter.as_ref().map_or(Ok(()), filter::check_complexity)?;
    let (attach, shared) = (attach(&hist), hist.name.is_some());
    let (copies, system_call, why) = (Vec::new(), None, Vec::new());
    let mut plan = Plan {
        hist,
        template,
        attach,
        shared,
        map,
        filter,
        keys,
        values,
        copies,
        system_call,
        why,
        comm,
    };
    raw::choose(&mut plan, wishes.attach, btf)?;
    if plan.has_record() {
        layout::check_loads(&plan)?;
    }
    Ok(plan)
}

fn template(key_size: u32, wishes: Wishes) -> Result<Template, PlanError> {
    match (key_size as usize <= KEY_ROOM, wishes.log) {
        (true, false) => Ok(Template::Hist),
        (true, true) => Ok(Template::HistLog),
        (false, false) => {
            check_room("keys", key_size, LARGE_KEY_ROOM)?;
            Ok(Template::HistLarge)
        }
        (false, true) => Err(PlanError::NoLog { size: key_size }),
    }
}

fn attach(hist: &Hist) -> Attach {
    let (system, event) = (hist.system.clone(), hist.event.clone());
    Attach::Tracepoint { system, event, id: hist.event_id }
}

fn check_room(what: &'static str, size: u32, room: usize) -> Result<(), PlanError> {
    if size as usize > room {
        return Err(PlanError::NoRoom { what, size, room });
    }
    Ok(())
}
