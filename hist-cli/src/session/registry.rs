//! Decides what a command for an event does, given the triggers that are there, and keeps the list
//! of them. No I/O: it is told afterwards that a [`Change`] has succeeded.
//!
//! A trigger counts into a table. Triggers of the same name share one, whatever their events; it
//! lives until the last of them is gone, and stays what the first of them made it.

use bstr::{BStr, BString, ByteSlice as _};

use crate::diag::{Kind, Span, TriggerError};
use crate::kernel::EventName;
use crate::parse::ast::{Control, Trigger};
use crate::resolve::matching::Identity;
use crate::resolve::with_state;

/// A trigger on an event; never used again once that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(u64);

/// A table; never used again once it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(u64);

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The command succeeds without effect.
    Nothing,
    /// A new trigger begins to count.
    Attach {
        /// The table that it counts into; a new one if absent.
        joins: Option<TableId>,
        /// It does not count until it is told to continue.
        paused: bool,
    },
    /// A trigger stops counting and stays.
    Pause(TriggerId),
    /// A paused trigger counts again.
    Resume(TriggerId),
    /// A table loses all that has been counted.
    Clear(TableId),
    /// A trigger goes.
    Detach(TriggerId),
}

/// A command that has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose `trigger` file it was written to.
    pub event: EventName,
    /// The command.
    pub trigger: Trigger,
    /// What it is known by.
    pub identity: Identity,
}

/// A trigger that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerEntry {
    /// Which one.
    pub id: TriggerId,
    /// On which event.
    pub event: EventName,
    /// What it counts into.
    pub table: TableId,
    /// The canonical trigger line, without the state in brackets.
    pub line: BString,
    /// It counts nothing at present.
    pub paused: bool,
    filter: Option<BString>,
}

impl TriggerEntry {
    /// The line in a `trigger` file, without newline, and in the header of a histogram.
    #[must_use]
    pub fn trigger_line(&self) -> BString {
        with_state(self.line.clone(), self.paused)
    }
}

/// A table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TableEntry {
    id: TableId,
    /// The request that made it.
    owner: Request,
}

impl TableEntry {
    fn name(&self) -> Option<&BStr> {
        name(&self.owner)
    }
}

/// All triggers of all events, in the order of their creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    entries: Vec<TriggerEntry>,
    tables: Vec<TableEntry>,
    /// For the next trigger or table.
    next_id: u64,
}

impl Registry {
    /// The triggers of all events.
    #[must_use]
    pub fn entries(&self) -> &[TriggerEntry] {
        &self.entries
    }

    /// The triggers of an event.
    pub fn of(&self, event: &EventName) -> impl Iterator<Item = &TriggerEntry> {
        self.entries.iter().filter(move |entry| entry.event == *event)
    }

    /// The triggers that count into a table.
    pub fn members(&self, table: TableId) -> impl Iterator<Item = &TriggerEntry> {
        self.entries.iter().filter(move |entry| entry.table == table)
    }

    /// What opening the event's `trigger` file with truncation does, before anything is written.
    #[must_use]
    pub fn truncate(&self, event: &EventName) -> Vec<Change> {
        self.of(event).map(|entry| Change::Detach(entry.id)).collect()
    }

    /// What a command does.
    ///
    /// # Errors
    /// If there is such a trigger already, there is none to continue or clear, or the table of
    /// that name is another.
    pub fn decide(&self, request: &Request) -> Result<Change, TriggerError> {
        let existing = self.matching(request);
        if request.trigger.remove {
            return Ok(existing.map_or(Change::Nothing, |entry| Change::Detach(entry.id)));
        }
        let joins = self.joined(request)?;
        match (control(request), existing) {
            (Some(control), Some(entry)) => Ok(apply_control(control, entry)),
            (None, Some(_)) => Err(error(Kind::TriggerExists, request)
                .help("triggers on one event must differ in keys, values, sort or filter")),
            (Some(Control::PauseExisting | Control::Continue | Control::Clear), None) => {
                Err(error(Kind::TriggerNotFound, request)
                    .help("repeat the trigger as it was added, filter included"))
            }
            (control, None) => Ok(Change::Attach { joins, paused: control.is_some() }),
        }
    }

