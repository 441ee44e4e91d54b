//! Puts the command where machines are unkind: CPUs come and go, no thread and hardly a file is to
//! be had. It must count on, or say what is wrong.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::command::{self, Counted, Running};
use crate::differential::Verdict;
use crate::floods::crew::{self, Crew, Flood, Work};
use crate::traffic;
use crate::version::Version;
use crate::workload::sys;

/// A CPU goes and comes back while its events are counted: it is away when the programs are attached,
/// and twice while they count.
#[must_use]
pub fn cpu_hotplug(_: Version) -> Verdict {
    hotplug().into()
}

/// After the command has attached, it gets no thread and no process: it still prints when asked and
/// at the end.
#[must_use]
pub fn no_more_processes(_: Version) -> Verdict {
    pids_limit().into()
}

/// The command may open few files: it prints a table or an error, and both occur.
#[must_use]
pub fn few_files(_: Version) -> Verdict {
    files_limit().into()
}

/// What is counted where only that matters.
const PAIR: (&str, &str) = ("hist:keys=id if id==110", "raw_syscalls:sys_enter");

/// The CPU that goes: not the first, which cannot, nor the one that counts.
const GOING: usize = 1;
const COUNTING: usize = 2;

fn hotplug() -> Result<()> {
    let _aside = crew::step_aside(COUNTING)?;
    set_online(GOING, false)?;
    let pairs = [PAIR, ("hist:keys=common_cpu if id==110", "raw_syscalls:sys_exit")];
    let start = |way| Running::start(&["--attach", way, "-f", "json", "--delta", "-i0"], &pairs);
    let ways = ["auto", "tracepoint"];
    let mut running: Vec<_> = ways.into_iter().map(start).collect::<Result<_>>()?;
    set_online(GOING, true)?;
    let crew = Crew::prepare(Flood { work: Work::Getppid, cpus: 2, threads: 6, distance: 200 })?;
    for way in &mut running {
        way.tables()?;
    }
    crew.start();
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(100));
        set_online(GOING, false)?;
        thread::sleep(Duration::from_millis(100));
        set_online(GOING, true)?;
    }
    let happened = crew.stop().getppid;
    let counted = running.iter_mut().map(Running::tables).collect::<Result<Vec<_>>>()?;
    crew.end()?;
    for (way, tables) in ways.into_iter().zip(counted) {
        let exact = Counted { hits: happened, ..Counted::default() };
        let wrong = tables.iter().find(|table| **table != exact);
        ensure!(wrong.is_none(), "{way}: {happened} events happened, and {tables:?} were counted");
    }
    running.into_iter().try_for_each(|way| {
        let ended = way.end()?;
        succeeded(&ended.status, &ended.stderr)
    })
}

fn set_online(cpu: usize, online: bool) -> Result<()> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    fs::write(&path, u8::from(online).to_string()).with_context(|| path)
}

fn succeeded(status: &std::process::ExitStatus, said: &str) -> Result<()> {
    ensure!(status.success(), "the command ended with {status}: {said}");
    Ok(())
}

fn pids_limit() -> Result<()> {
    traffic::groups()?;
    let root = Path::new("/sys/fs/cgroup");
    fs::write(root.join("cgroup.subtree_control"), "+pids").context("the controller of pids")?;
    let group = root.join("limited");
    fs::create_dir_all(&group)?;
    let mut running = Running::start(&["-i0", "-f", "json"], &[PAIR])?;
    fs::write(group.join("cgroup.procs"), running.pid()?.as_raw_nonzero().to_string())?;
    // Fewer than there are: they stay, and there will be no more.
    fs::write(group.join("pids.max"), "1")?;
    sys(libc::SYS_getppid, &[]);
    // Where it panics, this is the end of its output.
    let asked = running.tables();
    let ended = running.end()?;
    fs::write(group.join("pids.max"), "max")?;
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    succeeded(&ended.status, &ended.stderr)?;
    ensure!(asked?[0].hits > 0, "nothing was counted");
    let last = ended.stdout.lines().last().context("no last table")?;
    ensure!(command::counted(last)?.hits > 0, "{last}");
    Ok(())
}

fn files_limit() -> Result<()> {
    let mut ends = Vec::new();
    for files in (3..28).chain([32, 64]) {
        let output = limited(files, &["-d0.02", "-i0", PAIR.0, PAIR.1])?;
        ends.push(table_or_error(&output).with_context(|| format!("with {files} files"))?);
    }
    ensure!(ends.first() == Some(&End::Error), "3 files were enough: {ends:?}");
    ensure!(ends.last() == Some(&End::Table), "64 files were not enough: {ends:?}");
    Ok(())
}

/// The command with a limit on open files, set by this program on its way.
fn limited(files: u64, words: &[&str]) -> Result<Output> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["limited", &files.to_string(), "--"]).args(words);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// Becomes the command after limiting how many files it may open.
///
/// # Errors
/// When that cannot be done; never returns otherwise.
pub fn become_limited(files: u64, words: &[String]) -> Result<ExitCode> {
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) })?;
    // Opening another stdin would take a file.
    Err(command::hist_bpf().args(words).stdin(Stdio::inherit()).exec().into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Table,
    Error,
}

fn table_or_error(output: &Output) -> Result<End> {
    let (out, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(!said.contains("panicked"), "{said}");
    match output.status.code() {
        Some(0) if out.contains("\nTotals:\n") => Ok(End::Table),
        Some(1) if said.lines().any(|line| line.starts_with("error: ")) => Ok(End::Error),
        _ => bail!("neither a table nor an error, {}: {out}{said}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ended(wait_status: i32, stdout: &str, stderr: &str) -> Result<End> {
        let status = ExitStatus::from_raw(wait_status);
        table_or_error(&Output { status, stdout: stdout.into(), stderr: stderr.into() })
    }

    #[test]
    fn only_a_table_or_an_error_is_an_end() {
        assert_eq!(ended(0, "x\nTotals:\n", "").unwrap(), End::Table);
        assert_eq!(ended(1 << 8, "", "error: no\n").unwrap(), End::Error);
        assert!(ended(0, "", "").is_err());
        assert!(ended(1 << 8, "", "").is_err());
        assert!(ended(libc::SIGABRT, "", "error: no\n").is_err());
        assert!(ended(1 << 8, "", "error: a thread panicked\n").is_err());
    }
}
