//! What a program refers to besides itself, by the names that the linker has left in it.

use std::fmt;

use super::LoadError;
use crate::plan::map::MapId;

/// What a program refers to besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside<'a> {
    /// A map.
    Map(MapId),
    /// The variables or constants of the section of that name.
    Data(&'a str),
}

impl fmt::Display for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(map) => f.write_str(&map.name()),
            Self::Data(section) => f.write_str(section),
        }
    }
}

/// The linked object refers to something that it does not have.
pub(super) fn missing(what: impl fmt::Display) -> LoadError {
    LoadError::Internal(format!("the linked object has no {what}"))
}
