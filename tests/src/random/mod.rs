//! Compares random triggers: each is written to the kernel's own tracefs and to a session of ours,
//! then a process does some work, and both must answer the same, list the same triggers and have
//! counted the same.
//!
//! Triggers come in batches that are there at the same time, so that they also meet: some repeat,
//! pause, clear or remove an earlier one.

mod deviations;
mod generate;
mod prng;
mod rows;
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use hist_cli::kernel::EventName;
use hist_cli::kernel::error::EventError;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::resolve::hist::Hist;
use hist_cli::session::SessionError;
use hist_test_support::table::totals;

use crate::compare;
use crate::differential::Process;
use crate::version::Version;
use crate::workload::Workload;
use deviations::{Counted, Written};
use generate::Generated;
use prng::Prng;
use sides::{Histogram, Kernel, Ours, Refused};

/// How many triggers are there at the same time.
pub const BATCH: u64 = 50;

/// How much of a difference is shown, in lines.
const MOST_LINES: usize = 25;

/// What is done while triggers count, and the events that this causes: in the process itself, and
/// not in interrupts, where BPF programs may be skipped.
const WORK: [(Workload, &[&str]); 6] = [
    (
        Workload::Syscalls,
        &[
            "raw_syscalls:sys_enter",
            "raw_syscalls:sys_exit",
            "syscalls:sys_enter_lseek",
            "syscalls:sys_exit_lseek",
            "syscalls:sys_enter_write",
            "syscalls:sys_exit_close",
        ],
    ),
    (
        Workload::Tasks,
        &[
            "task:task_newtask",
            "task:task_rename",
            "sched:sched_process_fork",
            "sched:sched_wakeup_new",
            "sched:sched_process_wait",
            "oom:oom_score_adj_update",
        ],
    ),
    (
        Workload::Memory,
        &[
            "kmem:kmalloc",
            "exceptions:page_fault_user",
            "kmem:kmem_cache_alloc",
            "kmem:mm_page_alloc",
            "syscalls:sys_enter_mmap",
            "syscalls:sys_enter_openat",
        ],
    ),
    (Workload::Signals, &["signal:signal_generate", "signal:signal_deliver"]),
    (Workload::Timers, &["timer:itimer_state", "syscalls:sys_enter_setitimer"]),
    (Workload::Sockets, &["sock:inet_sock_set_state", "syscalls:sys_enter_bind"]),
];

/// What became of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both have taken it, and have counted the same.
    Counted,
    /// Both have taken it; there was nothing to compare in what they counted.
    Taken,
    /// Both have refused it, in the same words.
    Refused,
    /// The two differ for a documented reason.
    Explained(String),
    /// The two differ.
    Failed(String),
}

/// A batch of triggers, and what gives its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// The seed of the run.
    pub seed: u64,
    /// Its place in the run.
    pub number: u64,
}

/// What batches take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Writing triggers and comparing the answers.
    pub write: Duration,
    /// The work that is counted.
    pub work: Duration,
    /// Comparing histograms.
    pub compare: Duration,
    /// Removing all triggers.
    pub clear: Duration,
}

/// Runs one batch and adds to `times`; gives a verdict to `report` for each trigger, by its number in the run. A
/// trigger may get two: one when it is written, one when its counts are compared.
///
/// # Errors
/// When something fails that is not a trigger's fault.
pub fn run(
    batch: Batch,
    version: Version,
    times: &mut Times,
    report: &mut dyn FnMut(u64, Verdict),
) -> Result<()> {
    let tracefs = find_or_mount()?;
    let (workload, names) = WORK[(batch.number % WORK.len() as u64) as usize];
    let events = events(&tracefs, names)?;
    let mut process = Process::spawn(workload)?;
    let mut clock = Instant::now();
    let mut trial = Trial::new(&tracefs, version, process.pid(), report)?;
    let start = batch.number * BATCH;
    for index in start..start + BATCH {
        trial.write(batch.seed, index, &events)?;
    }
    times.write += lap(&mut clock);
    process.work()?;
    times.work += lap(&mut clock);
    trial.compare()?;
    times.compare += lap(&mut clock);
    trial.clear()?;
    times.clear += lap(&mut clock);
    process.end()
}

/// The time since `clock`, which begins anew.
fn lap(clock: &mut Instant) -> Duration {
    let before = std::mem::replace(clock, Instant::now());
    clock.duration_since(before)
}

