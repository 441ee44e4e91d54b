//! Takes errors. Gives the text of tracefs' `error_log` (`tracing_log_err()` in the kernel's
//! trace.c).

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use bstr::{BString, ByteSlice as _, ByteVec as _};

use super::SessionError;
use crate::diag::{Kind, Span, TriggerError};
use crate::kernel::EventName;
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
    command: BString,
    /// The caret's column below the command, in bytes.
    position: usize,
}

impl ErrorLog {
    /// Adds what the kernel would log for an error of a write to the event's `trigger` file; and
    /// if the kernel would have accepted the command, why it is refused here.
    pub fn record(&mut self, time: Duration, event: &EventName, text: &[u8], error: &SessionError) {
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

    /// All entries, as `error_log` shows them.
    #[must_use]
    pub fn text(&self) -> BString {
        self.entries.iter().flat_map(Entry::text).collect::<Vec<u8>>().into()
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
fn logged_by_kernel(error: &TriggerError, text: &[u8]) -> Vec<TriggerError> {
    let next = error.next.iter().map(|next| (**next).clone());
    match error.kind {
        Kind::VariableNotFound => iter::once(without_dollar(error, text)).chain(next).collect(),
        kind if kind.logged() || kind == Kind::NotSupported => {
            iter::once(error.clone()).chain(next).collect()
        }
        _ => Vec::new(),
    }
}

/// The kernel names a variable without its `$`.
fn without_dollar(error: &TriggerError, text: &[u8]) -> TriggerError {
    let Span { start, end } = error.span;
    let dollar = error.span.of(command::trim(text)).find_byte(b'$').unwrap_or(0);
    TriggerError::new(error.kind, Span::new(start + dollar + 1, end))
}

/// The kernel's words; behind words of ours also the reason.
fn message(error: &TriggerError) -> String {
    match error.kind {
        Kind::NotSupported => format!("{}: {}", error.kind.text(), error.help.join("; ")),
        kind => kind.text().to_owned(),
    }
}

impl Entry {
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
