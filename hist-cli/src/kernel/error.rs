//! The errors of reading the kernel's tracing files.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{EventName, EventNameError, lockdown};
use crate::escape::name_of;

/// Why a `format` file cannot be understood. Lines are counted from 1, and texts are fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// `name:` or `ID:` is missing.
    #[error("there is no `{0}` line")]
    NoHeader(&'static str),
    /// The text stops before `print fmt:`, which ends every such file.
    #[error("the text ends before its `print fmt:` line: it was cut off")]
    Truncated,
    /// A line that no format file has.
    #[error("line {line}: expected a field, found `{text}`")]
    Unexpected {
        /// Where.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A declaration without a type or a name.
    #[error("line {line}: `{text}` is no declaration of a field")]
    Declaration {
        /// Where.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A field without `offset:`, `size:` or `signed:`.
    #[error("line {line}: the field has no `{key}`")]
    NoAttribute {
        /// Where.
        line: usize,
        /// What is missing.
        key: &'static str,
    },
    /// A number that is none, or too large.
    #[error("line {line}: `{key}{text}` is no number in range")]
    Number {
        /// Where.
        line: usize,
        /// What it is for.
        key: &'static str,
        /// What stands there.
        text: String,
    },
    /// A field that ends beyond what a record can hold.
    #[error("line {line}: `{name}` ends {end} bytes into the record; records have at most {max}")]
    TooLong {
        /// Where.
        line: usize,
        /// The field.
        name: String,
        /// One past its last byte.
        end: u64,
        /// The longest record, in bytes.
        max: u64,
    },
    /// A field that says where something lies, and has no room for that.
    #[error("line {line}: `{name}` has {size} bytes, but saying where its data lies takes 4")]
    Location {
        /// Where.
        line: usize,
        /// The field.
        name: String,
        /// Its bytes.
        size: u32,
    },
    /// Two fields share bytes.
    #[error("the fields `{first}` and `{second}` share bytes")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside of it.
        second: String,
    },
    /// Two fields have one name.
    #[error("two fields are called `{0}`")]
    Twice(String),
}

/// How to mount tracefs by hand.
pub const MOUNT_COMMAND: &str = "mount -t tracefs tracefs /sys/kernel/tracing";

/// Why tracefs cannot be used.
#[derive(Debug, Error)]
pub enum MountError {
    /// The list of mounts cannot be read.
    #[error("cannot read {path}: {source}")]
    Mounts {
        /// The list.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Mounting needs a capability.
    #[error(
        "tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN; as root, run: {command}",
        command = MOUNT_COMMAND
    )]
    NotPermitted,
    /// The kernel does not know tracefs, or does not let it be seen here.
    #[error(
        "this kernel has no tracefs (CONFIG_TRACING is off, or /sys is not mounted): \
         `{command}` fails: {source}",
        command = MOUNT_COMMAND
    )]
    NoTracefs {
        /// Why.
        source: io::Error,
    },
    /// It is there and empty.
    #[error("{}", lockdown::CONFIDENTIAL)]
    LockedDown,
    /// Anything else.
    #[error("`{command}` fails: {source}", command = MOUNT_COMMAND)]
    Failed {
        /// Why.
        source: io::Error,
    },
}

/// Why an event cannot be described.
#[derive(Debug, Error)]
pub enum EventError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] EventNameError),
    /// There is no such system.
    #[error("there is no event system `{system}`{}", or_else(nearest))]
    UnknownSystem {
        /// What was asked for.
        system: String,
        /// What may have been meant.
        nearest: Vec<String>,
    },
    /// The system has no such event.
    #[error("there is no event `{event}`{}", or_else(nearest))]
    UnknownEvent {
        /// What was asked for.
        event: EventName,
        /// What may have been meant.
        nearest: Vec<String>,
    },
    /// The kernel shows it to nobody.
    #[error("{}", lockdown::CONFIDENTIAL)]
    LockedDown,
    /// The folder holds no events.
    #[error("{root} holds no events: it is not the root of a tracefs", root = name_of(.root))]
    NotTracefs {
        /// The folder.
        root: PathBuf,
    },
    /// This user may not read it.
    #[error(
        "cannot read {path}, which may be read by {readers}: run as root, grant CAP_DAC_READ_SEARCH, or \
         open tracefs to a group with `mount -o remount,gid=GROUP,mode=750 {root}`",
        path = name_of(.path),
        root = name_of(.root)
    )]
    Denied {
        /// The file.
        path: PathBuf,
        /// The root of tracefs.
        root: PathBuf,
        /// Who is let in, by the root's owner and mode.
        readers: String,
    },
    /// The file cannot be read for another reason.
    #[error("cannot read {path}: {source}", path = name_of(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {source}", path = name_of(.path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
}

fn or_else(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", nearest.join(" or "))
}

/// Why addresses cannot be shown as symbols.
#[derive(Debug, Error)]
pub enum SymbolsError {
    /// The list cannot be read.
    #[error("addresses are shown without names: cannot read {path}: {source}", path = name_of(.path))]
    Read {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel hides all addresses.
    #[error(
        "addresses are shown without names: the kernel hides them in /proc/kallsyms; showing them \
         needs CAP_SYSLOG (run as root) and `sysctl kernel.kptr_restrict` not to be 2"
    )]
    Hidden,
    /// The list does not say where the kernel begins and ends.
    #[error("addresses are shown without names: the list of symbols has no `{0}`")]
    NoBounds(&'static str),
    /// A line is none of a list of symbols.
    #[error(
        "addresses are shown without names: line {line} of the list of symbols is broken: `{text}`"
    )]
    Line {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// The list is too long to be indexed (bytes).
    #[error(
        "addresses are shown without names: the list of symbols has {0} bytes, more than 4 GiB"
    )]
    TooLong(usize),
}
