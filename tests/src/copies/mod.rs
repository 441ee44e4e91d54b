//! Takes the table of what fields are copies of, or proposals for it. Gives for each row on how many
//! live events the copy was the same as the record, and on how many it was not.
//!
//! Every event gets a [`pair`] of programs that compare what the generated code of both ways of
//! attachment gives, event by event. Meanwhile a load makes events of all kinds happen.

mod load;
mod pair;
mod propose;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hist_cli::btf::Btf;
use hist_cli::load::Facts;
use hist_cli::plan::raw::rows;
use hist_cli::tracefs::format::EventFormat;
use hist_cli::tracefs::mount::{Tracefs, find_or_mount};

pub use load::{Part, run as run_load};
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

/// How a row went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Events with the same value both ways, events with another one, and whether there were at
    /// least two values (of the first eight bytes).
    Compared {
        /// Events.
        same: u64,
        /// Events.
        different: u64,
        /// Not all of them had one value.
        varied: bool,
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
    for child in Part::ALL.map(|part| start_load(part, time)) {
        let status = child?.wait()?;
        ensure!(status.success(), "the load failed: {status}");
    }
    // What is under way is compared, too.
    thread::sleep(Duration::from_millis(50));
    pairs.into_iter().map(|(subject, pair)| Ok((subject, pair.outcomes()?))).collect()
}

/// This program again, making events happen.
fn start_load(part: Part, time: Duration) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["load", part.name(), &time.as_millis().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting the load")
}

fn subjects(wanted: &Wanted, tracefs: &Tracefs, btf: &Btf) -> Result<Vec<Subject>> {
    let is_wanted = |system: &str, event: &str| {
        let name = format!("{system}:{event}");
        wanted.events.is_empty() || wanted.events.iter().any(|one| *one == name || one == system)
    };
    if wanted.propose {
        return propose::subjects(tracefs, btf, &is_wanted);
    }
    let mut subjects = Vec::new();
    for (system, event, rows) in rows::all().filter(|(system, event, _)| is_wanted(system, event)) {
        // Not every kernel has every event.
        let Ok(format) = tracefs.event(system, event) else { continue };
        let rows = rows.iter().filter(|row| format.field(row.field).is_some());
        let rows = rows.map(|row| (row.field.to_owned(), row.expression.to_owned()));
        let rows = rows.collect();
        subjects.push(Subject { format, rows });
    }
    Ok(subjects)
}
