//! The tracing files of the kernel, kept by this process: what is written to the `trigger` files of
//! events takes effect, and can be read there, in the `hist` files and in `error_log`.
//!
//! A command is parsed and resolved, then the [`registry`] says which [`Change`] it means, and a
//! [`Backend`] carries that out. If that fails, nothing has changed.

mod backend;
mod error;
mod live;
mod log;
pub mod registry;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

pub use backend::Backend;
pub use error::SessionError;
pub use live::{Live, LiveTrigger, since_boot};
pub use log::ErrorLog;

use bstr::BString;

use crate::diag::{Kind, Rejection, TriggerError};
use crate::kernel::Context;
use crate::kernel::EventName;
use crate::kernel::Needs;
use crate::kernel::format::EventFormat;
use crate::kernel::symbols::Symbols;
use crate::load;
use crate::parse;
use crate::parse::ast::{Control, Trigger};
use crate::print;
use crate::resolve;
use crate::resolve::hist::Hist;
use crate::resolve::matching::Identity;
use crate::snapshot::Snapshot;
use crate::snapshot::sort::{Ties, sort};
use crate::snapshot::stack::{self, Cut};
use registry::{Change, Registry, Request, TableId, TriggerEntry, TriggerId};

/// What a `trigger` file without triggers says; the kernel lists more commands.
const AVAILABLE_TRIGGERS: &str = "# Available triggers:\n# hist\n";

/// The time since boot, as the kernel's log of errors has it.
pub type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// The triggers of any number of events. Dropping it detaches all of them.
pub struct Session<B: Backend> {
    backend: B,
    registry: Registry,
    attached: BTreeMap<TriggerId, B::Attached>,
    /// Nothing counts yet: triggers are attached paused.
    held: bool,
    log: ErrorLog,
    clock: Clock,
    symbols: Arc<RwLock<Symbols>>,
    ties: Ties,
    stack_cut: Cut,
}

impl<B: Backend> Session<B> {
    /// A session without triggers.
    #[must_use]
    pub fn new(backend: B, clock: Clock) -> Self {
        Self {
            backend,
            registry: Registry::default(),
            attached: BTreeMap::new(),
            held: false,
            log: ErrorLog::default(),
            clock,
            symbols: Arc::default(),
            ties: Ties::default(),
            stack_cut: load::stack_cut(stack::DEPTH),
        }
    }

    /// The same session, which prints as another kernel than the reference does: with its order of
    /// entries that compare equal, and that many frames of a stack at most.
    #[must_use]
    pub fn printing_as(self, ties: Ties, stack_depth: usize) -> Self {
        Self { ties, stack_cut: load::stack_cut(stack_depth), ..self }
    }

    /// A session that counts nothing until it is [released](Self::release): the triggers of its
    /// first commands then begin to count together.
    #[must_use]
    pub fn held(backend: B, clock: Clock) -> Self {
        Self { held: true, ..Self::new(backend, clock) }
    }

    /// The same session, which has the names of addresses in common with others: a list of them takes
    /// megabytes, and a while to read.
    #[must_use]
    pub fn sharing(self, symbols: Arc<RwLock<Symbols>>) -> Self {
        Self { symbols, ..self }
    }

