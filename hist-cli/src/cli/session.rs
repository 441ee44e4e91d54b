//! Takes attached triggers and an output. Gives tables, one snapshot of all triggers at a time.

use crate::load::Attached;
use crate::print;
use crate::read;
use crate::read::snapshot::Losses;
use crate::read::sort::{Ties, sort};
use crate::read::stack;
use crate::tracefs::symbols::Symbols;

use super::output::{Output, Written};

/// All that printing needs; it can be handed to a thread that may block.
pub(super) struct Session {
    /// What counts.
    pub attached: Attached,
    /// Where tables go.
    output: Output,
    /// Read when first needed.
    symbols: Symbols,
    /// A table has been printed already.
    printed: bool,
    /// It has been said that symbols cannot be read.
    warned: bool,
}

/// What one trigger lost so far.
pub(super) struct Lost {
    /// `system:event`
    pub event: String,
    /// How many hits, by reason.
    pub losses: Losses,
}

impl Session {
    /// A session that has printed nothing yet.
    pub(super) fn new(attached: Attached, output: Output) -> Self {
        Self { attached, output, symbols: Symbols::new(), printed: false, warned: false }
    }

    /// Prints every trigger's histogram as it is now, all at once. Two blank lines part it from
    /// what was printed before, as they part the blocks of one event in the kernel's text.
    ///
    /// # Errors
    /// If the maps cannot be read or the output cannot be written.
    pub(super) fn print(&mut self) -> anyhow::Result<(Written, Vec<Lost>)> {
        let (mut texts, mut lost) = (Vec::new(), Vec::new());
        if std::mem::replace(&mut self.printed, true) {
            texts.push(String::new());
        }
        for trigger in &self.attached.triggers {
            let mut snapshot = read::snapshot(trigger)?;
            stack::settle(&mut snapshot, &self.symbols, stack::DEPTH);
            sort(&mut snapshot, Ties::default());
            texts.push(print::hist(&snapshot, &self.symbols));
            let hist = &trigger.plan.hist;
            let event = format!("{}:{}", hist.system, hist.event);
            lost.push(Lost { event, losses: snapshot.losses });
        }
        self.warn_of_symbols();
        Ok((self.output.write(print::blocks(texts).as_bytes())?, lost))
    }

    /// Says once why addresses have no names.
    fn warn_of_symbols(&mut self) {
        if let Some(problem) = self.symbols.problem()
            && !std::mem::replace(&mut self.warned, true)
        {
            eprintln!("warning: {problem}");
        }
    }
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
        (!said.is_empty()).then(|| format!("lost hits of {}: {}", self.event, said.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_reason() {
        let mut lost = Lost { event: "a:b".to_owned(), losses: Losses::default() };
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
