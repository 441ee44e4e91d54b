//! Reads the metrics that a TOML file describes, and collects all that is wrong with it.
//!
//! Checked are: the syntax; names, types and presence of what is in the tables; the names of
//! metrics, labels and units; each trigger by itself; and, with a kernel, that the event is there
//! and can be counted, that the trigger fits it and compiles, what labels and values are called
//! by it, and that no two metrics have a name in common.

mod problem;
mod toml_table;

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use problem::{Problem, Problems};
use toml_table::{Placed, TomlTable};

use super::metric_config::{MAX_SERIES, MetricConfig};
use super::names::{wrong_label, wrong_metric, wrong_unit};
use super::shape::{Misfit, Place, Shape};
use crate::kernel::EventName;
use crate::kernel::Needs;
use crate::parse;
use crate::parse::ast::Trigger;
use crate::pipeline;
use crate::plan::Wishes;
use crate::resolve;
use crate::session::Backend;

/// How programs of metrics are to be: what is checked is what will run.
pub(super) fn wishes() -> Wishes {
    Wishes { renewable: true, ..Wishes::default() }
}

/// The metrics of a file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// At least one.
    pub metrics: Vec<MetricConfig>,
}

/// What a metric may have.
const KEYS: [&str; 9] =
    ["name", "help", "event", "trigger", "unit", "labels", "values", "max_series", "max"];

/// Reads a file. Without a kernel, events and fields are not looked up.
///
/// # Errors
/// All that is wrong with it, in the order of the file.
pub fn read<B: Backend>(text: &str, kernel: Option<&B>) -> Result<Config, Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let whole = 0..text.len();
        let problem = |error: &toml::de::Error| {
            Problem::new(error.span().unwrap_or(whole.clone()), error.message().to_owned())
        };
        return Err(in_order(errors.iter().map(problem).collect()));
    }
    let mut problems = Vec::new();
    let drafts = drafts(text, &root, &mut problems);
    let shapes = drafts.iter().map(|draft| draft.shape(text, kernel, &mut problems)).collect();
    twice(&drafts, shapes, &mut problems);
    if problems.is_empty() {
        Ok(Config { metrics: drafts.into_iter().map(|draft| draft.config).collect() })
    } else {
        Err(in_order(problems))
    }
}

fn in_order(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by_key(|problem| problem.at.start);
    Problems { problems }
}

/// A metric whose trigger has been parsed, and where its parts stand.
struct Draft {
    config: MetricConfig,
    trigger: Option<Trigger>,
    places: Places,
}

/// Where the parts of a metric stand.
#[derive(Default)]
struct Places {
    name: Range<usize>,
    event: Range<usize>,
    trigger: Range<usize>,
    unit: Range<usize>,
    max: Range<usize>,
    labels: BTreeMap<String, Range<usize>>,
    values: BTreeMap<String, Range<usize>>,
}

impl Places {
    fn of(&self, place: &Place) -> Range<usize> {
        let found = match place {
            Place::Trigger => Some(&self.trigger),
            Place::Max => Some(&self.max),
            Place::Unit => Some(&self.unit),
            Place::Label(name) => self.labels.get(name),
            Place::Value(name) => self.values.get(name),
        };
        found.unwrap_or(&self.trigger).clone()
    }
}

fn drafts(text: &str, root: &Spanned<DeTable<'_>>, problems: &mut Vec<Problem>) -> Vec<Draft> {
    let table = root.get_ref();
    // Notes what does not belong there.
    let _ = TomlTable::new(table, 0..0, &["metric"], problems);
    let value = table.get("metric");
    let Some(metrics) = value.and_then(|value| value.get_ref().as_array()) else {
        let at = value.map_or(0..0, Spanned::span);
        problems.push(Problem::new(at, "metrics are described by tables called [[metric]]"));
        return Vec::new();
    };
    if metrics.is_empty() {
        problems.push(Problem::new(0..0, "there is no metric"));
    }
    metrics.iter().filter_map(|metric| draft(text, metric, problems)).collect()
}

