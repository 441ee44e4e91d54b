//! The files of events that scripts operate on: those of this kernel, and those of a session of
//! ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::find_or_mount;
use hist_cli::plan::Wishes;
use hist_cli::session::{Live, Session, SessionError, since_boot};
use hist_cli::snapshot::sort::Ties;
use hist_cli::snapshot::stack;

use crate::ftrace::TRACEFS;
use crate::text::readable;
use crate::version::Version;

/// The instance of tracefs in which the scripts run, which keeps its own log of errors.
const INSTANCE: &str = "sessions";

/// The files that belong to a tracing session.
pub(super) trait Files {
    /// Opens the event's `trigger` file; then writes to it once, if anything is to be written.
    fn open(&mut self, event: &EventName, truncate: bool, bytes: Option<&[u8]>) -> io::Result<()>;

    /// Opens `error_log` with truncation.
    fn clear_log(&mut self) -> io::Result<()>;

    /// What the event's `trigger` file says.
    fn trigger(&self, event: &EventName) -> Result<String>;

    /// What the event's `hist` file says.
    fn hist(&self, event: &EventName) -> Result<String>;

    /// What `error_log` says.
    fn error_log(&self) -> Result<String>;

    /// All of them, each below its name, times left out.
    fn show(&self, events: &[&EventName]) -> Result<String> {
        let mut text = String::new();
        for event in events {
            text += &format!("==> {event} trigger <==\n{}", available(&self.trigger(event)?));
            text += &format!("==> {event} hist <==\n{}", self.hist(event)?);
        }
        Ok(format!("{text}==> error_log <==\n{}", without_times(&self.error_log()?)))
    }
}

/// How a `trigger` file without triggers begins.
const AVAILABLE: &str = "# Available triggers:\n";

/// Without triggers the file lists the kinds that there are: what the kernel was configured with,
/// but `hist` alone with us.
fn available(trigger: &str) -> String {
    let lists_hist = |kinds: &str| kinds.split_whitespace().any(|kind| kind == "hist");
    match trigger.strip_prefix(AVAILABLE) {
        Some(kinds) if lists_hist(kinds) => format!("{AVAILABLE}# hist\n"),
        _ => trigger.to_owned(),
    }
}

/// Each entry begins with the time in brackets.
fn without_times(log: &str) -> String {
    let line = |line: &str| match line.split_once("] ") {
        Some((time, rest)) if time.starts_with('[') => format!("[time] {rest}\n"),
        _ => format!("{line}\n"),
    };
    log.lines().map(line).collect()
}

/// The kernel's own files.
pub(super) struct Kernel {
    root: PathBuf,
}

impl Kernel {
    /// The files in the instance for scripts, made if it is not there; without errors.
    pub(super) fn new() -> Result<Self> {
        let root = Path::new(TRACEFS).join("instances").join(INSTANCE);
        fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
        let mut kernel = Self { root };
        kernel.clear_log()?;
        Ok(kernel)
    }

    /// Removes the triggers of the events.
    pub(super) fn clean(&mut self, events: &[&EventName]) -> Result<()> {
        for event in events {
            self.open(event, true, None)?;
            let left = self.trigger(event)?;
            ensure!(left.starts_with(AVAILABLE), "{event} still has\n{left}");
        }
        Ok(())
    }

    fn file(&self, event: &EventName, name: &str) -> PathBuf {
        self.root.join("events").join(&event.system).join(&event.name).join(name)
    }

    fn read(&self, event: &EventName, name: &str) -> Result<String> {
        let path = self.file(event, name);
        read(&path)
    }
}

impl Files for Kernel {
    fn open(&mut self, event: &EventName, truncate: bool, bytes: Option<&[u8]>) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).truncate(truncate).open(self.file(event, "trigger"))?;
        match bytes {
            // A single write is a single command.
            Some(bytes) => file.write(bytes).map(drop),
            None => Ok(()),
        }
    }

    fn clear_log(&mut self) -> io::Result<()> {
        File::create(self.root.join("error_log")).map(drop)
    }

    fn trigger(&self, event: &EventName) -> Result<String> {
        self.read(event, "trigger")
    }

    fn hist(&self, event: &EventName) -> Result<String> {
        self.read(event, "hist")
    }

    fn error_log(&self) -> Result<String> {
        let path = self.root.join("error_log");
        read(&path)
    }
}

/// What the file says.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(readable(&bytes))
}

/// The files of a session.
pub(super) struct Ours(Session<Live>);

impl Ours {
    /// A session without triggers that prints as a kernel of `version` does.
    pub(super) fn new(version: Version) -> Result<Self> {
        let ties = if version < Version(6, 12) { Ties::Linux6_1 } else { Ties::Linux6_12 };
        let depth = if version < Version(7, 0) { 16 } else { stack::DEPTH };
        let live = Live::new(find_or_mount()?, Facts::read()?, Wishes::default());
        Ok(Self(Session::new(live, Box::new(since_boot)).printing_as(ties, depth)))
    }
}

fn os_error(error: SessionError) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

impl Files for Ours {
    fn open(&mut self, event: &EventName, truncate: bool, bytes: Option<&[u8]>) -> io::Result<()> {
        if truncate {
            self.0.open_truncate(event);
        }
        bytes.map_or(Ok(()), |bytes| self.0.write(event, bytes)).map_err(os_error)
    }

    fn clear_log(&mut self) -> io::Result<()> {
        self.0.clear_error_log();
        Ok(())
    }

    fn trigger(&self, event: &EventName) -> Result<String> {
        Ok(readable(&self.0.read_trigger(event)))
    }

    fn hist(&self, event: &EventName) -> Result<String> {
        Ok(readable(&self.0.read_hist(event)?))
    }

    fn error_log(&self) -> Result<String> {
        Ok(readable(&self.0.error_log()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_left_out() {
        let log =
            "[   34.546713] hist:s:e: error: Couldn't find field\n  Command: hist:keys=[a] b\n";
        let expect = "[time] hist:s:e: error: Couldn't find field\n  Command: hist:keys=[a] b\n";
        assert_eq!(without_times(log), expect);
        assert_eq!(without_times(""), "");
    }

    #[test]
    fn only_a_list_of_kinds_is_shortened() {
        assert_eq!(
            available(&format!("{AVAILABLE}# traceon hist\n")),
            format!("{AVAILABLE}# hist\n")
        );
        assert_eq!(
            available(&format!("{AVAILABLE}# traceon\n")),
            format!("{AVAILABLE}# traceon\n")
        );
        assert_eq!(available("hist:keys=a\n"), "hist:keys=a\n");
    }
}
