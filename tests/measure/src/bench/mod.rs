//! Measures what each tracer adds to one event: the half of `cargo xtask bench` that runs where the
//! events happen.
//!
//! The event is mostly `raw_syscalls:sys_enter`, once per call of getppid(2) in a loop: the cheapest
//! system call there is, so that hardly anything but the tracer varies. Strings are counted on
//! `task:task_rename`, once per prctl(2) with PR_SET_NAME. One tracer runs at a time, because a
//! second one on the same event makes the kernel call both through a list.

mod companion;
mod empty;
mod other;
mod tracer;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hist_cli::plan::Proof;
use rustix::process::getppid;
use rustix::thread::{CpuSet, sched_setaffinity, set_name};

use hist_tests::version::Version;

use companion::Companion;
pub(crate) use tracer::Tracer;

/// A system call, and the event that it causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// getppid(2): `raw_syscalls:sys_enter`.
    Getppid,
    /// prctl(2) with PR_SET_NAME: `task:task_rename`.
    Rename,
    /// getppid(2) as `syscalls:sys_enter_getppid`, an event of that one system call.
    Own,
    /// getppid(2), which passes by `syscalls:sys_enter_getuid`: the event of another system call.
    Other,
}

impl Call {
    /// The event's system and name.
    #[must_use]
    pub(crate) const fn event(self) -> (&'static str, &'static str) {
        match self {
            Call::Getppid => ("raw_syscalls", "sys_enter"),
            Call::Rename => ("task", "task_rename"),
            Call::Own => ("syscalls", "sys_enter_getppid"),
            Call::Other => ("syscalls", "sys_enter_getuid"),
        }
    }

    /// Makes the event happen.
    fn make(self, times: u64) {
        match self {
            Call::Getppid | Call::Own | Call::Other => (0..times).for_each(|_| {
                std::hint::black_box(getppid());
            }),
            Call::Rename => (0..times).for_each(|_| set_name(c"hist-bench").expect("a short name")),
        }
    }
}

/// Triggers whose cost is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// What the table calls it.
    pub name: &'static str,
    /// All of them are on the event at the same time.
    pub triggers: &'static [&'static str],
    /// What the loop calls.
    pub call: Call,
    /// Whether the loop's calls are counted; if not, a filter must keep them all out.
    pub counts: bool,
    /// Whether another CPU makes the same calls all the time.
    pub contended: bool,
    /// Whether raw programs can count it: all that it reads is known to be copies of arguments.
    pub raw: bool,
    /// Which losses our classic program counts although the kernel does not.
    pub proof: Proof,
}

/// What is measured in instructions. The filter is for fstat(2).
pub(crate) const CASES: [Case; 13] = [
    PLAIN,
    // Where a sentinel could be preempted, from Linux 7.0 on, there is none.
    Case {
        raw: false,
        proof: Proof::All,
        ..getppid_case("keys=id:vals=id, losses proven", &["hist:keys=id:vals=id"])
    },
    getppid_case("keys=id.log2", &["hist:keys=id.log2"]),
    getppid_case("keys=id.log2:vals=id", &["hist:keys=id.log2:vals=id"]),
    getppid_case("keys=id,common_pid:vals=id", &["hist:keys=id,common_pid:vals=id"]),
    Case {
        counts: false,
        ..getppid_case("keys=id:vals=id if id==5", &["hist:keys=id:vals=id if id==5"])
    },
    getppid_case("keys=common_pid.execname:vals=id", &["hist:keys=common_pid.execname:vals=id"]),
    getppid_case("keys=stacktrace", &["hist:keys=stacktrace"]),
    getppid_case("keys=id:vals=id, and keys=id", &["hist:keys=id:vals=id", "hist:keys=id"]),
    Case { call: Call::Rename, ..getppid_case("rename: keys=pid", &["hist:keys=pid"]) },
    Case { call: Call::Rename, ..getppid_case("rename: keys=newcomm", &["hist:keys=newcomm"]) },
    Case { call: Call::Own, ..getppid_case("one call's event", &["hist:keys=__syscall_nr"]) },
    Case {
        call: Call::Other,
        counts: false,
        ..getppid_case("another call's event", &["hist:keys=__syscall_nr"])
    },
];

