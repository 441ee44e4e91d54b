//! The fields that a trigger's holes read, use by use.

use crate::kernel::format::FieldId;
use crate::plan::draft::Draft;
use crate::resolve::hist::{Condition, KeySource, Room, Source, TextSource};

/// One place where a field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use<'a> {
    pub(super) field: FieldId,
    /// The key, value or predicate, for messages.
    pub(super) label: &'a str,
    pub(super) what: What,
}

/// What a field is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A number.
    Number {
        /// The bytes that are looked at.
        size: u32,
    },
    /// A string.
    Text(Room),
    /// The address of a string.
    Address,
    /// A set of CPUs.
    Cpus,
}

/// All uses in the draft's keys, values and filter, in this order.
pub(super) fn of(draft: &Draft) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    draft.keys.iter().for_each(|slot| key(&mut uses, &slot.label, &slot.source));
    draft.values.iter().for_each(|slot| number(&mut uses, &slot.label, &slot.source));
    draft.filter.iter().for_each(|filter| condition(&mut uses, filter));
    uses
}

/// The fields of `uses`, each once.
pub(super) fn fields(uses: &[Use<'_>]) -> Vec<FieldId> {
    let mut fields = Vec::new();
    for one in uses {
        if !fields.contains(&one.field) {
            fields.push(one.field);
        }
    }
    fields
}

fn key<'a>(uses: &mut Vec<Use<'a>>, label: &'a str, source: &KeySource) {
    match source {
        KeySource::Number(source) => number(uses, label, source),
        KeySource::Text(text) => {
            uses.push(Use { field: text.field, label, what: What::Text(text.room) });
        }
        KeySource::Comm | KeySource::Stack => {}
    }
}

fn number<'a>(uses: &mut Vec<Use<'a>>, label: &'a str, source: &Source) {
    match source {
        Source::Field(part) => {
            uses.push(Use { field: part.field, label, what: What::Number { size: part.size } });
        }
        Source::Bucket(_, inner) | Source::Negate(inner) => {
            number(uses, label, inner);
        }
        Source::Binary(_, lhs, rhs) => {
            number(uses, label, lhs);
            number(uses, label, rhs);
        }
        Source::Pid | Source::Cpu | Source::Timestamp { .. } | Source::Constant(_) => {}
    }
}

fn condition<'a>(uses: &mut Vec<Use<'a>>, tree: &'a Condition) {
    match tree {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter().for_each(|part| condition(uses, part));
        }
        Condition::Not(inner) => condition(uses, inner),
        Condition::Compare(compare) => number(uses, &compare.label, &compare.source),
        Condition::Within(within) => number(uses, &within.label, &within.source),
        Condition::Text(test) => {
            let (field, what) = match test.source {
                TextSource::Field(text) => (text.field, What::Text(text.room)),
                TextSource::Pointer { field, .. } => (field, What::Address),
                TextSource::Comm => return,
            };
            uses.push(Use { field, label: &test.label, what });
        }
        Condition::Cpumask(test) => {
            uses.push(Use { field: test.field, label: &test.label, what: What::Cpus });
        }
        Condition::Always(_) => {}
    }
}
