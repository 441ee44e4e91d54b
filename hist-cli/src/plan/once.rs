//! Takes a plan. Gives what it uses more than once of what an event has one of: the time, the task,
//! numbers and strings that arguments lead to.
//!
//! The kernel reads those when it makes the record, so a trigger that counts by the time and sums
//! the time means the same time twice. A program that read them at each use could find another
//! clock, or what another CPU has written meanwhile. So what is used more than once is read once,
//! and kept at the top of the part of the stack that holes share. What is used once is read where
//! it is used, at no further cost.

use super::Plan;
use super::access::arguments::copy::{Copied, FieldCopy, Text};
use super::scan::COMM_SIZE;
use crate::resolve::hist::{Clock, Condition, KeySource, Source, TextField, TextSource};

/// The longest array that is kept, in bytes; a multiple of 8.
pub const ARRAY_MAX: u32 = 64;

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
    /// The number that arguments lead to for the field at that offset of the record, in bytes; as
    /// the field's own type has it.
    Field(u32),
    /// The task's name, in [`COMM_SIZE`] bytes.
    Comm,
    /// The array that arguments lead to for the field at that offset of the record.
    Array {
        /// Of the field, in bytes.
        offset: u32,
        /// Of the array, in bytes, at most [`ARRAY_MAX`].
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
    pub fn of_number(source: &Source, copies: &[FieldCopy]) -> Option<Self> {
        match source {
            Source::Timestamp { clock, usecs } => Some(Self::Time { clock: *clock, usecs: *usecs }),
            Source::Pid => Some(Self::Pid),
            Source::Cpu => Some(Self::Cpu),
            Source::Record(field) => Self::of_field(field.offset, copies),
            _ => None,
        }
    }

    /// What a number of the record is. The record itself does not change.
    #[must_use]
    pub fn of_field(offset: u32, copies: &[FieldCopy]) -> Option<Self> {
        match value(offset, copies)? {
            Copied::Number(number, _) => number.follows_pointers().then_some(Self::Field(offset)),
            Copied::Text(_) => None,
        }
    }

    /// What a string of the record is.
    #[must_use]
    pub fn of_text(offset: u32, copies: &[FieldCopy]) -> Option<Self> {
        match value(offset, copies)? {
            Copied::Text(Text::Comm) => Some(Self::Comm),
            Copied::Text(Text::Inside { size, .. }) if *size <= ARRAY_MAX => {
                Some(Self::Array { offset, size: *size })
            }
            _ => None,
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

    /// What to call it; `copies` have the fields' names.
    #[must_use]
    pub fn name(self, copies: &[FieldCopy]) -> &str {
        match self {
            Self::Time { .. } => "the time",
            Self::Pid => "the thread's number",
            Self::Cpu => "the CPU's number",
            Self::Comm => "the task's name",
            Self::Field(offset) | Self::Array { offset, .. } => {
                let copy = copies.iter().find(|copy| copy.offset == offset);
                copy.map_or("a field", |copy| &copy.field)
            }
        }
    }

    /// It cannot change while an event is counted: programs do not leave their CPU.
    const fn is_fixed(self) -> bool {
        matches!(self, Self::Pid | Self::Cpu)
    }
}

fn value(offset: u32, copies: &[FieldCopy]) -> Option<&Copied> {
    copies.iter().find(|copy| copy.offset == offset).map(|copy| &copy.value)
}

/// What `plan` uses more than once. Of what cannot change anyhow nothing if `room` is too small, in
/// bytes: reading it again is right, too.
pub(super) fn kept(plan: &Plan, room: u32) -> Vec<Kept> {
    let uses = Uses::of(plan);
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
    copies: &'a [FieldCopy],
    found: Vec<(Once, Place)>,
}

impl<'a> Uses<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut uses = Self { copies: &plan.copies, found: Vec::new() };
        match &plan.filter {
            Some(Condition::All(parts)) => {
                for (part, condition) in parts.iter().enumerate() {
                    uses.condition(condition, Place::Filter(part));
                }
            }
            Some(condition) => uses.condition(condition, Place::Filter(0)),
            None => {}
        }
        match &plan.index {
            Some(index) => uses.number(&index.source, Place::Key),
            None => plan.keys.iter().for_each(|slot| uses.key(&slot.source)),
        }
        // Of a value's two holes an event that is counted meets one.
        plan.values.iter().for_each(|slot| uses.number(&slot.source, Place::Key));
        if plan.comm.is_some() {
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
            KeySource::Text(TextField::Copied { offset, .. }) => {
                self.add(Once::of_text(*offset, self.copies), Place::Key);
            }
            KeySource::Comm => self.add(Some(Once::Comm), Place::Key),
            KeySource::Text(_) | KeySource::Stack => {}
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
            leaf => self.add(Once::of_number(leaf, self.copies), place),
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
                TextSource::Copied { offset, .. } => {
                    self.add(Once::of_text(offset, self.copies), place);
                }
                TextSource::Pointer { offset, .. } => {
                    self.add(Once::of_field(offset, self.copies), place);
                }
                TextSource::Static { .. } | TextSource::Dynamic(_) => {}
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
    use crate::plan::{PlanError, Template, Wishes};

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
            plan.once.iter().map(|kept| (kept.what.name(&[]), kept.place)).collect();
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
