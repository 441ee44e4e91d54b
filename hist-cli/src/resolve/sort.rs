//! Binds an item of `sort=` to one of the trigger's keys and values.

use bstr::ByteSlice as _;

use super::hist::{Key, Sort, SortBy, Value};
use crate::diag::{Kind, TriggerError, nearest};
use crate::parse::ast::SortKey;

/// Values come before keys: `keys=a:vals=a:sort=a` sorts by the sum.
pub(super) fn sort_key(
    item: &SortKey,
    keys: &[Key],
    values: &[Value],
) -> Result<Sort, TriggerError> {
    let name = &*item.name.node.to_str_lossy();
    let by = if name == "hitcount" {
        Some(SortBy::Hitcount)
    } else {
        let value = values.iter().position(|value| value.label == name).map(SortBy::Value);
        value.or_else(|| keys.iter().position(|key| key.label == name).map(SortBy::Key))
    };
    match by {
        Some(by) => Ok(Sort { by, descending: item.descending.clone()? }),
        None => Err(unknown(item, keys, values)),
    }
}

fn unknown(item: &SortKey, keys: &[Key], values: &[Value]) -> TriggerError {
    let mut names = vec!["hitcount"];
    names.extend(values.iter().map(|value| value.label.as_str()));
    names.extend(keys.iter().map(|key| key.label.as_str()));
    let error = TriggerError::new(Kind::InvalidSortField, item.name.span)
        .help(format!("this trigger can be sorted by {}", names.join(", ")));
    match nearest(&item.name.node.to_str_lossy(), names.iter().copied()) {
        Some(name) => error.help(format!("did you mean `{name}`?")),
        None => error,
    }
}
