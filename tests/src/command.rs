//! Runs the command itself, so that what users see is under test: this program again, under the
//! command's name.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::AddAssign;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The name that makes this program the command.
pub const NAME: &str = "hist-bpf";

/// The command's exit code, if this program was started under its name.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let is_command = env::args_os().next().is_some_and(|name| name == OsStr::new(NAME));
    is_command.then(hist_cli::cli::main)
}

/// The command, not yet started.
#[must_use]
pub fn hist_bpf() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).stdin(Stdio::null());
    command
}

/// What a trigger has counted, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// In entries.
    pub hits: u64,
    /// Found no room in the table.
    pub dropped: u64,
    /// Passed the program by.
    pub missed: u64,
}

impl Counted {
    /// All that it knows of.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.hits + self.dropped + self.missed
    }
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.dropped += other.dropped;
        self.missed += other.missed;
    }
}

/// The command, counting.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<std::io::Result<String>>,
    /// How many triggers it has.
    triggers: usize,
}

/// How the command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What was not read before.
    pub stdout: String,
    /// Everything since it has attached.
    pub stderr: String,
}

impl Running {
    /// Starts it with these options and pairs of trigger and event, and waits until it counts.
    ///
    /// # Errors
    /// When it ends instead; the message has what it said.
    pub fn start(options: &[&str], pairs: &[(&str, &str)]) -> Result<Self> {
        let mut command = hist_bpf();
        command.args(options);
        pairs.iter().for_each(|(trigger, event)| {
            command.args([trigger, event]);
        });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        let mut stderr = BufReader::new(child.stderr.take().context("its stderr")?);
        let mut said = String::new();
        while !said.lines().any(|line| line.starts_with("attached ")) {
            if stderr.read_line(&mut said)? == 0 {
                let status = child.wait()?;
                anyhow::bail!("{options:?} {pairs:?} ended with {status}: {said}");
            }
        }
        // Read on, so that it never waits for a reader.
        let rest = move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).map(|_| rest)
        };
        Ok(Self { child, stdout, stderr: thread::spawn(rest), triggers: pairs.len() })
    }

    /// Its number.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn pid(&self) -> Result<Pid> {
        let number = i32::try_from(self.child.id())?;
        Pid::from_raw(number).context("a process has a number")
    }

    /// What each trigger has counted; since the time before with `-f json --delta`.
    ///
    /// # Errors
    /// When it has ended, or prints something else than JSON.
    pub fn tables(&mut self) -> Result<Vec<Counted>> {
        kill_process(self.pid()?, Signal::USR1)?;
        let mut tables = Vec::new();
        for _ in 0..self.triggers {
            let mut line = String::new();
            self.stdout.read_line(&mut line)?;
            tables.push(counted(&line)?);
        }
        Ok(tables)
    }

    /// Has it print a last table, and waits for its end.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn end(mut self) -> Result<Ended> {
        kill_process(self.pid()?, Signal::INT)?;
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout)?;
        let status = self.child.wait()?;
        let stderr = self.stderr.join().expect("reading does not panic")?;
        Ok(Ended { status, stdout, stderr })
    }
}

/// The numbers of a JSON document.
///
/// # Errors
/// When it is none, or lacks them.
pub fn counted(document: &str) -> Result<Counted> {
    let document: Value =
        serde_json::from_str(document).with_context(|| format!("no document: `{document}`"))?;
    let number = |part: &str, name: &str| {
        document[part][name].as_u64().with_context(|| format!("no {part}.{name} in {document}"))
    };
    let dropped = number("losses", "full")? + number("losses", "busy")?;
    ensure!(number("totals", "dropped")? <= dropped, "more dropped than lost: {document}");
    Ok(Counted { hits: number("totals", "hits")?, dropped, missed: number("losses", "missed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_document() {
        let text = r#"{"totals": {"hits": 7, "entries": 1, "dropped": 2},
                       "losses": {"full": 2, "busy": 1, "missed": 4}}"#;
        let counted = counted(text).unwrap();
        assert_eq!(counted, Counted { hits: 7, dropped: 3, missed: 4 });
        assert_eq!(counted.all(), 14);
        assert!(super::counted("{}").is_err());
        assert!(super::counted("").is_err());
    }
}