    /// The trigger that counts into `table` for `request`: all that makes the table is its first
    /// trigger's, only filter and state are the request's own.
    #[must_use]
    pub fn joining(&self, request: &Request, table: TableId) -> Trigger {
        let own = request.trigger.clone();
        match self.tables.iter().find(|other| other.id == table) {
            Some(TableEntry { owner, .. }) => {
                Trigger { filter: own.filter, control: own.control, ..owner.trigger.clone() }
            }
            None => own,
        }
    }

    /// Notes that `request` has been attached; `line` is its canonical trigger line.
    pub fn attached(
        &mut self,
        request: Request,
        line: BString,
        joins: Option<TableId>,
        paused: bool,
    ) -> TriggerId {
        let (id, event) = (TriggerId(self.fresh_id()), request.event.clone());
        let filter = request.identity.filter.clone();
        let table = joins.unwrap_or_else(|| self.add_table(request));
        self.entries.push(TriggerEntry { id, event, table, line, paused, filter });
        id
    }

    /// Notes that a trigger has been paused or resumed.
    pub fn set_paused(&mut self, id: TriggerId, paused: bool) {
        for entry in self.entries.iter_mut().filter(|entry| entry.id == id) {
            entry.paused = paused;
        }
    }

    /// Notes that a trigger is gone, and its table if it was the last one.
    pub fn detached(&mut self, id: TriggerId) {
        let Self { entries, tables, .. } = self;
        entries.retain(|entry| entry.id != id);
        tables.retain(|table| entries.iter().any(|entry| entry.table == table.id));
    }

    fn add_table(&mut self, owner: Request) -> TableId {
        let id = TableId(self.fresh_id());
        self.tables.push(TableEntry { id, owner });
        id
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The table of that name.
    fn named(&self, name: &BStr) -> Option<&TableEntry> {
        self.tables.iter().find(|table| table.name() == Some(name))
    }

    /// The existing trigger that the request means: same event, name, shape and filter. The table
    /// is what is compared, as all that counts into it is printed as its first trigger is.
    fn matching(&self, request: &Request) -> Option<&TriggerEntry> {
        let is_same = |table: &TableEntry| {
            table.name() == name(request) && table.owner.identity.shape == request.identity.shape
        };
        self.of(&request.event).find(|entry| {
            entry.filter == request.identity.filter
                && self.tables.iter().any(|table| table.id == entry.table && is_same(table))
        })
    }

    /// The table that a new trigger of that name counts into.
    fn joined(&self, request: &Request) -> Result<Option<TableId>, TriggerError> {
        let Some(table) = name(request).and_then(|name| self.named(name)) else { return Ok(None) };
        if table.owner.identity.shape == request.identity.shape {
            return Ok(Some(table.id));
        }
        Err(error(Kind::NamedMismatch, request)
            .help(format!("the table was made by `{}`", table.owner.trigger.text)))
    }
}

fn name(request: &Request) -> Option<&BStr> {
    request.trigger.name.as_ref().map(|name| name.node.as_bstr())
}

fn control(request: &Request) -> Option<Control> {
    request.trigger.control.as_ref().map(|control| control.node)
}

fn apply_control(control: Control, entry: &TriggerEntry) -> Change {
    match control {
        Control::Pause | Control::PauseExisting if !entry.paused => Change::Pause(entry.id),
        Control::Continue if entry.paused => Change::Resume(entry.id),
        Control::Pause | Control::PauseExisting | Control::Continue => Change::Nothing,
        Control::Clear => Change::Clear(entry.table),
    }
}

/// An error about the name if it is about one, else about the whole command.
fn error(kind: Kind, request: &Request) -> TriggerError {
    let whole = Span::new(0, request.trigger.text.len());
    let name = request.trigger.name.as_ref().filter(|_| kind == Kind::NamedMismatch);
    TriggerError::new(kind, name.map_or(whole, |name| name.span))
}
