//! What can go wrong between a linked program and an attached one.

use std::io;

use super::telling_lines;
use crate::kernel::cause::{Call, explained, is_lack, of_files};
use crate::kernel::cpus::CpusError;
use crate::kernel::lockdown;
use crate::link::LinkError;
use crate::plan::MapPlan;

/// The most programs on one classic tracepoint (`BPF_TRACE_MAX_PROGS` in Linux
/// kernel/trace/bpf_trace.c).
const CLASSIC_MAX: usize = 64;

/// Why nothing is attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The process may not load tracing programs.
    #[error("missing {}: run as root, or grant what is missing (setcap, systemd's AmbientCapabilities=)",
        .0.join(" and "))]
    Capabilities(Vec<&'static str>),
    /// The kernel is locked down.
    #[error("{}", lockdown::CONFIDENTIAL)]
    LockedDown,
    /// The kernel has no bpf(2).
    #[error("this kernel has no BPF (CONFIG_BPF_SYSCALL)")]
    NoBpf,
    /// No program can ever be attached to this event.
    #[error("{event} cannot be attached: {reason}")]
    Unattachable {
        /// `system:event`
        event: String,
        /// One sentence.
        reason: &'static str,
    },
    /// The verifier refused a program.
    #[error("the kernel's verifier refused the program for {event}: {source}\n{}",
        telling_lines(.log))]
    Verifier {
        /// `system:event`
        event: String,
        /// The errno.
        source: io::Error,
        /// The verifier's whole log.
        log: String,
    },
    /// A program could not be loaded, whatever is in it.
    #[error("cannot load the program for {event}: {}", explained(Call::Program, .source))]
    Program {
        /// `system:event`
        event: String,
        /// The errno.
        source: io::Error,
    },
    /// The kernel took the program but not on this event.
    #[error("{event} cannot be attached: {}", explained(Call::Attach, .source))]
    Attach {
        /// `system:event`
        event: String,
        /// The errno.
        source: io::Error,
    },
    /// No other program has room on this event. The errno's name misleads, so it is left out.
    #[error(
        "{event} cannot be attached: {CLASSIC_MAX} programs are attached to it as a classic tracepoint \
             already, and the kernel takes no more; end one of them, or try --attach raw"
    )]
    Full {
        /// `system:event` of the tracepoint, which may be another than the trigger's.
        event: String,
    },
    /// It is not known which CPUs there may be.
    #[error(transparent)]
    Cpus(#[from] CpusError),
    /// A map could not be made.
    #[error("cannot create the map {name}: {}", explained(Call::Map, .source))]
    Map {
        /// The map's name.
        name: String,
        /// The errno.
        source: io::Error,
    },
    /// The table that a trigger is to feed is of another kind, or has entries of another size.
    #[error(
        "{event} cannot feed that table: its keys and values have {} and {} bytes in a {}, \
         the table's {} and {} in a {}",
        .wanted.key_size, .wanted.value_size, .wanted.kind,
        .found.key_size, .found.value_size, .found.kind
    )]
    OtherTable {
        /// `system:event`
        event: String,
        /// What the trigger needs.
        wanted: MapPlan,
        /// What the table has.
        found: MapPlan,
    },
    /// This process may not run on every CPU, or they change too fast.
    #[error("cannot go to each CPU in turn (a cpuset, perhaps): {0}")]
    Affinity(#[source] io::Error),
    /// What the programs log cannot be read.
    #[error("cannot read what the programs log: {0}")]
    Log(String),
    /// What we linked does not fit together: a defect of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a trigger does not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It could not be attached.
    #[error(transparent)]
    Attach(#[from] LoadError),
    /// It has been cleared and could not be attached again.
    #[error("it is cleared, and paused from now on: {0}")]
    Reattach(#[source] LoadError),
    /// Its table could not be cleared, or not wholly.
    #[error("cannot clear the histogram of {event}: {source}")]
    Clear {
        /// `system:event`
        event: String,
        /// What bpf(2) said.
        source: io::Error,
    },
}

impl From<LinkError> for LoadError {
    fn from(error: LinkError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl LoadError {
    /// With the way out, if the error has one.
    pub(super) fn logging(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let way_out = causes.filter_map(|cause| cause.downcast_ref()).find_map(of_files);
        Self::Log(format!("{error}; {}", way_out.unwrap_or("-vv needs CAP_SYS_ADMIN")))
    }

    /// The kernel did not take a program, or did not attach it; another one might do.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Verifier { .. } => true,
            Self::Program { source, .. } | Self::Attach { source, .. } => !is_lack(source),
            _ => false,
        }
    }
}
