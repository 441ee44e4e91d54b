//! The snapshot of a histogram that has counted nothing: how its rows will be divided, shown and
//! ordered.

use crate::plan::Plan;
use crate::resolve::hist::{Key, KeyModifier, KeySource, Value, ValueModifier};
use crate::snapshot::{KeyColumn, KeyShow, Losses, Snapshot, ValueColumn, ValueShow};

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
        show: key_show(key),
        order: key.order,
        number: key.int_type(),
    }
}

/// The first that applies, in the kernel's order: modifiers before types.
fn key_show(key: &Key) -> KeyShow {
    match (key.modifier, &key.source) {
        (KeyModifier::Hex, _) => KeyShow::Hex,
        (KeyModifier::Sym, _) => KeyShow::Sym,
        (KeyModifier::SymOffset, _) => KeyShow::SymOffset,
        (KeyModifier::Execname, _) => KeyShow::Execname,
        (KeyModifier::Syscall, _) => KeyShow::Syscall,
        (KeyModifier::Log2, _) => KeyShow::Log2,
        (KeyModifier::Buckets(width), _) => KeyShow::Buckets(width),
        (KeyModifier::None | KeyModifier::Usecs, KeySource::Number(_)) => KeyShow::Decimal,
        (KeyModifier::None | KeyModifier::Usecs, KeySource::Stack) => KeyShow::Stack,
        (KeyModifier::None | KeyModifier::Usecs, KeySource::Text(_) | KeySource::Comm) => {
            KeyShow::Text
        }
    }
}

fn value_column(value: &Value) -> ValueColumn {
    ValueColumn {
        label: value.label.clone(),
        show: match value.modifier {
            ValueModifier::None | ValueModifier::Usecs | ValueModifier::Execname => {
                ValueShow::Decimal
            }
            ValueModifier::Hex => ValueShow::Hex,
            ValueModifier::Percent => ValueShow::Percent,
            ValueModifier::Graph => ValueShow::Graph,
        },
        hidden: value.hidden,
        fold: value.fold,
        number: value.int_type(),
    }
}
