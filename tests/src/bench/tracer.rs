//! Takes a case. Gives a tracer that runs, and how often it was hit.

use std::path::Path;

use anyhow::{Context, Result};
use aya::Ebpf;

use super::{Call, Case, empty};
use crate::bpf::Bpf;
use crate::engine::{Engine, Request};
use crate::ftrace::{Ftrace, TRACEFS};
use crate::version::Version;

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
        let (system, event) = Call::Getppid.event();
        let hist = Path::new(TRACEFS).join("events").join(system).join(event).join("hist");
        self != Tracer::Kernel || hist.exists()
    }

    /// Starts it on a kernel of `version`.
    ///
    /// # Errors
    /// When nothing can be started. A trigger that is refused is told when it is stopped.
    pub(super) fn start(self, case: Case, version: Version) -> Result<Running> {
        let mut engine: Box<dyn Engine> = match self {
            Tracer::Kernel => Box::new(Ftrace::root()),
            Tracer::HistBpf => Box::new(Bpf::new(version)?),
            Tracer::Empty => return Ok(Running::Empty(empty::attach()?)),
        };
        engine.start(&requests(case))?;
        Ok(Running::Engine(engine))
    }
}

fn requests(case: Case) -> Vec<Request> {
    let (system, event) = case.call.event();
    let request = |trigger: &&str| Request {
        system: system.to_owned(),
        event: event.to_owned(),
        trigger: (*trigger).to_owned(),
    };
    case.triggers.iter().map(request).collect()
}

/// A tracer that runs until it is stopped or dropped.
pub(super) enum Running {
    Engine(Box<dyn Engine>),
    /// Held, for dropping it detaches the program.
    Empty(#[expect(dead_code)] Ebpf),
}

impl Running {
    /// Stops it. Gives the hits of each trigger.
    ///
    /// # Errors
    /// When a trigger was refused or cannot be read.
    pub(super) fn stop(self) -> Result<Vec<u64>> {
        match self {
            Running::Engine(mut engine) => {
                engine.stop().into_iter().map(|text| total_hits(&text?)).collect()
            }
            Running::Empty(_) => Ok(Vec::new()),
        }
    }
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
