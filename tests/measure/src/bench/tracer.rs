//! Starts each tracer on a case, and reads how often it was hit.

use std::path::Path;

use anyhow::Result;
use aya::Ebpf;
use hist_cli::plan::AttachWish;

use super::other::{self, Other};
use super::{Call, Case, empty};
use hist_test_support::table;
use hist_tests::bpf::Bpf;
use hist_tests::engine::{Engine, Request};
use hist_tests::ftrace::{Ftrace, TRACEFS};
use hist_tests::version::Version;

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracer {
    /// The kernel's own hist trigger.
    Kernel,
    /// This project's program on the classic tracepoint.
    Tracepoint,
    /// This project's program on the raw tracepoint.
    Raw,
    /// A program on the classic tracepoint that returns at once: the least that one can cost.
    Empty,
    /// The same on the raw tracepoint.
    EmptyRaw,
    /// bpftrace, on the classic tracepoint.
    Bpftrace,
    /// ply, on the classic tracepoint.
    Ply,
}

impl Tracer {
    /// Those that know triggers.
    pub(crate) const COUNTING: [Tracer; 3] = [Tracer::Kernel, Tracer::Tracepoint, Tracer::Raw];
    /// Those that know nothing.
    pub(crate) const EMPTY: [Tracer; 2] = [Tracer::Empty, Tracer::EmptyRaw];
    /// Those of others, which have languages of their own.
    pub(crate) const OTHERS: [Tracer; 2] = [Tracer::Bpftrace, Tracer::Ply];

    /// In one word.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Tracer::Kernel => "kernel",
            Tracer::Tracepoint => "tracepoint",
            Tracer::Raw => "raw",
            Tracer::Empty => "empty",
            Tracer::EmptyRaw => "empty-raw",
            Tracer::Bpftrace => other::BPFTRACE.program,
            Tracer::Ply => other::PLY.program,
        }
    }

    /// Whether it is there: a kernel may be built without hist triggers, and others' tracers are
    /// used where they are installed.
    #[must_use]
    pub(crate) fn exists(self) -> bool {
        let (system, event) = Call::Getppid.event();
        let hist = Path::new(TRACEFS).join("events").join(system).join(event).join("hist");
        match self {
            Tracer::Kernel => hist.exists(),
            Tracer::Bpftrace => other::BPFTRACE.is_installed(),
            Tracer::Ply => other::PLY.is_installed(),
            _ => true,
        }
    }

    /// Starts it on a kernel of `version`.
    ///
    /// # Errors
    /// When nothing can be started. A trigger that is refused is told when it is stopped.
    pub(super) fn start(self, case: Case, version: Version) -> Result<Running> {
        let mut engine: Box<dyn Engine> = match self {
            Tracer::Kernel => Box::new(Ftrace::root()),
            Tracer::Tracepoint => {
                Box::new(Bpf::new(version, AttachWish::Tracepoint)?.proving(case.proof))
            }
            Tracer::Raw => Box::new(Bpf::new(version, AttachWish::Raw)?),
            Tracer::Empty => return Ok(Running::Empty(empty::attach()?)),
            Tracer::EmptyRaw => return Ok(Running::Empty(empty::attach_raw()?)),
            Tracer::Bpftrace => return Ok(Running::Other(other::BPFTRACE.start()?)),
            Tracer::Ply => return Ok(Running::Other(other::PLY.start()?)),
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
    Other(Other),
}

impl Running {
    /// Stops it. Gives the hits of each trigger.
    ///
    /// # Errors
    /// When a trigger was refused or cannot be read.
    pub(super) fn stop(self) -> Result<Vec<u64>> {
        match self {
            Running::Engine(mut engine) => {
                engine.stop().into_iter().map(|text| table::total(&text?, "Hits")).collect()
            }
            Running::Empty(_) => Ok(Vec::new()),
            Running::Other(other) => Ok(vec![other.stop()?]),
        }
    }
}
