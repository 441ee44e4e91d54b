//! Measures what hist-bpf, as users build it, costs on this machine: times and memory.

use std::fs;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::guest::{Cost, Figures};
use super::process::HistBpf;
use super::sample::Sample;
use super::table::{NONE, Table, cell, verdict};
use crate::cargo::{cargo, target_dir};
use crate::command::succeed;
use crate::guest::Guest;

/// How often a start or a table is timed.
const RUNS: usize = 21;
/// How often that is done where each time takes long.
const FEW_RUNS: usize = 5;

/// What a start is measured with.
const TRIGGER: &str = "hist:keys=id:vals=id";
const EVENT: &str = "raw_syscalls:sys_enter";

/// Pause before a start. What the kernel takes apart of the one before, for tens of milliseconds
/// after its end, holds locks that the next one needs.
const PAUSE: Duration = Duration::from_millis(100);

/// What all tracers count when one event is timed.
const CASE: &str = "keys=id:vals=id";

/// Entries of the table that is printed: as many as a histogram has by default.
const ENTRIES: u64 = 2048;
/// As many as one can have.
const ENTRIES_MAX: u64 = 131_072;

/// The most that is allowed, in the unit of the row.
mod limit {
    pub(super) const START_UP: Option<f64> = Some(6.0);
    pub(super) const PEAK_MEMORY: Option<f64> = Some(6.0);
    pub(super) const BESIDE_BPFTRACE: Option<f64> = Some(0.5);
    pub(super) const PRINT: Option<f64> = Some(20.0);
    pub(super) const PRINT_MAX: Option<f64> = Some(250.0);
}

/// Builds hist-bpf and measures it.
///
/// # Errors
/// When it does not compile, or fails.
pub(super) fn measure() -> Result<Table> {
    let program = build()?;
    let mut table = Table {
        title: format!("This machine, {}, release build of hist-bpf", place()?),
        header: vec!["", "unit", "median", "least", "most", "limit", "verdict"],
        rows: Vec::new(),
    };
    if !rustix::process::geteuid().is_root() {
        table.rows.push(vec!["all".to_owned(), "skipped: loading programs needs root".to_owned()]);
        return Ok(table);
    }
    start(&program, &mut table)?;
    print(&program, &mut table)?;
    events(&mut table)?;
    Ok(table)
}

/// What the figures depend on: the kernel, the CPUs, and how many processes already want them.
fn place() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let cpus = std::thread::available_parallelism()?;
    Ok(format!("Linux {}, {cpus} CPUs, load {load}", release.trim()))
}

fn build() -> Result<PathBuf> {
    succeed(cargo("build").args(["--quiet", "--release", "--package", "hist-cli"]))?;
    Ok(target_dir().join("release").join("hist-bpf"))
}

/// Time and memory until it counts.
fn start(program: &Path, table: &mut Table) -> Result<()> {
    let (mut times, mut cpu_times, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        thread::sleep(PAUSE);
        let running = HistBpf::start(program, TRIGGER, EVENT)?;
        times.push(milliseconds(running.start_up));
        cpu_times.push(milliseconds(running.cpu_time()?));
        peaks.push(running.peak_memory()?);
        running.end()?;
    }
    table.rows.push(row("exec to attached", "ms", Sample::of(times), limit::START_UP));
    table.rows.push(row("of that on a CPU", "ms", Sample::of(cpu_times), None));
    table.rows.push(row("peak memory, attached", "MiB", Sample::of(peaks), limit::PEAK_MEMORY));
    Ok(())
}

