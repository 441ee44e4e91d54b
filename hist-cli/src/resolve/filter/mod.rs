//! Binds a filter: every field to the event's format, every constant within the field's own range,
//! every pattern and list taken apart.
//!
//! The order of the checks is that of `parse_pred()` in the kernel's trace_events_filter.c, so
//! that of several mistakes the same one is told.

pub(super) mod cpus;
mod number;
pub(super) mod pattern;

use bstr::{BStr, BString, ByteSlice as _};

use super::field::{self, not_found};
use super::hist::{
    Compare, Condition, CpumaskOp, CpumaskTest, Filter, NumberField, Pattern, Source, TextSource,
    TextTest, Within,
};
use super::{Context, not_supported};
use crate::diag::{Kind, Span, TriggerError};
use crate::kernel::format::{EventFormat, FieldClass, FieldFormat, FieldId};
use crate::parse::ast::{self, CompareOp, FilterExpr, Operand, Predicate, Spanned};

/// Binds a whole filter.
pub(super) fn filter(
    filter: &ast::Filter,
    event: &EventFormat,
    context: &Context<'_>,
) -> Result<Filter, TriggerError> {
    let tree = filter.tree.as_ref().map_err(Clone::clone)?;
    let scope = Scope { event, context };
    Ok(Filter { text: filter.text.node.clone(), tree: condition(tree, &scope)? })
}

/// What names and constants are looked up in.
struct Scope<'a> {
    event: &'a EventFormat,
    context: &'a Context<'a>,
}

fn condition(tree: &FilterExpr, scope: &Scope<'_>) -> Result<Condition, TriggerError> {
    let all = |parts: &[FilterExpr]| -> Result<Vec<_>, _> {
        parts.iter().map(|part| condition(part, scope)).collect()
    };
    Ok(match tree {
        FilterExpr::Or(parts) => Condition::Any(all(parts)?),
        FilterExpr::And(parts) => Condition::All(all(parts)?),
        FilterExpr::Not(inner) => Condition::Not(Box::new(condition(inner, scope)?)),
        FilterExpr::Predicate(predicate) => self::predicate(predicate, scope)?,
        FilterExpr::BadPredicate(bad) => {
            subject(&bad.field, scope)?;
            return Err(bad.error.clone());
        }
        FilterExpr::Bad(error) => return Err(error.clone()),
    })
}

fn predicate(predicate: &Predicate, scope: &Scope<'_>) -> Result<Condition, TriggerError> {
    let subject = subject(&predicate.field, scope)?;
    let operand = &predicate.operand;
    if predicate.function {
        return function(predicate, &subject, scope);
    }
    match &operand.node {
        Operand::Number(text) => compare(predicate, &subject, text.as_bstr(), scope),
        Operand::Text(text) => self::text(predicate, &subject, text.as_bstr(), scope),
        Operand::Cpus(list) => in_cpus(predicate, &subject, list.as_bstr(), scope),
        // The parser makes symbols behind `.function` only.
        Operand::Symbol(_) => Err(TriggerError::new(Kind::FilterInvalidValue, operand.span)),
    }
}

// --- the left side ------------------------------------------------------------------------------

/// What stands left of an operator.
struct Subject<'a> {
    class: Class,
    /// The field; absent for what is none.
    field: Option<(FieldId, &'a FieldFormat)>,
    /// The kernel reads a constant for it as a signed one.
    signed: bool,
}

/// How the kernel's filters treat a field (`FILTER_*` in include/linux/trace_events.h).
#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Whatever is no other: mostly numbers.
    Other,
    Text(TextSource),
    Cpumask(FieldId),
    /// The current CPU's number, an `int`.
    Cpu,
    /// The current stack, which equals nothing.
    Stack,
}

impl Subject<'_> {
    /// Bytes in the record; 0 for what no record has, as in the kernel.
    fn size(&self) -> u32 {
        self.field.map_or(0, |(_, format)| format.size)
    }
}