/// Those of the events that this kernel has.
fn events(tracefs: &Tracefs, names: &[&str]) -> Result<Vec<(EventName, EventFormat)>> {
    let mut events = Vec::new();
    for name in names {
        let name: EventName = name.parse()?;
        match tracefs.event(&name) {
            Ok(format) => events.push((name, format)),
            Err(EventError::UnknownEvent { .. } | EventError::UnknownSystem { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::ensure!(!events.is_empty(), "this kernel has none of {names:?}");
    Ok(events)
}

/// A trigger that both sides have.
struct Placed {
    index: u64,
    event: EventName,
    generated: Generated,
}

/// How the lists of triggers differ, and the reason if it is a documented one.
struct Lists {
    difference: String,
    explained: Option<&'static str>,
}

/// One batch under way.
struct Trial<'a> {
    version: Version,
    pid: u32,
    ours: Ours,
    /// For each event its triggers, in the order of their creation.
    placed: BTreeMap<EventName, Vec<Placed>>,
    /// Every event that anything was written to.
    touched: BTreeSet<EventName>,
    report: &'a mut dyn FnMut(u64, Verdict),
}

impl<'a> Trial<'a> {
    fn new(
        tracefs: &Tracefs,
        version: Version,
        pid: u32,
        report: &'a mut dyn FnMut(u64, Verdict),
    ) -> Result<Self> {
        let ours = Ours::new(tracefs, version)?;
        Ok(Self { version, pid, ours, placed: BTreeMap::new(), touched: BTreeSet::new(), report })
    }

    /// Makes a trigger, and writes it to both sides.
    fn write(&mut self, seed: u64, index: u64, events: &[(EventName, EventFormat)]) -> Result<()> {
        let mut prng = Prng::new(seed, index);
        let (event, format) = prng.pick(events).clone();
        let earlier = self.placed.get(&event).map_or(&[][..], Vec::as_slice);
        let generated = if !earlier.is_empty() && prng.chance(8) {
            let generated = prng.pick(earlier).generated.clone();
            generate::variant(&mut prng, generated)
        } else {
            generate::trigger(&mut prng, &format, self.pid)
        };
        let lines = earlier.iter().map(|placed| format!("  {}", placed.generated.text.trim_end()));
        let lines = lines.collect::<Vec<_>>().join("\n");
        self.touched.insert(event.clone());
        let kernel = Kernel::write(&event, &generated.text)?;
        let ours = self.ours.write(&event, &generated.text);
        let hist = ours.is_ok().then(|| self.ours.last(&event)).flatten();
        let verdict = self.judge(&generated.text, &kernel, &ours, hist.as_ref());
        let same_state = self.follow(&event, &generated, index, kernel.is_ok() == ours.is_ok())?;
        let verdict = match (verdict, same_state) {
            (verdict, Ok(())) => verdict,
            (Verdict::Explained(reason), Err(_)) => Verdict::Explained(reason),
            (_, Err(Lists { explained: Some(reason), .. })) => {
                Verdict::Explained(reason.to_owned())
            }
            (_, Err(lists)) => Verdict::Failed(lists.difference),
        };
        let verdict = match verdict {
            Verdict::Failed(what) => Verdict::Failed(format!("{what}\nthere before:\n{lines}")),
            verdict => verdict,
        };
        self.say(index, &event, &generated.text, verdict);
        Ok(())
    }

    /// What the answers to a command say.
    fn judge(
        &self,
        text: &str,
        kernel: &Result<(), Refused>,
        ours: &Result<(), SessionError>,
        hist: Option<&Hist>,
    ) -> Verdict {
        let same = match (kernel, ours) {
            (Ok(()), Ok(())) => return Verdict::Taken,
            (Err(refused), Err(error)) => {
                refused.errno == error.errno() && refused.log == self.ours.log()
            }
            _ => false,
        };
        if same {
            return Verdict::Refused;
        }
        match deviations::explain(&Written { text, kernel, ours, hist }, self.version) {
            Some(reason) => Verdict::Explained(reason),
            None => Verdict::Failed(format!(
                "the kernel: {}\nours:       {}",
                answer(kernel),
                match ours {
                    Ok(()) => "takes it".to_owned(),
                    Err(error) =>
                        format!("errno {}, log:\n{}{error}", error.errno(), self.ours.log()),
                }
            )),
        }
    }

    /// Keeps book of what is there, and makes both sides the same again if only one has taken the
    /// command. Gives how their lists of triggers differ if both have.
    fn follow(
        &mut self,
        event: &EventName,
        generated: &Generated,
        index: u64,
        agree: bool,
    ) -> Result<Result<(), Lists>> {
        let (kernel, ours) = (Kernel::lines(event)?, self.ours.lines(event));
        if agree && same_lines(&kernel, &ours, self.version) {
            self.book(event, generated, index, ours.len());
            return Ok(Ok(()));
        }
        let removal = format!("!{}", generated.text.trim_start());
        let n_placed = self.placed.get(event).map_or(0, Vec::len);
        if kernel.len() > n_placed {
            // It may be refused, as it is a random text; the lists tell.
            drop(Kernel::write(event, &removal)?);
        }
        if ours.len() > n_placed {
            drop(self.ours.write(event, &removal));
        }
        let (now_kernel, now_ours) = (Kernel::lines(event)?, self.ours.lines(event));
        let restored = now_ours.len() == n_placed;
        if !restored || !same_lines(&now_kernel, &now_ours, self.version) {
            Kernel::truncate(event)?;
            self.ours.truncate(event);
            self.placed.remove(event);
        }
        let lists = (&kernel[..], &ours[..]);
        let explained = deviations::explain_lists(&generated.text, lists, self.version);
        let difference = compare::difference(&headers(&kernel), &headers(&ours), self.version);
        let difference = difference.unwrap_or_default();
        let difference = format!("the lists of triggers differ:\n{difference}");
        Ok(if agree { Err(Lists { difference, explained }) } else { Ok(()) })
    }

    /// Notes what has been created or removed: `n_lines` are there now.
    fn book(&mut self, event: &EventName, generated: &Generated, index: u64, n_lines: usize) {
        let placed = self.placed.entry(event.clone()).or_default();
        if n_lines > placed.len() {
            let (event, generated) = (event.clone(), generated.clone());
            placed.push(Placed { index, event, generated });
        } else if n_lines < placed.len() {
            // Which one has gone does not matter but for names in reports.
            placed.truncate(n_lines);
        }
    }

    /// Compares what has been counted.
    fn compare(&mut self) -> Result<()> {
        for (event, placed) in std::mem::take(&mut self.placed) {
            let kernel = Kernel::hists(&event)?;
            let ours = self.ours.hists(&event)?;
            anyhow::ensure!(
                kernel.len() == ours.len() && ours.len() == placed.len(),
                "{event}: {} triggers, {} and {} histograms",
                placed.len(),
                kernel.len(),
                ours.len()
            );
            for ((placed, kernel), ours) in placed.iter().zip(kernel).zip(ours) {
                self.judge_counts(placed, &kernel, &ours);
            }
        }
        Ok(())
    }

    /// Removes everything.
    fn clear(&mut self) -> Result<()> {
        for event in std::mem::take(&mut self.touched) {
            Kernel::truncate(&event)?;
            self.ours.truncate(&event);
        }
        Ok(())
    }

    fn judge_counts(&mut self, placed: &Placed, kernel: &str, ours: &Histogram) {
        if !placed.generated.limited {
            return;
        }
        let Histogram { text, lost, hist } = ours;
        let Some(diff) = compare::difference(kernel, text, self.version) else {
            if totals(text, "Hits") != [0] {
                (self.report)(placed.index, Verdict::Counted);
            }
            return;
        };
        let kernel = &compare::normal(kernel, self.version);
        let counted = Counted { system: &placed.event.system, hist, kernel, ours: text };
        let verdict = match deviations::explain_counts(&counted, self.version) {
            Some(reason) => Verdict::Explained(reason),
            None => Verdict::Failed(format!("{lost} lost\n{diff}")),
        };
        self.say(placed.index, &placed.event, &placed.generated.text, verdict);
    }

    fn say(&mut self, index: u64, event: &EventName, text: &str, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Failed(what) => {
                let what: Vec<_> = what.lines().take(MOST_LINES).collect();
                Verdict::Failed(format!("{event}\n{text:?}\n{}", what.join("\n")))
            }
            other => other,
        };
        (self.report)(index, verdict);
    }
}

fn answer(kernel: &Result<(), Refused>) -> String {
    match kernel {
        Ok(()) => "takes it".to_owned(),
        Err(refused) => format!("errno {}, log:\n{}", refused.errno, refused.log.trim_end()),
    }
}

/// Both list the same triggers, the documented deviations aside.
fn same_lines(kernel: &[String], ours: &[String], version: Version) -> bool {
    compare::difference(&headers(kernel), &headers(ours), version).is_none()
}

/// As the lines stand in histograms.
fn headers(lines: &[String]) -> String {
    lines.iter().map(|line| format!("# trigger info: {line}\n")).collect()
}
