//! The [`Shape`] of a metric follows from its trigger and what the file says: which families of
//! samples there are, and which keys are their labels.

use super::bucket::{MOST_BOUNDS, bounds_up_to};
use super::metric_config::MetricConfig;
use super::names::sanitized;
use crate::export::names::unique;
use crate::resolve::Fold;
use crate::resolve::hist::{Hist, Key, KeyModifier, KeySource, Source};
use crate::snapshot::bucket::{Buckets, Width};

/// What is exposed of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The keys that are labels, but not the one in buckets.
    pub labels: Vec<Label>,
    /// The key in buckets; then the hits are a histogram.
    pub bucket: Option<BucketKey>,
    /// The hits are exposed, as a counter unless there is a key in buckets.
    pub hits: bool,
    /// The values that have families of their own.
    pub values: Vec<ValueFamily>,
    /// How each of the trigger's values is put together.
    pub folds: Vec<Fold>,
}

/// A key that is a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is called.
    pub name: String,
    /// Which of the keys.
    pub key: usize,
}

/// A key in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketKey {
    /// Which of the keys.
    pub key: usize,
    /// Its buckets.
    pub buckets: Buckets,
    /// Which of the values is the sum of what is in the buckets.
    pub sum: Option<usize>,
}

/// A value that has a family of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFamily {
    /// What it is called, without `_total`.
    pub name: String,
    /// What the trigger calls it.
    pub label: String,
    /// Which of the values.
    pub value: usize,
    /// How its numbers are put together.
    pub fold: Fold,
    /// They may be negative.
    pub signed: bool,
}

/// Something in the file that the trigger does not go with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where.
    pub place: Place,
    /// What is wrong, in one sentence.
    pub message: String,
}

/// A part of a metric's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `trigger`
    Trigger,
    /// `max`
    Max,
    /// `unit`
    Unit,
    /// A key of `labels`.
    Label(String),
    /// A key of `values`.
    Value(String),
}

impl ValueFamily {
    /// What it shows may fall, which no counter does: negative numbers are added, or another number
    /// takes the place of the one before.
    #[must_use]
    pub const fn may_fall(&self) -> bool {
        self.signed || !self.fold.grows()
    }
}

impl Shape {
    /// The shape of a metric.
    ///
    /// # Errors
    /// All that does not go together.
    pub fn new(hist: &Hist, config: &MetricConfig) -> Result<Self, Vec<Misfit>> {
        let mut misfits = Vec::new();
        let bucket = bucket_key(hist).unwrap_or_else(|misfit| {
            misfits.push(misfit);
            None
        });
        let labels = labels(hist, config, bucket, &mut misfits);
        let values = values(hist, config, bucket, &mut misfits);
        let hits = bucket.is_some() || !hist.nohitcount;
        let folds = hist.values.iter().map(|value| value.fold).collect();
        let shape = Self { labels, bucket, hits, values, folds };
        misfits.extend(shape.other_misfits(config));
        if misfits.is_empty() { Ok(shape) } else { Err(misfits) }
    }

    /// The names of all families, which no other metric may have.
    pub fn families<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.values.iter().map(|value| value.name.as_str());
        self.hits.then_some(name).into_iter().chain(values)
    }

    fn other_misfits(&self, config: &MetricConfig) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        if let Some(max) = config.max {
            let fits = self.bucket.map(|bucket| bounds_up_to(bucket.buckets, max).is_some());
            let message = match fits {
                None => {
                    Some("`max` is for histograms: no key has `.log2` or `.buckets=N`".to_owned())
                }
                Some(false) => {
                    Some(format!("`max` gives no bucket, or more than {MOST_BOUNDS} of that width"))
                }
                Some(true) => None,
            };
            misfits.extend(message.map(|message| Misfit { place: Place::Max, message }));
        }
        if config.unit.is_some() && self.bucket.is_none() {
            let message = "`unit` is for histograms: hits have none".to_owned();
            misfits.push(Misfit { place: Place::Unit, message });
        }
        if !self.hits && self.values.is_empty() {
            let message = "nothing is left to expose: `nohitcount`, and no value".to_owned();
            misfits.push(Misfit { place: Place::Trigger, message });
        }
        misfits
    }
}

