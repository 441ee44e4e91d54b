//! Takes errors. Gives the text of tracefs' `error_log` (`tracing_log_err()` in the kernel's
//! trace.c).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::{EventName, SessionError};
use crate::diag::{Kind, Span, TriggerError};
use crate::parse::command;

/// How many entries are kept (`TRACING_LOG_ERRS_MAX`).
const MAX_ENTRIES: usize = 8;

/// The last errors, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorLog {
    entries: VecDeque<Entry>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Since boot.
    time: Duration,
    location: String,
    message: String,
    command: String,
    /// The caret's column below the command, in bytes.
    position: usize,
}

impl ErrorLog {
    /// Adds what the kernel would log for an error of a write to the event's `trigger` file; and
    /// if the kernel would have accepted the command, why it is refused here.
    pub fn record(&mut self, time: Duration, event: &EventName, text: &str, error: &SessionError) {
        let location = format!("hist:{event}");
        let entry = |location, message, command, position| Entry {
            time,
            location,
            message,
            command,
            position,
        };
        let SessionError::Trigger { error, .. } = error else {
            let message = error.to_string().trim_end().replace('\n', " ");
            return self.push(entry(location, message, command::trim(text).to_owned(), 0));
        };
        for error in logged_by_kernel(error, text) {
            let filter = error.kind.in_filter();
            let location = if filter { "event filter parse error" } else { &location };
            let (command, position) = (error.logged_command(text), error.kernel_position(text));
            self.push(entry(location.to_owned(), message(&error), command, position));
        }
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// The entries for one error, which may be none or two.
fn logged_by_kernel(error: &TriggerError, text: &str) -> Vec<TriggerError> {
    match error.kind {
        Kind::VariableNotFound => unknown_variable(error, text).into(),
        Kind::NotSupported => vec![error.clone()],
        kind if kind.logged() => vec![error.clone()],
        _ => Vec::new(),
    }
}

/// The kernel looks for a variable first, naming it without its `$`, then for a field that is
/// called so.
fn unknown_variable(error: &TriggerError, text: &str) -> [TriggerError; 2] {
    let Span { start, end } = error.span;
    let dollar = start + error.span.of(command::trim(text)).find('$').unwrap_or(0);
    [
        TriggerError::new(Kind::VariableNotFound, Span::new(dollar + 1, end)),
        TriggerError::new(Kind::FieldNotFound, Span::new(dollar, end)),
    ]
}

/// The kernel's words; behind words of ours also the reason.
fn message(error: &TriggerError) -> String {
    match error.kind {
        Kind::NotSupported => format!("{}: {}", error.kind.text(), error.help.join("; ")),
        kind => kind.text().to_owned(),
    }
}

impl fmt::Display for ErrorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| entry.fmt(f))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        writeln!(f, "[{seconds:>5}.{micros:06}] {}: error: {}", self.location, self.message)?;
        let command = "  Command: ";
        writeln!(f, "{command}{}", self.command)?;
        writeln!(f, "{:width$}^", "", width = command.len() + self.position)
    }
}
