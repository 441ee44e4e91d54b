//! Decides how a histogram is counted: which template, how keys and values lie in the map, how the
//! program gets its events and their fields, what fills each hole.
//!
//! First comes a `Draft` of what is the same for every way of attaching, then the way
//! is chosen with its table of accesses; both make one [`Plan`].

pub mod access;
mod attach;
mod complexity;
mod display;
mod draft;
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
mod size;
mod spill;
mod way;

pub use access::{Access, AccessTable};
pub use attach::{Attach, AttachWish, BtfId};
pub use error::PlanError;
pub use focus::Focus;
pub use guard::{Guard, Proof, SENTINEL};
pub use index::Index;
pub use memory::BUDGET;
pub use size::size_text;
pub use spill::{Spill, spill};
pub use way::needs_types;

use self::access::arguments::NeedsRecord;
use self::access::system_call::SystemCall;
use self::draft::Draft;
use self::once::Kept;
use self::way::Way;
use crate::kernel::Context;
use crate::kernel::btf::Btf;
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
    /// How the fields are read that the holes use.
    pub access: AccessTable,
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

/// Chooses layout, template and the way of attaching for `hist`. Without BTF in `kernel` it is attached
/// to the classic tracepoint.
///
/// # Errors
/// If keys or values fit no template or no memory, a field lies outside of what a program may read
/// of its record, the verifier would not follow the filter to its end, or only a raw tracepoint is
/// wished and cannot be used.
pub fn plan(hist: Hist, wishes: Wishes, kernel: &Context<'_>) -> Result<Plan, PlanError> {
    let (wish, proof) = (wishes.attach, wishes.proof);
    let draft = Draft::new(hist, wishes)?;
    let way = way::choose(&draft, wish, kernel)?;
    if way.attach.has_record() {
        access::record::check(&draft)?;
    }
    let guard = guard::guard(&draft.hist, &way.attach, proof, kernel.preemption);
    Ok(assemble(draft, way, guard))
}

/// A plan for the raw tracepoint, with rows of one's own instead of the table's: field and expression
/// of each.
///
/// # Errors
/// Why it cannot be, in words.
pub fn plan_with_rows(
    hist: Hist,
    wishes: Wishes,
    btf: &Btf,
    rows: &[(&str, &str)],
) -> Result<Plan, NeedsRecord> {
    let draft =
        Draft::new(hist, wishes).map_err(|error| NeedsRecord::because(error.to_string()))?;
    let way = way::raw_with_rows(&draft, btf, rows)?;
    // Raw programs are not called through perf.
    Ok(assemble(draft, way, Guard::Harmless))
}

fn assemble(draft: Draft, way: Way, guard: Guard) -> Plan {
    // Template and what is read once depend on the way.
    let Draft { hist, template: _, shared, map, cpus, index, focus, filter, .. } = draft;
    let Draft { keys, values, origins, comm, .. } = draft;
    let Way { attach, access, system_call, template, once, why } = way;
    Plan {
        hist,
        template,
        attach,
        shared,
        map,
        cpus,
        index,
        focus,
        filter,
        keys,
        values,
        access,
        once,
        system_call,
        why,
        guard,
        origins,
        comm,
    }
}
