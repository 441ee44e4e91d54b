//! Reads snapshots of all triggers of a session at one moment, writes them as tables, and reports
//! what was lost.

use crate::resolve::hist::KeySource;
use crate::session::registry::{TableId, TriggerEntry};
use crate::session::{Live, LiveTrigger, Session};
use crate::snapshot::Losses;

use super::logger;
use super::options::Options;
use super::output::{Output, Written, say};
use super::unique::each_once;
use super::view::View;

/// All that printing needs; it can be handed to a thread that may block.
pub(super) struct Printer {
    /// What counts.
    pub session: Session<Live>,
    /// Where tables go.
    output: Output,
    /// How they look.
    view: View,
    /// Losses are reported with every table, not just with the last one.
    verbose: bool,
    /// It is said which losses are not known.
    proves: bool,
    /// It has been said that symbols cannot be read.
    warned: bool,
}

/// Work for a thread that may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Pass the programs' log on.
    Log,
    /// Print the tables.
    Tables,
    /// Stop counting, print the tables, and then all that is left to say.
    LastTables,
}

/// What came of it.
pub(super) struct Done {
    /// How writing tables went; the error of an output that takes no more.
    pub written: anyhow::Result<Written>,
    /// What each table lost so far; empty if none was looked at.
    pub lost: Vec<Lost>,
}

/// What one table lost so far.
pub(super) struct Lost {
    /// `system:event` of each trigger that counts into it.
    pub events: String,
    /// How many hits, by reason.
    pub losses: Losses,
    /// Which `size=` helps, if the table was full.
    pub advice: String,
    /// A trigger that counts into it has a filter, which missed events have not met.
    pub filtered: bool,
    /// Some more may have been lost: the count of misses broke off.
    pub is_more: bool,
}

impl Printer {
    /// A printer that has printed nothing yet.
    pub(super) fn new(
        session: Session<Live>,
        view: View,
        output: Output,
        options: &Options,
    ) -> Self {
        let verbose = options.verbose > 0;
        let proves = verbose || options.fail_on_loss;
        Self { session, output, view, verbose, proves, warned: false }
    }

    /// Does the work. Losses are reported at the end, also when that is because nobody reads any more
    /// or the disk is full.
    ///
    /// # Errors
    /// If the maps cannot be read.
    pub(super) fn work(&mut self, work: Work) -> anyhow::Result<Done> {
        match work {
            Work::Log => {
                self.flush_log();
                return Ok(Done { written: Ok(Written::Whole), lost: Vec::new() });
            }
            Work::Tables => {}
            // Before anything is read: triggers that count the same show the same.
            Work::LastTables => self.session.stop(),
        }
        let Done { written, lost } = self.print()?;
        let is_last = work == Work::LastTables || !matches!(written, Ok(Written::Whole));
        if is_last {
            if work != Work::LastTables {
                self.session.stop();
            }
            self.flush_log();
            self.tell_unlogged();
            self.tell_unknown();
        }
        if is_last || self.verbose {
            lost.iter().filter_map(Lost::report).for_each(|line| say(&line));
        }
        Ok(Done { written, lost })
    }

