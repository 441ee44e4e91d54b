//! What can go wrong while metrics are served.

use std::io;

use crate::load::LoadError;
use crate::session::SessionError;

/// Why metrics are not served, or not as the file has them.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The kernel's facts cannot be read.
    #[error(transparent)]
    Facts(#[from] LoadError),
    /// Some of the metrics do not count.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Attach(Vec<AttachError>),
    /// Other threads would keep their capabilities.
    #[error("internal error: cannot drop capabilities: there are {0} threads")]
    Threads(usize),
    /// The process cannot become another user's.
    #[error("cannot become the user of --user: {0}; it takes CAP_SETUID and CAP_SETGID")]
    User(#[source] io::Error),
    /// Capabilities cannot be given up.
    #[error("cannot drop capabilities: {0}")]
    Privileges(#[source] io::Error),
}

/// A metric that does not count.
#[derive(Debug, thiserror::Error)]
#[error("metric {name}: {}", .source.to_string().trim_end())]
pub struct AttachError {
    /// Which.
    pub name: String,
    /// Why.
    pub source: SessionError,
}
