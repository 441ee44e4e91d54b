//! Matches the names of events by globs, as filters match strings.

use crate::kernel::EventName;
use crate::resolve::glob;
use crate::resolve::hist::{GlobPart, Pattern};

/// A glob for events: `system:event`, or for either part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: Pattern,
    negated: bool,
    /// It has a `:` or `/` and means the whole name.
    whole: bool,
}

impl Glob {
    /// Reads it; every text is one. `*`, `?`, `[a-z]`, `[!a-z]`, `\` and a leading `!` mean what
    /// they mean in filters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let whole = text.contains([':', '/']);
        let (pattern, negated) =
            glob(text.replacen('/', ":", usize::from(!text.contains(':'))).as_bytes());
        Self { pattern, negated, whole }
    }

    /// Whether it means that event.
    #[must_use]
    pub fn matches(&self, event: &EventName) -> bool {
        let is_met = match self.whole {
            true => matches(&self.pattern, event.to_string().as_bytes()),
            false => [&event.system, &event.name]
                .iter()
                .any(|part| matches(&self.pattern, part.as_bytes())),
        };
        is_met != self.negated
    }
}

fn matches(pattern: &Pattern, text: &[u8]) -> bool {
    match pattern {
        Pattern::Exact(whole) => text == whole,
        Pattern::Prefix(start) => text.starts_with(start),
        Pattern::Suffix(end) => text.ends_with(end),
        Pattern::Contains(part) => memchr::memmem::find(text, part).is_some(),
        Pattern::Glob(parts) => matches_parts(parts, text),
    }
}

/// Goes back to the last star only: whatever an earlier one could take, the last can.
fn matches_parts(parts: &[GlobPart], text: &[u8]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match parts.get(part) {
            Some(GlobPart::Any) => {
                star = Some((part, at));
                part += 1;
                continue;
            }
            Some(one) if text.get(at).is_some_and(|byte| matches_byte(one, *byte)) => {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            None if at == text.len() => return true,
            _ => {}
        }
        match &mut star {
            Some((behind, taken)) if *taken < text.len() => {
                *taken += 1;
                (part, at) = (*behind + 1, *taken);
            }
            _ => return false,
        }
    }
}

fn matches_byte(part: &GlobPart, byte: u8) -> bool {
    match part {
        GlobPart::Any | GlobPart::One => true,
        GlobPart::Byte(other) => *other == byte,
        GlobPart::Class { ranges, negated } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_for_the_name_or_either_part() {
        for (glob, expect) in [
            ("kmem", true),
            ("kmalloc", true),
            ("kmem:kmalloc", true),
            ("kmem/kmalloc", true),
            ("kmem:*", true),
            ("*:kmalloc", true),
            ("*alloc*", true),
            ("k?a*[a-c]", true),
            ("k*m*a*oc", true),
            ("k*m*a*ok", false),
            ("km?em", false),
            ("", false),
            ("malloc", false),
            ("kmem:kmal", false),
            ("!kmem:*", false),
            ("!sched:*", true),
        ] {
            assert_eq!(
                Glob::new(glob).matches(&EventName::new("kmem", "kmalloc")),
                expect,
                "{glob}"
            );
        }
    }
}
