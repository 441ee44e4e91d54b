//! Takes a [`Plan`]. Gives a listing for people.

use std::fmt;

use super::{
    Guard, KeySlot, MapKind, MapPlan, Origin, Plan, SENTINEL, Template, ValueSlot, size_text,
};

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
            writeln!(f, "index    {}", index.source)?;
        }
        if !self.focus.is_all() {
            writeln!(f, "focus    {}", self.focus)?;
        }
        match &self.filter {
            Some(filter) => writeln!(f, "filter   {filter}")?,
            None => writeln!(f, "filter   none")?,
        }
        for slot in &self.keys {
            writeln!(f, "key      {slot}")?;
        }
        for slot in &self.values {
            writeln!(f, "value    {slot}")?;
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
            writeln!(f, "once     {}", kept.what.name(&self.copies))?;
        }
        writeln!(f, "state    {}", if self.hist.paused { "paused" } else { "active" })
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

impl fmt::Display for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} {} = {}", self.offset, self.label, self.source)
    }
}

impl fmt::Display for ValueSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, source, fold, label } = self;
        write!(f, "+{offset} {label} {} {source}", fold.operator())
    }
}