/// `None` if what every metric must have is not there; that has been noted.
fn draft(text: &str, value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Option<Draft> {
    let DeValue::Table(table) = value.get_ref() else {
        problems.push(Problem::new(value.span(), "a metric is a table"));
        return None;
    };
    let mut table = TomlTable::new(table, value.span(), &KEYS, problems);
    let name = name(&mut table);
    let help = table.required("help");
    let event = event(&mut table);
    let written = table.required("trigger");
    let trigger = written.as_ref().and_then(|written| trigger(text, written, &mut table));
    let unit = unit(name.as_ref(), &mut table);
    let (labels, values) = (labels(&mut table), values(&mut table));
    let max_series = table.number("max_series", 1);
    let max = table.number("max", 1);
    let (name, event, written) = (name?, event?, written?);
    let at = |place: Option<&Range<usize>>| place.cloned().unwrap_or_default();
    let places = Places {
        name: name.at,
        event: event.at,
        trigger: written.at,
        unit: at(unit.as_ref().map(|unit| &unit.at)),
        max: at(max.as_ref().map(|max| &max.at)),
        labels: labels.iter().map(|(key, label)| (key.clone(), label.at.clone())).collect(),
        values: values.iter().map(|(key, value)| (key.clone(), value.at.clone())).collect(),
    };
    let plain = |texts: BTreeMap<String, Placed<String>>| {
        texts.into_iter().map(|(key, text)| (key, text.value)).collect()
    };
    let config = MetricConfig {
        name: name.value,
        help: help?.value,
        event: event.value,
        trigger: written.value,
        unit: unit.map(|unit| unit.value),
        labels: plain(labels),
        values: plain(values),
        max_series: max_series.map_or(MAX_SERIES, |number| number.value),
        max: max.map(|max| max.value),
    };
    Some(Draft { config, trigger, places })
}

fn name(table: &mut TomlTable<'_>) -> Option<Placed<String>> {
    let name = table.required("name")?;
    if let Some(wrong) = wrong_metric(&name.value) {
        table.problem(Problem::new(name.at.clone(), format!("`{}`: {wrong}", name.value)));
    }
    Some(name)
}

fn event(table: &mut TomlTable<'_>) -> Option<Placed<EventName>> {
    let event = table.required("event")?;
    match event.value.parse() {
        Ok(value) => Some(Placed { value, at: event.at }),
        Err(error) => {
            let error: crate::kernel::EventNameError = error;
            table.problem(Problem::new(event.at, error.to_string()));
            None
        }
    }
}

/// A name that OpenMetrics wants to end in it.
fn unit(name: Option<&Placed<String>>, table: &mut TomlTable<'_>) -> Option<Placed<String>> {
    let unit = table.text("unit")?;
    let wrong = wrong_unit(&unit.value).map(str::to_owned);
    let ending = format!("_{}", unit.value);
    let unlike = name.filter(|name| !name.value.ends_with(&ending));
    let wrong = wrong.or_else(|| unlike.map(|_| format!("the name must end in `{ending}`")));
    if let Some(wrong) = wrong {
        table.problem(Problem::new(unit.at.clone(), wrong));
    }
    Some(unit)
}

fn labels(table: &mut TomlTable<'_>) -> BTreeMap<String, Placed<String>> {
    let labels = table.texts("labels");
    for label in labels.values() {
        if let Some(wrong) = wrong_label(&label.value) {
            table.problem(Problem::new(label.at.clone(), format!("`{}`: {wrong}", label.value)));
        }
    }
    labels
}

fn values(table: &mut TomlTable<'_>) -> BTreeMap<String, Placed<String>> {
    let values = table.texts("values");
    for value in values.values() {
        if let Some(wrong) = wrong_metric(&value.value) {
            table.problem(Problem::new(value.at.clone(), format!("`{}`: {wrong}", value.value)));
        }
    }
    values
}

/// The trigger, if a metric can have it.
fn trigger(text: &str, written: &Placed<String>, table: &mut TomlTable<'_>) -> Option<Trigger> {
    let trigger = match parse::trigger(&written.value) {
        Ok(trigger) => trigger,
        Err(error) => {
            let at = written.at.clone();
            table.problem(Problem::trigger(text, at, &written.value, &error));
            return None;
        }
    };
    let wrong = if trigger.remove {
        Some("a metric's trigger counts; `!` removes one")
    } else if trigger.control.is_some() {
        Some("a metric counts all the time: leave `pause`, `cont` and `clear` out")
    } else if trigger.name.is_some() {
        Some("each metric has a table of its own: leave `name=` out")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        table.problem(Problem::new(written.at.clone(), wrong));
        return None;
    }
    Some(trigger)
}

impl Draft {
    /// What the kernel makes of it; `None` without one, and if it is wrong.
    fn shape<B: Backend>(
        &self,
        text: &str,
        kernel: Option<&B>,
        problems: &mut Vec<Problem>,
    ) -> Option<Shape> {
        let kernel = kernel?;
        let format = match kernel.event(&self.config.event) {
            Ok(format) => format,
            Err(error) => {
                problems.push(Problem::new(self.places.event.clone(), error.to_string()));
                return None;
            }
        };
        let trigger = self.trigger.as_ref()?;
        let at = self.places.trigger.clone();
        let of_functions = Needs { symbols: trigger.names_functions(), types: false };
        let hist = match resolve::hist(trigger, &format, &kernel.context(of_functions)) {
            Ok(hist) => hist,
            Err(rejection) => {
                let error = &rejection.error;
                problems.push(Problem::trigger(text, at, &self.config.trigger, error));
                return None;
            }
        };
        // What it asks them depends on the kernel, and checking need not be quick.
        let of_types = Needs { symbols: false, types: true };
        let built = pipeline::build(hist.clone(), wishes(), &kernel.context(of_types));
        problems.extend(built.err().map(|error| Problem::new(at, error.to_string())));
        match Shape::new(&hist, &self.config) {
            Ok(shape) => Some(shape),
            Err(misfits) => {
                let problem =
                    |Misfit { place, message }| Problem::new(self.places.of(&place), message);
                problems.extend(misfits.into_iter().map(problem));
                None
            }
        }
    }
}

/// Notes names that are there twice. Without shapes only the names that the file has are known.
fn twice(drafts: &[Draft], shapes: Vec<Option<Shape>>, problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (draft, shape) in drafts.iter().zip(&shapes) {
        let name = draft.config.name.as_str();
        let families: Vec<&str> = match shape {
            Some(shape) => shape.families(name).collect(),
            None => vec![name],
        };
        for family in families {
            if let Some(owner) = owners.insert(family, name) {
                let message = if owner == family {
                    format!("there is a metric `{family}` already")
                } else {
                    format!("the metric `{owner}` has a value `{family}` already")
                };
                problems.push(Problem::new(draft.places.name.clone(), message));
            }
        }
    }
}

#[cfg(test)]
mod tests;