    /// Prints every trigger's histogram as it is now, all at once.
    ///
    /// # Errors
    /// If the maps cannot be read.
    fn print(&mut self) -> anyhow::Result<Done> {
        let (mut snapshots, mut tables, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.session.triggers() {
            let snapshot = self.session.snapshot(entry)?;
            if !tables.contains(&entry.table) {
                tables.push(entry.table);
                lost.push(self.lost(entry.table, snapshot.losses));
            }
            snapshots.push((entry, snapshot));
        }
        let bytes = self.view.table(&self.session, snapshots)?;
        self.warn_of_symbols();
        Ok(Done { written: self.output.write(&bytes), lost })
    }

    fn lost(&self, table: TableId, losses: Losses) -> Lost {
        let triggers = self.session.triggers().iter().filter(|entry| entry.table == table);
        let is_filtered =
            |entry: &TriggerEntry| self.session.attached(entry).trigger().plan.is_selective();
        let plan = |entry: &TriggerEntry| &self.session.attached(entry).trigger().plan;
        let advice = triggers.clone().next().map(|entry| plan(entry).size_advice(losses.full));
        Lost {
            events: each_once(triggers.clone().map(|entry| entry.event.to_string())).join(", "),
            losses,
            advice: advice.unwrap_or_default(),
            filtered: triggers.clone().any(is_filtered),
            is_more: triggers
                .clone()
                .any(|entry| self.session.attached(entry).trigger().has_lost_track()),
        }
    }

    /// Passes on what the programs have logged since the last call.
    fn flush_log(&mut self) {
        self.session.attached_mut().for_each(LiveTrigger::flush_log);
        logger::pass_on();
    }

    /// Says how many events the log does not have, if any.
    fn tell_unlogged(&self) {
        for entry in self.session.triggers() {
            let event = &entry.event;
            match self.session.attached(entry).unlogged() {
                Ok(0) => {}
                Ok(lost) => say(&format!(
                    "{lost} events of {event} are not in the log, which could not be written as fast \
                     as they came; the table is not affected"
                )),
                Err(error) => {
                    say(&format!(
                        "cannot tell how many events of {event} are not in the log: {error}"
                    ));
                }
            }
        }
    }

    /// Says of which triggers some missed events may not be known.
    fn tell_unknown(&self) {
        for entry in self.session.triggers() {
            let trigger = self.session.attached(entry).trigger();
            if (self.proves || trigger.has_lost_track())
                && let Some(problem) = trigger.unwatched()
            {
                say(&format!("{}: not all missed events may be counted: {problem}", entry.event));
            }
        }
    }

    fn has_stacks(&self) -> bool {
        let mut plans = self
            .session
            .triggers()
            .iter()
            .map(|entry| &self.session.attached(entry).trigger().plan);
        plans.any(|plan| plan.hist.keys.iter().any(|key| key.source == KeySource::Stack))
    }

    /// Says once why addresses have no names.
    fn warn_of_symbols(&mut self) {
        if let Some(problem) = self.session.symbols().problem()
            && !std::mem::replace(&mut self.warned, true)
        {
            let stacks = if self.has_stacks() {
                "; stacks begin with the functions of tracing itself, which cannot be told apart"
            } else {
                ""
            };
            say(&format!("warning: {problem}{stacks}"));
        }
    }
}

impl Lost {
    /// One line for stderr; nothing if nothing was lost.
    fn report(&self) -> Option<String> {
        let Losses { full, busy, missed } = self.losses;
        let missed_because = if self.filtered {
            "missed before the filter, the kernel did not run the program for them"
        } else {
            "missed, the kernel did not run the program for them"
        };
        let reasons = [
            (full, &*format!("dropped, the table is full ({})", self.advice)),
            (busy, "dropped, the map was busy"),
            (missed, missed_because),
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
        let losses = Losses::default();
        let advice = "size=256 would have been enough, and takes 1 KiB".to_owned();
        let mut lost =
            Lost { events: "a:b".to_owned(), losses, advice, filtered: false, is_more: false };
        assert_eq!(lost.report(), None);
        lost.losses.full = 3;
        lost.losses.missed = 1;
        assert_eq!(
            lost.report().as_deref(),
            Some(
                "lost hits of a:b: 3 dropped, the table is full (size=256 would have been enough, and \
                 takes 1 KiB); \
                 1 missed, the kernel did not run the program for them"
            )
        );
        lost.losses = Losses { busy: 2, missed: 1, full: 0 };
        lost.filtered = true;
        assert_eq!(
            lost.report().as_deref(),
            Some(
                "lost hits of a:b: 2 dropped, the map was busy; \
                 1 missed before the filter, the kernel did not run the program for them"
            )
        );
    }
}
