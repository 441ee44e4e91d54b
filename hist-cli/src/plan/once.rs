//! What a trigger uses more than once of what an event has one of: the time, the task, numbers and
//! strings that arguments lead to.
//!
//! The kernel reads those when it makes the record, so a trigger that counts by the time and sums
//! the time means the same time twice. A program that read them at each use could find another
//! clock, or what another CPU has written meanwhile. So what is used more than once is read once,
//! and kept at the top of the part of the stack that holes share. What is used once is read where
//! it is used, at no further cost.

use hist_common::layout::KEY_ROOM;

use super::access::AccessTable;
use super::access::arguments::value::{Content, Text};
use super::draft::Draft;
use super::{PlanError, Template};
use crate::kernel::format::FieldId;
use crate::resolve::hist::{COMM_SIZE, Clock, Condition, KeySource, Source, TextSource};

/// Something that an event has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// The time.
    Time {
        /// Of which clock.
        clock: Clock,
        /// In microseconds.
        usecs: bool,
    },
    /// The thread's number.
    Pid,
    /// The CPU's number.
    Cpu,
    /// The number that arguments lead to for that field; as the field's own type has it.
    Field(FieldId),
    /// The task's name, in [`COMM_SIZE`] bytes.
    Comm,
    /// The array that arguments lead to for that field.
    Array {
        /// Which one.
        field: FieldId,
        /// Of the array, in bytes, at most
        /// [`ARRAY_MAX`](super::access::arguments::value::ARRAY_MAX).
        size: u32,
    },
}

/// Where the code is that reads it: ahead of all uses, and on the way to each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Ahead of that part of the filter, which is a conjunction; of all of it if it is none.
    Filter(usize),
    /// Ahead of the key.
    Key,
}

/// What is used more than once, and where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub what: Once,
    /// Where it is read.
    pub place: Place,
    /// How far below the frame's top it begins, in bytes: a multiple of 8.
    pub below: u32,
}

impl Kept {
    /// Its offset from r10.
    #[must_use]
    pub fn slot(&self) -> i16 {
        -i16::try_from(self.below).unwrap_or(i16::MAX)
    }
}

impl Once {
    /// What `source` is; `None` if it is the same however often it is read.
    #[must_use]
    pub fn of_number(source: &Source, access: &AccessTable) -> Option<Self> {
        match source {
            Source::Timestamp { clock, usecs } => Some(Self::Time { clock: *clock, usecs: *usecs }),
            Source::Pid => Some(Self::Pid),
            Source::Cpu => Some(Self::Cpu),
            Source::Field(number) => Self::of_field(number.field, access),
            _ => None,
        }
    }

    /// What a field that is a number is. A record does not change.
    #[must_use]
    pub fn of_field(field: FieldId, access: &AccessTable) -> Option<Self> {
        match &access.argument(field)?.content {
            Content::Number(number, _) => number.follows_pointers().then_some(Self::Field(field)),
            Content::Text(_) => None,
        }
    }

    /// What a field that is a string is.
    #[must_use]
    pub fn of_text(field: FieldId, access: &AccessTable) -> Option<Self> {
        match &access.argument(field)?.content {
            Content::Text(Text::Comm) => Some(Self::Comm),
            Content::Text(text) => text.kept_size().map(|size| Self::Array { field, size }),
            Content::Number(..) => None,
        }
    }

    /// Bytes that it takes: a multiple of 8.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Time { .. } | Self::Pid | Self::Cpu | Self::Field(_) => 8,
            Self::Comm => COMM_SIZE,
            Self::Array { size, .. } => size.next_multiple_of(8),
        }
    }

    /// What to call it; `access` has the fields' names.
    #[must_use]
    pub fn name(self, access: &AccessTable) -> &str {
        match self {
            Self::Time { .. } => "the time",
            Self::Pid => "the thread's number",
            Self::Cpu => "the CPU's number",
            Self::Comm => "the task's name",
            Self::Field(field) | Self::Array { field, .. } => {
                access.name(field).unwrap_or("a field")
            }
        }
    }

    /// It cannot change while an event is counted: programs do not leave their CPU.
    const fn is_fixed(self) -> bool {
        matches!(self, Self::Pid | Self::Cpu)
    }
}

