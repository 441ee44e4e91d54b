//! Writes families of samples as text: OpenMetrics 1.0, or Prometheus' older text format 0.0.4.
//!
//! Numbers are written as Go writes them, which is what Prometheus itself does: whole ones with
//! all their digits, `le` as a floating point number.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How families are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The Prometheus text format, version 0.0.4.
    Text,
}

impl Exposition {
    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Samples that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Without `_total` and the like.
    pub name: &'a str,
    /// For people.
    pub help: Cow<'a, str>,
    /// The name ends in it.
    pub unit: Option<&'a str>,
    /// What the samples are.
    pub kind: Kind,
    /// The samples.
    pub points: Points<'a>,
}

/// What samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They never fall.
    Counter,
    /// They may.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// The labels matter, the value is 1.
    Info,
}

/// Names and values.
pub type Labels<'a> = Vec<(&'a str, &'a str)>;

/// The samples of a family.
#[derive(Clone, Debug, PartialEq)]
pub enum Points<'a> {
    /// One number each.
    Numbers(Vec<Point<'a, Number>>),
    /// Several each.
    Histograms(Vec<Point<'a, Histogram>>),
}

impl Points<'_> {
    /// There are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Numbers(points) => points.is_empty(),
            Self::Histograms(points) => points.is_empty(),
        }
    }
}

/// What has the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a, T> {
    /// By which it is known.
    pub labels: Labels<'a>,
    /// How much it is.
    pub value: T,
}

/// A sample's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Unsigned(u64),
    /// A whole number that may be negative.
    Signed(i64),
    /// Any other.
    Float(f64),
}

/// A histogram's counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Ascending bounds, each with what is less or equal.
    pub buckets: Vec<(f64, u64)>,
    /// What there is altogether.
    pub count: u64,
    /// The sum of all that was measured, where it is known.
    pub sum: Option<u64>,
}

/// The families as text.
#[must_use]
pub fn write(families: &[Family<'_>], format: Exposition) -> String {
    let mut writer = Writer { out: String::new(), format };
    families.iter().for_each(|family| writer.family(family));
    if format == Exposition::OpenMetrics {
        writer.out.push_str("# EOF\n");
    }
    writer.out
}

struct Writer {
    out: String,
    format: Exposition,
}

impl Writer {
    fn family(&mut self, family: &Family<'_>) {
        self.head(family);
        let Family { name, kind, .. } = family;
        let ending = ending(*kind);
        match &family.points {
            Points::Numbers(points) => {
                for point in points {
                    self.sample(name, ending, &point.labels, None, &number(point.value));
                }
            }
            Points::Histograms(points) => {
                points.iter().for_each(|point| self.histogram(name, point));
            }
        }
    }

    /// In the older format the family is called as its samples are, and there are neither units nor
    /// infos.
    fn head(&mut self, family: &Family<'_>) {
        let is_new = self.format == Exposition::OpenMetrics;
        let name = family.name;
        let ending = if is_new { "" } else { ending(family.kind) };
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Info if is_new => "info",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = escaped(&family.help, is_new);
        self.line(format_args!("# HELP {name}{ending} {help}"));
        self.line(format_args!("# TYPE {name}{ending} {kind}"));
        if let Some(unit) = family.unit.filter(|_| is_new) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    fn histogram(&mut self, name: &str, Point { labels, value }: &Point<'_, Histogram>) {
        for (bound, count) in &value.buckets {
            let le = self.bound(*bound);
            self.sample(name, "_bucket", labels, Some(&le), &count.to_string());
        }
        let count = value.count.to_string();
        self.sample(name, "_bucket", labels, Some("+Inf"), &count);
        // OpenMetrics has both or none of them.
        if value.sum.is_some() || self.format == Exposition::Text {
            self.sample(name, "_count", labels, None, &count);
        }
        if let Some(sum) = value.sum {
            self.sample(name, "_sum", labels, None, &sum.to_string());
        }
    }

    fn sample(
        &mut self,
        name: &str,
        ending: &str,
        labels: &Labels<'_>,
        le: Option<&str>,
        value: &str,
    ) {
        let labels = labels.iter().copied().chain(le.map(|le| ("le", le)));
        let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        self.line(format_args!("{name}{ending}{labels} {value}"));
    }

    /// OpenMetrics wants to see that it is a floating point number.
    fn bound(&self, bound: f64) -> String {
        let text = float(bound);
        let is_whole = !text.contains(['.', 'e', 'I', 'N']);
        if is_whole && self.format == Exposition::OpenMetrics { text + ".0" } else { text }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.out, "{line}").expect("writing to a String cannot fail");
    }
}

const fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    }
}

fn number(number: Number) -> String {
    match number {
        Number::Unsigned(number) => number.to_string(),
        Number::Signed(number) => number.to_string(),
        Number::Float(number) => float(number),
    }
}

/// As Go's `strconv.FormatFloat(number, 'g', -1, 64)` does: the fewest digits that say it, with an
/// exponent below 1e-4 and from 1e6 on.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if number != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{number}"),
    }
}

/// With `\\`, `\n` and, where there are quotes around it, `\"`.
fn escaped(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains(['\\', '\n', '"']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
