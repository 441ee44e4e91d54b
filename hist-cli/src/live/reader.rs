//! Takes a session. Gives [`Sheet`]s of all its triggers, each with what has come since the last
//! time, after the changes that are wanted.

use std::collections::HashMap;
use std::time::Instant;

use super::sheet::Sheet;
use super::text::Charset;
use crate::session::registry::{TableId, TriggerEntry, TriggerId};
use crate::session::{Backend, Session, SessionError};
use crate::snapshot::{Losses, Snapshot};

/// Reads, and keeps what was read last.
pub struct Reader {
    charset: Charset,
    before: HashMap<TriggerId, (Instant, Snapshot)>,
}

/// What is done before reading; triggers go by their place in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The trigger counts no more, or again.
    Pause(usize, bool),
    /// Its table is empty.
    Clear(usize),
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// One for each trigger.
    pub sheets: Vec<Sheet>,
    /// What became of the last change.
    pub notice: Option<String>,
}

impl Reader {
    /// A reader that has read nothing.
    #[must_use]
    pub fn new(charset: Charset) -> Self {
        Self { charset, before: HashMap::new() }
    }

    /// Makes the changes and reads. A change that fails is told in the notice.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub fn read<B: Backend>(
        &mut self,
        session: &mut Session<B>,
        changes: &[Change],
    ) -> Result<Reading, SessionError> {
        let notices = changes.iter().filter_map(|change| self.apply(session, *change));
        let notice = notices.last();
        Ok(Reading { sheets: self.sheets(session)?, notice })
    }

    pub(crate) fn sheets<B: Backend>(
        &mut self,
        session: &Session<B>,
    ) -> Result<Vec<Sheet>, SessionError> {
        session.triggers().iter().map(|entry| self.sheet(session, entry)).collect()
    }

    fn sheet<B: Backend>(
        &mut self,
        session: &Session<B>,
        entry: &TriggerEntry,
    ) -> Result<Sheet, SessionError> {
        let now = Instant::now();
        let snapshot = session.snapshot(entry)?;
        let before = self.before.get(&entry.id);
        let before = before.map(|(time, snapshot)| (snapshot, now.duration_since(*time)));
        let (event, names) = (entry.event.to_string(), session.symbols());
        let sheet = Sheet::new(event, entry.paused, &snapshot, before, (&names, self.charset));
        self.before.insert(entry.id, (now, snapshot));
        Ok(sheet)
    }

    pub(crate) fn apply<B: Backend>(
        &mut self,
        session: &mut Session<B>,
        change: Change,
    ) -> Option<String> {
        let place = match change {
            Change::Pause(place, _) | Change::Clear(place) => place,
        };
        let entry = session.triggers().get(place)?;
        let (id, table) = (entry.id, entry.table);
        let (result, done) = match change {
            Change::Pause(_, true) => (session.set_paused(id, true), "paused"),
            Change::Pause(_, false) => (session.set_paused(id, false), "counting again"),
            Change::Clear(_) => (session.clear(table), "cleared"),
        };
        if result.is_ok() && matches!(change, Change::Clear(_)) {
            self.forget(session, table);
        }
        Some(match result {
            Ok(()) => done.to_owned(),
            Err(error) => error.to_string().replace('\n', " "),
        })
    }

    /// What comes from now on is new. Busy entries may soon have more than they had before, so that
    /// cannot be told from the counts.
    fn forget<B: Backend>(&mut self, session: &Session<B>, table: TableId) {
        for entry in session.triggers().iter().filter(|entry| entry.table == table) {
            if let Some((time, snapshot)) = self.before.get_mut(&entry.id) {
                *time = Instant::now();
                snapshot.rows.clear();
                snapshot.losses = Losses::default();
            }
        }
    }
}