/// The same while another CPU makes the same calls.
const CONTENDED: Case = Case {
    contended: true,
    ..getppid_case("keys=id:vals=id, two CPUs", &["hist:keys=id:vals=id"])
};

const PLAIN: Case = getppid_case("keys=id:vals=id", &["hist:keys=id:vals=id"]);

/// Triggers that count every getppid(2).
const fn getppid_case(name: &'static str, triggers: &'static [&'static str]) -> Case {
    let proof = Proof::Usual;
    Case { name, triggers, call: Call::Getppid, counts: true, contended: false, raw: true, proof }
}

/// No trigger: what a bare program costs.
const NOTHING: Case = Case { counts: false, ..getppid_case("empty program", &[]) };

/// What a tracer adds to one event. The unit is the one asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    /// Who counts.
    pub tracer: Tracer,
    /// What it counts.
    pub case: Case,
    /// The median over all rounds.
    pub added: f64,
    /// The least of them.
    pub least: f64,
    /// The most of them.
    pub most: f64,
}

/// One line, the name last for it has spaces.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { tracer, case, added, least, most } = self;
        write!(f, "COST {} {added:.1} {least:.1} {most:.1} {}", tracer.name(), case.name)
    }
}

/// What is measured, in order.
fn plan(cases: &[Case]) -> Vec<(Tracer, Case)> {
    let of = |case: &Case| Tracer::COUNTING.map(|tracer| (tracer, *case));
    let possible =
        |(tracer, case): &(Tracer, Case)| tracer.exists() && (case.raw || *tracer != Tracer::Raw);
    let counting = cases.iter().flat_map(of).filter(possible);
    Tracer::EMPTY.map(|tracer| (tracer, NOTHING)).into_iter().chain(counting).collect()
}

/// How far apart two measures of the same thing in one boot may be, in instructions.
const DRIFT: f64 = 0.5;

/// Measures guest instructions, where the clock counts them (QEMU's `-icount shift=0`). Gives
/// `report` the instructions of an untraced call and then each cost.
///
/// `version` is that of the running kernel. Every tracer is measured between two untraced loops,
/// which must agree: something that an earlier tracer left behind would make its mark there.
///
/// # Errors
/// When a tracer cannot be started, does not count what it should, or the untraced loop drifts.
pub(crate) fn instructions(version: Version, report: &mut dyn FnMut(String)) -> Result<()> {
    Call::Getppid.make(WARM_UP);
    Call::Rename.make(WARM_UP);
    let base = settled(Call::Getppid);
    report(format!("BASE {base:.1}"));
    for (tracer, case) in plan(&CASES) {
        let before = settled(case.call);
        let with = traced(tracer, case, version, settled)?;
        let after = settled(case.call);
        ensure!(
            (after - before).abs() < DRIFT,
            "an untraced call took {before:.1} instructions before and {after:.1} after `{}` of \
             {}: something stayed behind",
            case.name,
            tracer.name()
        );
        let added = with - before;
        report(Cost { tracer, case, added, least: added, most: added }.to_string());
    }
    let end = settled(Call::Getppid);
    ensure!(
        (end - base).abs() < DRIFT,
        "an untraced call took {base:.1} instructions at first and {end:.1} at the end: something \
         stayed behind"
    );
    Ok(())
}

/// Runs `measure` while the tracer counts, and makes sure that it did.
fn traced(tracer: Tracer, case: Case, version: Version, measure: fn(Call) -> f64) -> Result<f64> {
    let failed = || format!("`{}` of {}", case.name, tracer.name());
    let running = tracer.start(case, version).with_context(failed)?;
    let cost = measure(case.call);
    for hits in running.stop().with_context(failed)? {
        ensure!(
            (hits >= CALLS * CHUNKS) == case.counts,
            "{}: {hits} hits after {} calls",
            failed(),
            CALLS * CHUNKS
        );
    }
    Ok(cost)
}

