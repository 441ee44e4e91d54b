//! Takes nothing. Gives what can go wrong in a session, and the errno that a write or a read of
//! its files answers.

use bstr::BString;

use crate::diag::TriggerError;
use crate::kernel::error::EventError;
use crate::load::{ControlError, FocusError, LoadError};
use crate::pipeline::CompileError;
use crate::read::ReadError;

/// Why a command or a read has failed. Nothing has changed then, but what may be said of the kind.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The command is wrong. The display has the caret under the place.
    #[error("{}", .error.render(.text))]
    Trigger {
        /// What, and where.
        error: TriggerError,
        /// What was written.
        text: BString,
    },
    /// The event cannot be looked up.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It has no program.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The program does not run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It runs, and does not do what it is told. If it could not be attached again, it is paused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The processes that it counts are followed no more.
    #[error(transparent)]
    Focus(#[from] FocusError),
    /// The table cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl SessionError {
    /// The error number that the system call on the file answers: the kernel's own wherever the
    /// kernel would fail too.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Trigger { error, .. } | Self::Compile(CompileError::Trigger { error, .. }) => {
                error.kind.errno()
            }
            Self::Compile(CompileError::Plan(_)) => libc::EINVAL,
            Self::Event(error) => event_errno(error),
            Self::Control(ControlError::Clear { source, .. }) => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
            Self::Load(error)
            | Self::Control(ControlError::Attach(error) | ControlError::Reattach(error)) => {
                load_errno(error)
            }
            Self::Read(ReadError::Entries(source) | ReadError::Losses(source)) => {
                source.raw_os_error().unwrap_or(libc::EIO)
            }
            Self::Focus(_) | Self::Compile(CompileError::Codegen(_) | CompileError::Link(_)) => {
                libc::EIO
            }
        }
    }
}

fn event_errno(error: &EventError) -> i32 {
    match error {
        EventError::Name(_)
        | EventError::UnknownSystem { .. }
        | EventError::UnknownEvent { .. }
        | EventError::NotTracefs { .. } => libc::ENOENT,
        EventError::Denied { .. } => libc::EACCES,
        EventError::LockedDown => libc::EPERM,
        EventError::Read { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        EventError::Format { .. } => libc::EIO,
    }
}

fn load_errno(error: &LoadError) -> i32 {
    match error {
        LoadError::Capabilities(_) | LoadError::LockedDown => libc::EPERM,
        LoadError::NoBpf | LoadError::Unattachable { .. } => libc::EOPNOTSUPP,
        LoadError::OtherTable { .. } => libc::EINVAL,
        LoadError::Full { .. } => libc::E2BIG,
        LoadError::Verifier { source, .. }
        | LoadError::Program { source, .. }
        | LoadError::Attach { source, .. }
        | LoadError::Map { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        LoadError::Cpus(error) => error.source().raw_os_error().unwrap_or(libc::EIO),
        LoadError::Log(_) | LoadError::Affinity(_) | LoadError::Internal(_) => libc::EIO,
    }
}
