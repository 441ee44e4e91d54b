//! Takes a [`Hist`]. Gives a [`Plan`]: which template, how keys and values lie in the map, what
//! fills each hole.

pub mod access;
mod attach;
mod display;
mod error;
mod filter;
pub mod focus;
mod guard;
mod index;
mod layout;
pub mod map;
mod memory;
pub mod once;
pub mod scan;
mod spill;

pub use attach::{Attach, AttachWish};
pub use error::PlanError;
pub use focus::Focus;
pub use guard::{Guard, Proof, SENTINEL};
pub use index::Index;
pub use memory::{BUDGET, size_text};
pub use spill::{Spill, spill};

use hist_common::layout::{KEY_ROOM, LARGE_KEY_ROOM, VALUE_ROOM};

use self::access::arguments::copy::{FieldCopy, SystemCall};
use self::once::Kept;
use crate::kernel::Context;
use crate::resolve::Fold;
use crate::resolve::hist::{Condition, Hist, KeySource, Source};
use crate::snapshot::Counts;

/// Everything that codegen and link need to know about one trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is planned.
    pub hist: Hist,
    /// The prebuilt program that the code goes into.
    pub template: Template,
    /// How the program is attached.
    pub attach: Attach,
    /// Programs on other CPUs, or of other events that interrupt this one, may add to the same
    /// value: they all do it atomically.
    pub shared: bool,
    /// Kind and sizes of the histogram map.
    pub map: MapPlan,
    /// How many CPUs there may be; 1 if that is not known.
    pub cpus: u32,
    /// How keys are numbered, if entries are found by number.
    pub index: Option<Index>,
    /// What the filter hole tests first.
    pub focus: Focus,
    /// What it tests then; everything passes if absent.
    pub filter: Option<Condition>,
    /// What the key hole writes, in order, without gaps; an array's keys are made when it is read.
    pub keys: Vec<KeySlot>,
    /// What the update and init holes write, in order, without gaps; the first is the hitcount.
    pub values: Vec<ValueSlot>,
    /// Without a record: what the fields are copies of that the holes read.
    pub copies: Vec<FieldCopy>,
    /// What the event has one of and the holes use more than once: it is read once.
    pub once: Vec<Kept>,
    /// The program runs at every system call, and this one counts.
    pub system_call: Option<SystemCall>,
    /// Why it is attached as it is, line by line; nothing if that was not asked.
    pub why: Vec<String>,
    /// What becomes of events that perf drops.
    pub guard: Guard,
    /// Where each of the histogram's values comes from when it is read, in their order.
    pub origins: Vec<Origin>,
    /// Where a new value keeps the current task's name, in bytes from its start. Only the copy of
    /// the CPU that made the entry has it.
    pub comm: Option<u32>,
}

impl Plan {
    /// Not every event counts that the program sees.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        self.hist.filter.is_some() || self.system_call.is_some() || !self.focus.is_all()
    }

    /// The program's context is the event's record.
    #[must_use]
    pub const fn has_record(&self) -> bool {
        self.attach.has_record()
    }

    /// The program knows its arguments' types, and may follow pointers.
    #[must_use]
    pub const fn is_typed(&self) -> bool {
        self.attach.is_typed()
    }

    /// What an entry has counted: `words` has one for each of [`values`](Self::values), the hitcount
    /// first.
    #[must_use]
    pub fn counts(&self, key: &[u8], words: &[u64]) -> Counts {
        let hits = words[0];
        let word = |offset: usize| {
            key.get(offset..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        let values = self.origins.iter().zip(&self.hist.values);
        let values = values.map(|(origin, value)| match origin {
            Origin::Slot(slot) => words[*slot],
            Origin::Key(slot) => value.fold.repeated(word(self.keys[*slot].offset as usize), hits),
        });
        Counts { hits, values: values.collect() }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// That one of [`Plan::values`].
    Slot(usize),
    /// It is the number in that one of [`Plan::keys`], so all hits of an entry have the same.
    Key(usize),
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
    /// One event, entries found by number.
    HistArray,
    /// As [`Hist`](Self::Hist), and hits that find no room go on to another program.
    HistSpill,
    /// As [`HistLarge`](Self::HistLarge), and hits that find no room go on to another program.
    HistLargeSpill,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Hist,
        Self::HistLarge,
        Self::HistArray,
        Self::HistLog,
        Self::HistSpill,
        Self::HistLargeSpill,
    ];
}

/// What the entries are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Found by key, a value for each CPU.
    PerCpuHash,
    /// Found by key, one value for all CPUs.
    Hash,
    /// Found by number, a value for each CPU.
    PerCpuArray,
}

/// Kind and sizes of the histogram map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlan {
    /// What it is.
    pub kind: MapKind,
    /// Bytes per key, a multiple of 8; 4 for an array.
    pub key_size: u32,
    /// Bytes per value, and per CPU if each has one; a multiple of 8.
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

/// One u64 in the map's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueSlot {
    /// From the value's start, in bytes.
    pub offset: u32,
    /// What each hit has.
    pub source: Source,
    /// How that is put to what is there. In a value that nobody has hit, that is 0.
    pub fold: Fold,
    /// For notes and listings.
    pub label: String,
}

