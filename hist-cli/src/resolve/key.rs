//! Binds a trigger's keys.

use super::hist::{Key, KeyModifier, KeySource, Room, Source, TextField};
use super::{Scope, expr, field, not_supported};
use crate::diag::{Kind, Rejection, Span, TriggerError};
use crate::parse::ast::{self, Expr, Modifier, Spanned, Trigger};

/// The most bytes that the kernel's own table has for a key: `HIST_KEY_SIZE_MAX`, which is
/// 256 + 8 for each of the 31 frames of a stack.
const MAX_SIZE: u32 = 504;
/// What the kernel reserves for a string whose length it does not know (`STR_VAR_LEN_MAX`).
const TEXT_SIZE: u32 = 256;
/// What the kernel reserves for a stack: 31 return addresses.
const STACK_SIZE: u32 = 31 * 8;

const MODIFIERS: &str = "a key takes .hex, .sym, .sym-offset, .syscall, .log2, .buckets=N, \
                         .usecs, and common_pid also .execname";

/// Binds all keys. Like the kernel, it checks after each whether they still fit, so that a wrong
/// key behind those that do not is not what is reported.
pub(super) fn bind_all(trigger: &Trigger, scope: &Scope<'_>) -> Result<Vec<Key>, Rejection> {
    let mut keys = Vec::with_capacity(trigger.keys.len());
    for expr in &trigger.keys {
        keys.push(bind(expr, scope)?);
        check_size(trigger, &keys)?;
    }
    Ok(keys)
}

/// Binds a key.
fn bind(expr: &Expr, scope: &Scope<'_>) -> Result<Key, Rejection> {
    if let Expr::VarRef(reference) = expr {
        return Err(expr::unknown_variable(reference, check_modifier(&reference.field)));
    }
    let Expr::Field(name) = expr else {
        let operand = expr::bind(expr, scope)?;
        let order = operand.order();
        return Ok(Key {
            label: operand.text.clone(),
            canonical: canonical(&operand),
            source: KeySource::Number(operand.source),
            order,
            modifier: KeyModifier::None,
        });
    };
    check_modifier(name)?;
    let bound = field::bind(name, scope)?;
    let modifier = match &name.modifier {
        None => KeyModifier::None,
        Some(modifier) => self::modifier(modifier, name, &bound.source)?,
    };
    Ok(Key {
        label: bound.label,
        canonical: bound.canonical,
        source: counted(bound.source, modifier),
        order: bound.order,
        modifier,
    })
}

/// What is refused before the name is looked up.
fn check_modifier(field: &ast::Field) -> Result<(), TriggerError> {
    field::check_modifier(field, MODIFIERS)?;
    match &field.modifier {
        Some(Spanned { node: Modifier::Percent | Modifier::Graph, span }) => {
            Err(TriggerError::new(Kind::BadFieldModifier, *span)
                .help("`.percent` and `.graph` are for values"))
        }
        _ => Ok(()),
    }
}

/// A constant has no name in entries, but a number in the trigger line.
fn canonical(operand: &expr::Operand) -> String {
    match operand.source {
        Source::Constant(number) if operand.text.is_empty() => number.to_string(),
        _ => operand.text.clone(),
    }
}

/// `.log2` and `.buckets` change what is counted; the rest only how it is shown.
fn counted(source: KeySource, modifier: KeyModifier) -> KeySource {
    match (source, modifier) {
        (KeySource::Number(number), KeyModifier::Log2) => {
            KeySource::Number(Source::Log2(Box::new(number)))
        }
        (KeySource::Number(number), KeyModifier::Buckets(width)) => {
            KeySource::Number(Source::Buckets(width, Box::new(number)))
        }
        (source, _) => source,
    }
}

fn modifier(
    modifier: &Spanned<Modifier>,
    field: &ast::Field,
    source: &KeySource,
) -> Result<KeyModifier, TriggerError> {
    let bad = |span: Span| TriggerError::new(Kind::BadFieldModifier, span);
    let is_number = matches!(source, KeySource::Number(_));
    match &modifier.node {
        Modifier::Log2 | Modifier::Buckets(_) if !is_number => {
            Err(not_supported("buckets of a string's address", modifier.span))
        }
        _ if *source == KeySource::Stack => {
            Err(not_supported("modifiers on stacks", modifier.span))
        }
        Modifier::Hex => Ok(KeyModifier::Hex),
        Modifier::Sym => Ok(KeyModifier::Sym),
        Modifier::SymOffset => Ok(KeyModifier::SymOffset),
        Modifier::Syscall => Ok(KeyModifier::Syscall),
        Modifier::Usecs => Ok(KeyModifier::Usecs),
        Modifier::Log2 => Ok(KeyModifier::Log2),
        Modifier::Buckets(width) => Ok(KeyModifier::Buckets(*width)),
        Modifier::Execname => Ok(KeyModifier::Execname),
        Modifier::Stacktrace => {
            Err(bad(field.span).help("`.stacktrace` is for stack fields of synthetic events"))
        }
        Modifier::Percent | Modifier::Graph | Modifier::Unknown(_) => {
            Err(bad(modifier.span).help(MODIFIERS))
        }
    }
}

/// The kernel refuses keys that its own table has no room for.
fn check_size(trigger: &Trigger, keys: &[Key]) -> Result<(), TriggerError> {
    let size: u32 = keys.iter().map(|key| kernel_size(&key.source)).sum();
    if size <= MAX_SIZE {
        return Ok(());
    }
    Err(TriggerError::new(Kind::KeyTooLarge, Span::new(0, trigger.text.len()))
        .help(format!("they take {size} bytes of at most {MAX_SIZE}")))
}

/// What the kernel's own table takes for a key, in bytes.
const fn kernel_size(source: &KeySource) -> u32 {
    match source {
        KeySource::Number(_) => 8,
        KeySource::Text(TextField { room: Room::Array(size), .. }) => size.next_multiple_of(8),
        KeySource::Text(_) | KeySource::Comm => TEXT_SIZE,
        KeySource::Stack => STACK_SIZE,
    }
}
