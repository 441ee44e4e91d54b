//! Compares an engine with the kernel's own hist triggers: both count the same events of one process
//! at the same time, and must print the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};

use hist_test_support::table::total;

use crate::compare;
use crate::engine::{Engine, Request};
use crate::ftrace::{Ftrace, Refusal};
use crate::suite::Case;
use crate::version::{self, Version};
use crate::workload::Workload;

/// What became of a case.
#[derive(Debug)]
pub enum Verdict {
    /// Both printed the same.
    Passed,
    /// It is not for this kernel.
    LeftOut,
    /// They differ, or something else went wrong: says what.
    Failed(String),
}

impl From<Result<()>> for Verdict {
    fn from(result: Result<()>) -> Self {
        result.map_or_else(|error| Self::Failed(format!("{error:#}")), |()| Self::Passed)
    }
}

/// Runs all cases; gives a verdict to `report` for each.
///
/// # Errors
/// When something fails that is not a case's fault.
pub fn run(
    cases: &[Case],
    engine: &mut dyn Engine,
    version: Version,
    report: &mut dyn FnMut(&Case, Verdict),
) -> Result<()> {
    let mut waiting: Vec<&Case> = Vec::new();
    for case in cases {
        let range = case.kernels.as_deref();
        if range.map_or(Ok(true), |range| version::matches(range, version))? {
            waiting.push(case);
        } else {
            report(case, Verdict::LeftOut);
        }
    }
    while let Some(first) = waiting.first() {
        let workload = first.workload;
        let (group, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|case| case.workload == workload);
        waiting = round(&group, workload, engine, version, report)?;
        ensure!(waiting.len() < group.len(), "a round made no progress");
        waiting.extend(others);
    }
    Ok(())
}

/// One run of a workload for as many of its cases as an event takes at a time: the kernel holds
/// triggers for equal that differ in size or bucket width only, and runs [`PROGRAMS_MAX`] of an
/// event's classic programs. Gives those left for a next round.
fn round<'a>(
    group: &[&'a Case],
    workload: Workload,
    engine: &mut dyn Engine,
    version: Version,
    report: &mut dyn FnMut(&Case, Verdict),
) -> Result<Vec<&'a Case>> {
    let mut process = Process::spawn(workload)?;
    let mut kernel = Ftrace::root();
    let (mut placed, mut requests, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for case in group {
        let request = case.request(process.pid());
        let programs = requests.iter().filter(|other| event_of(other) == event_of(&request));
        if programs.count() == PROGRAMS_MAX {
            later.push(*case);
            continue;
        }
        match kernel.place(&request) {
            Ok(()) => {
                placed.push(*case);
                requests.push(request);
            }
            Err(Refusal::Exists) => later.push(*case),
            Err(Refusal::Other(error)) => report(case, Verdict::Failed(format!("{error:#}"))),
        }
    }
    engine.start(&requests)?;
    let ended = process.work();
    let ours = engine.stop();
    let theirs = kernel.take();
    ended?;
    process.end()?;
    let counts = (requests.len(), theirs.len(), ours.len());
    ensure!(counts.0 == counts.1 && counts.0 == counts.2, "requests and answers: {counts:?}");
    for (((case, request), theirs), ours) in placed.into_iter().zip(&requests).zip(theirs).zip(ours)
    {
        let verdict = judge(case, theirs, ours, version)
            .unwrap_or_else(|error| Verdict::Failed(failure(request, &error)));
        report(case, verdict);
    }
    Ok(later)
}

/// How many classic programs an event has at most (`BPF_TRACE_MAX_PROGS` in Linux
/// kernel/trace/bpf_trace.c).
const PROGRAMS_MAX: usize = 64;

/// The event that has the program: single system calls may be counted on that of all of them.
fn event_of(request: &Request) -> (&str, &str) {
    let Request { system, event, .. } = request;
    let all = ["sys_enter", "sys_exit"].into_iter().find(|all| event.starts_with(all));
    all.filter(|_| system.ends_with("syscalls"))
        .map_or((system, event), |all| ("raw_syscalls", all))
}

fn failure(request: &Request, error: &Error) -> String {
    let Request { system, event, trigger } = request;
    format!("{trigger}\non {system}:{event}\n{error:#}")
}

fn judge(
    case: &Case,
    theirs: Result<String>,
    ours: Result<String>,
    version: Version,
) -> Result<Verdict> {
    let theirs = theirs.context("the kernel")?;
    let ours = ours.context("the engine")?;
    if let Some(diff) = compare::difference(&theirs, &ours, version) {
        bail!("{diff}");
    }
    let hits = total(&theirs, "Hits")?;
    ensure!(case.empty == (hits == 0), "{hits} hits: the case proves nothing\n{theirs}");
    let dropped = total(&theirs, "Dropped")?;
    ensure!(case.overflow == (dropped > 0), "{dropped} hits dropped\n{theirs}");
    Ok(Verdict::Passed)
}

/// How long a workload may take: emulated machines are slow, and every event is counted often.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process whose events are counted: this program again, as [`serve`]. Its number is known before
/// it does anything.
pub(crate) struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// What a [`Process`] gets to read, and what it answers.
const READY: &str = "ready\n";
pub(crate) const GO: &str = "go\n";
const DONE: &str = "done\n";

impl Process {
    pub(crate) fn spawn(workload: Workload) -> Result<Process> {
        let mut child = Command::new("/proc/self/exe")
            .args(["workload", workload.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the workload's process")?;
        let to = child.stdin.take().context("its stdin")?;
        let from = BufReader::new(child.stdout.take().context("its stdout")?);
        let mut process = Process { child, to, from };
        process.expect(READY)?;
        process.settle()?;
        Ok(process)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do its work, and waits until it is done and blocked: then no event of it is under
    /// way, and whatever counts can be stopped at leisure.
    pub(crate) fn work(&mut self) -> Result<()> {
        self.to.write_all(GO.as_bytes())?;
        self.expect(DONE)?;
        self.settle()
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        if line != word {
            let status = self.child.wait()?;
            bail!(
                "the workload's process said `{line}` instead of `{word}`, then ended with {status}"
            );
        }
        Ok(())
    }

    /// Waits until it sleeps in its next `read`.
    fn settle(&self) -> Result<()> {
        let path = format!("/proc/{}/stat", self.pid());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if state(&std::fs::read_to_string(&path)?)? == 'S' {
                // It is marked as sleeping shortly before it gives up its CPU.
                thread::sleep(Duration::from_millis(10));
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(anyhow!("the workload's process does not come to rest"))
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Result<()> {
        drop(self.to);
        let status = self.child.wait()?;
        ensure!(status.success(), "the workload's process ended with {status}");
        Ok(())
    }
}

/// The state letter in the text of `/proc/PID/stat`, see proc_pid_stat(5). It follows the command's
/// name, which stands in parentheses and may hold anything.
fn state(stat: &str) -> Result<char> {
    let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
    rest.and_then(|rest| rest.chars().next()).with_context(|| format!("no state in `{stat}`"))
}

/// The other side of a [`Process`]: works at each [`GO`], until the end of its input.
///
/// # Errors
/// When the workload or talking fails.
pub fn serve(workload: Workload) -> Result<()> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut line = String::new();
    output.write_all(READY.as_bytes())?;
    output.flush()?;
    while input.read_line(&mut line)? > 0 {
        ensure!(line == GO, "the workload got `{line}` instead of `{GO}`");
        workload.run()?;
        output.write_all(DONE.as_bytes())?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_follows_the_name() {
        assert_eq!(state("7 (a) b) S 1 7").unwrap(), 'S');
        assert!(state("7").is_err());
    }
}