fn bucket_key(hist: &Hist) -> Result<Option<BucketKey>, Misfit> {
    let keys = hist.keys.iter().enumerate();
    let buckets: Vec<_> =
        keys.filter_map(|(key, bound)| Some((key, buckets(bound)?, bound))).collect();
    match buckets[..] {
        [] => Ok(None),
        [(key, buckets, bound)] => Ok(Some(BucketKey { key, buckets, sum: sum(hist, bound) })),
        _ => Err(Misfit {
            place: Place::Trigger,
            message: "a histogram has one key with `.log2` or `.buckets=N`, not several".to_owned(),
        }),
    }
}

fn buckets(key: &Key) -> Option<Buckets> {
    let width = match key.modifier {
        KeyModifier::Log2 => Width::Log2,
        KeyModifier::Buckets(width) => Width::Fixed(width),
        _ => return None,
    };
    Some(Buckets { width, signed: key.int_type().signed })
}

/// The value that sums up what the buckets divide.
fn sum(hist: &Hist, key: &Key) -> Option<usize> {
    let KeySource::Number(Source::Log2(raw) | Source::Buckets(_, raw)) = &key.source else {
        return None;
    };
    hist.values.iter().position(|value| value.source == **raw && value.fold == Fold::Sum)
}

fn labels(
    hist: &Hist,
    config: &MetricConfig,
    bucket: Option<BucketKey>,
    misfits: &mut Vec<Misfit>,
) -> Vec<Label> {
    let keys = unique(hist.keys.iter().map(|key| key.label.as_str()));
    let is_bucket = |key: usize| bucket.is_some_and(|bucket| bucket.key == key);
    for name in config.labels.keys() {
        if !keys.iter().enumerate().any(|(index, key)| key == name && !is_bucket(index)) {
            let message = unknown("key", name, &keys);
            misfits.push(Misfit { place: Place::Label(name.clone()), message });
        }
    }
    let mut labels: Vec<Label> = Vec::new();
    for (key, own) in keys.iter().enumerate().filter(|(key, _)| !is_bucket(*key)) {
        let given = config.labels.get(own);
        let name = given.cloned().unwrap_or_else(|| sanitized(own));
        let is_twice = labels.iter().any(|label| label.name == name);
        let is_le = bucket.is_some() && name == "le";
        let le = is_le.then(|| "`le` is the label of a histogram's buckets".to_owned());
        let twice = is_twice.then(|| format!("two keys have the label `{name}`"));
        if let Some(message) = le.or(twice) {
            let place = given.map_or(Place::Trigger, |_| Place::Label(own.clone()));
            misfits.push(Misfit { place, message });
        }
        labels.push(Label { name, key });
    }
    labels
}

fn values(
    hist: &Hist,
    config: &MetricConfig,
    bucket: Option<BucketKey>,
    misfits: &mut Vec<Misfit>,
) -> Vec<ValueFamily> {
    let labels = unique(hist.values.iter().map(|value| value.label.as_str()));
    let is_sum = |value: usize| bucket.is_some_and(|bucket| bucket.sum == Some(value));
    for name in config.values.keys() {
        if !labels.iter().enumerate().any(|(index, label)| label == name && !is_sum(index)) {
            let message = unknown("value with a name of its own", name, &labels);
            misfits.push(Misfit { place: Place::Value(name.clone()), message });
        }
    }
    let own = |label: &String| format!("{}_{}", config.name, sanitized(label));
    let families = labels.into_iter().enumerate().filter(|(value, _)| !is_sum(*value));
    let families = families.map(|(value, label)| ValueFamily {
        name: config.values.get(&label).cloned().unwrap_or_else(|| own(&label)),
        fold: hist.values[value].fold,
        signed: hist.values[value].int_type().signed,
        label,
        value,
    });
    families.collect()
}

fn unknown(what: &str, name: &str, known: &[String]) -> String {
    match known {
        [] => format!("the trigger has no {what} `{name}`"),
        known => format!("the trigger has no {what} `{name}`; it has {}", known.join(", ")),
    }
}
