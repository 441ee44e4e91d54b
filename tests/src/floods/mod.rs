//! Proves that nothing is lost without being reported when more threads than CPUs cause the same
//! events: from Linux 7.0 on the kernel may take a CPU away from a raw program, and skips it for all
//! other tasks until it goes on.
//!
//! The command counts every flood three times at once, attached by its own choice, to classic and to
//! raw tracepoints. The [`crew`] that made the events says how many there were or, where it cannot
//! know, the kernel's own trigger.

pub mod crew;
mod judge;

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hist_test_support::table::total;

use crate::command::{Counted, Running};
use crate::differential::Verdict;
use crate::engine::Request;
use crate::ftrace::{Ftrace, Refusal};
use crate::version::Version;
use crew::{Calls, Crew, Flood, Work};
use judge::{Outcome, WAYS};

/// How long a flood lasts: many turns of a CPU's tasks, on any machine.
const TIME: Duration = Duration::from_millis(400);

/// Iterations between two events.
const DISTANCES: [u32; 3] = [0, 200, 2000];

/// CPUs that are flooded; the next one is for whatever counts.
const CPUS: [usize; 2] = [1, 2];

/// More threads than one CPU can run.
const THREADS_PER_CPU: usize = 3;

/// A trigger, and what says how often it must hit.
struct Subject {
    event: &'static str,
    trigger: &'static str,
    /// By what the crew did; None: by the kernel's own trigger.
    expected: Option<fn(Calls) -> u64>,
    /// Whether only these events can pass its program by, so that losses are exact.
    is_alone: bool,
}

/// What is counted while one kind of work is done.
struct Group {
    work: Work,
    subjects: &'static [Subject],
}

const GROUPS: [Group; 4] = [
    Group {
        work: Work::Calls,
        subjects: &[
            Subject {
                event: "raw_syscalls:sys_enter",
                trigger: "hist:keys=id if id==110||id==124",
                expected: Some(|calls| calls.getppid + calls.getsid),
                is_alone: true,
            },
            Subject {
                event: "raw_syscalls:sys_exit",
                trigger: "hist:keys=id if id==110||id==124",
                expected: Some(|calls| calls.getppid + calls.getsid),
                is_alone: true,
            },
            Subject {
                event: "syscalls:sys_enter_getppid",
                trigger: "hist:keys=common_cpu",
                expected: Some(|calls| calls.getppid),
                is_alone: false,
            },
            Subject {
                event: "syscalls:sys_exit_getsid",
                trigger: "hist:keys=ret",
                expected: Some(|calls| calls.getsid),
                is_alone: false,
            },
        ],
    },
    // Tables that overflow: every event has a key of its own.
    Group {
        work: Work::Getppid,
        subjects: &[
            Subject {
                event: "raw_syscalls:sys_enter",
                trigger: "hist:keys=common_timestamp:size=128 if id==110",
                expected: Some(|calls| calls.getppid),
                is_alone: true,
            },
            Subject {
                event: "raw_syscalls:sys_exit",
                trigger: "hist:keys=common_timestamp:size=128 if comm==\"flood\"&&ret>=0",
                expected: Some(|calls| calls.getppid),
                is_alone: true,
            },
        ],
    },
    Group {
        work: Work::Memory,
        subjects: &[Subject {
            event: "kmem:kmalloc",
            trigger: "hist:keys=bytes_req if COMM==\"flood\"",
            expected: None,
            is_alone: false,
        }],
    },
    Group {
        work: Work::Naps,
        subjects: &[
            Subject {
                event: "sched:sched_switch",
                trigger: "hist:keys=next_pid if COMM==\"flood\"",
                expected: None,
                is_alone: false,
            },
            Subject {
                event: "sched:sched_waking",
                trigger: "hist:keys=pid if COMM==\"flood\"",
                expected: None,
                is_alone: false,
            },
            Subject {
                event: "timer:hrtimer_expire_entry",
                trigger: "hist:keys=function if COMM==\"flood\"",
                expected: None,
                is_alone: false,
            },
        ],
    },
];

/// A flood under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case(Flood);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flood { work, cpus, threads, distance } = self.0;
        write!(f, "flood-{}-{threads}-on-{cpus}-distance-{distance}", work.name())
    }
}

/// All floods.
pub fn cases() -> impl Iterator<Item = Case> {
    GROUPS.iter().flat_map(|group| floods(group.work)).map(Case)
}

fn floods(work: Work) -> impl Iterator<Item = Flood> {
    CPUS.into_iter().flat_map(move |cpus| {
        DISTANCES.map(|distance| Flood { work, cpus, threads: THREADS_PER_CPU * cpus, distance })
    })
}

/// Runs those floods; gives a verdict to `report` for each. If all are run on a kernel that may
/// preempt raw programs, a last verdict is whether these have lost events: floods in which nothing
/// can be lost prove nothing.
///
/// # Errors
/// When there are too few CPUs, or something fails that is not a flood's fault.
pub fn run(wanted: &[Case], version: Version, report: &mut dyn FnMut(&str, Verdict)) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let _aside = crew::step_aside(CPUS[CPUS.len() - 1])?;
    let mut lost_raw = 0;
    for group in &GROUPS {
        let floods: Vec<_> =
            floods(group.work).filter(|flood| wanted.contains(&Case(*flood))).collect();
        if !floods.is_empty() {
            lost_raw += run_group(group, &floods, report)?;
        }
    }
    if version >= PREEMPTIBLE && wanted.len() == cases().count() {
        report("flood-takes-events-from-raw-programs", control(lost_raw));
    }
    Ok(())
}

