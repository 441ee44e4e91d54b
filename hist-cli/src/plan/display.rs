//! Takes a [`Plan`]. Gives a listing for people.

use std::fmt;

use super::{Attach, KeySlot, Plan, Template, ValueSlot};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "attach   {}", self.attach)?;
        for line in &self.why {
            writeln!(f, "why      {line}")?;
        }
        writeln!(f, "template {}", self.template)?;
        let map = &self.map;
        writeln!(
            f,
            "map      per-CPU hash, key {} bytes, value {} bytes, {} entries{}",
            map.key_size,
            map.value_size,
            map.max_entries,
            if self.shared { ", shared by name" } else { "" }
        )?;
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
        if let Some(offset) = self.comm {
            writeln!(f, "value    +{offset} task's name, at the first hit")?;
        }
        writeln!(f, "state    {}", if self.hist.paused { "paused" } else { "active" })
    }
}

impl fmt::Display for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracepoint { system, event, .. } => write!(f, "tracepoint {system}:{event}"),
            Self::RawTracepoint { name, btf_id: None } => write!(f, "raw tracepoint {name}"),
            Self::RawTracepoint { name, btf_id: Some(_) } => {
                write!(f, "raw tracepoint {name}, with types")
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hist => "hist",
            Self::HistLarge => "hist_large",
            Self::HistLog => "hist_log",
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
        write!(f, "+{} {} += {}", self.offset, self.label, self.source)
    }
}
