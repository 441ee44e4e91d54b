//! Takes a [`Trigger`] and the event's [`EventFormat`]. Gives a [`Hist`]: only meaning, every name
//! bound and typed.
//!
//! Errors come in the kernel's order of evaluation: values, keys, sort, filter. What the kernel
//! would accept and we do not yet count is refused as [`Kind::NotSupported`], never misread.

mod display;
mod field;
mod filter;
pub mod hist;
mod matching;
mod sort;

use crate::diag::{Kind, Span, TriggerError};
use crate::parse::ast::{self, Control, Trigger};
use crate::tracefs::format::EventFormat;
use crate::tracefs::symbols::Symbols;
use hist::{Hist, Key, KeyModifier, Sort, SortBy, Value, ValueModifier};

/// The default capacity in entries (`TRACING_MAP_BITS_DEFAULT`, 11 bits).
const DEFAULT_SIZE: u32 = 2048;

/// What the meaning of a trigger depends on besides the event. What is absent is refused where it
/// is needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The kernel's symbols, looked at only if a filter has `.function`.
    pub symbols: Option<&'a Symbols>,
    /// One more than the highest number that a CPU can have; for `CPUS{}`.
    pub possible_cpus: Option<u32>,
}

/// Binds every name of `trigger` to what the event offers.
///
/// # Errors
/// The first thing that the kernel would refuse, or that is not supported yet.
pub fn hist(
    trigger: &Trigger,
    event: &EventFormat,
    context: &Context<'_>,
) -> Result<Hist, TriggerError> {
    refuse_unsupported(trigger)?;
    let values = values(trigger, event)?;
    let keys = keys(trigger, event)?;
    let sort = sort_keys(trigger, &keys, &values)?;
    let filter = trigger.filter.as_ref();
    let filter = filter.map(|filter| filter::filter(filter, event, context)).transpose()?;
    Ok(Hist {
        system: event.system.clone(),
        event: event.name.clone(),
        record_size: event.record_size(),
        keys,
        values,
        sort,
        size: trigger.size.as_ref().map_or(DEFAULT_SIZE, |size| size.node),
        paused: trigger.control.as_ref().is_some_and(|control| control.node == Control::Pause),
        filter,
    })
}

/// An error for something that the kernel has and we do not yet.
fn not_supported(what: &str, span: Span) -> TriggerError {
    TriggerError::new(Kind::NotSupported, span)
        .help(format!("the kernel knows {what}; hist-bpf does not count it yet"))
}

fn refuse_unsupported(trigger: &Trigger) -> Result<(), TriggerError> {
    let start = Span::new(0, trigger.text.len());
    if trigger.remove {
        return Err(not_supported("removal of a trigger by `!`", Span::new(0, 1)));
    }
    if let Some(handler) = trigger.handlers.first() {
        return Err(not_supported("handlers and actions", handler.span));
    }
    if let Some(variable) = trigger.variables.as_ref().map_err(Clone::clone)?.first() {
        return Err(not_supported("variables", variable.name.span));
    }
    if let Some(name) = &trigger.name {
        return Err(not_supported("named triggers", name.span));
    }
    if let Some(clock) = &trigger.clock {
        return Err(not_supported("`clock=`", clock.span));
    }
    if let Some(span) = trigger.nohitcount {
        return Err(not_supported("`nohitcount`", span));
    }
    match &trigger.control {
        Some(control) if control.node != Control::Pause => {
            Err(TriggerError::new(Kind::TriggerNotFound, start)
                .help("a trigger on the command line is always a new one"))
        }
        _ => Ok(()),
    }
}

fn values(trigger: &Trigger, event: &EventFormat) -> Result<Vec<Value>, TriggerError> {
    trigger.counted_values().into_iter().map(|expr| value(expr, event)).collect()
}

fn value(expr: &ast::Expr, event: &EventFormat) -> Result<Value, TriggerError> {
    let name = plain_field(expr)?;
    let bound = field::bind(name, event)?;
    let modifier = match &name.modifier {
        None => ValueModifier::None,
        Some(modifier) => value_modifier(modifier, name.span)?,
    };
    Ok(Value { label: bound.label, canonical: bound.canonical, source: bound.source, modifier })
}

