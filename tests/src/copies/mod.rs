//! Takes the table of what fields are copies of, or proposals for it. Gives for each row on how many
//! live events the copy was the same as the record, and on how many it was not.
//!
//! Every event gets a [`pair`] of programs that compare what the generated code of both ways of
//! attachment gives, event by event. Meanwhile a load makes events of all kinds happen.

mod kinds;
mod load;
mod machine;
mod pair;
mod propose;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::btf::Btf;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::plan::access::arguments::{rows, rows_of_system_call};
use rustix::process::getpid;

pub use load::{Part, run as run_load};
pub(crate) use machine::groups;
use pair::{First, Pair};

/// Pairs that are attached at the same time.
const BATCH: usize = 40;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `system:event` or `system`; all that there are if empty.
    pub events: Vec<String>,
    /// Fields without a row, and what they might be copies of by name and type.
    pub propose: bool,
    /// Only rows that no kernel has proven yet.
    pub unproven: bool,
    /// How long events happen for each batch.
    pub time: Duration,
}

/// An event with the rows that are to be compared.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its record.
    pub format: EventFormat,
    /// Field and expression.
    pub rows: Vec<(String, String)>,
}

/// What came of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `system:event`
    pub event: String,
    /// The field.
    pub field: String,
    /// What it is taken for a copy of.
    pub expression: String,
    /// How it went.
    pub verdict: Verdict,
}

/// What values a field had, by their first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Two or more.
    Many,
    /// One, which is not 0.
    One,
    /// 0 only, which memory that cannot be read has, too.
    Zero,
}

impl Values {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Many => "many",
            Self::One => "one",
            Self::Zero => "zero",
        }
    }
}

/// How a row went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Events with the same value both ways, events with another one, and what values there were.
    Compared {
        /// Events.
        same: u64,
        /// Events.
        different: u64,
        /// In the record.
        values: Values,
    },
    /// This kernel's record has the field, but the row means nothing here, or the kernel refuses the program.
    Refused(String),
}

/// Compares; tells of each row once its batch is done.
///
/// # Errors
/// If there is no tracefs or nothing can be started.
pub fn run(wanted: &Wanted, report: &mut dyn FnMut(&Outcome)) -> Result<()> {
    let tracefs = find_or_mount()?;
    let facts = Facts::read()?;
    let btf = Btf::at(Btf::VMLINUX);
    let subjects = subjects(wanted, &tracefs, &btf)?;
    let kernel = (&facts, &btf);
    // The programs of all calls' own events stand where the first of them did.
    let (calls, subjects): (Vec<_>, Vec<_>) =
        subjects.into_iter().partition(|subject| subject.format.name.system == "syscalls");
    for batch in calls.chunks(BATCH) {
        let done = compare(batch, First::Classic, kernel, wanted.time, report)?;
        done.iter().flat_map(|(_, outcomes)| outcomes).for_each(&mut *report);
    }
    for batch in subjects.chunks(BATCH) {
        let mut again = Vec::new();
        for (subject, outcomes) in compare(batch, First::Raw, kernel, wanted.time, report)? {
            match outcomes.iter().any(is_disorder) {
                true => again.push(subject.clone()),
                false => outcomes.iter().for_each(&mut *report),
            }
        }
        // Somebody else watches these, or their rows are wrong.
        let again = compare(&again, First::Classic, kernel, wanted.time, &mut |_| ())?;
        again.iter().flat_map(|(_, outcomes)| outcomes).for_each(&mut *report);
    }
    Ok(())
}

/// So many events differ that each has been compared with another one.
fn is_disorder(outcome: &Outcome) -> bool {
    match outcome.verdict {
        Verdict::Compared { same, different, .. } => different > (same + different) / 100,
        Verdict::Refused(_) => false,
    }
}

/// What came of the rows of each subject.
fn compare<'a>(
    subjects: &'a [Subject],
    first: First,
    kernel: (&Facts, &Btf),
    time: Duration,
    report: &mut dyn FnMut(&Outcome),
) -> Result<Vec<(&'a Subject, Vec<Outcome>)>> {
    let mut pairs = Vec::new();
    for subject in subjects {
        let pair = Pair::attach(subject, first, kernel, report)?;
        pairs.extend(pair.map(|pair| (subject, pair)));
    }
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    happen(time)?;
    // What is under way is compared, too.
    thread::sleep(Duration::from_millis(50));
    pairs.into_iter().map(|(subject, pair)| Ok((subject, pair.outcomes()?))).collect()
}

/// Makes events of all kinds happen for that long.
///
/// # Errors
/// When the load cannot be started, or fails.
pub fn happen(time: Duration) -> Result<()> {
    let mut parts = Part::ALL.to_vec();
    // The first process is that of a virtual machine.
    if getpid().is_init() {
        groups()?;
        parts.push(Part::Machine);
    }
    let children: Vec<_> = parts.into_iter().map(|part| start_load(part, time)).collect();
    for child in children {
        let status = child?.wait()?;
        ensure!(status.success(), "the load failed: {status}");
    }
    Ok(())
}

/// This program again, making events happen.
fn start_load(part: Part, time: Duration) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["load", part.name(), &time.as_millis().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting the load")
}

fn subjects(wanted: &Wanted, tracefs: &Tracefs, btf: &Btf) -> Result<Vec<Subject>> {
    let is_wanted = |event: &EventName| {
        let name = event.to_string();
        let names = |one: &String| *one == name || *one == event.system;
        wanted.events.is_empty() || wanted.events.iter().any(names)
    };
    if wanted.propose {
        return propose::subjects(tracefs, btf, &is_wanted);
    }
    let mut subjects = Vec::new();
    // A raw program for one call runs at every call: only who asks for them gets these.
    if wanted.events.iter().any(|one| one.starts_with("syscalls")) {
        subjects = system_calls(tracefs, &is_wanted)?;
    }
    for (event, rows) in rows::all().filter(|(event, _)| is_wanted(event)) {
        // Not every kernel has every event.
        let Ok(format) = tracefs.event(&event) else { continue };
        let rows = rows.iter().filter(|row| format.field(row.field).is_some());
        let rows = rows.filter(|row| !(wanted.unproven && row.is_proven()));
        let rows: Vec<_> =
            rows.map(|row| (row.field.to_owned(), row.expression.to_owned())).collect();
        if !rows.is_empty() {
            subjects.push(Subject { format, rows });
        }
    }
    Ok(subjects)
}

/// The events of system calls, whose rows come from one rule.
fn system_calls(tracefs: &Tracefs, is_wanted: &dyn Fn(&EventName) -> bool) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for event in tracefs.event_names()? {
        if event.system == "syscalls" && is_wanted(&event) {
            let format = tracefs.event(&event)?;
            let rows = rows_of_system_call(&format);
            subjects.push(Subject { format, rows });
        }
    }
    Ok(subjects)
}
