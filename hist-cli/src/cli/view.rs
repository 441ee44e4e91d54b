//! Turns snapshots into the bytes that are written: the rows, the format and the marks that the
//! options ask for.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use rustix::termios::tcgetwinsize;

use super::options::Look;
use crate::escape::Charset;
use crate::export::{self, Document, Exporter, Format, Meta, Source};
use crate::kernel;
use crate::print;
use crate::session::registry::{TriggerEntry, TriggerId};
use crate::session::{Live, Session};
use crate::snapshot::Snapshot;
use crate::snapshot::delta::delta;
use crate::snapshot::sort::sort_as_shown;
use crate::snapshot::top::top;

/// What bars take where there is no terminal, in columns.
const WIDTH: usize = 80;
/// To the upper left corner; forget the screen, and what has left it at the top.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J\x1b[3J";

/// How tables are shown, and what has been shown already.
pub(super) struct View {
    look: Look,
    /// The charset, if tables go to a terminal.
    terminal: Option<Charset>,
    exporter: Exporter,
    /// Where it was counted, in formats that say so.
    source: Option<Source>,
    /// When counting began.
    since: SystemTime,
    /// The last snapshots, where differences are shown.
    before: HashMap<TriggerId, (SystemTime, Snapshot)>,
    /// Something has been shown.
    shown: bool,
}

impl View {
    /// A view that has shown nothing; `terminal` is the charset, if tables go to a terminal.
    ///
    /// # Errors
    /// If the kernel does not say who it is.
    pub(super) fn new(look: Look, terminal: Option<Charset>) -> anyhow::Result<Self> {
        let exporter = Exporter::new(look.format, look.weight.clone(), WIDTH);
        let exporter = exporter.on_terminal(terminal);
        let (since, before) = (SystemTime::now(), HashMap::new());
        let source = (look.format != Format::Ftrace).then(source).transpose()?;
        Ok(Self { look, terminal, exporter, source, since, before, shown: false })
    }

    /// Notes that counting begins.
    pub(super) fn begin(&mut self) {
        self.since = SystemTime::now();
    }

    /// Whether the session's triggers can be shown like this.
    ///
    /// # Errors
    /// If they cannot: what the format needs and does not get.
    pub(super) fn check(&self, session: &Session<Live>) -> anyhow::Result<()> {
        let triggers = session.triggers();
        ensure!(
            self.look.format != Format::Csv || triggers.len() == 1,
            "-f csv has one header, so it takes one trigger, and there are {}: use one command for \
             each, or -f json",
            triggers.len()
        );
        if self.look.format == Format::Ftrace {
            // It shows everything.
            return Ok(());
        }
        triggers.iter().try_for_each(|entry| {
            let snapshot = session.snapshot(entry)?;
            let meta = self.meta(entry, self.since, self.since);
            Ok(self.exporter.check(&Document::new(&snapshot, 0..0, &session.symbols(), meta))?)
        })
    }

    /// The bytes for one moment of all triggers.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub(super) fn table(
        &mut self,
        session: &Session<Live>,
        snapshots: Vec<(&TriggerEntry, Snapshot)>,
    ) -> anyhow::Result<Vec<u8>> {
        let time = SystemTime::now();
        self.exporter.set_width(columns());
        let mut out = self.head(time);
        for (number, (entry, snapshot)) in snapshots.into_iter().enumerate() {
            if number > 0 {
                out.extend(self.look.format.separator());
            }
            let full = snapshot.losses.full;
            let (since, snapshot) = self.news(session, entry, snapshot, time);
            let meta = self.meta(entry, since, time);
            out.extend(self.one((session, entry), snapshot, meta, full)?);
        }
        Ok(out)
    }

    /// What parts a table from those before, and tells its time.
    fn head(&mut self, time: SystemTime) -> Vec<u8> {
        let follows = std::mem::replace(&mut self.shown, true);
        let mut out = Vec::new();
        if self.look.clear_screen && io::stdout().is_terminal() {
            out.extend(CLEAR);
        } else if follows {
            out.extend(self.look.format.separator());
        }
        if self.look.timestamp && matches!(self.look.format, Format::Ftrace | Format::Plot) {
            out.extend(format!("# time: {}\n", export::time_text(time)).into_bytes());
        }
        out
    }

    /// What is shown of a snapshot, and since when it has been counted.
    fn news(
        &mut self,
        session: &Session<Live>,
        entry: &TriggerEntry,
        snapshot: Snapshot,
        time: SystemTime,
    ) -> (SystemTime, Snapshot) {
        if !self.look.delta {
            return (self.since, snapshot);
        }
        match self.before.insert(entry.id, (time, snapshot.clone())) {
            None => (self.since, snapshot),
            Some((since, before)) => {
                let mut news = delta(&before, snapshot);
                session.sort(&mut news);
                (since, news)
            }
        }
    }

    /// `full` is how many hits found the table full since counting began.
    fn one(
        &mut self,
        (session, entry): (&Session<Live>, &TriggerEntry),
        mut snapshot: Snapshot,
        meta: Meta,
        full: u64,
    ) -> anyhow::Result<Vec<u8>> {
        if self.look.format != Format::Ftrace {
            sort_as_shown(&mut snapshot);
        }
        let rows = match self.look.top {
            Some(n) => top(&snapshot, n),
            None => 0..snapshot.rows.len(),
        };
        let symbols = session.symbols();
        if self.look.format == Format::Ftrace {
            return Ok(print::hist_on(self.terminal, &snapshot, rows, &symbols));
        }
        let mut document = Document::new(&snapshot, rows, &symbols, meta);
        if full > 0 {
            document.enough_size = session.attached(entry).trigger().plan.enough_size(full);
        }
        Ok(self.exporter.write(&document)?)
    }

    fn meta(&self, entry: &TriggerEntry, since: SystemTime, time: SystemTime) -> Meta {
        let sources = self.source.iter().cloned().collect();
        Meta { event: entry.event.to_string(), sources, since, time }
    }
}

/// The running kernel.
fn source() -> anyhow::Result<Source> {
    let uname = rustix::system::uname();
    let path = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(Source {
        host: uname.nodename().to_string_lossy().into_owned(),
        kernel: kernel::facts::release(),
        boot: boot.trim().to_owned(),
    })
}

/// How wide the terminal is.
pub(super) fn columns() -> usize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => WIDTH,
    }
}
