//! What can be wrong with type information.

use std::io;
use std::path::Path;

use crate::escape::name_of;

/// Why there is no answer from BTF. It can be told more than once, so it can be cloned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The kernel was built without.
    #[error("this kernel has no BTF ({path}; CONFIG_DEBUG_INFO_BTF)")]
    Missing {
        /// Where it would be.
        path: String,
    },
    /// It is there but not readable.
    #[error("cannot read the kernel's BTF{path}: {message}")]
    Read {
        /// Where it is, in brackets.
        path: String,
        /// Why not.
        message: String,
    },
    /// Nobody has opened it: a defect of ours.
    #[error("internal error: the kernel's BTF has not been opened")]
    NotOpened,
    /// It is not what it should be.
    #[error("the kernel's BTF is broken: {0}")]
    Broken(&'static str),
}

impl BtfError {
    pub(super) fn opening(path: &Path, error: &io::Error) -> Self {
        let shown = name_of(path);
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: shown },
            _ => Self::Read { path: format!(" ({shown})"), message: error.to_string() },
        }
    }
}

impl From<io::Error> for BtfError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Broken("it ends too early"),
            _ => Self::Read { path: String::new(), message: error.to_string() },
        }
    }
}
