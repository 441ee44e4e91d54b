//! A plan as a listing for people.

use std::fmt;

use super::{
    Access, Guard, KeySlot, MapKind, MapPlan, Origin, Plan, SENTINEL, Template, ValueSlot,
    size_text,
};
use crate::resolve::hist::{KeySource, Room, TextField};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "attach   {}", self.attach)?;
        for line in &self.why {
            writeln!(f, "why      {line}")?;
        }
        if self.guard == Guard::Watched {
            writeln!(f, "losses   {SENTINEL}")?;
        }
        writeln!(f, "template {}", self.template)?;
        let by_name = if self.hist.name.is_some() { ", shared by name" } else { "" };
        writeln!(f, "map      {}{by_name}", self.map)?;
        let (bytes, cpus) = (self.map.bytes(self.cpus), self.cpus);
        let s = if cpus == 1 { "" } else { "s" };
        writeln!(f, "memory   {} on {cpus} CPU{s}", size_text(bytes))?;
        if let Some(index) = &self.index {
            writeln!(f, "index    {}", index.source.shown(&self.hist.fields))?;
        }
        if !self.focus.is_all() {
            writeln!(f, "focus    {}", self.focus)?;
        }
        match &self.filter {
            Some(filter) => writeln!(f, "filter   {filter}")?,
            None => writeln!(f, "filter   none")?,
        }
        for KeySlot { offset, label, source, .. } in &self.keys {
            writeln!(f, "key      +{offset} {label} = {}", self.shown_key(source))?;
        }
        for ValueSlot { offset, label, source, fold } in &self.values {
            let source = source.shown(&self.hist.fields);
            writeln!(f, "value    +{offset} {label} {} {source}", fold.operator())?;
        }
        for (value, origin) in self.hist.values.iter().zip(&self.origins) {
            if let Origin::Key(key) = origin {
                let key = format!("key +{}", self.keys[*key].offset);
                writeln!(f, "value    {value} = {}", value.fold.repeated_text(&key))?;
            }
        }
        if let Some(offset) = self.comm {
            writeln!(f, "value    +{offset} task's name, at the first hit")?;
        }
        for kept in &self.once {
            writeln!(f, "once     {}", kept.what.name(&self.access))?;
        }
        writeln!(f, "state    {}", if self.hist.paused { "paused" } else { "active" })
    }
}

impl Plan {
    /// Strings that no record has are said to be copied.
    fn shown_key(&self, source: &KeySource) -> String {
        if let KeySource::Text(TextField { field, room }) = source
            && let Some(Access::Argument(_)) = self.access.get(*field)
        {
            return match room {
                Room::Array(size) => format!("char[{size}], copied"),
                Room::Varying => "string, copied".to_owned(),
            };
        }
        source.shown(&self.hist.fields).to_string()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hist => "hist",
            Self::HistLarge => "hist_large",
            Self::HistLog => "hist_log",
            Self::HistArray => "hist_array",
            Self::HistSpill => "hist_spill",
            Self::HistLargeSpill => "hist_large_spill",
        })
    }
}

impl fmt::Display for MapPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key_size, value_size, max_entries } = self;
        write!(f, "{kind}, ")?;
        if *kind != MapKind::PerCpuArray {
            write!(f, "key {key_size} bytes, ")?;
        }
        write!(f, "value {value_size} bytes, {max_entries} entries")
    }
}

impl fmt::Display for MapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerCpuHash => "per-CPU hash",
            Self::Hash => "hash",
            Self::PerCpuArray => "per-CPU array",
        })
    }
}
