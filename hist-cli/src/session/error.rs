//! What can go wrong in a session, and the errno that a write or a read of its files answers.

use std::io;

use bstr::BString;

use crate::diag::Rejection;
use crate::kernel::error::EventError;
use crate::load::{ControlError, FocusError, LoadError};
use crate::parse;
use crate::pipeline::CompileError;
use crate::read::ReadError;

/// Why a command or a read has failed. Nothing has changed then, but what may be said of the kind.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The command is wrong. The display has the caret under the place.
    #[error("{}", .rejection.error.render(.text))]
    Trigger {
        /// What, and where.
        rejection: Rejection,
        /// What its spans point into: what was written, without white space around it.
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
    /// The command `text`, which may have white space around it, is refused.
    pub(super) fn trigger(rejection: Rejection, text: &[u8]) -> Self {
        Self::Trigger { rejection, text: parse::trim(text).to_owned() }
    }

    /// The error number that the system call on the file answers: the kernel's own wherever the
    /// kernel would fail too.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Trigger { rejection, .. } => rejection.errno,
            Self::Event(error) => event_errno(error),
            Self::Compile(error) => compile_errno(error),
            Self::Load(error) => load_errno(error),
            Self::Control(error) => control_errno(error),
            // The command has been carried out: numbers of other calls would mislead.
            Self::Focus(_) => libc::EIO,
            Self::Read(error) => read_errno(error),
        }
    }
}

/// The kernel's own number for what a system call has refused.
fn os_errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn event_errno(error: &EventError) -> i32 {
    match error {
        EventError::Name(_)
        | EventError::UnknownSystem { .. }
        | EventError::UnknownEvent { .. }
        | EventError::NotTracefs { .. } => libc::ENOENT,
        EventError::Denied { .. } => libc::EACCES,
        EventError::LockedDown => libc::EPERM,
        EventError::Read { source, .. } => os_errno(source),
        EventError::Format { .. } => libc::EIO,
    }
}

fn compile_errno(error: &CompileError) -> i32 {
    match error {
        CompileError::Trigger { rejection, .. } => rejection.errno,
        // It asks for more than a program can do.
        CompileError::Plan(_) => libc::EINVAL,
        // Our defects.
        CompileError::Codegen(_) | CompileError::Link(_) => libc::EIO,
    }
}

fn control_errno(error: &ControlError) -> i32 {
    match error {
        ControlError::Attach(error) | ControlError::Reattach(error) => load_errno(error),
        ControlError::Clear { source, .. } => os_errno(source),
    }
}

fn read_errno(error: &ReadError) -> i32 {
    match error {
        ReadError::Entries(source) | ReadError::Losses(source) => os_errno(source),
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
        | LoadError::Map { source, .. } => os_errno(source),
        LoadError::Cpus(error) => os_errno(error.source()),
        LoadError::Log(_) | LoadError::Affinity(_) | LoadError::Internal(_) => libc::EIO,
    }
}
