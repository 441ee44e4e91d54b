//! Binds values: each is looked up, typed, and checked against its modifier.

use super::hist::{KeySource, Source, Value};
use super::{Fold, Scope, expr, field, not_supported};
use crate::diag::{Kind, Rejection, TriggerError};
use crate::modifier::{self, Role, Taken};
use crate::parse::ast::Expr;

/// Binds a value other than the hitcount column.
pub(super) fn bind(expr: &Expr, scope: &Scope<'_>) -> Result<Value, Rejection> {
    let Expr::Field(name) = expr else { return bind_expression(expr, scope) };
    field::check_modifier(name, &modifier::help(Role::Value))?;
    let bound = field::bind(name, scope)?;
    let modifier = name.known_modifier().map(|modifier| modifier.node);
    if modifier.is_some_and(|modifier| modifier.row().taken(Role::Value) == Taken::No) {
        let help = format!("this modifier is for keys; {}", modifier::help(Role::Value));
        return Err(TriggerError::new(Kind::BadFieldModifier, name.span).help(help).into());
    }
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
    let (source, fold) = (operand.source, Fold::Sum);
    Ok(Value { label, canonical, source, fold, modifier: None, hidden })
}