/// Calls that bring caches and the emulator's translations up to date.
const WARM_UP: u64 = 200_000;
/// Calls timed at once: short enough to fall between two timer interrupts, long enough to make
/// the clock's own cost small.
const CALLS: u64 = 500;
/// How many times that is done.
const CHUNKS: u64 = 200;

/// The median call once the kernel has finished what attaching put off. Chunks that a timer
/// interrupt hit are above it.
fn settled(call: Call) -> f64 {
    thread::sleep(Duration::from_secs(1));
    call.make(WARM_UP / 10);
    quantile(&mut chunks(call), 0.5)
}

/// Rounds that alternate between all tracers.
const ROUNDS: usize = 21;
/// Which chunk of a round counts: one that nothing else disturbed.
const QUIET: f64 = 0.1;

/// Measures nanoseconds on the machine at hand. Gives `report` the time of an untraced call and
/// then each cost.
///
/// `version` is that of the running kernel. Rounds go through all tracers, with untraced calls
/// before each; a cost is the difference between those two.
///
/// # Errors
/// When a tracer cannot be started or does not count what it should.
pub(crate) fn nanoseconds(version: Version, report: &mut dyn FnMut(String)) -> Result<()> {
    stay_on_one_cpu()?;
    let mut plan = plan(&[PLAIN]);
    plan.extend(Tracer::OTHERS.into_iter().filter(|other| other.exists()).map(|o| (o, PLAIN)));
    plan.extend(Tracer::COUNTING.into_iter().filter(|of| of.exists()).map(|of| (of, CONTENDED)));
    let mut bases = Vec::new();
    let mut added = vec![Vec::new(); plan.len()];
    for _ in 0..ROUNDS {
        for ((tracer, case), added) in plan.iter().zip(&mut added) {
            let _companion = case.contended.then(|| Companion::start(case.call)).transpose()?;
            let base = quiet(case.call);
            added.push(traced(*tracer, *case, version, quiet)? - base);
            if !case.contended {
                bases.push(base);
            }
        }
    }
    report(format!("BASE {:.1}", quantile(&mut bases, 0.5)));
    for ((tracer, case), mut added) in plan.into_iter().zip(added) {
        let mut at = |part| quantile(&mut added, part);
        let cost = Cost { tracer, case, added: at(0.5), least: at(0.0), most: at(1.0) };
        report(cost.to_string());
    }
    Ok(())
}

fn quiet(call: Call) -> f64 {
    call.make(WARM_UP / 10);
    quantile(&mut chunks(call), QUIET)
}

/// Caches and clocks of one CPU; the first that this process may use.
fn stay_on_one_cpu() -> Result<()> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).context("no CPU allowed")?;
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one)?;
    Ok(())
}

/// Time per call in each chunk, in nanoseconds of this machine's clock.
fn chunks(call: Call) -> Vec<f64> {
    let chunk = |_| {
        let start = Instant::now();
        call.make(CALLS);
        start.elapsed().as_nanos() as f64 / CALLS as f64
    };
    (0..CHUNKS).map(chunk).collect()
}

/// The value below which `part` of them lie. Sorts them.
fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[(last as f64 * part).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values() {
        let mut values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!([0.0, 0.1, 0.5, 1.0].map(|part| quantile(&mut values, part)), [1., 1., 3., 5.]);
    }

    #[test]
    fn a_cost_is_one_line() {
        let cost = Cost { tracer: Tracer::Raw, case: PLAIN, added: 1.0, least: 0.5, most: 2.0 };
        assert_eq!(cost.to_string(), "COST raw 1.0 0.5 2.0 keys=id:vals=id");
    }
}
