//! Takes a [`Hist`]. Gives its canonical text: the line that reading a `trigger` file gives, and
//! a listing for people.

use std::fmt;

use bstr::{BString, ByteVec as _};

use super::hist::{
    Clock, Compare, Condition, CpumaskTest, Hist, Key, KeySource, RecordField, Sort, SortBy,
    Source, TextField, TextTest, Value, Within,
};
use crate::modifier::BucketWidth;

/// The [line](Hist::line), with U+FFFD for bytes that are not UTF-8.
impl fmt::Display for Hist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.line())
    }
}

/// What stands between the name and the filter in the line.
struct Parameters<'a>(&'a Hist);

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hist = self.0;
        write!(f, "keys={}:vals=", Commas(&hist.keys))?;
        let hitcount = if hist.nohitcount { "" } else { "hitcount" };
        let comma = if hist.nohitcount || hist.values.is_empty() { "" } else { "," };
        write!(f, "{hitcount}{comma}{}:sort=", Commas(&hist.values))?;
        for (idx, sort) in hist.sort.iter().enumerate() {
            f.write_str(if idx > 0 { "," } else { "" })?;
            hist.write_sort(f, *sort)?;
        }
        write!(f, ":size={}", hist.size)?;
        if let Some(clock) = hist.clock {
            write!(f, ":clock={clock}")?;
        }
        f.write_str(if hist.nohitcount { ":nohitcount" } else { "" })
    }
}

impl Hist {
    /// The kernel's canonical trigger line, without the state in brackets. Name and filter are the
    /// trigger's own bytes.
    #[must_use]
    pub fn line(&self) -> BString {
        let mut line = BString::from("hist:");
        if let Some(name) = &self.name {
            line.push_str("name=");
            line.push_str(name);
            line.push_str(":");
        }
        line.push_str(Parameters(self).to_string());
        if let Some(filter) = &self.filter {
            line.push_str(" if ");
            line.push_str(&filter.text);
        }
        line
    }

    /// The canonical line with `[active]` or `[paused]`, as in `# trigger info:`.
    #[must_use]
    pub fn trigger_line(&self, paused: bool) -> BString {
        with_state(self.line(), paused)
    }

    fn write_sort(&self, f: &mut fmt::Formatter<'_>, sort: Sort) -> fmt::Result {
        match sort.by {
            SortBy::Hitcount => f.write_str("hitcount"),
            SortBy::Value(idx) => write!(f, "{}", self.values[idx]),
            SortBy::Key(idx) => write!(f, "{}", self.keys[idx]),
        }?;
        f.write_str(if sort.descending { ".descending" } else { "" })
    }

    /// One line per part: what is read from where. For `--emit hist` and golden files.
    #[must_use]
    pub fn listing(&self) -> String {
        let mut text = format!("event   {}\n", self.event);
        for key in &self.keys {
            text += &format!("key     {key} = {}\n", key.source);
        }
        text += "value   hitcount = 1\n";
        for value in &self.values {
            text += &format!("value   {value} = {}\n", value.source);
        }
        if let Some(filter) = &self.filter {
            text += &format!("filter  {}\n", filter.tree);
        }
        text += &format!("size    {} entries\n", self.size);
        text += &format!("state   {}\n", if self.paused { "paused" } else { "active" });
        text += &format!("trigger {self}\n");
        text
    }
}

/// A canonical line with `[active]` or `[paused]` behind it.
#[must_use]
pub(crate) fn with_state(mut line: BString, paused: bool) -> BString {
    line.push_str(if paused { " [paused]" } else { " [active]" });
    line
}

struct Commas<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Commas<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if idx > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)?;
        match self.modifier {
            Some(modifier) => write!(f, ".{}", modifier.canonical()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)?;
        match self.modifier {
            Some(modifier) => write!(f, ".{}", modifier.canonical()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Global => "global",
            Self::Mono => "mono",
            Self::Boot => "boot",
            Self::Tai => "tai",
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(source) => write!(f, "{source}"),
            Self::Text(TextField::Static { offset, size }) => {
                write!(f, "char[{size}] at record +{offset}")
            }
            Self::Text(TextField::Dynamic { offset }) => {
                write!(f, "string located at record +{offset}")
            }
            Self::Text(TextField::Relative { offset }) => {
                write!(f, "string located relative to record +{offset}")
            }
            Self::Text(TextField::Copied { size: Some(size), .. }) => {
                write!(f, "char[{size}], copied")
            }
            Self::Text(TextField::Copied { size: None, .. }) => f.write_str("string, copied"),
            Self::Comm => f.write_str("current task's name"),
            Self::Stack => f.write_str("kernel stack"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(field) => write!(f, "{field}"),
            Self::Pid => f.write_str("current thread"),
            Self::Cpu => f.write_str("current CPU"),
            Self::Timestamp { clock, usecs: false } => write!(f, "clock {clock}"),
            Self::Timestamp { clock, usecs: true } => write!(f, "clock {clock} / 1000"),
            Self::Constant(number) => write!(f, "{number}"),
            Self::Bucket(BucketWidth::Log2, inner) => write!(f, "log2({inner})"),
            Self::Bucket(BucketWidth::Fixed(width), inner) => {
                write!(f, "{inner} in buckets of {width}")
            }
            Self::Negate(inner) => write!(f, "-({inner})"),
            Self::Binary(op, lhs, rhs) => write!(f, "({lhs} {op} {rhs})"),
        }
    }
}

impl fmt::Display for RecordField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.signed { 's' } else { 'u' };
        write!(f, "{sign}{} at record +{}", self.size * 8, self.offset)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(parts) => write_joined(f, parts, " || "),
            Self::All(parts) => write_joined(f, parts, " && "),
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::Compare(compare) => write!(f, "{compare}"),
            Self::Within(Within { label, .. })
            | Self::Text(TextTest { label, .. })
            | Self::Cpumask(CpumaskTest { label, .. }) => f.write_str(label),
            Self::Always(value) => write!(f, "{value}"),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], sep: &str) -> fmt::Result {
    f.write_str("(")?;
    for (idx, part) in parts.iter().enumerate() {
        write!(f, "{}{part}", if idx > 0 { sep } else { "" })?;
    }
    f.write_str(")")
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.label, self.op)?;
        if self.signed {
            write!(f, "{}", self.constant.cast_signed())
        } else {
            write!(f, "{}", self.constant)
        }
    }
}
