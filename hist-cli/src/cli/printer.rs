//! Takes a session and an output. Gives tables, one snapshot of all triggers at a time.

use crate::read::snapshot::Losses;
use crate::session::registry::{Entry, TableId};
use crate::session::{Live, LiveTrigger, Session};

use super::logger;
use super::output::{Output, Written, say};
use super::view::View;

/// All that printing needs; it can be handed to a thread that may block.
pub(super) struct Printer {
    /// What counts.
    pub session: Session<Live>,
    /// Where tables go.
    output: Output,
    /// How they look.
    view: View,
    /// It has been said that symbols cannot be read.
    warned: bool,
}

/// What one table lost so far.
pub(super) struct Lost {
    /// `system:event` of each trigger that counts into it.
    pub events: String,
    /// How many hits, by reason.
    pub losses: Losses,
}

impl Printer {
    /// A printer that has printed nothing yet.
    pub(super) const fn new(session: Session<Live>, view: View, output: Output) -> Self {
        Self { session, output, view, warned: false }
    }

    /// Prints every trigger's histogram as it is now, all at once.
    ///
    /// # Errors
    /// If the maps cannot be read or the output cannot be written.
    pub(super) fn print(&mut self) -> anyhow::Result<(Written, Vec<Lost>)> {
        let (mut snapshots, mut tables, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.session.triggers() {
            let snapshot = self.session.snapshot(entry)?;
            if !tables.contains(&entry.table) {
                tables.push(entry.table);
                let events = events_of(self.session.triggers(), entry.table);
                lost.push(Lost { events, losses: snapshot.losses });
            }
            snapshots.push((entry, snapshot));
        }
        let bytes = self.view.table(&self.session, snapshots)?;
        self.warn_of_symbols();
        Ok((self.output.write(&bytes)?, lost))
    }

    /// Passes on what the programs have logged since the last call.
    pub(super) fn flush_log(&mut self) {
        self.session.attached_mut().for_each(LiveTrigger::flush_log);
        logger::pass_on();
    }

    /// Says once why addresses have no names.
    fn warn_of_symbols(&mut self) {
        if let Some(problem) = self.session.symbols().problem()
            && !std::mem::replace(&mut self.warned, true)
        {
            say(&format!("warning: {problem}"));
        }
    }
}

/// The events of the triggers that count into `table`, each once.
fn events_of(triggers: &[Entry], table: TableId) -> String {
    let of_table = triggers.iter().filter(|entry| entry.table == table);
    each_once(of_table.map(|entry| entry.event.to_string())).join(", ")
}

/// The names without repetitions, in the order of their first occurrence.
pub(super) fn each_once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

impl Lost {
    /// One line for stderr; nothing if nothing was lost.
    pub(super) fn report(&self) -> Option<String> {
        let Losses { full, busy, missed } = self.losses;
        let reasons = [
            (full, "dropped, the table is full (size= makes it larger)"),
            (busy, "dropped, the map was busy"),
            (missed, "missed, another BPF program was running on that CPU"),
        ];
        let said: Vec<_> = reasons
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} {reason}"))
            .collect();
        (!said.is_empty()).then(|| format!("lost hits of {}: {}", self.events, said.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_reason() {
        let mut lost = Lost { events: "a:b".to_owned(), losses: Losses::default() };
        assert_eq!(lost.report(), None);
        lost.losses.full = 3;
        lost.losses.missed = 1;
        assert_eq!(
            lost.report().as_deref(),
            Some(
                "lost hits of a:b: 3 dropped, the table is full (size= makes it larger); \
                 1 missed, another BPF program was running on that CPU"
            )
        );
    }
}