/// The event's own fields come first.
fn subject<'a>(field: &Spanned<BString>, scope: &Scope<'a>) -> Result<Subject<'a>, TriggerError> {
    let name = &*field.node.to_str_lossy();
    if let Some((id, format)) = scope.event.find(name) {
        let (class, field) = (class((id, format)), Some((id, format)));
        return Ok(Subject { class, field, signed: format.signed });
    }
    let (class, signed) = match name {
        "cpu" | "CPU" | "common_cpu" => (Class::Cpu, true),
        "comm" | "COMM" => (Class::Text(TextSource::Comm), false),
        "stacktrace" | "STACKTRACE" => (Class::Stack, false),
        _ => return Err(not_found(Kind::FilterFieldNotFound, name, field.span, scope.event)),
    };
    Ok(Subject { class, field: None, signed })
}

fn class((field, format): (FieldId, &FieldFormat)) -> Class {
    if let Some(text) = field::text((field, format)) {
        return Class::Text(TextSource::Field(text));
    }
    match format.class() {
        FieldClass::CharPointer => Class::Text(TextSource::Pointer { field, user: false }),
        FieldClass::Location if format.type_name.contains("cpumask_t") => Class::Cpumask(field),
        _ => Class::Other,
    }
}

/// A number that a program can get; `None` for one that equals nothing.
fn number(
    predicate: &Predicate,
    subject: &Subject<'_>,
    scope: &Scope<'_>,
) -> Result<Option<Source>, TriggerError> {
    match subject.field {
        None if subject.class == Class::Cpu => Ok(Some(Source::Cpu)),
        None => Ok(None),
        Some((_, format)) if !matches!(format.size, 1 | 2 | 4 | 8) => Ok(None),
        Some(field) => field::number(field, scope.event, predicate.field.span).map(Some),
    }
}

/// The predicate as written, but for the operator: `!=` may have become a `!` before it.
fn label(predicate: &Predicate, op: CompareOp) -> String {
    let ustring = if predicate.ustring { ".ustring" } else { "" };
    let function = if predicate.function { ".function" } else { "" };
    let field = &predicate.field.node;
    let operand = match &predicate.operand.node {
        Operand::Number(text) | Operand::Symbol(text) => text.to_string(),
        Operand::Text(text) => format!("\"{text}\""),
        Operand::Cpus(list) => format!("CPUS{{{list}}}"),
    };
    format!("{field}{ustring}{function} {op} {operand}")
}

fn negate(condition: Condition, negated: bool) -> Condition {
    if negated { Condition::Not(Box::new(condition)) } else { condition }
}

// --- numbers ------------------------------------------------------------------------------------

fn compare(
    predicate: &Predicate,
    subject: &Subject<'_>,
    text: &BStr,
    scope: &Scope<'_>,
) -> Result<Condition, TriggerError> {
    let operand = &predicate.operand;
    let (name, op) = (&predicate.field.node, predicate.op.node);
    let text = &*text.to_str_lossy();
    if let Class::Text(_) = subject.class {
        return Err(TriggerError::new(Kind::FilterExpectString, operand.span)
            .help(format!("`{name}` is a string: compare it with \"text\"")));
    }
    if op == CompareOp::Glob {
        return Err(TriggerError::new(Kind::FilterIllegalOperation, operand.span)
            .help("`~` compares strings; numbers take == != < <= > >= &"));
    }
    predicate.error.clone().map_or(Ok(()), Err)?;
    let value =
        if subject.signed { number::parse_signed(text) } else { number::parse_unsigned(text) };
    let value = value.map_err(|_| {
        let range = if subject.signed { "signed" } else { "unsigned" };
        TriggerError::new(Kind::FilterIllegalInteger, operand.span)
            .help(format!("a {range} 64-bit number is wanted: decimal, 0x… or 0…"))
    })?;
    let Some(source) = number(predicate, subject, scope)? else {
        return Ok(Condition::Always(false));
    };
    let is_cpu = subject.class == Class::Cpu;
    // filter_pred_cpu() knows no `&` with a number.
    if is_cpu && op == CompareOp::And {
        return Ok(Condition::Always(false));
    }
    let width = if is_cpu { 4 } else { subject.size() };
    let constant = number::extend(value, width, subject.signed);
    Ok(Condition::Compare(Compare {
        label: name.to_string(),
        source,
        signed: subject.signed,
        op,
        constant,
    }))
}

