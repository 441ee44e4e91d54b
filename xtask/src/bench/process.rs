//! Starts hist-bpf to be measured, and sees what it does when.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A hist-bpf that counts. It prints when asked to only.
pub(super) struct HistBpf {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    /// From just before it was started until it said that it counts.
    pub start_up: Duration,
}

/// Pause before a table is asked for. hist-bpf does not heed the signal while it is busy with the
/// table before, and it is for a moment after its last line was read.
const PAUSE: Duration = Duration::from_millis(20);

/// How a histogram's last line begins.
const LAST_LINE: &str = "    Dropped: ";

impl HistBpf {
    /// Starts `program` and waits until it counts.
    ///
    /// # Errors
    /// When it cannot be started or ends before that.
    pub(super) fn start(program: &Path, trigger: &str, event: &str) -> Result<HistBpf> {
        let mut command = Command::new(program);
        command.args(["--interval", "0", trigger, event]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        let stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        let mut stderr = BufReader::new(child.stderr.take().context("its stderr")?);
        let mut said = String::new();
        // Everything else that it says at the start is about mounting tracefs.
        while !said.lines().last().is_some_and(|line| line.starts_with("attached ")) {
            ensure!(stderr.read_line(&mut said)? > 0, "hist-bpf ended at the start:\n{said}");
        }
        Ok(HistBpf { child, stdout, stderr, start_up: start.elapsed() })
    }

    /// The most memory that it has used so far, in MiB: `VmHWM`, see proc_pid_status(5).
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn peak_memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        peak_memory(&status).with_context(|| format!("no VmHWM in\n{status}"))
    }

    /// How long its main thread has run on a CPU so far; waiting is not in it. The first number in
    /// `schedstat`, in nanoseconds (Linux Documentation/scheduler/sched-stats.rst).
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        let first = text.split_whitespace().next().context(path)?;
        Ok(Duration::from_nanos(first.parse()?))
    }

    /// Has it print, and reads all of the table. Gives the text, and the time from asking until
    /// the last line was read.
    ///
    /// # Errors
    /// When it ends instead.
    pub(super) fn print(&mut self) -> Result<(String, Duration)> {
        thread::sleep(PAUSE);
        let start = Instant::now();
        kill_process(self.pid()?, Signal::USR1)?;
        let (mut text, mut line) = (String::new(), 0);
        while !text[line..].starts_with(LAST_LINE) {
            line = text.len();
            ensure!(self.stdout.read_line(&mut text)? > 0, "hist-bpf ended instead of printing");
        }
        Ok((text, start.elapsed()))
    }

    /// Ends it as a user would.
    ///
    /// # Errors
    /// When it does not end well.
    pub(super) fn end(mut self) -> Result<()> {
        kill_process(self.pid()?, Signal::TERM)?;
        let (mut table, mut said) = (Vec::new(), String::new());
        self.stdout.read_to_end(&mut table)?;
        self.stderr.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "hist-bpf ended with {status}:\n{said}");
        Ok(())
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_child(&self.child))
    }
}

/// One that was not ended must not go on counting when a measurement fails.
impl Drop for HistBpf {
    fn drop(&mut self) {
        // It fails if the process was ended and waited for, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peak_memory(status: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_in_mib() {
        assert_eq!(peak_memory("Name:\tx\nVmHWM:\t    2560 kB\nVmRSS:\t 1 kB\n"), Some(2.5));
        assert_eq!(peak_memory("Name:\tx\n"), None);
    }
}
