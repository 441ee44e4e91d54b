//! Takes an expression of a key or value. Gives where its number comes from, its text and its
//! type. The type is the left operand's; all arithmetic is unsigned.

use super::field::{self, Bound};
use super::hist::{KeySource, Order, Source};
use super::{Scope, not_supported};
use crate::diag::{Kind, Logged, Rejection, Span, TriggerError};
use crate::parse::ast::{Binary, BinaryOp, Expr, Field, Modifier, Reference};

const MODIFIERS: &str = "an operand takes .log2, .buckets=N, or .usecs";

/// An expression bound to its sources.
pub(super) struct Operand {
    /// As the trigger line has it, modifiers included; empty for a constant.
    pub text: String,
    /// Where the number comes from.
    pub source: Source,
    /// The left operand is signed.
    pub signed: bool,
    /// It was written with `.usecs`, or its left operand was.
    usecs: bool,
}

impl Operand {
    /// How sorting compares it: all 8 bytes.
    pub(super) const fn order(&self) -> Order {
        if self.signed { Order::Signed(8) } else { Order::Unsigned(8) }
    }

    /// The text within another expression, where constants show. The kernel says of an expression
    /// once more that it counts microseconds.
    fn inner_text(&self) -> String {
        let is_expression = matches!(self.source, Source::Binary(..) | Source::Negate(_));
        match self.literal() {
            Some(number) => number.to_string(),
            None if is_expression && self.usecs => format!("{}.usecs", self.text),
            None => self.text.clone(),
        }
    }

    /// The number, if it is written in the trigger. A field whose value is known, such as
    /// `common_type`, stays a field to the kernel.
    fn literal(&self) -> Option<u64> {
        match self.source {
            Source::Constant(number) if self.text.is_empty() => Some(number),
            _ => None,
        }
    }

    const fn constant(number: u64) -> Self {
        Self { text: String::new(), source: Source::Constant(number), signed: false, usecs: false }
    }
}

/// Binds a constant or an expression with operators.
pub(super) fn bind(expr: &Expr, scope: &Scope<'_>) -> Result<Operand, Rejection> {
    match expr {
        Expr::Number(number) => Ok(Operand::constant(number.node)),
        Expr::Field(field) => Ok(atom(field, scope)?),
        Expr::VarRef(reference) => {
            let modifier = field::check_modifier(&reference.field, MODIFIERS);
            Err(unknown_variable(reference, modifier))
        }
        Expr::Bad(error) => Err(error.clone().into()),
        Expr::Negate(inner) => {
            let operand = bind(&inner.node, scope)?;
            Ok(Operand {
                text: format!("-({})", operand.inner_text()),
                source: Source::Negate(Box::new(operand.source)),
                ..operand
            })
        }
        Expr::Binary(binary) => self::binary(binary, scope),
    }
}

/// There is no such variable, nor, as the kernel finds next, a field of that name; unless it minds
/// the field's modifier before that.
pub(super) fn unknown_variable(
    reference: &Reference,
    modifier: Result<(), TriggerError>,
) -> Rejection {
    let Reference { text, field } = reference;
    // The kernel's caret is on the name without its `$`.
    let name = Span::new(field.name.span.start + 1, text.span.end);
    let second = match &modifier {
        Ok(()) => Logged::new(Kind::FieldNotFound, field.name.span),
        Err(error) => Logged::from(error),
    };
    let error = TriggerError::new(Kind::VariableNotFound, text.span)
        .help(format!("nothing sets `{}`", text.node));
    let log = vec![Logged::new(Kind::VariableNotFound, name), second];
    Rejection { log, ..Rejection::from(error) }
}

fn atom(field: &Field, scope: &Scope<'_>) -> Result<Operand, TriggerError> {
    field::check_modifier(field, MODIFIERS)?;
    let bound = field::bind(field, scope)?;
    let source = operand_source(field, &bound)?;
    let modifier = field.modifier.as_ref();
    // Here even the trigger line has the name as typed.
    let text = match modifier {
        Some(modifier) => format!("{}.{}", bound.label, modifier.node),
        None => bound.label,
    };
    let source = match modifier.map(|modifier| &modifier.node) {
        Some(Modifier::Log2) => Source::Log2(Box::new(source)),
        Some(Modifier::Buckets(width)) => Source::Buckets(*width, Box::new(source)),
        _ => source,
    };
    let signed = matches!(bound.order, Order::Signed(_));
    // To the kernel even a field that is no time counts microseconds then.
    let usecs = modifier.is_some_and(|modifier| modifier.node == Modifier::Usecs);
    Ok(Operand { text, source, signed, usecs })
}

fn operand_source(field: &Field, bound: &Bound) -> Result<Source, TriggerError> {
    match &bound.source {
        KeySource::Number(source) => Ok(source.clone()),
        KeySource::Text(_) | KeySource::Comm => {
            Err(TriggerError::new(Kind::StringOperand, field.span))
        }
        KeySource::Stack => Err(not_supported("stacks as operands", field.span)),
    }
}

fn binary(binary: &Binary, scope: &Scope<'_>) -> Result<Operand, Rejection> {
    let lhs = bind(&binary.lhs, scope)?;
    let rhs = bind(&binary.rhs, scope)?;
    if lhs.usecs != rhs.usecs {
        return Err(TriggerError::new(Kind::TimestampMismatch, Span::new(0, 0))
            .help("both operands need `.usecs`, or neither")
            .into());
    }
    if binary.op == BinaryOp::Div && rhs.source == Source::Constant(0) {
        let divisor = span_of(&binary.rhs, binary.span);
        return Err(TriggerError::new(Kind::DivisionByZero, divisor).into());
    }
    if let (Some(a), Some(b)) = (lhs.literal(), rhs.literal()) {
        return Ok(Operand::constant(fold(binary.op, a, b)));
    }
    let text = format!("{}{}{}", lhs.inner_text(), binary.op, rhs.inner_text());
    let (signed, usecs) = (lhs.signed, lhs.usecs);
    let source = Source::Binary(binary.op, Box::new(lhs.source), Box::new(rhs.source));
    Ok(Operand { text, source, signed, usecs })
}

/// Arithmetic as programs do it.
const fn fold(op: BinaryOp, a: u64, b: u64) -> u64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div => match a.checked_div(b) {
            Some(quotient) => quotient,
            None => u64::MAX,
        },
    }
}

/// Where an expression is written; `outer` if it does not know.
fn span_of(expr: &Expr, outer: Span) -> Span {
    match expr {
        Expr::Number(number) => number.span,
        Expr::Field(field) => field.span,
        Expr::VarRef(reference) => reference.text.span,
        Expr::Negate(inner) => inner.span,
        Expr::Binary(binary) => binary.span,
        Expr::Bad(error) => {
            if error.span == Span::new(0, 0) {
                outer
            } else {
                error.span
            }
        }
    }
}
