//! Takes a case. Gives a tracer that runs, and how often it was hit.

use std::path::Path;

use anyhow::{Context, Result};
use aya::Ebpf;
use hist_cli::load::Attached;
use hist_cli::pipeline;
use hist_cli::plan::Template;
use hist_cli::tracefs::mount::{Tracefs, find_or_mount};
use hist_cli::{load, read};

use super::{Case, EVENT, SYSTEM, empty};
use crate::engine::Request;
use crate::ftrace::{Ftrace, Refusal, TRACEFS};

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// The kernel's own hist trigger.
    Kernel,
    /// This project's program on the classic tracepoint.
    HistBpf,
    /// A program on the classic tracepoint that returns at once: the least that one can cost.
    Empty,
}

impl Tracer {
    /// Those that know triggers.
    pub const COUNTING: [Tracer; 2] = [Tracer::Kernel, Tracer::HistBpf];

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Tracer::Kernel => "kernel",
            Tracer::HistBpf => "hist-bpf",
            Tracer::Empty => "empty",
        }
    }

    /// Whether it is there: a kernel may be built without hist triggers.
    #[must_use]
    pub fn exists(self) -> bool {
        let hist = Path::new(TRACEFS).join("events").join(SYSTEM).join(EVENT).join("hist");
        self != Tracer::Kernel || hist.exists()
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(super) fn start(self, case: Case) -> Result<Running> {
        match self {
            Tracer::Kernel => place(case).map(Running::Kernel),
            Tracer::HistBpf => attach(case).map(Running::HistBpf),
            Tracer::Empty => Ok(Running::Empty(empty::attach()?)),
        }
    }
}

/// A tracer that runs until it is stopped or dropped.
pub(super) enum Running {
    Kernel(Ftrace),
    HistBpf(Attached),
    /// Held, for dropping it detaches the program.
    Empty(#[expect(dead_code)] Ebpf),
}

impl Running {
    /// Stops it. Gives the hits of each trigger.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn stop(self) -> Result<Vec<u64>> {
        match self {
            Running::Kernel(mut ftrace) => {
                ftrace.take().into_iter().map(|text| total_hits(&text?)).collect()
            }
            Running::HistBpf(attached) => attached
                .triggers
                .iter()
                .map(|trigger| Ok(read::snapshot(trigger)?.rows.iter().map(|r| r.hitcount).sum()))
                .collect(),
            Running::Empty(_) => Ok(Vec::new()),
        }
    }
}

fn place(case: Case) -> Result<Ftrace> {
    let mut ftrace = Ftrace::root();
    for trigger in case.triggers {
        let request = Request {
            system: SYSTEM.to_owned(),
            event: EVENT.to_owned(),
            trigger: (*trigger).to_owned(),
        };
        ftrace.place(&request).map_err(|refusal| match refusal {
            Refusal::Exists => anyhow::anyhow!("`{trigger}` is there already"),
            Refusal::Other(error) => error,
        })?;
    }
    Ok(ftrace)
}

/// As the command does it, from text to running programs.
fn attach(case: Case) -> Result<Attached> {
    let tracefs: Tracefs = find_or_mount()?;
    let format = tracefs.event(SYSTEM, EVENT)?;
    let compiled = case
        .triggers
        .iter()
        .map(|trigger| pipeline::compile(trigger, &format, Template::Hist))
        .collect::<Result<Vec<_>, _>>()?;
    let object = pipeline::link(&compiled)?;
    let plans = compiled.into_iter().map(|one| one.plan).collect();
    Ok(load::attach(&object, plans)?)
}

fn total_hits(hist: &str) -> Result<u64> {
    let line = hist.lines().rev().find_map(|line| line.strip_prefix("    Hits: "));
    let digits = line.with_context(|| format!("no `Hits:` line in\n{hist}"))?;
    digits.parse().with_context(|| format!("`{digits}` behind `Hits:`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_those_of_the_totals() {
        let hist = "{ id: 1 } hitcount: 2\n\nTotals:\n    Hits: 12\n    Entries: 1\n";
        assert_eq!(total_hits(hist).unwrap(), 12);
        assert!(total_hits("").is_err());
    }
}
