//! The last errors of a session, drawn as tracefs' `error_log` shows them (`tracing_log_err()` in
//! the kernel's trace.c).

use std::collections::VecDeque;
use std::time::Duration;

use bstr::{BString, ByteVec as _};

use super::SessionError;
use crate::diag::{Kind, Logged, Origin, Rejection};
use crate::kernel::EventName;
use crate::parse::{self, Quote};

/// How many entries are kept (`TRACING_LOG_ERRS_MAX`).
const MAX_ENTRIES: usize = 8;

/// The last errors, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorLog {
    entries: VecDeque<LogEntry>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogEntry {
    /// Since boot.
    time: Duration,
    location: String,
    message: String,
    command: BString,
    /// The caret's column below the command, in bytes.
    position: usize,
}

impl ErrorLog {
    /// Adds what the kernel would log for an error of a write to the event's `trigger` file; and
    /// if the kernel would have accepted the command, why it is refused here.
    pub fn record(&mut self, time: Duration, event: &EventName, text: &[u8], error: &SessionError) {
        if let SessionError::Trigger { rejection, .. } = error {
            for entry in &rejection.log {
                self.push(LogEntry::of_command(time, event, text, *entry, rejection));
            }
            return;
        }
        self.push(LogEntry {
            time,
            location: location(Origin::Ours, event),
            message: error.to_string().trim_end().replace('\n', " "),
            command: parse::trim(text).to_owned(),
            position: 0,
        });
    }

    /// All entries, as `error_log` shows them.
    #[must_use]
    pub fn text(&self) -> BString {
        self.entries.iter().flat_map(LogEntry::text).collect::<Vec<u8>>().into()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn push(&mut self, entry: LogEntry) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// What the error is about: an event's histograms, or filters wherever they stand.
fn location(origin: Origin, event: &EventName) -> String {
    match origin {
        Origin::Filter => "event filter parse error".to_owned(),
        Origin::Hist | Origin::Bare | Origin::Ours => format!("hist:{event}"),
    }
}

/// The kernel's words; after words of ours also the reason.
fn message(kind: Kind, rejection: &Rejection) -> String {
    match kind.origin() {
        Origin::Ours => format!("{}: {}", kind.text(), rejection.error.help.join("; ")),
        Origin::Hist | Origin::Filter | Origin::Bare => kind.text().to_owned(),
    }
}

impl LogEntry {
    /// One of the entries for a command that is refused.
    fn of_command(
        time: Duration,
        event: &EventName,
        text: &[u8],
        entry: Logged,
        rejection: &Rejection,
    ) -> Self {
        let Quote { command, column } = parse::quote(text, entry);
        Self {
            time,
            location: location(entry.kind.origin(), event),
            message: message(entry.kind, rejection),
            command,
            position: column,
        }
    }

    fn text(&self) -> Vec<u8> {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        let command = "  Command: ";
        let (before, width) = (&self.location, command.len() + self.position);
        let mut text = format!("[{seconds:>5}.{micros:06}] {before}: error: {}\n", self.message);
        text += command;
        let mut text = text.into_bytes();
        text.push_str(&self.command);
        text.push_str(format!("\n{:width$}^\n", ""));
        text
    }
}
