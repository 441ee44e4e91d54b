//! Resolves a [`Trigger`] against the event's [`EventFormat`] into a [`Hist`]: only meaning, every
//! name bound and typed.
//!
//! Errors come in the kernel's order of evaluation: values, keys, sort, filter. What the kernel
//! would accept and we do not count is refused as [`Kind::NotSupported`], never misread.

mod clock;
mod display;
mod expr;
mod field;
mod filter;
mod fold;
pub mod hist;
mod int_type;
mod key;
pub mod matching;
mod sort;
mod value;

use bstr::{BString, ByteSlice as _};

use crate::diag::{Kind, Rejection, Span, TriggerError};
use crate::kernel::Context;
use crate::kernel::format::EventFormat;
use crate::parse;
use crate::parse::ast::{Control, Spanned, Trigger};
pub(crate) use display::with_state;
use hist::{Hist, Key, Sort, SortBy, Value};

pub use fold::Fold;
pub use int_type::IntType;

/// The default capacity in entries (`TRACING_MAP_BITS_DEFAULT`, 11 bits).
const DEFAULT_SIZE: u32 = 2048;

/// The CPUs of a list as `CPUS{}` in a filter has it, ascending: numbers and ranges such as `0-3,8`.
/// `None` if it is no list, or names a CPU that there cannot be. `possible` is one more than the
/// highest number of a CPU.
#[must_use]
pub fn cpu_list(list: &str, possible: u32) -> Option<Vec<u32>> {
    filter::cpus::parse(list, possible).ok()
}

/// Binds every name of `trigger` to what the event offers.
///
/// # Errors
/// The first thing that the kernel would refuse, or that is not supported yet.
pub fn hist(
    trigger: &Trigger,
    event: &EventFormat,
    context: &Context<'_>,
) -> Result<Hist, Rejection> {
    refuse_unsupported(trigger)?;
    let clock = clock::of(trigger);
    let scope = Scope {
        event,
        clock: clock.clone().unwrap_or(hist::Clock::Global),
        usecs: clock::is_usecs(trigger),
    };
    let counted = trigger.counted_values().into_iter();
    let values = counted.map(|expr| value::bind(expr, &scope)).collect::<Result<Vec<_>, _>>()?;
    if let Some(error) = trigger.missing_value() {
        return Err(error.into());
    }
    let keys = key::bind_all(trigger, &scope)?;
    let sort = sort_keys(trigger, &keys, &values)?;
    let filter = trigger.filter.as_ref();
    let filter = filter.map(|filter| filter::filter(filter, event, context)).transpose()?;
    // Without a timestamp the kernel does not even look at the clock.
    let clock = clock::is_used(&keys, &values).then_some(clock).transpose()?;
    Ok(Hist {
        event: event.name.clone(),
        name: trigger.name.as_ref().map(|name| name.node.clone()),
        event_id: event.id,
        all_calls: event.all_calls,
        record_size: event.record_size(),
        fields: event.fields.clone(),
        keys,
        values,
        sort,
        size: trigger.size.as_ref().map_or(DEFAULT_SIZE, |size| size.node),
        paused: trigger.control.as_ref().is_some_and(|control| control.node == Control::Pause),
        nohitcount: trigger.nohitcount.is_some(),
        clock,
        filter,
    })
}

/// The pattern that a text behind `~` means, and whether a leading `!` negates it.
pub(crate) fn glob(text: &[u8]) -> (hist::Pattern, bool) {
    filter::pattern::parse(text)
}

/// What names are looked up in.
struct Scope<'a> {
    event: &'a EventFormat,
    /// What `common_timestamp` reads.
    clock: hist::Clock,
    /// Every timestamp of the trigger is in microseconds.
    usecs: bool,
}

/// An error for something that the kernel has and we do not yet.
fn not_supported(what: &str, span: Span) -> TriggerError {
    TriggerError::new(Kind::NotSupported, span)
        .help(format!("the kernel knows {what}; hist-bpf does not count it yet"))
}

/// An error for what several events would need to share.
fn inter_event(what: &str, span: Span) -> TriggerError {
    TriggerError::new(Kind::NotSupported, span).help(format!(
        "{what}: histograms across events (variables, handlers, synthetic events) are not \
         supported yet"
    ))
}

/// Everything of the form `name=value` that begins with no keyword defines a variable.
fn variable(name: &Spanned<BString>) -> TriggerError {
    let error = inter_event(&format!("`{}=` defines a variable", name.node), name.span);
    match parse::nearest_keyword(name.node.as_bstr()) {
        Some(keyword) => error.help(format!("did you mean `{keyword}=`?")),
        None => error,
    }
}

fn refuse_unsupported(trigger: &Trigger) -> Result<(), TriggerError> {
    let start = Span::new(0, trigger.text.len());
    if trigger.remove {
        return Err(not_supported("removal of a trigger by `!`", Span::new(0, 1)));
    }
    if let Some(handler) = trigger.handlers.first() {
        return Err(inter_event("this is a handler", handler.span));
    }
    if let Some(variable) = trigger.variables.as_ref().map_err(Clone::clone)?.first() {
        return Err(self::variable(&variable.name));
    }
    match &trigger.control {
        Some(control) if control.node != Control::Pause => {
            Err(TriggerError::new(Kind::TriggerNotFound, start)
                .help("a trigger on the command line is always a new one"))
        }
        _ => Ok(()),
    }
}

fn sort_keys(trigger: &Trigger, keys: &[Key], values: &[Value]) -> Result<Vec<Sort>, TriggerError> {
    if trigger.sort.is_empty() {
        return Ok(vec![Sort { by: SortBy::Hitcount, descending: false }]);
    }
    let written = trigger.sort.iter();
    written.map(|item| sort::sort_key(item.as_ref().map_err(Clone::clone)?, keys, values)).collect()
}