// --- functions ----------------------------------------------------------------------------------

fn function(
    predicate: &Predicate,
    subject: &Subject<'_>,
    scope: &Scope<'_>,
) -> Result<Condition, TriggerError> {
    let operand = &predicate.operand;
    if subject.size() != 8 {
        return Err(TriggerError::new(Kind::FilterIllegalOperation, operand.span)
            .help("`.function` is for addresses, which have 8 bytes"));
    }
    if !matches!(predicate.op.node, CompareOp::Eq | CompareOp::Ne) {
        return Err(TriggerError::new(Kind::FilterInvalidOperator, operand.span)
            .help("`.function` takes == and !="));
    }
    predicate.error.clone().map_or(Ok(()), Err)?;
    let Some(symbols) = scope.context.symbols else {
        return Err(not_supported("`.function`", predicate.field.span)
            .help("it needs the list of the kernel's symbols, which is not at hand"));
    };
    let not_found = || TriggerError::new(Kind::FilterFunctionNotFound, operand.span);
    let address = match &operand.node {
        Operand::Number(text) => number::parse_unsigned(&text.to_str_lossy()).map_err(|_| {
            // The kernel has read on to the end of the number by then.
            let end = Span::new(operand.span.end, operand.span.end);
            TriggerError::new(Kind::FilterInvalidValue, end)
        })?,
        Operand::Symbol(name) => {
            symbols.ok().and_then(|table| table.address(&name.to_str_lossy())).ok_or_else(|| {
                let error = not_found().help(format!("the kernel has no function `{name}`"));
                match name.find_byte(b')') {
                    Some(_) => error.help("a function's name ends at white space, not before `)`"),
                    None => error,
                }
            })?
        }
        _ => return Err(TriggerError::new(Kind::FilterInvalidValue, operand.span)),
    };
    let symbol = match symbols {
        Err(problem) => Err(not_found().help(problem.to_string())),
        Ok(table) => table
            .resolve(address)
            .ok_or_else(|| not_found().help(format!("no function holds the address {address:#x}"))),
    }?;
    let start = address - symbol.offset;
    let Some((field, format)) = subject.field else { return Ok(Condition::Always(false)) };
    let field = NumberField { field, size: format.size, signed: false };
    let within = Within {
        label: label(predicate, CompareOp::Eq),
        source: Source::Field(field),
        ranges: vec![(start, start + symbol.size.max(1) - 1)],
    };
    Ok(negate(Condition::Within(within), predicate.op.node == CompareOp::Ne))
}

// --- strings ------------------------------------------------------------------------------------

fn text(
    predicate: &Predicate,
    subject: &Subject<'_>,
    text: &BStr,
    scope: &Scope<'_>,
) -> Result<Condition, TriggerError> {
    let Class::Text(source) = subject.class else {
        return Err(TriggerError::new(Kind::FilterExpectNumber, predicate.operand.span)
            .help(format!("`{}` is a number: leave out the quotes", predicate.field.node)));
    };
    predicate.error.clone().map_or(Ok(()), Err)?;
    if let Some((_, format)) = subject.field {
        field::check_copied(format, scope.event, predicate.field.span)?;
    }
    let (pattern, negated) = match predicate.op.node {
        CompareOp::Glob => pattern::parse(text),
        op => (Pattern::Exact(text.to_vec()), op == CompareOp::Ne),
    };
    let source = match source {
        TextSource::Pointer { field, .. } => TextSource::Pointer { field, user: predicate.ustring },
        other => other,
    };
    Ok(Condition::Text(TextTest {
        label: label(predicate, predicate.op.node),
        source,
        pattern,
        negated,
    }))
}

