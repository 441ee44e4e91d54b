//! The clock that a trigger's timestamps come from.

use bstr::ByteSlice as _;

use super::hist::{Clock, Key, KeySource, Source, Value};
use crate::diag::{Kind, TriggerError};
use crate::parse::ast::{Expr, Field, Trigger};

/// The kernel's other trace clocks (`trace_clocks` in kernel/trace/trace.c): no BPF helper reads
/// them.
const UNREADABLE: [&str; 5] = ["counter", "uptime", "perf", "mono_raw", "x86-tsc"];

/// The one named by `clock=`, else the kernel's default for histograms.
pub(super) fn of(trigger: &Trigger) -> Result<Clock, TriggerError> {
    let Some(name) = &trigger.clock else { return Ok(Clock::Global) };
    match &*name.node.to_str_lossy() {
        "local" => Ok(Clock::Local),
        "global" => Ok(Clock::Global),
        "mono" => Ok(Clock::Mono),
        "boot" => Ok(Clock::Boot),
        "tai" => Ok(Clock::Tai),
        other if UNREADABLE.contains(&other) => {
            Err(TriggerError::new(Kind::NotSupported, name.span)
                .help(format!("eBPF programs cannot read the clock `{other}`; take clock=mono")))
        }
        _ => Err(TriggerError::new(Kind::SetClockFailed, name.span)
            .help("clocks: mono, boot, tai, global, local")),
    }
}

/// `.usecs` on one timestamp turns all of the trigger's into microseconds.
pub(super) fn is_usecs(trigger: &Trigger) -> bool {
    trigger.keys.iter().chain(&trigger.values).any(has_usecs)
}

fn has_usecs(expr: &Expr) -> bool {
    match expr {
        Expr::Field(field) => is_usecs_field(field),
        Expr::Negate(inner) => has_usecs(&inner.node),
        Expr::Binary(binary) => has_usecs(&binary.lhs) || has_usecs(&binary.rhs),
        Expr::Number(_) | Expr::VarRef(_) | Expr::Bad(_) => false,
    }
}

fn is_usecs_field(field: &Field) -> bool {
    let is_usecs = field.known_modifier().is_some_and(|modifier| modifier.node.is_usecs());
    field.name.node == "common_timestamp" && is_usecs
}

/// Something reads a timestamp.
pub(super) fn is_used(keys: &[Key], values: &[Value]) -> bool {
    let in_key = |key: &Key| match &key.source {
        KeySource::Number(source) => reads(source),
        KeySource::Text(_) | KeySource::Comm | KeySource::Stack => false,
    };
    keys.iter().any(in_key) || values.iter().any(|value| reads(&value.source))
}

fn reads(source: &Source) -> bool {
    match source {
        Source::Timestamp { .. } => true,
        Source::Bucket(_, inner) | Source::Negate(inner) => reads(inner),
        Source::Binary(_, lhs, rhs) => reads(lhs) || reads(rhs),
        Source::Field(_) | Source::Pid | Source::Cpu | Source::Constant(_) => false,
    }
}
