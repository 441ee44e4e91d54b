//! Fields that a program reads in the event's record, as programs of type TRACEPOINT do.

use super::uses::{self, Use, What};
use super::{Access, AccessRow, AccessTable};
use crate::kernel::format::FieldFormat;
use crate::plan::PlanError;
use crate::plan::draft::Draft;
use crate::resolve::hist::{Hist, Room};

/// Bytes of the word that says where dynamic data are (`__data_loc`).
pub(crate) const LOCATION_SIZE: u32 = 4;
/// The first bytes of a record belong to the kernel: they hold a pointer when a program runs
/// (`tp_prog_is_valid_access()` in kernel/trace/bpf_trace.c).
const HIDDEN: u32 = 8;

/// Where a field lies in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the record's start, in bytes.
    pub offset: u32,
    /// What lies there.
    pub form: Form,
}

/// What lies at a field's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The field itself.
    Whole {
        /// In bytes.
        size: u32,
    },
    /// A word of four bytes that says where the field's data are in the record's
    /// variable part: their offset in the low 16 bits, their length in the high ones, both in bytes.
    Located {
        /// `__rel_loc`: the data's offset counts from the end of the word instead of the record's
        /// start.
        relative: bool,
    },
}

impl Place {
    /// That of a field.
    #[must_use]
    pub fn of(format: &FieldFormat) -> Self {
        let form = match format.has_location() {
            true => Form::Located { relative: format.is_relative() },
            false => Form::Whole { size: format.size },
        };
        Self { offset: format.offset, form }
    }
}

/// All fields that the draft's holes read, in the record.
pub(in crate::plan) fn table(draft: &Draft) -> AccessTable {
    let fields = uses::fields(&uses::of(draft));
    let rows = fields.into_iter().map(|field| {
        let format = draft.hist.field(field);
        AccessRow { field, name: format.name.clone(), access: Access::Record(Place::of(format)) }
    });
    rows.collect()
}

/// Every load must lie in the part of the record that a program may read: the kernel would refuse
/// the program only when it is attached. What a location word points to is known only when the event
/// fires; programs read it with care.
pub(in crate::plan) fn check(draft: &Draft) -> Result<(), PlanError> {
    uses::of(draft).iter().try_for_each(|one| check_use(one, &draft.hist))
}

fn check_use(one: &Use<'_>, hist: &Hist) -> Result<(), PlanError> {
    let size = match one.what {
        What::Number { size } if !matches!(size, 1 | 2 | 4 | 8) => {
            return Err(PlanError::FieldSize { label: one.label.to_owned(), size });
        }
        What::Number { size } | What::Text(Room::Array(size)) => size,
        What::Text(Room::Varying) | What::Cpus => LOCATION_SIZE,
        What::Address => 8,
    };
    let (offset, record_size) = (hist.field(one.field).offset, hist.record_size);
    let (start, end) = (u64::from(offset), u64::from(offset) + u64::from(size));
    if offset < HIDDEN || end > u64::from(record_size) {
        let label = one.label.to_owned();
        return Err(PlanError::OutsideRecord { label, start, end, record_size });
    }
    Ok(())
}
