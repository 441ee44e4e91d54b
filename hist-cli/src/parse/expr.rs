//! Takes the text of a key, a value or a variable's right side. Gives its [`Expr`].
//!
//! The kernel splits at the rightmost operator of the weakest sort, without regard to anything
//! else, and counts operators over the whole expression in the order of descent (`parse_expr` in
//! kernel/trace/trace_events_hist.c).

use super::ast::{Binary, BinaryOp, Expr, Field, Modifier, Spanned};
use super::number;
use super::source::Source;
use crate::diag::{Kind, TriggerError};

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
pub(super) fn parse(source: Source<'_>, text: &str) -> Expr {
    sub_expr(source, text, &mut 0)
}

/// Reads a part of an expression in which `n_operators` have been met. The depth of the recursion
/// is at most that number.
fn sub_expr(source: Source<'_>, text: &str, n_operators: &mut u32) -> Expr {
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
fn root(text: &str) -> Option<Root> {
    if text.rfind('-') == Some(0) {
        return Some(Root::Negate);
    }
    let at = text.rfind(['+', '-']).or_else(|| text.rfind(['*', '/']))?;
    let op = match text.as_bytes()[at] {
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
    text: &str,
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
fn negate(source: Source<'_>, text: &str, n_operators: &mut u32) -> Result<Expr, TriggerError> {
    *n_operators += 1;
    if *n_operators > MAX_OPERATORS {
        return Err(source.error(Kind::TooManySubexpressions, text));
    }
    let unary_minus = || source.error(Kind::UnaryMinus, text).help("write `-(…)`");
    if !text.contains('(') {
        return Err(unary_minus());
    }
    let mut operand = text[1..].chars();
    operand.next();
    let operand = operand.as_str();
    let end = operand.rfind(')').ok_or_else(unary_minus)?;
    if end + 1 < operand.len() {
        return Err(source.error(Kind::UnaryMinusSubexpression, operand));
    }
    let node = sub_expr(source, &operand[..end], n_operators);
    Ok(Expr::Negate(Box::new(source.node(node, text))))
}

/// A number, a variable reference or a field.
fn atom(source: Source<'_>, text: &str) -> Expr {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return match number::unsigned(text) {
            Ok(number) => Expr::Number(source.node(number, text)),
            Err(_) => Expr::Bad(source.error(Kind::ExpectNumber, text)),
        };
    }
    let (prefix, name) = split_prefix(text);
    if name.len() > 1 && name.starts_with('$') {
        return Expr::VarRef(source.text(text));
    }
    Expr::Field(field(source, text, prefix, name))
}

/// Splits at the second dot, if there is one: `system.event` and the rest.
fn split_prefix(text: &str) -> (Option<&str>, &str) {
    match text.match_indices('.').nth(1) {
        Some((at, _)) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// `name` or `name.modifier`.
fn field(source: Source<'_>, text: &str, prefix: Option<&str>, name: &str) -> Field {
    let (name, modifier) = match name.split_once('.') {
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

/// What follows the dot. `.sym-offset` arrives here with its `-` hidden.
fn modifier_of(source: Source<'_>, text: &str) -> Spanned<Modifier> {
    let modifier = match text {
        "hex" => Modifier::Hex,
        "sym" => Modifier::Sym,
        "symXoffset" => Modifier::SymOffset,
        "execname" => Modifier::Execname,
        "syscall" => Modifier::Syscall,
        "stacktrace" => Modifier::Stacktrace,
        "log2" => Modifier::Log2,
        "usecs" => Modifier::Usecs,
        _ if text.starts_with("bucket") => return buckets(source, text),
        _ if text.starts_with("percent") => Modifier::Percent,
        _ if text.starts_with("graph") => Modifier::Graph,
        _ => Modifier::Unknown(text.to_owned()),
    };
    source.node(modifier, text)
}

/// `bucket=N` or `buckets=N`. The kernel's caret is on what follows the part that it could read.
fn buckets(source: Source<'_>, text: &str) -> Spanned<Modifier> {
    let rest = &text["bucket".len()..];
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    let size = rest.strip_prefix('=');
    match size.and_then(|size| number::unsigned(size).ok()) {
        Some(size) if size > 0 => source.node(Modifier::Buckets(size), text),
        _ => source.node(Modifier::Unknown(text.to_owned()), size.unwrap_or(rest)),
    }
}
