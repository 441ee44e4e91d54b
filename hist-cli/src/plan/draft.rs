//! The part of a plan that is the same for every way of attaching, made before that is chosen.

use hist_common::layout::{KEY_ROOM, LARGE_KEY_ROOM, VALUE_ROOM};

use super::{
    BUDGET, Focus, Index, KeySlot, MapKind, MapPlan, Origin, PlanError, Template, ValueSlot,
    Wishes, filter, index, layout, memory,
};
use crate::resolve::hist::{Condition, Hist};

/// The part of a [`Plan`](super::Plan) that does not depend on the way of attaching; its fields are
/// described there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) hist: Hist,
    /// What the key has room in; what is read once may take that away.
    pub(super) template: Template,
    pub(super) shared: bool,
    pub(super) map: MapPlan,
    pub(super) cpus: u32,
    pub(super) index: Option<Index>,
    pub(super) focus: Focus,
    pub(super) filter: Option<Condition>,
    pub(super) keys: Vec<KeySlot>,
    pub(super) values: Vec<ValueSlot>,
    pub(super) origins: Vec<Origin>,
    pub(super) comm: Option<u32>,
}

impl Draft {
    /// Lays out keys and values, and chooses map and template.
    pub(super) fn new(hist: Hist, wishes: Wishes) -> Result<Self, PlanError> {
        let keys = layout::key_slots(&hist);
        let (values, origins) = layout::value_slots(&hist);
        let (value_size, comm) = layout::value_size(&hist, &values);
        check_room("values", value_size, VALUE_ROOM)?;
        let hash = MapPlan {
            kind: MapKind::PerCpuHash,
            key_size: layout::key_size(&keys),
            value_size,
            max_entries: hist.size,
        };
        let (template, map, index) = choose_map(&hist, hash, &wishes)?;
        let filter = hist.filter.as_ref().and_then(|filter| filter::simplify(&filter.tree));
        Ok(Self {
            shared: hist.name.is_some() || map.kind == MapKind::Hash,
            hist,
            template,
            map,
            cpus: wishes.cpus.unwrap_or(1),
            index,
            focus: wishes.focus,
            filter,
            keys,
            values,
            origins,
            comm,
        })
    }
}

/// The array in the place of `hash`, if keys are numbered and there is memory for it.
fn choose_map(
    hist: &Hist,
    hash: MapPlan,
    wishes: &Wishes,
) -> Result<(Template, MapPlan, Option<Index>), PlanError> {
    let cpus = wishes.cpus.unwrap_or(1);
    if let Some(index) = numbering(hist, wishes) {
        let max_entries = index.entries;
        let array = MapPlan { kind: MapKind::PerCpuArray, key_size: 4, max_entries, ..hash };
        if array.bytes(cpus) <= wishes.memory.unwrap_or(BUDGET) {
            return Ok((Template::HistArray, array, Some(index)));
        }
    }
    Ok((template(hash.key_size, wishes)?, memory::hash(hash, wishes.memory, cpus)?, None))
}

/// How keys are numbered, where that can be. In a table with a name, other events' keys may be
/// others; and what is logged is a hash.
fn numbering(hist: &Hist, wishes: &Wishes) -> Option<Index> {
    let most = hist.size.min(index::ENTRIES_MAX);
    let index = || Index::of(hist, wishes.cpus, most);
    (hist.name.is_none() && !wishes.log).then(index).flatten()
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

fn check_room(what: &'static str, size: u32, room: usize) -> Result<(), PlanError> {
    if size as usize > room {
        return Err(PlanError::NoRoom { what, size, room });
    }
    Ok(())
}