    /// Lets everything count that was held back and is not paused.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn release(&mut self) -> Result<(), SessionError> {
        self.held = false;
        let counting = self.registry.entries().iter().filter(|entry| !entry.paused);
        let counting: Vec<_> = counting.map(|entry| entry.id).collect();
        counting.into_iter().try_for_each(|id| self.set_paused(id, false))
    }

    /// Ends counting. What is read from then on does not change any more, and has all that was
    /// counted; it is shown as it was when it still changed.
    pub fn stop(&mut self) {
        self.backend.stop(self.attached.values());
    }

    /// What opening the event's `trigger` file with truncation does, before anything is written:
    /// removes all triggers of the event.
    pub fn open_truncate(&mut self, event: &EventName) {
        for change in self.registry.truncate(event) {
            if let Change::Detach(id) = change {
                self.detach(id);
            }
        }
    }

    /// Carries out one command, which is what a single write to the event's `trigger` file is.
    ///
    /// # Errors
    /// If the command is wrong or cannot be carried out; then nothing has changed but the log of
    /// errors.
    pub fn write(&mut self, event: &EventName, bytes: &[u8]) -> Result<(), SessionError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let result = self.command(event, bytes);
        if let Err(error) = &result {
            self.log.record((self.clock)(), event, bytes, error);
        }
        result
    }

    /// What reading the event's `trigger` file gives. Names and filters may hold any byte.
    #[must_use]
    pub fn read_trigger(&self, event: &EventName) -> BString {
        let entries = self.registry.of(event);
        let lines: Vec<u8> =
            entries.flat_map(|entry| [&entry.trigger_line()[..], b"\n"].concat()).collect();
        if lines.is_empty() { AVAILABLE_TRIGGERS.into() } else { lines.into() }
    }

    /// What reading the event's `hist` file gives: the tables of its triggers in the order of
    /// their creation. Names of tasks and other strings may hold any byte.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub fn read_hist(&self, event: &EventName) -> Result<Vec<u8>, SessionError> {
        let texts: Result<Vec<_>, _> =
            self.registry.of(event).map(|entry| self.print(entry)).collect();
        Ok(print::blocks(texts?))
    }

    /// What reading `error_log` gives. Commands may hold any byte.
    #[must_use]
    pub fn error_log(&self) -> BString {
        self.log.text()
    }

    /// What opening `error_log` with truncation does.
    pub fn clear_error_log(&mut self) {
        self.log.clear();
    }

    /// All triggers of all events, in the order of their creation.
    #[must_use]
    pub fn triggers(&self) -> &[TriggerEntry] {
        self.registry.entries()
    }

    /// What the backend has attached for a trigger.
    #[must_use]
    pub fn attached(&self, entry: &TriggerEntry) -> &B::Attached {
        &self.attached[&entry.id]
    }

    /// What the backend has attached, for all triggers.
    pub fn attached_mut(&mut self) -> impl Iterator<Item = &mut B::Attached> {
        self.attached.values_mut()
    }

    /// The names of addresses, as far as they have been asked for.
    pub fn symbols(&self) -> RwLockReadGuard<'_, Symbols> {
        // They are replaced as a whole, so a panic elsewhere leaves them whole.
        self.symbols.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a trigger has counted, in the order in which it is printed.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn snapshot(&self, entry: &TriggerEntry) -> Result<Snapshot, SessionError> {
        Ok(self.settled(entry, self.backend.snapshot(&self.attached[&entry.id])?))
    }

    /// The snapshot as it is printed.
    fn settled(&self, entry: &TriggerEntry, mut snapshot: Snapshot) -> Snapshot {
        snapshot.trigger = entry.trigger_line();
        self.symbols.write().unwrap_or_else(PoisonError::into_inner).refresh(snapshot.addresses());
        stack::settle(&mut snapshot, &self.symbols(), &self.stack_cut);
        self.sort(&mut snapshot);
        snapshot
    }

    /// Puts rows into the order in which they are printed, after their counts have changed.
    pub fn sort(&self, snapshot: &mut Snapshot) {
        sort(snapshot, self.ties);
    }

    /// Stops a trigger's counting, or lets it go on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_paused(&mut self, id: TriggerId, paused: bool) -> Result<(), SessionError> {
        let trigger = self.attached.get_mut(&id).expect("what the registry has is attached");
        let result = match paused {
            _ if self.held => Ok(()),
            true => self.backend.pause(trigger),
            false => self.backend.resume(trigger),
        };
        match result {
            Ok(()) => self.registry.set_paused(id, paused),
            Err(_) => self.see_paused(id),
        }
        result
    }

    /// Whatever has failed, what is shown is what the trigger does.
    fn see_paused(&mut self, id: TriggerId) {
        let paused = self.backend.is_paused(&self.attached[&id]);
        self.registry.set_paused(id, paused);
    }

    /// Empties a table.
    ///
    /// # Errors
    /// If the kernel refuses. A trigger that it does not attach again is paused.
    pub fn clear(&mut self, table: TableId) -> Result<(), SessionError> {
        let members: Vec<_> = self.registry.members(table).map(|entry| entry.id).collect();
        let Some(first) = members.first() else { return Ok(()) };
        let result = self.backend.clear(&self.attached[first]);
        if result.is_err() && !self.held {
            members.into_iter().for_each(|id| self.see_paused(id));
        }
        result
    }

    fn command(&mut self, event: &EventName, text: &[u8]) -> Result<(), SessionError> {
        let refused = |rejection: Rejection| SessionError::trigger(rejection, text);
        let trigger = parse::trigger(text).map_err(|error| refused(error.into()))?;
        let format = self.backend.event(event)?;
        let needs = Needs { symbols: trigger.names_functions(), types: false };
        let hist = resolve(&trigger, &format, &self.backend.context(needs)).map_err(refused)?;
        let identity = Identity::new(&hist, &format);
        let request = Request { event: event.clone(), trigger, identity };
        match self.registry.decide(&request).map_err(|error| refused(error.into()))? {
            Change::Nothing => Ok(()),
            Change::Attach { joins: None, paused } => self.attach(request, hist, None, paused),
            Change::Attach { joins: Some(table), paused } => {
                let joined = self.registry.joining(&request, table);
                let hist = resolve(&joined, &format, &self.backend.context(needs))
                    .map_err(|rejection| refused(unlike(&request, rejection.error).into()))?;
                self.attach(request, hist, Some(table), paused)
            }
            Change::Pause(id) => self.set_paused(id, true),
            Change::Resume(id) => self.set_paused(id, false),
            Change::Clear(table) => self.clear(table),
            Change::Detach(id) => {
                self.detach(id);
                Ok(())
            }
        }
    }

    fn attach(
        &mut self,
        request: Request,
        hist: Hist,
        joins: Option<TableId>,
        paused: bool,
    ) -> Result<(), SessionError> {
        let line = hist.line();
        let hist = Hist { paused: paused || self.held, ..hist };
        let member = joins.and_then(|table| self.registry.members(table).next());
        let member = member.map(|entry| &self.attached[&entry.id]);
        let attached = self.backend.attach(hist, member)?;
        let id = self.registry.attached(request, line, joins, paused);
        self.attached.insert(id, attached);
        Ok(())
    }

    fn detach(&mut self, id: TriggerId) {
        self.attached.remove(&id);
        self.registry.detached(id);
    }

    fn print(&self, entry: &TriggerEntry) -> Result<Vec<u8>, SessionError> {
        Ok(print::hist(&self.snapshot(entry)?, &self.symbols()))
    }
}

/// Binds the names of a command, whatever it does to an existing trigger.
fn resolve(
    trigger: &Trigger,
    event: &EventFormat,
    context: &Context<'_>,
) -> Result<Hist, Rejection> {
    let pause = trigger.control.clone().filter(|control| control.node == Control::Pause);
    resolve::hist(&Trigger { remove: false, control: pause, ..trigger.clone() }, event, context)
}

/// The error of a trigger that has the shape of the named table but cannot count into it: an
/// operand or a constant of the table's first trigger means nothing on this event.
fn unlike(request: &Request, error: TriggerError) -> TriggerError {
    let span = request.trigger.name.as_ref().map_or(error.span, |name| name.span);
    let mismatch = TriggerError::new(Kind::NamedMismatch, span);
    error.help.into_iter().fold(mismatch.help(error.kind.text()), TriggerError::help)
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