/// Time from asking for a full table until it is read, and memory after that.
fn print(program: &Path, table: &mut Table) -> Result<()> {
    let mut running = full(program, "ret", ENTRIES)?;
    let times = (0..RUNS).map(|_| print_full(&mut running, ENTRIES)).collect::<Result<_>>()?;
    let peak = Sample::of(vec![running.peak_memory()?]);
    running.end()?;
    table.rows.push(row("print 2048 entries", "ms", Sample::of(times), limit::PRINT));
    table.rows.push(row("peak memory, after that", "MiB", peak, limit::PEAK_MEMORY));

    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..FEW_RUNS {
        let mut running = full(program, "ret.sym", ENTRIES)?;
        times.push(print_full(&mut running, ENTRIES)?);
        peaks.push(running.peak_memory()?);
        running.end()?;
    }
    let name = "print 2048 entries, first with .sym";
    table.rows.push(row(name, "ms", Sample::of(times), None));
    table.rows.push(row("peak memory, after that", "MiB", Sample::of(peaks), None));

    let mut running = full(program, "ret", ENTRIES_MAX)?;
    let print = |_| print_full(&mut running, ENTRIES_MAX);
    let times = (0..FEW_RUNS).map(print).collect::<Result<_>>()?;
    let peak = Sample::of(vec![running.peak_memory()?]);
    running.end()?;
    table.rows.push(row("print 131072 entries", "ms", Sample::of(times), limit::PRINT_MAX));
    table.rows.push(row("peak memory, after that", "MiB", peak, None));
    Ok(())
}

/// A hist-bpf whose table is full. lseek(2) (number 8 on x86-64) gives the key back as its result.
fn full(program: &Path, key: &str, entries: u64) -> Result<HistBpf> {
    let pid = std::process::id();
    let trigger = format!("hist:keys={key}:vals=id:size={entries} if id==8 && common_pid=={pid}");
    let running = HistBpf::start(program, &trigger, "raw_syscalls:sys_exit")?;
    let mut file = tempfile::tempfile()?;
    for key in 0..entries {
        file.seek(SeekFrom::Start(key))?;
    }
    Ok(running)
}

fn print_full(running: &mut HistBpf, entries: u64) -> Result<f64> {
    let (text, time) = running.print()?;
    let total = format!("    Entries: {entries}\n");
    ensure!(text.contains(&total), "the table is not full:\n{text}");
    Ok(milliseconds(time))
}

/// What one event costs while it is counted.
fn events(table: &mut Table) -> Result<()> {
    let mut guest = Command::new(Guest::Measure.build()?);
    let text = succeed(guest.args(["bench", "nanoseconds"]))?;
    let figures = Figures::parse(&text).context("measuring on this machine")?;
    for cost in &figures.costs {
        let name = format!("added per event, {}", who(&cost.tracer, &cost.case));
        table.rows.push(row(&name, "ns", cost.added, None));
    }
    table.rows.extend(beside_bpftrace(&figures));
    Ok(())
}

/// What an event costs here, as a part of what it costs bpftrace. Of medians: the runs alternate.
fn beside_bpftrace(figures: &Figures) -> Option<Vec<String>> {
    let median = |tracer: &str| {
        let of_tracer = |cost: &&Cost| cost.tracer == tracer && cost.case == CASE;
        figures.costs.iter().find(of_tracer).map(|cost| cost.added.median)
    };
    let ratio = median("raw")? / median("bpftrace")?;
    let verdict = verdict(ratio, limit::BESIDE_BPFTRACE);
    let [ratio, limit] = [(Some(ratio), 2), (limit::BESIDE_BPFTRACE, 1)]
        .map(|(figure, digits)| cell(figure, digits));
    let name = format!("raw / bpftrace, {CASE}");
    let none = NONE.to_owned();
    Some(vec![name, String::new(), ratio, none.clone(), none, limit, verdict.to_owned()])
}

fn who(tracer: &str, case: &str) -> String {
    if tracer == "empty" { case.to_owned() } else { format!("{tracer} {case}") }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn row(name: &str, unit: &str, sample: Sample, limit: Option<f64>) -> Vec<String> {
    let Sample { median, least, most } = sample;
    let mut row = vec![name.to_owned(), unit.to_owned()];
    row.extend([median, least, most].map(|figure| cell(Some(figure), 1)));
    row.extend([cell(limit, 0), verdict(median, limit).to_owned()]);
    row
}
