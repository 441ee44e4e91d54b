//! Plays scripts of operations on trigger files: each is carried out on the files of this kernel and
//! on a session of ours at the same time, and after each step both must have given the same answer
//! and show the same in all of their files.

mod files;
mod script;

use std::io;

use anyhow::{Context, Result, bail, ensure};
use hist_test_support::table::totals;

pub use script::{Deviation, Operation, Refusal, Script, Step, load};

use crate::compare;
use crate::differential::{Process, Verdict};
use crate::version::{self, Version};
use files::{Files, Kernel, Ours};

/// Carries out all scripts; gives a verdict to `report` for each.
///
/// # Errors
/// When something fails that is not a script's fault.
pub fn run(
    scripts: &[Script],
    version: Version,
    report: &mut dyn FnMut(&Script, Verdict),
) -> Result<()> {
    for script in scripts {
        let range = script.kernels.as_deref();
        if !range.map_or(Ok(true), |range| version::matches(range, version))? {
            report(script, Verdict::LeftOut);
            continue;
        }
        let mut kernel = Kernel::new()?;
        let played = play(script, &mut kernel, version);
        kernel
            .clean(&script.events())
            .with_context(|| format!("cleaning after {}", script.name))?;
        report(script, played.into());
    }
    Ok(())
}

fn play(script: &Script, kernel: &mut Kernel, version: Version) -> Result<()> {
    let process = script.needs_process().then(|| Process::spawn(script.workload)).transpose()?;
    let mut play = Play { script, kernel, ours: Ours::new(version)?, process, version };
    let mut counted = false;
    for (number, step) in script.steps.iter().enumerate() {
        let place = || format!("step {} of {}: {step}", number + 1, script.steps.len());
        let shown = play.step(step).with_context(place)?;
        counted |= totals(&shown, "Hits").iter().any(|hits| *hits > 0);
    }
    let expected = script.counts();
    ensure!(counted == expected, "the script should count: {expected}; it did: {counted}");
    play.process.map_or(Ok(()), Process::end)
}

/// Both sides of a script, and the process whose events count.
struct Play<'a> {
    script: &'a Script,
    kernel: &'a mut Kernel,
    ours: Ours,
    process: Option<Process>,
    version: Version,
}

impl Play<'_> {
    /// Gives what the kernel's files show after it.
    fn step(&mut self, step: &Step) -> Result<String> {
        let (theirs, ours) = self.operate(&step.operation)?;
        let expected = step.deviation.as_ref().map_or(errno(&theirs), |one| one.ours.errno());
        if errno(&ours) != expected || (step.deviation.is_some() && errno(&theirs) == expected) {
            bail!("kernel: {}\nours: {}", answer(&theirs), answer(&ours));
        }
        let events = self.script.events();
        let shown = self.kernel.show(&events)?;
        // What is refused on one side only shows there only.
        if step.deviation.is_none() {
            let mut ours = self.ours.show(&events)?;
            if self.version < Version(6, 12) {
                ours = without_filter_errors(&ours);
            }
            if let Some(diff) = compare::difference(&shown, &ours, self.version) {
                bail!("{diff}");
            }
        }
        Ok(shown)
    }

    /// The kernel's answer and ours.
    fn operate(&mut self, operation: &Operation) -> Result<(io::Result<()>, io::Result<()>)> {
        let pid = self.process.as_ref().map(Process::pid);
        match operation {
            Operation::Run => {
                self.process.as_mut().context("there is no process")?.work()?;
                Ok((Ok(()), Ok(())))
            }
            Operation::ClearLog => Ok((self.kernel.clear_log(), self.ours.clear_log())),
            Operation::Open { event, truncate, text } => {
                let event = self.script.event(event)?;
                let bytes = text.as_ref().map(|text| script::bytes_of(text, pid));
                let bytes = bytes.as_deref();
                let theirs = self.kernel.open(event, *truncate, bytes);
                Ok((theirs, self.ours.open(event, *truncate, bytes)))
            }
        }
    }
}

/// Before 6.12 kernels log no errors of filters. Each entry has three lines.
fn without_filter_errors(shown: &str) -> String {
    let mut lines = shown.split_inclusive('\n');
    let mut text = String::new();
    while let Some(line) = lines.next() {
        if line.contains("] event filter parse error: ") {
            lines.by_ref().take(2).for_each(drop);
        } else {
            text += line;
        }
    }
    text
}

/// 0 if it has succeeded.
fn errno(result: &io::Result<()>) -> i32 {
    result.as_ref().map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
}

fn answer(result: &io::Result<()>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |()| "success".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_errors_are_left_out_whole() {
        let entry = |place: &str| format!("[time] {place}: error: Error\n  Command: a\n  ^\n");
        let (hist, filter) = (entry("hist:s:e"), entry("event filter parse error"));
        assert_eq!(without_filter_errors(&format!("{hist}{filter}{hist}")), hist.repeat(2));
    }
}
