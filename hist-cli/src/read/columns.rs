//! The snapshot of a histogram that has counted nothing: how its rows will be divided, shown and
//! ordered.

use crate::plan::Plan;
use crate::resolve::hist::{Key, Value};
use crate::snapshot::{KeyColumn, Losses, Snapshot, ValueColumn};

/// A snapshot without rows.
#[must_use]
pub fn empty(plan: &Plan, paused: bool) -> Snapshot {
    let slots = plan.hist.keys.iter().zip(&plan.keys);
    Snapshot {
        trigger: plan.hist.trigger_line(paused),
        keys: slots.map(|(key, slot)| key_column(key, slot.offset, slot.size)).collect(),
        values: plan.hist.values.iter().map(value_column).collect(),
        show_hitcount: !plan.hist.nohitcount,
        sort: plan.hist.sort.clone(),
        rows: Vec::new(),
        losses: Losses::default(),
    }
}

fn key_column(key: &Key, offset: u32, size: u32) -> KeyColumn {
    KeyColumn {
        label: key.label.clone(),
        offset: offset as usize,
        size: size as usize,
        show: key.show(),
        order: key.order,
        number: key.int_type(),
    }
}

fn value_column(value: &Value) -> ValueColumn {
    ValueColumn {
        label: value.label.clone(),
        show: value.show(),
        hidden: value.hidden,
        fold: value.fold,
        number: value.int_type(),
    }
}