/// Raw programs run preemptible from here on.
pub const PREEMPTIBLE: Version = Version(7, 0);

fn control(lost_raw: u64) -> Verdict {
    match lost_raw {
        0 => Verdict::Failed("raw programs lost nothing: these floods prove nothing".to_owned()),
        _ => Verdict::Passed,
    }
}

/// Gives how many events raw programs have lost.
fn run_group(
    group: &Group,
    floods: &[Flood],
    report: &mut dyn FnMut(&str, Verdict),
) -> Result<u64> {
    let pairs: Vec<_> =
        group.subjects.iter().map(|subject| (subject.trigger, subject.event)).collect();
    let start =
        |way: &str| Running::start(&["--attach", way, "-f", "json", "--delta", "-i0"], &pairs);
    let mut ways: Vec<Running> = WAYS.into_iter().map(start).collect::<Result<_>>()?;
    let mut lost_raw = 0;
    for flood in floods {
        let outcomes = run_flood(*flood, group, &mut ways)?;
        lost_raw += outcomes.iter().map(Outcome::lost_raw).sum::<u64>();
        let complaints: Vec<_> = outcomes.iter().filter_map(Outcome::complaint).collect();
        let verdict = match complaints.is_empty() {
            true => Verdict::Passed,
            false => Verdict::Failed(complaints.join("\n")),
        };
        report(&Case(*flood).to_string(), verdict);
    }
    for way in ways {
        let ended = way.end()?;
        ensure!(
            ended.status.success(),
            "the command ended with {}: {}",
            ended.status,
            ended.stderr
        );
    }
    Ok(lost_raw)
}

/// What one flood came to, for each subject.
fn run_flood(flood: Flood, group: &Group, ways: &mut [Running]) -> Result<Vec<Outcome>> {
    // What the crew knows is counted while it does nothing else; what the kernel counts, from before
    // the threads begin until they have ended, so that nothing happens when counters are read.
    let is_known = group.subjects.iter().all(|subject| subject.expected.is_some());
    let (calls, reference, counted) =
        if is_known { run_known(flood, ways)? } else { run_compared(flood, group, ways)? };
    let outcome = |(index, subject): (usize, &Subject)| {
        let expected = match subject.expected {
            Some(expected) => expected(calls),
            None => reference[index],
        };
        let ways = std::array::from_fn(|way| counted[way][index]);
        let Subject { event, trigger, is_alone, .. } = *subject;
        Outcome { event, trigger, expected, is_alone, is_call: is_known, ways }
    };
    Ok(group.subjects.iter().enumerate().map(outcome).collect())
}

/// What the crew did, what the kernel counted of each subject, what each way did.
type Figures = (Calls, Vec<u64>, Vec<Vec<Counted>>);

fn run_known(flood: Flood, ways: &mut [Running]) -> Result<Figures> {
    let crew = Crew::prepare(flood)?;
    tables(ways)?;
    let calls = crew.go(TIME);
    let counted = tables(ways)?;
    crew.end()?;
    Ok((calls, Vec::new(), counted))
}

fn run_compared(flood: Flood, group: &Group, ways: &mut [Running]) -> Result<Figures> {
    let mut kernel = Ftrace::root();
    for subject in group.subjects {
        let (system, event) = subject.event.split_once(':').context("system:event")?;
        let trigger = subject.trigger.to_owned();
        let request = Request { system: system.to_owned(), event: event.to_owned(), trigger };
        kernel.place(&request).map_err(|refusal| match refusal {
            Refusal::Exists => anyhow!("{} has a trigger", subject.event),
            Refusal::Other(error) => error,
        })?;
    }
    tables(ways)?;
    let crew = Crew::prepare(flood)?;
    let calls = crew.go(TIME);
    crew.end()?;
    let (reference, counted) = settled(&kernel, ways)?;
    kernel.take().into_iter().try_for_each(|text| text.map(drop))?;
    Ok((calls, reference, counted))
}

/// What the kernel has counted, and everybody else, with no event in between: a thread still gives up
/// its CPU when it has ended for all others.
fn settled(kernel: &Ftrace, ways: &mut [Running]) -> Result<(Vec<u64>, Vec<Vec<Counted>>)> {
    let mut counted = tables(ways)?;
    for _ in 0..100 {
        let before = hits(kernel)?;
        for (sums, more) in counted.iter_mut().zip(tables(ways)?) {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        if hits(kernel)? == before {
            return Ok((before, counted));
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("events still come from threads that have ended")
}

fn hits(kernel: &Ftrace) -> Result<Vec<u64>> {
    kernel.texts().into_iter().map(|text| total(&text?, "Hits")).collect()
}

fn tables(ways: &mut [Running]) -> Result<Vec<Vec<Counted>>> {
    ways.iter_mut().map(Running::tables).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flood_has_a_name_of_its_own() {
        let names: Vec<_> = cases().map(|case| case.to_string()).collect();
        assert_eq!(names.len(), 24);
        assert_eq!(names[0], "flood-calls-3-on-1-distance-0");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn no_flood_takes_no_cpu() {
        run(&[], Version(7, 3), &mut |name, _| panic!("{name} ran")).unwrap();
    }

    #[test]
    fn floods_without_losses_of_raw_programs_prove_nothing() {
        assert!(matches!(control(0), Verdict::Failed(_)));
        assert!(matches!(control(1), Verdict::Passed));
    }
}
