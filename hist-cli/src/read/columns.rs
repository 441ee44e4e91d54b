//! Takes a plan. Gives the snapshot of a histogram that has counted nothing: how its rows will be
//! divided, shown and ordered.

use super::snapshot::{KeyColumn, KeyOrder, KeyShow, Losses, Snapshot, ValueColumn, ValueShow};
use crate::plan::Plan;
use crate::resolve::hist::{Key, KeyModifier, Value, ValueModifier};

/// A snapshot without rows.
#[must_use]
pub fn empty(plan: &Plan, paused: bool) -> Snapshot {
    let slots = plan.hist.keys.iter().zip(&plan.keys);
    Snapshot {
        trigger: plan.hist.trigger_line(paused),
        keys: slots.map(|(key, slot)| key_column(key, slot.offset, slot.size)).collect(),
        values: plan.hist.values.iter().map(value_column).collect(),
        show_hitcount: true,
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
        show: match key.modifier {
            KeyModifier::None => KeyShow::Decimal,
            KeyModifier::Hex => KeyShow::Hex,
            KeyModifier::Sym => KeyShow::Sym,
            KeyModifier::SymOffset => KeyShow::SymOffset,
            KeyModifier::Log2 => KeyShow::Log2,
            KeyModifier::Buckets(width) => KeyShow::Buckets(width),
        },
        order: if key.signed { KeyOrder::Signed(key.width) } else { KeyOrder::Unsigned(key.width) },
    }
}

fn value_column(value: &Value) -> ValueColumn {
    ValueColumn {
        label: value.label.clone(),
        show: match value.modifier {
            ValueModifier::None => ValueShow::Decimal,
            ValueModifier::Hex => ValueShow::Hex,
        },
    }
}
