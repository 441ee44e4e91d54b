//! Takes commands for `trigger` files. Gives what they do, on both sides: in the kernel's own
//! tracefs, and in a [`Session`] of ours.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::Tracefs;
use hist_cli::plan::Wishes;
use hist_cli::resolve::hist::Hist;
use hist_cli::session::registry::TriggerEntry;
use hist_cli::session::{Live, Session, SessionError, since_boot};
use hist_cli::snapshot::sort::{Ties, sort};
use hist_cli::snapshot::stack;
use hist_cli::{load, print, read};

use super::generate::latin1;
use crate::ftrace::{TRACEFS, blocks};
use crate::text::readable;
use crate::version::Version;

/// What a write gave that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The error number.
    pub errno: i32,
    /// The entries that the write left in `error_log`, without their times.
    pub log: String,
}

/// The kernel's own hist triggers.
pub(crate) struct Kernel;

impl Kernel {
    fn file(event: &EventName, name: &str) -> PathBuf {
        [TRACEFS, "events", &event.system, &event.name, name].iter().collect()
    }

    /// Writes a command in one piece.
    ///
    /// # Errors
    /// When a file cannot be opened or read. That the write fails is a result.
    pub(crate) fn write(event: &EventName, text: &str) -> Result<Result<(), Refused>> {
        let path = Self::file(event, "trigger");
        let mut file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| path.display().to_string())?;
        let Err(error) = file.write_all(&latin1(text)) else { return Ok(Ok(())) };
        let errno = error.raw_os_error().context("an error without number")?;
        let log = PathBuf::from(TRACEFS).join("error_log");
        let entries = without_times(&read(&log)?);
        // Opening it with truncation clears it.
        File::create(log)?;
        Ok(Err(Refused { errno, log: entries }))
    }

    /// The lines of its `trigger` file, in the order of their creation.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn lines(event: &EventName) -> Result<Vec<String>> {
        Ok(triggers(&read(&Self::file(event, "trigger"))?))
    }

    /// The histograms of its `hist` file, in the same order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn hists(event: &EventName) -> Result<VecDeque<String>> {
        Ok(blocks(&read(&Self::file(event, "hist"))?).into())
    }

    /// Removes all triggers of the event.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn truncate(event: &EventName) -> Result<()> {
        File::create(Self::file(event, "trigger"))?;
        Ok(())
    }
}

/// A histogram of ours.
pub(crate) struct Histogram {
    /// As the `hist` file has it.
    pub text: String,
    /// Events that were not counted.
    pub lost: u64,
    /// What it is of.
    pub hist: Hist,
}

/// Those of hist-bpf.
pub(crate) struct Ours {
    session: Session<Live>,
    ties: Ties,
    depth: usize,
}

impl Ours {
    /// Without triggers, to be compared with a kernel of `version`.
    pub(crate) fn new(tracefs: &Tracefs, version: Version) -> Result<Ours> {
        let live = Live::new(tracefs.clone(), Facts::read()?, Wishes::default());
        let ties = if version < Version(6, 12) { Ties::Linux6_1 } else { Ties::Linux6_12 };
        let depth = if version < Version(7, 0) { 16 } else { stack::DEPTH };
        Ok(Ours { session: Session::new(live, Box::new(since_boot)), ties, depth })
    }

    /// Writes a command; see [`Ours::log`] if it fails.
    pub(crate) fn write(&mut self, event: &EventName, text: &str) -> Result<(), SessionError> {
        self.session.clear_error_log();
        self.session.write(event, &latin1(text))
    }

    /// What the last command left in the log of errors, without times.
    pub(crate) fn log(&self) -> String {
        without_times(&readable(&self.session.error_log()))
    }

    /// As [`Kernel::lines`].
    pub(crate) fn lines(&self, event: &EventName) -> Vec<String> {
        triggers(&readable(&self.session.read_trigger(event)))
    }

    /// What the event's last trigger counts.
    pub(crate) fn last(&self, event: &EventName) -> Option<Hist> {
        let entry = self.session.triggers().iter().rfind(|entry| entry.event == *event)?;
        Some(self.session.attached(entry).trigger().plan.hist.clone())
    }

    /// As [`Kernel::hists`].
    ///
    /// # Errors
    /// When a table cannot be read.
    pub(crate) fn hists(&self, event: &EventName) -> Result<Vec<Histogram>> {
        let entries = self.session.triggers().iter().filter(|entry| entry.event == *event);
        entries.map(|entry| self.hist(entry)).collect()
    }

    fn hist(&self, entry: &TriggerEntry) -> Result<Histogram> {
        let mut snapshot = read::snapshot(self.session.attached(entry).trigger())?;
        snapshot.trigger = entry.trigger_line();
        stack::settle(&mut snapshot, &self.session.symbols(), &load::stack_cut(self.depth));
        sort(&mut snapshot, self.ties);
        let lost = snapshot.losses.busy + snapshot.losses.missed;
        let text = readable(&print::hist(&snapshot, &self.session.symbols()));
        let hist = self.session.attached(entry).trigger().plan.hist.clone();
        Ok(Histogram { text, lost, hist })
    }

    /// Removes all triggers of the event.
    pub(crate) fn truncate(&mut self, event: &EventName) {
        self.session.open_truncate(event);
    }
}

/// What the file says.
fn read(path: &Path) -> Result<String> {
    Ok(readable(&fs::read(path)?))
}

/// The triggers that a `trigger` file lists.
fn triggers(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with("hist:")).map(str::to_owned).collect()
}

/// `[  12.345678] location: …` without what stands in brackets.
fn without_times(log: &str) -> String {
    let line = |line: &str| match line.split_once("] ") {
        Some((time, rest)) if time.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    log.lines().map(|text| line(text) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_lose_their_times_only() {
        let log =
            "[   34.546713] hist:a:b: error: Couldn't find field\n  Command: hist:[1] x\n   ^\n";
        let expect = "hist:a:b: error: Couldn't find field\n  Command: hist:[1] x\n   ^\n";
        assert_eq!(without_times(log), expect);
    }

    #[test]
    fn a_list_of_commands_is_no_trigger() {
        assert!(triggers("# Available triggers:\n# hist\n").is_empty());
        assert_eq!(triggers("traceon\nhist:keys=a [active]\n"), ["hist:keys=a [active]"]);
    }
}
