//! Takes nothing. Gives what can go wrong between an ELF and an attached program.

use std::io;

use super::telling_lines;
use crate::plan::MapPlan;

/// Why nothing is attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The process may not load tracing programs.
    #[error("missing {}: run as root, or grant what is missing (setcap, systemd's AmbientCapabilities=)",
        .0.join(" and "))]
    Capabilities(Vec<&'static str>),
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
    /// The kernel took the program but not on this event.
    #[error("{event} cannot be attached: {source}{}", attach_hint(.source))]
    Attach {
        /// `system:event`
        event: String,
        /// The errno.
        source: io::Error,
    },
    /// It is not known which CPUs there may be.
    #[error("cannot tell how many CPUs there may be: {path}: {source}")]
    PossibleCpus {
        /// The kernel's list.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A map could not be made.
    #[error("cannot create the map {name}: {source}{}", map_hint(.source))]
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
    /// What the programs log cannot be read.
    #[error("cannot read what the programs log: {0}; -vv needs CAP_SYS_ADMIN")]
    Log(String),
    /// What we linked does not fit together: a defect of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl LoadError {
    /// The kernel did not take a program, or did not attach it; another one might do.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Verifier { .. } | Self::Attach { .. })
    }
}

fn attach_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EINVAL) => "; this kind of event takes no tracepoint program",
        Some(libc::EACCES) => {
            "; either perf events are forbidden (kernel.perf_event_paranoid, CAP_PERFMON) \
             or the program reads beyond the event's record"
        }
        Some(libc::ENODEV | libc::ENOENT) => "; the kernel offers no perf event for it",
        _ => "",
    }
}

fn map_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOMEM | libc::E2BIG) => "; a smaller size= needs less memory",
        // The capabilities are there, as far as /proc/self/status tells.
        Some(libc::EPERM) => {
            "; capabilities in a container or user namespace of one's own do not count, they must \
             be the host's; or, before Linux 5.11, the limit on locked memory is too low (ulimit -l)"
        }
        _ => "",
    }
}
