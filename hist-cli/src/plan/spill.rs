//! Divides the plan of a table that may be full into one that passes hits on which find no room, and
//! the plan for those: their sums are known all the same, in their buckets if there are any.

use super::draft::Draft;
use super::way::Way;
use super::{
    Focus, Index, MapKind, MapPlan, Plan, PlanError, Template, index, layout, memory, once,
};
use crate::resolve::hist::{Hist, Key, KeySource, Order, Source};

/// Two plans for the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spill {
    /// As before, but hits that find no room go on to the other one.
    pub main: Plan,
    /// Counts them by their bucket alone, or together where there are none.
    pub rest: Plan,
}

/// Divides a plan; `None` if its table can never be full, or its template passes nothing on.
///
/// # Errors
/// As [`plan`](super::plan()).
pub fn spill(plan: &Plan) -> Result<Option<Spill>, PlanError> {
    let template = match plan.template {
        Template::Hist => Template::HistSpill,
        Template::HistLarge => Template::HistLargeSpill,
        _ => return Ok(None),
    };
    let main = Plan { template, ..plan.clone() };
    Ok(Some(Spill { rest: rest(plan)?, main }))
}

/// The hits have passed the filter when they get there, and it may not say the same again: strings of
/// user space change.
fn rest(plan: &Plan) -> Result<Plan, PlanError> {
    let draft = draft(plan)?;
    // A program that is entered from another one finds nothing on its stack, and without a filter
    // nothing is read on the way through it.
    let (template, once) = once::keep(&draft, draft.template, &plan.access)?;
    let way = Way {
        attach: plan.attach.clone(),
        access: plan.access.clone(),
        system_call: None,
        template,
        once,
        why: plan.why.clone(),
    };
    Ok(super::assemble(draft, way, plan.guard))
}

/// Keys are buckets, or there is one entry; values are those of `plan`.
fn draft(plan: &Plan) -> Result<Draft, PlanError> {
    let bucket = plan.hist.keys.iter().find(|key| key.buckets().is_some()).cloned();
    let keys = vec![bucket.unwrap_or_else(nothing)];
    let hist = Hist { keys, filter: None, ..plan.hist.clone() };
    let (keys, (values, origins)) = (layout::key_slots(&hist), layout::value_slots(&hist));
    let (value_size, comm) = layout::value_size(&hist, &values);
    let index = Index::of(&hist, Some(plan.cpus), index::ENTRIES_MAX);
    let per_cpu = MapPlan {
        kind: MapKind::PerCpuHash,
        key_size: layout::key_size(&keys),
        value_size,
        max_entries: hist.size,
    };
    let (template, map) = match &index {
        Some(index) => {
            let (kind, max_entries) = (MapKind::PerCpuArray, index.entries);
            (Template::HistArray, MapPlan { kind, key_size: 4, max_entries, ..per_cpu })
        }
        None => (Template::Hist, memory::hash(per_cpu, None, plan.cpus)?),
    };
    Ok(Draft {
        hist,
        template,
        shared: map.kind == MapKind::Hash,
        map,
        cpus: plan.cpus,
        index,
        focus: Focus::default(),
        filter: None,
        keys,
        values,
        origins,
        comm,
    })
}

/// The key of a table with one entry.
fn nothing() -> Key {
    Key {
        label: String::new(),
        canonical: "0".to_owned(),
        source: KeySource::Number(Source::Constant(0)),
        order: Order::None,
        modifier: None,
    }
}