fn keys(trigger: &Trigger, event: &EventFormat) -> Result<Vec<Key>, TriggerError> {
    trigger.keys.iter().map(|expr| key(expr, event)).collect()
}

fn key(expr: &ast::Expr, event: &EventFormat) -> Result<Key, TriggerError> {
    let name = plain_field(expr)?;
    let bound = field::bind(name, event)?;
    let modifier = match &name.modifier {
        None => KeyModifier::None,
        Some(modifier) => key_modifier(modifier)?,
    };
    Ok(Key {
        label: bound.label,
        canonical: bound.canonical,
        source: bound.source,
        width: bound.width,
        signed: bound.signed,
        modifier,
    })
}

/// The field that an expression consists of.
fn plain_field(expr: &ast::Expr) -> Result<&ast::Field, TriggerError> {
    match expr {
        ast::Expr::Field(field) => Ok(field),
        ast::Expr::Bad(error) => Err(error.clone()),
        ast::Expr::Number(number) => Err(not_supported("constants here", number.span)),
        ast::Expr::VarRef(name) => Err(not_supported("variables", name.span)),
        ast::Expr::Negate(inner) => Err(not_supported("expressions", inner.span)),
        ast::Expr::Binary(binary) => Err(not_supported("expressions", binary.span)),
    }
}

fn key_modifier(modifier: &ast::Spanned<ast::Modifier>) -> Result<KeyModifier, TriggerError> {
    match &modifier.node {
        ast::Modifier::Hex => Ok(KeyModifier::Hex),
        ast::Modifier::Sym => Ok(KeyModifier::Sym),
        ast::Modifier::SymOffset => Ok(KeyModifier::SymOffset),
        ast::Modifier::Log2 => Ok(KeyModifier::Log2),
        ast::Modifier::Buckets(width) => Ok(KeyModifier::Buckets(*width)),
        ast::Modifier::Execname
        | ast::Modifier::Syscall
        | ast::Modifier::Stacktrace
        | ast::Modifier::Usecs => Err(not_supported("this modifier", modifier.span)),
        ast::Modifier::Percent | ast::Modifier::Graph => {
            Err(bad_modifier(modifier.span).help("`.percent` and `.graph` are for values"))
        }
        ast::Modifier::Unknown(_) => Err(bad_modifier(modifier.span).help(KEY_MODIFIERS)),
    }
}

const KEY_MODIFIERS: &str = "a key takes .hex, .sym, .sym-offset, .log2 or .buckets=N";

fn value_modifier(
    modifier: &ast::Spanned<ast::Modifier>,
    field: Span,
) -> Result<ValueModifier, TriggerError> {
    match &modifier.node {
        ast::Modifier::Hex => Ok(ValueModifier::Hex),
        ast::Modifier::Usecs
        | ast::Modifier::Percent
        | ast::Modifier::Graph
        | ast::Modifier::Execname => Err(not_supported("this modifier", modifier.span)),
        ast::Modifier::Sym
        | ast::Modifier::SymOffset
        | ast::Modifier::Syscall
        | ast::Modifier::Stacktrace
        | ast::Modifier::Log2
        | ast::Modifier::Buckets(_) => {
            Err(bad_modifier(field).help("this modifier is for keys; a value takes .hex"))
        }
        ast::Modifier::Unknown(_) => Err(bad_modifier(modifier.span).help("a value takes .hex")),
    }
}

fn bad_modifier(span: Span) -> TriggerError {
    TriggerError::new(Kind::BadFieldModifier, span)
}

fn sort_keys(trigger: &Trigger, keys: &[Key], values: &[Value]) -> Result<Vec<Sort>, TriggerError> {
    if trigger.sort.is_empty() {
        return Ok(vec![Sort { by: SortBy::Hitcount, descending: false }]);
    }
    let written = trigger.sort.iter();
    written.map(|item| sort::sort_key(item.as_ref().map_err(Clone::clone)?, keys, values)).collect()
}