// --- CPUs ---------------------------------------------------------------------------------------

fn in_cpus(
    predicate: &Predicate,
    subject: &Subject<'_>,
    list: &BStr,
    scope: &Scope<'_>,
) -> Result<Condition, TriggerError> {
    let operand = &predicate.operand;
    let illegal =
        |help: &str| Err(TriggerError::new(Kind::FilterIllegalOperation, operand.span).help(help));
    if matches!(subject.class, Class::Text(_) | Class::Stack) {
        return illegal("`CPUS{}` is for numbers and sets of CPUs");
    }
    let op = predicate.op.node;
    if !matches!(op, CompareOp::Eq | CompareOp::Ne | CompareOp::And) {
        return illegal("`CPUS{}` takes ==, != and &");
    }
    predicate.error.clone().map_or(Ok(()), Err)?;
    let Some(possible) = scope.context.possible_cpus else {
        return Err(not_supported("`CPUS{}`", operand.span)
            .help("it needs the number of possible CPUs, which is not at hand"));
    };
    let cpus = cpus::parse(&list.to_str_lossy(), possible).map_err(|_| {
        TriggerError::new(Kind::FilterInvalidCpulist, operand.span).help(format!(
            "a list such as 0-2,5 is wanted; this machine has CPUs 0-{}",
            possible - 1
        ))
    })?;
    match subject.class {
        Class::Cpumask(field) => Ok(mask(predicate, field, &cpus, possible)),
        _ => match number(predicate, subject, scope)? {
            None => Ok(Condition::Always(false)),
            Some(source) => Ok(one_of(predicate, source, &cpus, possible)),
        },
    }
}

fn mask(predicate: &Predicate, field: FieldId, cpus: &[u32], possible: u32) -> Condition {
    let mut words = vec![0; possible.div_ceil(64) as usize];
    for cpu in cpus {
        words[*cpu as usize / 64] |= 1 << (cpu % 64);
    }
    let (op, written) = match predicate.op.node {
        CompareOp::And => (CpumaskOp::Intersects, CompareOp::And),
        _ => (CpumaskOp::Equal, CompareOp::Eq),
    };
    let test = CpumaskTest { label: label(predicate, written), field, op, cpus: words };
    negate(Condition::Cpumask(test), predicate.op.node == CompareOp::Ne)
}

/// A number as a CPU's. Several CPUs are never equal to one, and what is no CPU is nothing.
fn one_of(predicate: &Predicate, source: Source, cpus: &[u32], possible: u32) -> Condition {
    let within = |source, ranges: Vec<(u64, u64)>, op| match ranges.is_empty() {
        true => Condition::Always(false),
        false => Condition::Within(Within { label: label(predicate, op), source, ranges }),
    };
    match (cpus, predicate.op.node) {
        // As a comparison with that number, which heeds all of the field's bits.
        ([cpu], op) => {
            let cpu = number::extend(u64::from(*cpu), width(&source), false);
            negate(
                within(unsigned(source, 8), vec![(cpu, cpu)], CompareOp::Eq),
                op == CompareOp::Ne,
            )
        }
        (_, CompareOp::Eq) => Condition::Always(false),
        // The kernel puts the field into an `unsigned int`.
        (_, CompareOp::Ne) => {
            within(unsigned(source, 4), vec![(0, u64::from(possible) - 1)], CompareOp::Ne)
        }
        _ => within(unsigned(source, 4), ranges(cpus), CompareOp::And),
    }
}

/// The low `bytes` of a field, without sign.
fn unsigned(source: Source, bytes: u32) -> Source {
    match source {
        Source::Field(field) => {
            Source::Field(NumberField { size: field.size.min(bytes), signed: false, ..field })
        }
        other => other,
    }
}

/// In bytes.
fn width(source: &Source) -> u32 {
    match source {
        Source::Field(field) => field.size,
        _ => 8,
    }
}

/// Neighbours joined.
fn ranges(cpus: &[u32]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for cpu in cpus.iter().copied().map(u64::from) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
