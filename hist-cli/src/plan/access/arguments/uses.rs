//! Takes what a plan's holes read. Gives the fields of the record among it, and what reads them
//! once there is no record.

use super::copy::{Copied, FieldCopy, Text};
use crate::plan::scan::{COMM_SIZE, limit};
use crate::plan::{KeySlot, ValueSlot};
use crate::resolve::hist::{Condition, KeySource, Source, TextField, TextSource};

/// Parts of a record that are read: offsets in bytes from its start, each once, in order of use.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Fields that are read as such.
    pub(super) offsets: Vec<u32>,
    /// Those that are strings, at each use.
    texts: Vec<u32>,
    /// A set of CPUs is read, which is no copy of one thing.
    pub(super) cpumask: Option<String>,
}

impl Uses {
    pub(super) fn of(keys: &[KeySlot], values: &[ValueSlot], filter: Option<&Condition>) -> Self {
        let mut uses = Self::default();
        keys.iter().for_each(|slot| uses.key(&slot.source));
        values.iter().for_each(|slot| uses.source(&slot.source));
        filter.into_iter().for_each(|filter| uses.condition(filter));
        uses
    }

    /// The string at `offset` is used more than once.
    pub(super) fn repeats_text(&self, offset: u32) -> bool {
        self.texts.iter().filter(|text| **text == offset).count() > 1
    }

    fn text(&mut self, offset: u32) {
        self.texts.push(offset);
        self.add(offset);
    }

    fn add(&mut self, offset: u32) {
        if !self.offsets.contains(&offset) {
            self.offsets.push(offset);
        }
    }

    fn key(&mut self, source: &KeySource) {
        match source {
            KeySource::Number(source) => self.source(source),
            KeySource::Text(text) => self.text(text_offset(*text)),
            KeySource::Comm | KeySource::Stack => {}
        }
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Record(field) => self.add(field.offset),
            Source::Bucket(_, inner) | Source::Negate(inner) => {
                self.source(inner);
            }
            Source::Binary(_, lhs, rhs) => {
                self.source(lhs);
                self.source(rhs);
            }
            Source::Pid | Source::Cpu | Source::Timestamp { .. } | Source::Constant(_) => {}
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Any(parts) | Condition::All(parts) => {
                parts.iter().for_each(|part| self.condition(part));
            }
            Condition::Not(inner) => self.condition(inner),
            Condition::Compare(compare) => self.source(&compare.source),
            Condition::Within(within) => self.source(&within.source),
            Condition::Text(test) => match test.source {
                TextSource::Static { offset, .. } | TextSource::Copied { offset, .. } => {
                    self.text(offset);
                }
                TextSource::Dynamic(location) => self.text(location.offset),
                TextSource::Pointer { offset, .. } => self.add(offset),
                TextSource::Comm => {}
            },
            Condition::Cpumask(test) => self.cpumask = Some(test.label.clone()),
            Condition::Always(_) => {}
        }
    }
}

const fn text_offset(text: TextField) -> u32 {
    match text {
        TextField::Static { offset, .. }
        | TextField::Dynamic { offset }
        | TextField::Relative { offset }
        | TextField::Copied { offset, .. } => offset,
    }
}

/// A key's string is a copy from now on.
pub(super) const fn copied_key(text: TextField) -> TextField {
    let size = match text {
        TextField::Static { size, .. } => Some(size),
        _ => None,
    };
    TextField::Copied { offset: text_offset(text), size }
}

/// So are a filter's strings.
pub(super) fn copied_texts(condition: &mut Condition, copies: &[FieldCopy]) {
    match condition {
        Condition::Any(parts) | Condition::All(parts) => {
            parts.iter_mut().for_each(|part| copied_texts(part, copies));
        }
        Condition::Not(inner) => copied_texts(inner, copies),
        Condition::Text(test) => {
            let offset = match test.source {
                TextSource::Static { offset, .. } => offset,
                TextSource::Dynamic(location) => location.offset,
                _ => return,
            };
            let copy = copies.iter().find(|copy| copy.offset == offset);
            let limit = match copy.map(|copy| &copy.value) {
                Some(Copied::Text(Text::Inside { size, .. })) => *size,
                Some(Copied::Text(Text::Comm)) => COMM_SIZE,
                _ => limit(test.source),
            };
            test.source = TextSource::Copied { offset, limit };
        }
        _ => {}
    }
}
