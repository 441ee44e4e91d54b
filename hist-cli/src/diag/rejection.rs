//! Why a command is refused: what people are told, the number that its writer gets, and what the
//! log of errors gets, which may be several entries for one command or none.

use super::{Kind, Span, TriggerError};

/// A command that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What people are told: the first thing that is wrong.
    pub error: TriggerError,
    /// What write(2) answers, a positive number of errno.h. Mostly that of the error.
    pub errno: i32,
    /// What `error_log` gets, in this order.
    pub log: Vec<Logged>,
}

/// What an entry of `error_log` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// What is wrong.
    pub kind: Kind,
    /// The text that the caret is found by, which need not be what people see marked.
    pub span: Span,
}

impl Logged {
    /// An entry about `span`.
    #[must_use]
    pub const fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span }
    }
}

impl From<&TriggerError> for Logged {
    fn from(error: &TriggerError) -> Self {
        Self::new(error.kind, error.span)
    }
}

/// What most errors come to: their own number, and an entry if there is one for their kind.
impl From<TriggerError> for Rejection {
    fn from(error: TriggerError) -> Self {
        let log = error.kind.logged().then(|| Logged::from(&error));
        Self { errno: error.kind.errno(), log: log.into_iter().collect(), error }
    }
}
