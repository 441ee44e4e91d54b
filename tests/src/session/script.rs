//! Reads the scripts in the files of `tests/suite/sessions/`.
//!
//! A step is one of
//!
//! ```text
//! EVENT >> TEXT       append: open the event's `trigger` file, write TEXT at once
//! EVENT >>LENGTH TEXT the same with blanks behind TEXT, LENGTH bytes in all
//! EVENT >>            only open it; with a blank behind, also write nothing
//! EVENT > …           the same with truncation; in TEXT, `\xNN` is a byte
//! log >               clear `error_log`
//! run                 let the workload run once
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hist_cli::kernel::EventName;
use serde::Deserialize;

use crate::suite::files;
use crate::text;
use crate::workload::Workload;

/// Stands in a text for the number of the process that runs the workload.
const PID: &str = "PID";

/// One file: scripts that share a workload and events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    workload: Workload,
    /// Short name → `SYSTEM:EVENT`.
    events: BTreeMap<String, String>,
    #[serde(rename = "script")]
    scripts: Vec<WrittenScript>,
}

/// A script as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenScript {
    name: String,
    kernels: Option<String>,
    steps: Vec<StepEntry>,
    #[serde(default)]
    empty: bool,
    #[allow(dead_code, reason = "for readers of the file")]
    note: Option<String>,
}

/// A step as written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StepEntry {
    Plain(String),
    Deviating(Deviating),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviating {
    step: String,
    ours: Refusal,
    reason: String,
}

/// Operations, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Unique in the suite.
    pub name: String,
    /// What makes events happen.
    pub workload: Workload,
    /// What is done.
    pub steps: Vec<Step>,
    /// The kernels that it is for, as [`crate::version::matches`] reads it; all if absent.
    pub kernels: Option<String>,
    /// The workload runs, yet nothing is counted.
    empty: bool,
    events: BTreeMap<String, EventName>,
}

impl Script {
    /// All events that it is about.
    #[must_use]
    pub fn events(&self) -> Vec<&EventName> {
        self.events.values().collect()
    }

    /// The event of that short name.
    ///
    /// # Errors
    /// When there is none.
    pub fn event(&self, name: &str) -> Result<&EventName> {
        self.events.get(name).with_context(|| format!("no event is called `{name}`"))
    }

    /// Something must be counted, or the script proves nothing.
    pub(super) fn counts(&self) -> bool {
        !self.empty && self.steps.iter().any(|step| step.operation == Operation::Run)
    }

    pub(super) fn needs_process(&self) -> bool {
        self.steps.iter().any(|step| match &step.operation {
            Operation::Run => true,
            Operation::Open { text, .. } => text.as_ref().is_some_and(|text| text.contains(PID)),
            Operation::ClearLog => false,
        })
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// How it is meant to end otherwise with us than with the kernel; such a step is the last one.
    pub deviation: Option<Deviation>,
    /// As written.
    source: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

/// What is done to which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The workload runs.
    Run,
    /// `error_log` is cleared.
    ClearLog,
    /// A `trigger` file is opened.
    Open {
        /// The event's short name.
        event: String,
        /// It is opened with truncation.
        truncate: bool,
        /// What is then written to it, if anything.
        text: Option<String>,
    },
}

/// We refuse what the kernel accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// With this error.
    pub ours: Refusal,
    /// Why.
    pub reason: String,
}

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Refusal {
    /// Known to the kernel, not to be had here.
    #[serde(rename = "EOPNOTSUPP")]
    NotSupported,
}

impl Refusal {
    /// The number.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::NotSupported => libc::EOPNOTSUPP,
        }
    }
}

/// What is written: the text with the process's number in place of the word for it, and bytes in
/// place of `\xNN`.
pub(super) fn bytes_of(text: &str, pid: Option<u32>) -> Vec<u8> {
    let number = pid.map(|pid| pid.to_string());
    text::bytes(&number.map_or_else(|| text.to_owned(), |number| text.replace(PID, &number)))
}

/// All scripts of the files in `dir`, by file name.
///
/// # Errors
/// When a file cannot be read or parsed, or two scripts have the same name.
pub fn load(dir: &Path) -> Result<Vec<Script>> {
    let mut scripts: Vec<Script> = Vec::new();
    for path in files(dir)? {
        let text = fs::read_to_string(&path)?;
        scripts.extend(parse(&text).with_context(|| path.display().to_string())?);
    }
    for (number, script) in scripts.iter().enumerate() {
        let earlier = scripts[..number].iter().any(|other| other.name == script.name);
        ensure!(!earlier, "two scripts are called {}", script.name);
    }
    Ok(scripts)
}