/// How the caller wants the program to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Log every event through aya-log.
    pub log: bool,
    /// How programs are to be attached.
    pub attach: AttachWish,
    /// The most that a histogram may take in the kernel, in bytes; without it, a hash whose values
    /// would take more than [`BUDGET`] with one for each CPU has one for all.
    pub memory: Option<u64>,
    /// How many CPUs there may be, if that is known.
    pub cpus: Option<u32>,
    /// Whose events are counted.
    pub focus: Focus,
    /// Whose losses are counted although the kernel does not.
    pub proof: Proof,
    /// Full tables can be renewed while they count, but for those with a name. A plan does not depend
    /// on it: what it takes is built [from the plan](spill()).
    pub renewable: bool,
}

/// Chooses template, layout and attachment for `hist`. Without BTF in `kernel` it is attached to the
/// classic tracepoint.
///
/// # Errors
/// If keys or values fit no template or no memory, a field lies outside of what a program may read
/// of its record, the verifier would not follow the filter to its end, or only a raw tracepoint is
/// wished and cannot be used.
pub fn plan(hist: Hist, wishes: Wishes, kernel: &Context<'_>) -> Result<Plan, PlanError> {
    let keys = layout::key_slots(&hist);
    let (values, origins) = layout::value_slots(&hist);
    let words = layout::VALUE_SIZE * u32::try_from(values.len()).unwrap_or(u32::MAX);
    let comm = layout::keeps_comm(&hist).then_some(words);
    let hash = MapPlan {
        kind: MapKind::PerCpuHash,
        key_size: keys.last().map_or(0, |slot| slot.offset + slot.size),
        value_size: words + comm.map_or(0, |_| layout::COMM_SIZE),
        max_entries: hist.size,
    };
    check_room("values", hash.value_size, VALUE_ROOM)?;
    let (cpus, index) = (wishes.cpus.unwrap_or(1), index(&hist, &wishes));
    let (template, map) = match array(hash, index.as_ref(), &wishes) {
        Some(array) => (Template::HistArray, array),
        None => (template(hash.key_size, &wishes)?, memory::hash(hash, wishes.memory, cpus)?),
    };
    let index = index.filter(|_| template == Template::HistArray);
    let filter = hist.filter.as_ref().and_then(|filter| filter::simplify(&filter.tree));
    filter.as_ref().map_or(Ok(()), filter::check_complexity)?;
    let (attach, shared) = (own_event(&hist), hist.name.is_some() || map.kind == MapKind::Hash);
    let (copies, once, system_call, why) = (Vec::new(), Vec::new(), None, Vec::new());
    let mut plan = Plan {
        hist,
        template,
        attach,
        shared,
        map,
        cpus,
        index,
        focus: wishes.focus,
        filter,
        keys,
        values,
        origins,
        copies,
        once,
        system_call,
        why,
        guard: Guard::Harmless,
        comm,
    };
    keep(&mut plan)?;
    access::arguments::choose(&mut plan, wishes.attach, kernel)?;
    plan.guard = guard::guard(&plan, wishes.proof, kernel.preemption);
    if plan.has_record() {
        layout::check_loads(&plan)?;
    }
    Ok(plan)
}

/// Gives what is used more than once its place on the stack, which is the key's room: a key that
/// leaves too little of it goes into a map.
pub(in crate::plan) fn keep(plan: &mut Plan) -> Result<(), PlanError> {
    let key_size = match plan.template {
        Template::Hist | Template::HistLog | Template::HistSpill => plan.map.key_size,
        Template::HistLarge | Template::HistArray | Template::HistLargeSpill => 0,
    };
    let room = u32::try_from(KEY_ROOM).unwrap_or(u32::MAX).saturating_sub(key_size);
    plan.once = once::kept(plan, room);
    match (once::bytes(&plan.once) > room, plan.template) {
        (true, Template::HistLog) => Err(PlanError::NoLog { size: key_size }),
        (true, Template::Hist) => {
            plan.template = Template::HistLarge;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How keys are numbered, where that can be. In a table with a name, other events' keys may be
/// others; and what is logged is a hash.
fn index(hist: &Hist, wishes: &Wishes) -> Option<Index> {
    let most = hist.size.min(index::ENTRIES_MAX);
    let index = || Index::of(hist, wishes.cpus, most);
    (hist.name.is_none() && !wishes.log).then(index).flatten()
}

/// The array in the place of `hash`, if keys are numbered and there is memory for it.
fn array(hash: MapPlan, index: Option<&Index>, wishes: &Wishes) -> Option<MapPlan> {
    let max_entries = index?.entries;
    let array = MapPlan { kind: MapKind::PerCpuArray, key_size: 4, max_entries, ..hash };
    let budget = wishes.memory.unwrap_or(BUDGET);
    (array.bytes(wishes.cpus.unwrap_or(1)) <= budget).then_some(array)
}

fn template(key_size: u32, wishes: &Wishes) -> Result<Template, PlanError> {
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

/// The event's own record, which is always right.
fn own_event(hist: &Hist) -> Attach {
    Attach::Tracepoint { event: hist.event.clone(), id: hist.event_id }
}

fn check_room(what: &'static str, size: u32, room: usize) -> Result<(), PlanError> {
    if size as usize > room {
        return Err(PlanError::NoRoom { what, size, room });
    }
    Ok(())
}
