//! Lists the events of a tracefs that match a glob, and why some of them cannot be counted.

use std::fmt;

use super::Glob;
use crate::diag::nearest;
use crate::kernel::EventName;
use crate::kernel::attachable::refuse_unattachable;
use crate::kernel::error::EventError;
use crate::kernel::tracefs::Tracefs;

/// An event of this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub event: EventName,
    /// Why it cannot be counted; `None` if nothing is known against it.
    pub refusal: Option<&'static str>,
}

/// `system:event`, and behind a `#` why it cannot be counted.
impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.event)?;
        match self.refusal {
            Some(reason) => write!(f, "  # cannot be counted: {reason}"),
            None => Ok(()),
        }
    }
}

/// The events that `glob` means, or all, sorted by name. Reads folders, but no format.
///
/// # Errors
/// If tracefs cannot be read.
pub fn list(tracefs: &Tracefs, glob: Option<&Glob>) -> Result<Vec<Listed>, EventError> {
    let dynamic = tracefs.dynamic_events()?;
    let mut events = tracefs.event_names()?;
    events.retain(|event| glob.is_none_or(|glob| glob.matches(event)));
    let listed = |event| Listed { refusal: refuse_unattachable(&event, &dynamic), event };
    Ok(events.into_iter().map(listed).collect())
}

/// The event or system that `text`, which matches nothing, was probably meant to be.
///
/// # Errors
/// If tracefs cannot be read.
pub fn meant(tracefs: &Tracefs, text: &str) -> Result<Option<String>, EventError> {
    let events = tracefs.event_names()?;
    // The usual beginning of a name, and nothing behind it.
    let text = text.strip_suffix([':', '/']).unwrap_or(text);
    if text.contains([':', '/']) {
        let names: Vec<_> = events.iter().map(EventName::to_string).collect();
        return Ok(nearest(text, names.iter().map(String::as_str)).map(str::to_owned));
    }
    let parts = events.iter().flat_map(|event| [event.name.as_str(), event.system.as_str()]);
    Ok(nearest(text, parts).map(str::to_owned))
}