fn parse(text: &str) -> Result<Vec<Script>> {
    let file: ScriptFile = toml::from_str(text)?;
    let mut events = BTreeMap::new();
    for (name, event) in &file.events {
        events.insert(name.clone(), event.parse()?);
    }
    let scripts = file.scripts.into_iter();
    scripts.map(|entry| script(entry, file.workload, &events)).collect()
}

fn script(
    entry: WrittenScript,
    workload: Workload,
    events: &BTreeMap<String, EventName>,
) -> Result<Script> {
    let WrittenScript { name, kernels, steps, empty, note: _ } = entry;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    ensure!(name.chars().all(word), "`{name}`: a name is made of letters, digits and `-`");
    let steps = steps.into_iter().map(step).collect::<Result<Vec<_>>>();
    let steps = steps.with_context(|| name.clone())?;
    let script = Script { name, workload, steps, kernels, empty, events: events.clone() };
    check(&script).with_context(|| script.name.clone())?;
    Ok(script)
}

fn check(script: &Script) -> Result<()> {
    for (number, step) in script.steps.iter().enumerate() {
        if let Operation::Open { event, .. } = &step.operation {
            script.event(event)?;
        }
        let last = number + 1 == script.steps.len();
        ensure!(step.deviation.is_none() || last, "{step} deviates and is not the last step");
    }
    Ok(())
}

fn step(entry: StepEntry) -> Result<Step> {
    let (source, deviation) = match entry {
        StepEntry::Plain(source) => (source, None),
        StepEntry::Deviating(Deviating { step, ours, reason }) => {
            (step, Some(Deviation { ours, reason }))
        }
    };
    let operation = operation(&source).with_context(|| format!("{source:?}"))?;
    Ok(Step { operation, deviation, source })
}

fn operation(source: &str) -> Result<Operation> {
    match source {
        "run" => return Ok(Operation::Run),
        "log >" => return Ok(Operation::ClearLog),
        _ => {}
    }
    let Some((event, rest)) = source.split_once(" >") else {
        bail!("neither `run`, `log >` nor `EVENT > …`");
    };
    let (truncate, rest) = rest.strip_prefix('>').map_or((true, rest), |rest| (false, rest));
    let text = rest.split_once(' ').map(|(length, text)| padded(length, text)).transpose()?;
    ensure!(text.is_some() || rest.is_empty(), "`{rest}` follows");
    Ok(Operation::Open { event: event.to_owned(), truncate, text })
}

/// The text with blanks behind it, `length` bytes in all; as it is if that is empty.
fn padded(length: &str, text: &str) -> Result<String> {
    let width = if length.is_empty() { 0 } else { length.parse().context("the length")? };
    Ok(format!("{text:<width$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(truncate: bool, text: Option<&str>) -> Operation {
        let text = text.map(str::to_owned);
        Operation::Open { event: "a".to_owned(), truncate, text }
    }

    #[test]
    fn steps_are_as_in_a_shell() {
        assert_eq!(operation("a >> hist:keys=b").unwrap(), open(false, Some("hist:keys=b")));
        assert_eq!(operation("a >  b if c > 1 ").unwrap(), open(true, Some(" b if c > 1 ")));
        assert_eq!(operation("a >>4 b").unwrap(), open(false, Some("b   ")));
        assert_eq!(operation("a >> ").unwrap(), open(false, Some("")));
        assert_eq!(operation("a >").unwrap(), open(true, None));
        assert_eq!(operation("run").unwrap(), Operation::Run);
        assert_eq!(operation("log >").unwrap(), Operation::ClearLog);
        for wrong in ["walk", "a", "a >>hist", "a >>x hist"] {
            assert!(operation(wrong).is_err(), "{wrong}");
        }
    }

    fn one(steps: &str) -> Result<Vec<Script>> {
        parse(&format!(
            "workload = 'syscalls'\nevents.a = 's:e'\n[[script]]\nname = 'n'\nsteps = {steps}\n"
        ))
    }

    #[test]
    fn deviations_end_a_script() {
        let deviating = "{ step = 'a >> b', ours = 'EOPNOTSUPP', reason = 'r' }";
        assert!(one(&format!("['run', {deviating}]")).is_ok());
        assert!(one(&format!("[{deviating}, 'run']")).is_err());
        assert!(one("['b > x']").is_err());
    }

    /// The floor below which the scripts must not fall.
    #[test]
    fn scripts_are_many() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/sessions");
        let scripts = load(&dir).unwrap();
        assert!(scripts.len() >= 50, "{} scripts", scripts.len());
        let steps: usize = scripts.iter().map(|script| script.steps.len()).sum();
        assert!(steps >= 250, "{steps} steps");
    }
}
