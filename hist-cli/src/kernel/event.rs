//! Takes nothing. Gives the name of an event, which is what a session's files are found by.

use std::fmt;
use std::str::FromStr;

use crate::kernel::error::EventNameError;
use crate::kernel::tracefs::parse_event_name;

/// `system:name`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName {
    /// The event's system.
    pub system: String,
    /// The event's own name.
    pub name: String,
}

impl EventName {
    /// The event `name` of `system`.
    #[must_use]
    pub fn new(system: impl Into<String>, name: impl Into<String>) -> Self {
        Self { system: system.into(), name: name.into() }
    }
}

impl FromStr for EventName {
    type Err = EventNameError;

    /// Reads `system:name` or `system/name`.
    fn from_str(text: &str) -> Result<Self, EventNameError> {
        let (system, name) = parse_event_name(text)?;
        Ok(Self::new(system, name))
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.name)
    }
}
