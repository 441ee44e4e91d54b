//! Where a program finds each field that its trigger reads: an [`Access`] for each of them.
//!
//! Planning chooses a way of attaching and the table of accesses that comes with it; only then is
//! the rest of the plan made, and only that table is asked when code is generated
//! (`codegen/access`). Each variant of [`Access`] has a file here that makes its table, or says why
//! it cannot: [`record`] for programs whose context is the event's record, [`arguments`] for those
//! that see the tracepoint's arguments.
//!
//! Another source of fields is one more variant, one more file here, and one more beside
//! `codegen/record.rs`: `Register { .. }` in `registers.rs` for the arguments of kprobes and
//! uprobes, `Synthetic { slot }` in `synthetic.rs` for what a handler of another histogram passes on.

pub mod arguments;
pub mod record;
pub mod system_call;
pub(super) mod uses;

use arguments::Argument;
use record::Place;

use crate::kernel::format::FieldId;

/// How a program gets what an event has in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It lies in the event's record, which is the program's context.
    Record(Place),
    /// It is made of the tracepoint's arguments, which are the program's context: 8 bytes each.
    Argument(Argument),
}

impl Access {
    /// Getting it means following pointers, which only programs may do that know their types.
    #[must_use]
    pub fn follows_pointers(&self) -> bool {
        match self {
            Self::Record(_) => false,
            Self::Argument(argument) => argument.content.follows_pointers(),
        }
    }
}

/// The accesses to the fields that a program reads, in the order in which it first does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTable {
    rows: Vec<AccessRow>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    /// Which one.
    pub field: FieldId,
    /// Its name, for notes and listings.
    pub name: String,
    /// How it is read.
    pub access: Access,
}

impl AccessTable {
    /// How `field` is read; `None` if the trigger does not read it.
    #[must_use]
    pub fn get(&self, field: FieldId) -> Option<&Access> {
        self.row(field).map(|row| &row.access)
    }

    /// What `field` is made of, if that is arguments.
    #[must_use]
    pub fn argument(&self, field: FieldId) -> Option<&Argument> {
        match self.get(field)? {
            Access::Argument(argument) => Some(argument),
            Access::Record(_) => None,
        }
    }

    /// The name of `field`; `None` if the trigger does not read it.
    #[must_use]
    pub fn name(&self, field: FieldId) -> Option<&str> {
        self.row(field).map(|row| row.name.as_str())
    }

    /// All of it.
    #[must_use]
    pub fn rows(&self) -> &[AccessRow] {
        &self.rows
    }

    /// No field is read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn row(&self, field: FieldId) -> Option<&AccessRow> {
        self.rows.iter().find(|row| row.field == field)
    }
}

impl FromIterator<AccessRow> for AccessTable {
    fn from_iter<I: IntoIterator<Item = AccessRow>>(rows: I) -> Self {
        Self { rows: rows.into_iter().collect() }
    }
}
