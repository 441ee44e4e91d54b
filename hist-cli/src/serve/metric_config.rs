//! What a file says of one metric, for whatever reads, shapes or counts it.

use std::collections::BTreeMap;

use crate::kernel::EventName;

/// The series that a metric has at most, if the file does not say.
pub const MAX_SERIES: u64 = 1000;

/// One `[[metric]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricConfig {
    /// The family of the hits, without `_total`.
    pub name: String,
    /// What it means, for people.
    pub help: String,
    /// What is counted into.
    pub event: EventName,
    /// What is counted.
    pub trigger: String,
    /// The unit of a histogram, in which its name ends.
    pub unit: Option<String>,
    /// What keys are called, by their names in the trigger.
    pub labels: BTreeMap<String, String>,
    /// What the families of values are called, by the values' names in the trigger.
    pub values: BTreeMap<String, String>,
    /// So many combinations of labels are exposed; the rest is summed up.
    pub max_series: u64,
    /// The highest bound of a histogram, below `+Inf`; if absent, bounds follow what is counted.
    pub max: Option<u64>,
}

impl MetricConfig {
    /// Both count the same, whatever is made of it.
    #[must_use]
    pub fn counts_as(&self, other: &Self) -> bool {
        (&self.name, &self.event, &self.trigger) == (&other.name, &other.event, &other.trigger)
    }
}
