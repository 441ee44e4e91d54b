//! Parses keys, values and the right sides of variables into [`Expr`]s.
//!
//! The kernel splits at the rightmost operator of the weakest sort, without regard to anything
//! else, and counts operators over the whole expression in the order of descent (`parse_expr` in
//! kernel/trace/trace_events_hist.c).

use bstr::{BStr, BString, ByteSlice as _};

use super::ast::{Binary, BinaryOp, Expr, Field, Reference, Spanned};
use super::command::split_once;
use super::number;
use super::source::Source;
use crate::diag::{Kind, TriggerError};
use crate::modifier::{Argument, Modifier, Row, TABLE};

/// The most operators in one expression.
const MAX_OPERATORS: u32 = 3;

/// The operator that is applied last.
enum Root {
    /// `-` at the very start.
    Negate,
    /// Another, at this byte.
    Binary(BinaryOp, usize),
}

/// Reads a whole expression. What cannot be read becomes [`Expr::Bad`].
pub(super) fn parse(source: Source<'_>, text: &BStr) -> Expr {
    sub_expr(source, text, &mut 0)
}

/// Reads a part of an expression in which `n_operators` have been met. The depth of the recursion
/// is at most that number.
fn sub_expr(source: Source<'_>, text: &BStr, n_operators: &mut u32) -> Expr {
    if *n_operators > MAX_OPERATORS {
        return Expr::Bad(source.error(Kind::TooManySubexpressions, text));
    }
    let result = match root(text) {
        None => return atom(source, text),
        Some(Root::Negate) => negate(source, text, n_operators),
        Some(Root::Binary(op, at)) => binary(source, text, op, at, n_operators),
    };
    result.unwrap_or_else(Expr::Bad)
}

/// A `-` is looked for first: if the last one is the first character, it is the root whatever
/// follows.
fn root(text: &BStr) -> Option<Root> {
    if text.rfind_byte(b'-') == Some(0) {
        return Some(Root::Negate);
    }
    let at = text.rfind_byteset(b"+-").or_else(|| text.rfind_byteset(b"*/"))?;
    let op = match text[at] {
        b'+' => BinaryOp::Add,
        b'-' => BinaryOp::Sub,
        b'*' => BinaryOp::Mul,
        _ => BinaryOp::Div,
    };
    Some(Root::Binary(op, at))
}

/// `a op b`.
fn binary(
    source: Source<'_>,
    text: &BStr,
    op: BinaryOp,
    at: usize,
    n_operators: &mut u32,
) -> Result<Expr, TriggerError> {
    *n_operators += 1;
    let (lhs, rhs) = (&text[..at], &text[at + 1..]);
    if lhs.is_empty() || rhs.is_empty() {
        return Err(source.error(Kind::MissingOperand, text));
    }
    let lhs = sub_expr(source, lhs, n_operators);
    let rhs = sub_expr(source, rhs, n_operators);
    Ok(Expr::Binary(Box::new(Binary { op, lhs, rhs, span: source.span(text) })))
}

/// `-(a)`. The kernel drops the character behind the `-` without a look at it, as long as there is
/// a `(` somewhere; what is left cannot be the name of a field then.
fn negate(source: Source<'_>, text: &BStr, n_operators: &mut u32) -> Result<Expr, TriggerError> {
    *n_operators += 1;
    if *n_operators > MAX_OPERATORS {
        return Err(source.error(Kind::TooManySubexpressions, text));
    }
    let unary_minus = || source.error(Kind::UnaryMinus, text).help("write `-(…)`");
    if !text.contains(&b'(') {
        return Err(unary_minus());
    }
    let operand = text.get(2..).unwrap_or_default().as_bstr();
    let end = operand.rfind_byte(b')').ok_or_else(unary_minus)?;
    if end + 1 < operand.len() {
        return Err(source.error(Kind::UnaryMinusSubexpression, operand));
    }
    let node = sub_expr(source, &operand[..end], n_operators);
    Ok(Expr::Negate(Box::new(source.node(node, text))))
}

/// A number, a variable reference or a field.
fn atom(source: Source<'_>, text: &BStr) -> Expr {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return match number::unsigned(text) {
            Ok(number) => Expr::Number(source.node(number, text)),
            Err(_) => Expr::Bad(source.error(Kind::ExpectNumber, text)),
        };
    }
    let (prefix, name) = split_prefix(text);
    if name.len() > 1 && name.starts_with(b"$") {
        let field = field(source, text, prefix, name);
        return Expr::VarRef(Box::new(Reference { text: source.text(text), field }));
    }
    Expr::Field(field(source, text, prefix, name))
}

/// Splits at the second dot, if there is one: `system.event` and the rest.
fn split_prefix(text: &BStr) -> (Option<&BStr>, &BStr) {
    match text.find_iter(".").nth(1) {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// `name` or `name.modifier`.
fn field(source: Source<'_>, text: &BStr, prefix: Option<&BStr>, name: &BStr) -> Field {
    let (name, modifier) = match split_once(name, b'.') {
        Some((name, modifier)) => (name, Some(modifier)),
        None => (name, None),
    };
    Field {
        prefix: prefix.map(|prefix| source.text(prefix)),
        name: source.text(name),
        modifier: modifier.map(|text| modifier_of(source, text)),
        span: source.span(text),
    }
}

/// What follows the dot, in which the scan has hidden any `-`.
fn modifier_of(source: Source<'_>, text: &BStr) -> Result<Spanned<Modifier>, Spanned<BString>> {
    let modifier = |row| Ok(source.node(Modifier::new(row, 0), text));
    for row in &TABLE {
        match row.argument {
            Argument::None if *text == *row.scanned() => return modifier(row),
            Argument::Ignored if text.starts_with(row.word.as_bytes()) => return modifier(row),
            Argument::Width { stem } if text.starts_with(stem.as_bytes()) => {
                return with_width(source, text, row, stem);
            }
            Argument::None | Argument::Ignored | Argument::Width { .. } => {}
        }
    }
    Err(source.text(text))
}

/// `bucket=N` or `buckets=N`. The kernel's caret is on what follows the part that it could read.
fn with_width(
    source: Source<'_>,
    text: &BStr,
    row: &'static Row,
    stem: &str,
) -> Result<Spanned<Modifier>, Spanned<BString>> {
    let rest = &text[stem.len()..];
    let rest = rest.strip_prefix(&row.word.as_bytes()[stem.len()..]).unwrap_or(rest).as_bstr();
    let width = rest.strip_prefix(b"=").map(BStr::new);
    match width.and_then(|width| number::unsigned(width).ok()) {
        Some(number) if number > 0 => Ok(source.node(Modifier::new(row, number), text)),
        _ => Err(source.node(text.to_owned(), width.unwrap_or(rest))),
    }
}
