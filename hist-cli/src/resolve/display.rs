//! A histogram's canonical text, which is the line that reading a `trigger` file gives, and its listing
//! for people.

use std::fmt;

use bstr::{BString, ByteVec as _};

use super::hist::{
    Clock, Compare, Condition, CpumaskTest, Hist, Key, KeySource, NumberField, Room, Sort, SortBy,
    Source, TextField, TextTest, Value, Within,
};
use crate::kernel::format::FieldFormat;
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
            text += &format!("key     {key} = {}\n", key.source.shown(&self.fields));
        }
        text += "value   hitcount = 1\n";
        for value in &self.values {
            text += &format!("value   {value} = {}\n", value.source.shown(&self.fields));
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

/// Where a number, string or stack comes from, for people: listings show a field by its place in the
/// record, which only its format tells.
pub struct Shown<'a, T> {
    what: &'a T,
    fields: &'a [FieldFormat],
}

impl KeySource {
    /// As listings show it; `fields` are those of its event.
    #[must_use]
    pub const fn shown<'a>(&'a self, fields: &'a [FieldFormat]) -> Shown<'a, Self> {
        Shown { what: self, fields }
    }
}

impl Source {
    /// As listings show it; `fields` are those of its event.
    #[must_use]
    pub const fn shown<'a>(&'a self, fields: &'a [FieldFormat]) -> Shown<'a, Self> {
        Shown { what: self, fields }
    }
}

impl fmt::Display for Shown<'_, KeySource> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            KeySource::Number(source) => write!(f, "{}", source.shown(self.fields)),
            KeySource::Text(TextField { field, room }) => {
                let FieldFormat { offset, .. } = self.fields[field.0];
                match room {
                    Room::Array(size) => write!(f, "char[{size}] at record +{offset}"),
                    Room::Varying if self.fields[field.0].is_relative() => {
                        write!(f, "string located relative to record +{offset}")
                    }
                    Room::Varying => write!(f, "string located at record +{offset}"),
                }
            }
            KeySource::Comm => f.write_str("current task's name"),
            KeySource::Stack => f.write_str("kernel stack"),
        }
    }
}

impl fmt::Display for Shown<'_, Source> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |source: &'_ Source| source.shown(self.fields).to_string();
        match self.what {
            Source::Field(number) => {
                write!(f, "{number} at record +{}", self.fields[number.field.0].offset)
            }
            Source::Pid => f.write_str("current thread"),
            Source::Cpu => f.write_str("current CPU"),
            Source::Timestamp { clock, usecs: false } => write!(f, "clock {clock}"),
            Source::Timestamp { clock, usecs: true } => write!(f, "clock {clock} / 1000"),
            Source::Constant(number) => write!(f, "{number}"),
            Source::Bucket(BucketWidth::Log2, inner) => write!(f, "log2({})", shown(inner)),
            Source::Bucket(BucketWidth::Fixed(width), inner) => {
                write!(f, "{} in buckets of {width}", shown(inner))
            }
            Source::Negate(inner) => write!(f, "-({})", shown(inner)),
            Source::Binary(op, lhs, rhs) => write!(f, "({} {op} {})", shown(lhs), shown(rhs)),
        }
    }
}

/// Sign and width: `u32`.
impl fmt::Display for NumberField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.signed { 's' } else { 'u' }, self.size * 8)
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
