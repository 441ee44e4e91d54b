//! Triggers that are worth trying on an event, from `examples.txt`.

use crate::kernel::EventName;

/// Events, each followed by triggers, indented by 4, and what each shows, indented by 8.
const TABLE: &str = include_str!("examples.txt");

/// A trigger, and what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// `system:event`
    pub event: &'static str,
    /// The trigger.
    pub trigger: &'static str,
    /// What it shows, in a few words.
    pub says: &'static str,
}

/// All of them, in the table's order.
pub fn all() -> impl Iterator<Item = Example> {
    let mut event = "";
    let lines: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    let mut examples = Vec::new();
    for (idx, line) in lines.iter().enumerate() {
        match line.strip_prefix("    ") {
            None if !line.is_empty() => event = line,
            Some(trigger) if !trigger.starts_with(' ') => {
                let says = lines.get(idx + 1).map_or("", |line| line.trim());
                examples.push(Example { event, trigger, says });
            }
            _ => {}
        }
    }
    examples.into_iter()
}

/// Those for that event.
#[must_use]
pub fn of(event: &EventName) -> Vec<Example> {
    let name = event.to_string();
    all().filter(|example| example.event == name).collect()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hist_test_support::needs;

    use super::*;
    use crate::kernel::Facts;
    use crate::kernel::error::EventError;
    use crate::kernel::tracefs::find_or_mount;
    use crate::pipeline;
    use crate::plan::Wishes;

    #[test]
    fn the_table_is_sorted_and_whole() {
        let events: Vec<_> = all().map(|example| example.event).collect();
        assert!(events.len() > 20, "{}", events.len());
        assert!(events.is_sorted());
        for example in all() {
            assert!(example.trigger.starts_with("hist:"), "{example:?}");
            assert!(!example.says.is_empty() && !example.says.starts_with("hist:"), "{example:?}");
            assert!(EventName::from_str(example.event).is_ok(), "{example:?}");
        }
        assert!(!of(&EventName::new("kmem", "kmalloc")).is_empty());
    }

    /// Those of events that this kernel has.
    #[test]
    fn every_example_compiles_on_this_kernel() {
        if !needs::root() {
            return;
        }
        let tracefs = find_or_mount().expect("tracefs");
        let facts = Facts::read().expect("the kernel's facts");
        let mut compiled = 0;
        for Example { event: name, trigger, .. } in all() {
            let format = match tracefs.event(&name.parse().expect("a name")) {
                Ok(format) => format,
                // No kernel has them all.
                Err(EventError::UnknownSystem { .. } | EventError::UnknownEvent { .. }) => continue,
                Err(error) => panic!("{name}: {error}"),
            };
            let result =
                pipeline::build_text(trigger, &format, &facts.context(), Wishes::default());
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
            compiled += 1;
        }
        assert!(compiled >= 10, "only {compiled} of them are of events that are here");
    }
}