/// Gives what is used more than once its place on the stack, which is the key's room in `template`: a
/// key that leaves too little of it goes into a map.
pub(super) fn keep(
    draft: &Draft,
    template: Template,
    access: &AccessTable,
) -> Result<(Template, Vec<Kept>), PlanError> {
    let key_size = match template {
        Template::Hist | Template::HistLog | Template::HistSpill => draft.map.key_size,
        Template::HistLarge | Template::HistArray | Template::HistLargeSpill => 0,
    };
    let room = u32::try_from(KEY_ROOM).unwrap_or(u32::MAX).saturating_sub(key_size);
    let once = kept(draft, access, room);
    match (bytes(&once) > room, template) {
        (true, Template::HistLog) => Err(PlanError::NoLog { size: key_size }),
        (true, Template::Hist) => Ok((Template::HistLarge, once)),
        _ => Ok((template, once)),
    }
}

/// What is used more than once. Of what cannot change anyhow nothing if `room` is too small, in
/// bytes: reading it again is right, too.
fn kept(draft: &Draft, access: &AccessTable, room: u32) -> Vec<Kept> {
    let uses = Uses::of(draft, access);
    let all = uses.repeated(|_| true);
    match bytes(&all) <= room {
        true => all,
        false => uses.repeated(|what| !what.is_fixed()),
    }
}

/// Bytes of stack that `kept` takes.
#[must_use]
pub fn bytes(kept: &[Kept]) -> u32 {
    kept.iter().map(|kept| kept.below).max().unwrap_or(0)
}

/// Each use, in the order in which an event meets them.
struct Uses<'a> {
    access: &'a AccessTable,
    found: Vec<(Once, Place)>,
}

impl<'a> Uses<'a> {
    fn of(draft: &Draft, access: &'a AccessTable) -> Self {
        let mut uses = Self { access, found: Vec::new() };
        match &draft.filter {
            Some(Condition::All(parts)) => {
                for (part, condition) in parts.iter().enumerate() {
                    uses.condition(condition, Place::Filter(part));
                }
            }
            Some(condition) => uses.condition(condition, Place::Filter(0)),
            None => {}
        }
        match &draft.index {
            Some(index) => uses.number(&index.source, Place::Key),
            None => draft.keys.iter().for_each(|slot| uses.key(&slot.source)),
        }
        // Of a value's two holes an event that is counted meets one.
        draft.values.iter().for_each(|slot| uses.number(&slot.source, Place::Key));
        if draft.comm.is_some() {
            uses.add(Some(Once::Comm), Place::Key);
        }
        uses
    }

    /// What is found at least twice and is wanted, with its first place.
    fn repeated(&self, is_wanted: impl Fn(Once) -> bool) -> Vec<Kept> {
        let mut kept: Vec<Kept> = Vec::new();
        for (at, (what, place)) in self.found.iter().enumerate() {
            let is_first = self.found[..at].iter().all(|(other, _)| other != what);
            let is_again = self.found[at + 1..].iter().any(|(other, _)| other == what);
            if is_first && is_again && is_wanted(*what) {
                let below = bytes(&kept) + what.size();
                kept.push(Kept { what: *what, place: *place, below });
            }
        }
        kept
    }

    fn add(&mut self, what: Option<Once>, place: Place) {
        self.found.extend(what.map(|what| (what, place)));
    }

    fn key(&mut self, source: &KeySource) {
        match source {
            KeySource::Number(source) => self.number(source, Place::Key),
            KeySource::Text(text) => self.add(Once::of_text(text.field, self.access), Place::Key),
            KeySource::Comm => self.add(Some(Once::Comm), Place::Key),
            KeySource::Stack => {}
        }
    }

    fn number(&mut self, source: &Source, place: Place) {
        match source {
            Source::Bucket(_, inner) | Source::Negate(inner) => {
                self.number(inner, place);
            }
            Source::Binary(_, lhs, rhs) => {
                self.number(lhs, place);
                self.number(rhs, place);
            }
            leaf => self.add(Once::of_number(leaf, self.access), place),
        }
    }

