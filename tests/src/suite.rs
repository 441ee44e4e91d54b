//! Reads the cases in the files of `tests/suite/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::engine::Request;
use crate::workload::Workload;

/// Stands in a trigger for the number of the process whose events count. A trigger without it gets
/// `common_pid==PID` as a further condition.
const PID: &str = "PID";

/// One file: cases that share a workload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workload: Workload,
    #[serde(rename = "case")]
    cases: Vec<WrittenCase>,
}

/// A case as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    event: String,
    trigger: String,
    kernels: Option<String>,
    #[serde(default)]
    empty: bool,
    #[serde(default)]
    overflow: bool,
    #[allow(dead_code, reason = "for readers of the file")]
    note: Option<String>,
}

/// A trigger on an event, and what must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Unique in the suite.
    pub name: String,
    /// What makes events happen.
    pub workload: Workload,
    /// The event's system.
    pub system: String,
    /// The event's name.
    pub event: String,
    /// The trigger; see [`Case::request`].
    pub trigger: String,
    /// The kernels that it is for, as [`crate::version::matches`] reads it; all if absent.
    pub kernels: Option<String>,
    /// Nothing is counted. In all other cases something must be, or the case proves nothing.
    pub empty: bool,
    /// The table is too small, and hits are dropped.
    pub overflow: bool,
}

impl Case {
    /// What an engine is asked to count, limited to one process.
    pub fn request(&self, pid: u32) -> Request {
        let limit = format!("common_pid=={pid}");
        let trigger = if self.trigger.contains(PID) {
            self.trigger.replace(PID, &pid.to_string())
        } else {
            match self.trigger.split_once(" if ") {
                Some((params, filter)) => format!("{params} if ({filter}) && {limit}"),
                None => format!("{} if {limit}", self.trigger),
            }
        };
        Request { system: self.system.clone(), event: self.event.clone(), trigger }
    }
}

/// All cases of the files in `dir`, by file name.
///
/// # Errors
/// When a file cannot be read or parsed, or two cases have the same name.
pub fn load(dir: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in files(dir)? {
        let text = fs::read_to_string(&path)?;
        cases.extend(parse(&text).with_context(|| path.display().to_string())?);
    }
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort();
    for pair in names.windows(2) {
        ensure!(pair[0] != pair[1], "two cases are called {}", pair[0]);
    }
    Ok(cases)
}

/// The suite files in `dir`, by name. Directories beside them hold other kinds of suites.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn parse(text: &str) -> Result<Vec<Case>> {
    let file: File = toml::from_str(text)?;
    file.cases.into_iter().map(|entry| case(entry, file.workload)).collect()
}

fn case(entry: WrittenCase, workload: Workload) -> Result<Case> {
    let WrittenCase { name, event, trigger, kernels, empty, overflow, note: _ } = entry;
    let (system, event) =
        event.split_once(':').with_context(|| format!("{name}: `{event}` is not SYSTEM:EVENT"))?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    ensure!(name.chars().all(word), "`{name}`: a name is made of letters, digits and `-`");
    let (system, event) = (system.to_owned(), event.to_owned());
    Ok(Case { name, workload, system, event, trigger, kernels, empty, overflow })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn case_of(trigger: &str) -> Case {
        let text = format!(
            "workload = 'syscalls'\n[[case]]\nname = 'a'\nevent = 's:e'\ntrigger = '{trigger}'\n"
        );
        parse(&text).unwrap().remove(0)
    }

    #[test]
    fn request_limits_to_the_process() {
        let trigger = |text| case_of(text).request(7).trigger;
        assert_eq!(trigger("hist:keys=a"), "hist:keys=a if common_pid==7");
        assert_eq!(
            trigger("hist:keys=a if b==1 || c==2"),
            "hist:keys=a if (b==1 || c==2) && common_pid==7"
        );
        assert_eq!(
            trigger("hist:keys=a if  !(common_pid!=PID)"),
            "hist:keys=a if  !(common_pid!=7)"
        );
    }

    #[test]
    fn unknown_words_are_errors() {
        assert!(parse("workload = 'syscalls'\ncase = []\nkernel = '6.1'").is_err());
        assert!(parse("workload = 'no such thing'\ncase = []").is_err());
    }

    /// The suite covers what the language has: the floor below which it must not fall.
    #[test]
    fn suite_is_wide() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
        let cases = load(&dir).unwrap();
        let events: BTreeSet<_> = cases.iter().map(|case| (&case.system, &case.event)).collect();
        assert!(cases.len() >= 60, "{} cases", cases.len());
        assert!(events.len() >= 12, "{} events", events.len());
        for case in &cases {
            if let Some(range) = &case.kernels {
                crate::version::matches(range, crate::version::Version(6, 12)).unwrap();
            }
        }
    }
}
