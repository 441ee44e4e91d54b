//! Takes one value as written. Gives a [`Value`].

use super::hist::{KeySource, Source, Value, ValueModifier};
use super::{Fold, Scope, expr, field, not_supported};
use crate::diag::{Kind, Rejection, Span, TriggerError};
use crate::parse::ast::{self, Expr, Modifier, Spanned};

const MODIFIERS: &str = "a value takes .hex, .percent, .graph or .usecs";

/// Binds a value other than the hitcount column.
pub(super) fn bind(expr: &Expr, scope: &Scope<'_>) -> Result<Value, Rejection> {
    let Expr::Field(name) = expr else { return bind_expression(expr, scope) };
    field::check_modifier(name, MODIFIERS)?;
    let bound = field::bind(name, scope)?;
    let modifier = match &name.modifier {
        None => ValueModifier::None,
        Some(modifier) => self::modifier(modifier, name)?,
    };
    let source = match bound.source {
        KeySource::Number(source) => source,
        KeySource::Stack => {
            return Err(TriggerError::new(Kind::BadFieldModifier, name.span)
                .help("a stack can only be a key")
                .into());
        }
        KeySource::Text(_) | KeySource::Comm => {
            return Err(not_supported("sums of strings' addresses", name.span).into());
        }
    };
    Ok(Value {
        label: bound.label,
        canonical: bound.canonical,
        source,
        fold: Fold::Sum,
        modifier,
        hidden: false,
    })
}

/// Expressions are summed and never shown; constants are shown without a name.
fn bind_expression(expr: &Expr, scope: &Scope<'_>) -> Result<Value, Rejection> {
    let operand = expr::bind(expr, scope)?;
    let (canonical, hidden) = match operand.source {
        Source::Constant(number) if operand.text.is_empty() => (number.to_string(), false),
        _ => (operand.text.clone(), true),
    };
    let label = operand.text;
    Ok(Value {
        label,
        canonical,
        source: operand.source,
        fold: Fold::Sum,
        modifier: ValueModifier::None,
        hidden,
    })
}

fn modifier(
    modifier: &Spanned<Modifier>,
    field: &ast::Field,
) -> Result<ValueModifier, TriggerError> {
    let bad = |span: Span| TriggerError::new(Kind::BadFieldModifier, span);
    match &modifier.node {
        Modifier::Hex => Ok(ValueModifier::Hex),
        Modifier::Usecs => Ok(ValueModifier::Usecs),
        Modifier::Percent => Ok(ValueModifier::Percent),
        Modifier::Graph => Ok(ValueModifier::Graph),
        Modifier::Execname => Ok(ValueModifier::Execname),
        Modifier::Sym
        | Modifier::SymOffset
        | Modifier::Syscall
        | Modifier::Stacktrace
        | Modifier::Log2
        | Modifier::Buckets(_) => Err(bad(field.span)
            .help("this modifier is for keys; a value takes .hex, .percent, .graph or .usecs")),
        Modifier::Unknown(_) => Err(bad(modifier.span).help(MODIFIERS)),
    }
}