    fn condition(&mut self, condition: &Condition, place: Place) {
        match condition {
            Condition::Any(parts) | Condition::All(parts) => {
                parts.iter().for_each(|part| self.condition(part, place));
            }
            Condition::Not(inner) => self.condition(inner, place),
            Condition::Compare(compare) => self.number(&compare.source, place),
            Condition::Within(within) => self.number(&within.source, place),
            Condition::Text(test) => match test.source {
                TextSource::Comm => self.add(Some(Once::Comm), place),
                TextSource::Field(text) => self.add(Once::of_text(text.field, self.access), place),
                TextSource::Pointer { field, .. } => {
                    self.add(Once::of_field(field, self.access), place);
                }
            },
            Condition::Cpumask(_) | Condition::Always(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Context;
    use crate::kernel::format;
    use crate::pipeline;
    use crate::pipeline::CompileError;
    use crate::plan::{Plan, PlanError, Template, Wishes};

    fn plan(text: &str, wishes: Wishes) -> Result<Plan, CompileError> {
        let event =
            include_str!("../../../tests/golden/formats/events/raw_syscalls/sys_enter/format");
        let event = format::parse("raw_syscalls", event).unwrap();
        pipeline::plan(text, &event, &Context::default(), wishes)
    }

    #[track_caller]
    fn check(text: &str, expect: &[(&str, Place)]) {
        let plan = plan(text, Wishes::default()).unwrap();
        let found: Vec<_> =
            plan.once.iter().map(|kept| (kept.what.name(&plan.access), kept.place)).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn what_is_used_once_is_not_kept() {
        check("hist:keys=id", &[]);
        check("hist:keys=common_pid.execname,common_timestamp:vals=common_cpu,id if id > 0", &[]);
        // A value that is a key, too, is not added up.
        check("hist:keys=common_timestamp:vals=common_timestamp", &[]);
        check("hist:keys=id:vals=id if id == 5", &[]);
    }

    #[test]
    fn what_is_used_again_is_read_ahead_of_all_uses() {
        let (time, thread, cpu) = ("the time", "the thread's number", "the CPU's number");
        let name = "the task's name";
        check("hist:keys=common_timestamp:vals=common_timestamp+1", &[(time, Place::Key)]);
        check("hist:keys=common_timestamp-common_timestamp", &[(time, Place::Key)]);
        let text = "hist:keys=common_pid if id == 1 && common_pid == 2 && cpu == 0";
        check(text, &[(thread, Place::Filter(1))]);
        // Of alternatives the first may be all that is met.
        let text = "hist:keys=common_pid if id == 1 || common_pid == 2";
        check(text, &[(thread, Place::Filter(0))]);
        let text = "hist:keys=common_pid.execname,cpu:vals=common_cpu/2 if comm != \"a\"";
        check(text, &[(name, Place::Filter(0)), (cpu, Place::Key)]);
        check("hist:keys=cpu:vals=common_cpu*2:size=128", &[(cpu, Place::Key)]);
    }

    #[test]
    fn places_do_not_overlap() {
        let text = "hist:keys=common_pid.execname,cpu,common_timestamp:vals=common_cpu/2,\
                    common_timestamp*2 if comm != \"a\" && common_pid > 1";
        let plan = plan(text, Wishes::default()).unwrap();
        let mut end = 0;
        for kept in &plan.once {
            assert_eq!(kept.below, end + kept.what.size(), "{kept:?}");
            end = kept.below;
        }
        assert_eq!((plan.once.len(), bytes(&plan.once)), (4, 40));
    }

    #[test]
    fn a_key_that_leaves_no_room_goes_into_a_map() {
        let full = "hist:keys=common_stacktrace,";
        let fixed = plan(&format!("{full}common_pid if common_pid > 1"), Wishes::default());
        let fixed = fixed.unwrap();
        assert_eq!((fixed.template, &fixed.once[..]), (Template::Hist, &[][..]), "it is fixed");
        let times = format!("{full}common_timestamp:vals=common_timestamp*2");
        let large = plan(&times, Wishes::default()).unwrap();
        assert_eq!((large.template, large.once.len()), (Template::HistLarge, 1));
        let logged = plan(&times, Wishes { log: true, ..Wishes::default() });
        assert!(matches!(logged, Err(CompileError::Plan(PlanError::NoLog { size: 280 }))));
    }
}
