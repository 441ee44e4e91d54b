//! The name of a trace event, by which its files in tracefs are found.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

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

    /// Neither part is empty or could lead out of the folder of events.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        is_part(&self.system) && is_part(&self.name)
    }

    /// It is that event.
    #[must_use]
    pub fn is(&self, system: &str, name: &str) -> bool {
        self.system == system && self.name == name
    }
}

impl FromStr for EventName {
    type Err = EventNameError;

    /// Reads `system:name` or `system/name`.
    ///
    /// # Errors
    /// If a part is empty, there are not two, or one could lead out of the folder of events.
    fn from_str(text: &str) -> Result<Self, EventNameError> {
        let parts = text.split_once([':', '/']).map(|(system, name)| Self::new(system, name));
        parts.filter(Self::is_plain).ok_or_else(|| EventNameError(text.to_owned()))
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.name)
    }
}

/// Why a text names no event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not an event: write SYSTEM:EVENT, such as kmem:kmalloc")]
pub struct EventNameError(pub String);

/// It can be the name of a folder of events, or of one of systems.
pub(super) fn is_part(text: &str) -> bool {
    let is_odd = |c: char| matches!(c, ':' | '/') || c.is_whitespace() || c.is_control();
    !matches!(text, "" | "." | "..") && !text.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn event_names_have_two_plain_parts() {
        for (text, want) in [
            ("kmem:kmalloc", Some(("kmem", "kmalloc"))),
            ("kmem/kmalloc", Some(("kmem", "kmalloc"))),
            ("xhci-hcd:xhci.1", Some(("xhci-hcd", "xhci.1"))),
            ("", None),
            ("kmalloc", None),
            (":kmalloc", None),
            ("kmem:", None),
            ("kmem::kmalloc", None),
            ("kmem:kmalloc:", None),
            ("kmem/kmalloc/format", None),
            ("kmem:a/b", None),
            ("..:kmalloc", None),
            ("kmem/..", None),
            ("kmem:.", None),
            ("/etc/passwd", None),
            ("km em:kmalloc", None),
            ("kmem:kmalloc\n", None),
            ("kmem:\0", None),
        ] {
            assert_eq!(
                text.parse().ok(),
                want.map(|(system, name)| EventName::new(system, name)),
                "{text:?}"
            );
        }
        let error = EventName::from_str("kmalloc").expect_err("one part");
        assert_eq!(
            error.to_string(),
            "`kmalloc` is not an event: write SYSTEM:EVENT, such as kmem:kmalloc"
        );
    }

    proptest! {
        #[test]
        fn an_accepted_event_stays_below_its_folder(text in "[a-z./: ]{0,12}") {
            if let Ok(EventName { system, name }) = text.parse() {
                let path = Path::new("/events").join(system).join(name);
                let normal = path.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert_eq!(normal.count(), 3);
                prop_assert!(path.starts_with("/events"));
            }
        }
    }
}
