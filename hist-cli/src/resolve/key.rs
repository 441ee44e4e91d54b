//! Binds keys: each is looked up, typed, and checked against its modifier and the room for keys.

use super::hist::{Key, KeySource, Room, Source, TextField};
use super::{Scope, expr, field, not_supported};
use crate::diag::{Kind, Rejection, Span, TriggerError};
use crate::modifier::{self, Modifier, Role, Suits, Taken};
use crate::parse::ast::{self, Expr, Spanned, Trigger};

/// The most bytes that the kernel's own table has for a key: `HIST_KEY_SIZE_MAX`, which is
/// 256 + 8 for each of the 31 frames of a stack.
const MAX_SIZE: u32 = 504;
/// What the kernel reserves for a string whose length it does not know (`STR_VAR_LEN_MAX`).
const TEXT_SIZE: u32 = 256;
/// What the kernel reserves for a stack: 31 return addresses.
const STACK_SIZE: u32 = 31 * 8;

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
            modifier: None,
        });
    };
    check_modifier(name)?;
    let bound = field::bind(name, scope)?;
    let modifier = name.known_modifier();
    if let Some(modifier) = modifier {
        refuse_unsuited(modifier, name, &bound.source)?;
    }
    let modifier = modifier.map(|modifier| modifier.node);
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
    field::check_modifier(field, &modifier::help(Role::Key))?;
    match field.known_modifier() {
        Some(Spanned { node, span }) if node.row().taken(Role::Key) == Taken::No => {
            Err(TriggerError::new(Kind::BadFieldModifier, *span).help(modifier::value_only_help()))
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

/// Buckets change what is counted; the rest only how it is shown.
fn counted(source: KeySource, modifier: Option<Modifier>) -> KeySource {
    match (source, modifier.and_then(Modifier::buckets)) {
        (KeySource::Number(number), Some(width)) => {
            KeySource::Number(Source::Bucket(width, Box::new(number)))
        }
        (source, _) => source,
    }
}

/// What is refused once it is known what the name stands for.
fn refuse_unsuited(
    modifier: &Spanned<Modifier>,
    field: &ast::Field,
    source: &KeySource,
) -> Result<(), TriggerError> {
    let suits = modifier.node.row().suits;
    if suits == Suits::Numbers && !matches!(source, KeySource::Number(_)) {
        return Err(not_supported("buckets of a string's address", modifier.span));
    }
    if *source == KeySource::Stack {
        return Err(not_supported("modifiers on stacks", modifier.span));
    }
    if suits == Suits::SyntheticStacks {
        let help = format!("`.{}` is for stack fields of synthetic events", modifier.node);
        return Err(TriggerError::new(Kind::BadFieldModifier, field.span).help(help));
    }
    Ok(())
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
