//! Parses the filter that follows ` if ` into its logical structure.
//!
//! First the balance of quotes and parentheses over the whole text, then everything from left to
//! right, as the kernel does (`process_preds` in kernel/trace/trace_events_filter.c). Nothing here
//! recurses: a filter may nest as deep as a trigger is long.

use bstr::{BStr, ByteSlice as _};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{opt, recognize, value};
use nom::{IResult, Parser};

use super::ast::{BadPredicate, CompareOp, FilterExpr, Operand, Predicate, Spanned};
use super::command::{is_alphanumeric, is_space, trim_start};
use super::source::Source;
use crate::diag::{Kind, TriggerError};

/// A string operand must be shorter, in bytes (`MAX_FILTER_STR_VAL`).
const MAX_TEXT: usize = 256;
/// A number must be shorter, in characters (`num_buf` in `parse_pred`).
const MAX_NUMBER: usize = 24;

/// Reads a filter.
///
/// # Errors
///
/// What the kernel finds before it looks any name up. All else is kept in the tree.
pub(super) fn parse(source: Source<'_>, text: &BStr) -> Result<FilterExpr, TriggerError> {
    check_balance(source, text)?;
    if text.iter().all(|byte| is_space(*byte) || matches!(byte, b'(' | b')')) {
        return Err(source.error(Kind::FilterError, text).help("there is nothing to compare"));
    }
    let mut groups = Groups::default();
    let mut rest = text;
    loop {
        rest = prefix(&mut groups, rest);
        if rest.is_empty() {
            return incomplete(source, text, groups);
        }
        let (predicate, behind) = predicate(source, rest);
        let stop = is_broken(&predicate);
        groups.push(predicate);
        if stop {
            return Ok(groups.finish());
        }
        match suffix(source, &mut groups, behind) {
            Ok(Some(next)) => rest = next,
            Ok(None) => return Ok(groups.finish()),
            Err(error) => {
                groups.push(FilterExpr::Bad(error));
                return Ok(groups.finish());
            }
        }
    }
}

/// The text ended where a predicate must begin.
fn incomplete(
    source: Source<'_>,
    text: &BStr,
    mut groups: Groups,
) -> Result<FilterExpr, TriggerError> {
    let Some(operator) = groups.operator.take() else {
        return Err(source.error(Kind::FilterEmpty, text));
    };
    let error = source
        .error(Kind::FilterMeaningless, &text[text.len() - operator..])
        .help("a filter must not end in an operator");
    groups.push(FilterExpr::Bad(error));
    Ok(groups.finish())
}

/// The kernel stops there.
fn is_broken(expr: &FilterExpr) -> bool {
    match expr {
        FilterExpr::Predicate(predicate) => predicate.error.is_some(),
        _ => true,
    }
}

// --- balance ------------------------------------------------------------------------------------

/// Checks quotes and parentheses.
fn check_balance(source: Source<'_>, text: &BStr) -> Result<(), TriggerError> {
    let mut open = Vec::new();
    let mut quote = None;
    for (at, byte) in text.iter().copied().enumerate() {
        match (quote, byte) {
            (Some((_, q)), _) if q == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some((at, byte)),
            (None, b'(') => open.push(at),
            (None, b')') if open.pop().is_none() => {
                return Err(source.error(Kind::FilterTooManyClose, &text[at..=at]));
            }
            (None, _) => {}
        }
    }
    match (quote, open.last()) {
        (Some((at, _)), _) => Err(source.error(Kind::FilterMissingQuote, &text[at..])),
        (None, Some(&at)) => Err(source.error(Kind::FilterTooManyOpen, &text[at..=at])),
        (None, None) => Ok(()),
    }
}

// --- structure ----------------------------------------------------------------------------------

/// One pair of parentheses, or the whole filter.
#[derive(Default)]
struct Group {
    /// The finished parts between `||`.
    ors: Vec<FilterExpr>,
    /// The parts between `&&` since the last `||`.
    ands: Vec<FilterExpr>,
    /// A `!` stands before it.
    negated: bool,
}

impl Group {
    /// What it means as a whole.
    fn finish(mut self) -> FilterExpr {
        self.end_and();
        let expr = one_or(self.ors, FilterExpr::Or);
        if self.negated { negate(expr) } else { expr }
    }

    /// `||` or the end.
    fn end_and(&mut self) {
        let ands = std::mem::take(&mut self.ands);
        self.ors.push(one_or(ands, FilterExpr::And));
    }
}

/// The only element, or all of them in a node.
fn one_or(mut parts: Vec<FilterExpr>, node: fn(Vec<FilterExpr>) -> FilterExpr) -> FilterExpr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            node(parts)
        }
        None => node(parts),
    }
}

/// `!expr`, without two in a row.
fn negate(expr: FilterExpr) -> FilterExpr {
    match expr {
        FilterExpr::Not(inner) => *inner,
        FilterExpr::Bad(_) | FilterExpr::BadPredicate(_) => expr,
        other => FilterExpr::Not(Box::new(other)),
    }
}

/// The groups that are open at some place, the whole filter first.
#[derive(Default)]
struct Groups {
    outer: Vec<Group>,
    inner: Group,
    /// An odd number of `!` stands right before this place.
    negated: bool,
    /// The length of the text from the last `&&` or `||` on.
    operator: Option<usize>,
}

impl Groups {
    /// `(`
    fn open(&mut self) {
        let group = Group { negated: std::mem::take(&mut self.negated), ..Group::default() };
        self.outer.push(std::mem::replace(&mut self.inner, group));
    }

    /// `)`, false if there is none to close.
    fn close(&mut self) -> bool {
        let Some(outer) = self.outer.pop() else { return false };
        let inner = std::mem::replace(&mut self.inner, outer);
        self.inner.ands.push(inner.finish());
        true
    }

    /// A predicate.
    fn push(&mut self, expr: FilterExpr) {
        let negated = std::mem::take(&mut self.negated);
        self.inner.ands.push(if negated { negate(expr) } else { expr });
    }

    /// The end of the text.
    fn finish(mut self) -> FilterExpr {
        while self.close() {}
        self.inner.finish()
    }
}

/// Takes `(`, `!` and white space. A `!` before `=` or `~` is part of an operator in the wrong
/// place.
fn prefix<'a>(groups: &mut Groups, mut text: &'a BStr) -> &'a BStr {
    loop {
        text = trim_start(text);
        match &**text {
            [b'(', ..] => groups.open(),
            [b'!', b'=' | b'~', ..] => return text,
            [b'!', ..] => groups.negated ^= true,
            _ => return text,
        }
        text = &text[1..];
    }
}

/// Takes `)` and white space, then `&&`, `||` or the end; gives what follows an operator.
fn suffix<'a>(
    source: Source<'_>,
    groups: &mut Groups,
    mut text: &'a BStr,
) -> Result<Option<&'a BStr>, TriggerError> {
    loop {
        text = trim_start(text);
        if let Some(rest) = text.strip_prefix(b")") {
            if !groups.close() {
                return Err(source.error(Kind::FilterTooManyClose, &text[..1]));
            }
            text = rest.as_bstr();
        } else if text.is_empty() {
            return unclosed(source, groups, text);
        } else if text.starts_with(b"&&") || text.starts_with(b"||") {
            groups.operator = Some(text.len());
            if text.starts_with(b"|") {
                groups.inner.end_and();
            }
            return Ok(Some(&text[2..]));
        } else {
            return Err(junk(source, text));
        }
    }
}

/// The end of the text: a symbol may have swallowed a `)`.
fn unclosed<'a>(
    source: Source<'_>,
    groups: &Groups,
    end: &BStr,
) -> Result<Option<&'a BStr>, TriggerError> {
    if groups.outer.is_empty() { Ok(None) } else { Err(source.error(Kind::FilterTooManyOpen, end)) }
}

fn junk(source: Source<'_>, text: &BStr) -> TriggerError {
    let end = text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
    source
        .error(Kind::FilterTooManyPredicates, &text[..end])
        .help("join comparisons by `&&` or `||`")
}

// --- predicates ---------------------------------------------------------------------------------

/// Reads one predicate; gives what follows it.
fn predicate<'a>(source: Source<'_>, text: &'a BStr) -> (FilterExpr, &'a BStr) {
    let Ok((rest, name)) = name(text).map(both) else {
        let error = source.error(Kind::FilterNoField, &text[..text.len().min(1)]);
        return (FilterExpr::Bad(error.help("a comparison begins with a field's name")), text);
    };
    match comparison(source, name, rest) {
        Ok((predicate, rest)) => (FilterExpr::Predicate(predicate), rest),
        Err(error) => {
            let field = source.text(name);
            (FilterExpr::BadPredicate(BadPredicate { field, error }), rest)
        }
    }
}

/// What follows the field's name.
fn comparison<'a>(
    source: Source<'_>,
    name: &BStr,
    text: &'a BStr,
) -> Result<(Predicate, &'a BStr), TriggerError> {
    let (text, ustring) = has(".ustring", text);
    let (text, function) = has(".function", text);
    let text = trim_start(text);
    let (rest, op) = compare_op(text).map_err(|_| no_operator(source, text))?;
    let op = source.node(op, &text[..text.len() - rest.len()]);
    let (operand, error, rest) = operand(source, function, op.node, trim_start(rest.as_bstr()))?;
    let field = source.text(name);
    Ok((Predicate { field, ustring, function, op, operand, error }, rest))
}

fn no_operator(source: Source<'_>, text: &BStr) -> TriggerError {
    let is_end = |byte: &u8| is_space(*byte) || is_name(*byte);
    let end = text.iter().position(is_end).unwrap_or(text.len());
    source
        .error(Kind::FilterInvalidOperator, &text[..end.max(text.len().min(1))])
        .help("the operators are ~ != == <= < >= > &")
}

/// A constant, what is wrong inside of it, and what follows.
type Constant<'a> = (Spanned<Operand>, Option<TriggerError>, &'a BStr);

/// Reads the right side. The form is decided by its first characters alone.
fn operand<'a>(
    source: Source<'_>,
    function: bool,
    op: CompareOp,
    text: &'a BStr,
) -> Result<Constant<'a>, TriggerError> {
    let is_number = text.first().is_some_and(u8::is_ascii_digit);
    match text.first() {
        _ if function && !is_number => Ok(symbol(source, text)),
        _ if !function && text.starts_with(b"CPUS") => Ok(cpus(source, text)),
        Some(quote @ (b'"' | b'\'')) => quoted(source, op, *quote, text),
        Some(b'-') => Ok(number(source, text)),
        _ if is_number => Ok(number(source, text)),
        _ => Err(invalid_value(source, text)),
    }
}

fn invalid_value(source: Source<'_>, text: &BStr) -> TriggerError {
    let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b'&' | b'|' | b')');
    let end = text.iter().position(is_end).unwrap_or(text.len());
    let part = &text[..end];
    let error = source.error(Kind::FilterInvalidValue, part);
    if part.first().is_some_and(|byte| is_name(*byte)) {
        error.help(format!("a string must be quoted: \"{part}\""))
    } else {
        error.help("compare with a number, a \"string\" or CPUS{list}")
    }
}

/// Everything up to white space.
fn symbol<'a>(source: Source<'_>, text: &'a BStr) -> Constant<'a> {
    let end = text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
    let (name, rest) = (&text[..end], &text[end..]);
    (source.node(Operand::Symbol(name.to_owned()), name), None, rest)
}

/// Digits and letters behind an optional `-`; whether they are a number depends on the field.
fn number<'a>(source: Source<'_>, text: &'a BStr) -> Constant<'a> {
    let (rest, digits) = digits(text).map_or((text, &text[..0]), both);
    let error =
        (digits.len() >= MAX_NUMBER).then(|| source.error(Kind::FilterOperandTooLong, digits));
    (source.node(Operand::Number(digits.to_owned()), digits), error, rest)
}

/// `"text"` or `'text'`. There is no escape; balance is known, so the other quote exists.
fn quoted<'a>(
    source: Source<'_>,
    op: CompareOp,
    quote: u8,
    text: &'a BStr,
) -> Result<Constant<'a>, TriggerError> {
    let end = text[1..].find_byte(quote).map_or(text.len(), |at| at + 2);
    let (whole, rest) = (&text[..end], &text[end..]);
    if !matches!(op, CompareOp::Eq | CompareOp::Ne | CompareOp::Glob) {
        return Err(source
            .error(Kind::FilterIllegalOperation, whole)
            .help("strings can be compared by `==`, `!=` and `~`"));
    }
    let inner = whole[1..].strip_suffix(&[quote]).unwrap_or(&whole[1..]).as_bstr();
    let error = (inner.len() >= MAX_TEXT).then(|| source.error(Kind::FilterOperandTooLong, inner));
    Ok((source.node(Operand::Text(inner.to_owned()), whole), error, rest))
}

/// `CPUS{list}`. White space inside the braces is the list's own matter.
fn cpus<'a>(source: Source<'_>, text: &'a BStr) -> Constant<'a> {
    let (keyword, behind) = (&text[.."CPUS".len()], &text["CPUS".len()..]);
    let none = BStr::new("");
    let (list, whole, error) = match (behind.strip_prefix(b"{"), behind.find_byte(b'}')) {
        (None, _) => (none, keyword, Some(source.error(Kind::FilterMissingBraceOpen, keyword))),
        (_, None) => (none, text, Some(source.error(Kind::FilterMissingBraceClose, text))),
        (Some(list), Some(at)) => {
            let whole = &text[..keyword.len() + at + 1];
            let empty = at == 1;
            let error = empty.then(|| source.error(Kind::FilterInvalidCpulist, whole));
            (list[..at - 1].as_bstr(), whole, error)
        }
    };
    let rest = &text[whole.len()..];
    (source.node(Operand::Cpus(list.to_owned()), whole), error, rest)
}

// --- tokens -------------------------------------------------------------------------------------

/// Letters, digits, `_`.
fn is_name(byte: u8) -> bool {
    is_alphanumeric(byte) || byte == b'_'
}

fn name(text: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(is_name)(text)
}

fn digits(text: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize((opt(char('-')), take_while(is_alphanumeric))).parse(text)
}

/// What nom gives, as texts.
fn both<'a>((rest, part): (&'a [u8], &'a [u8])) -> (&'a BStr, &'a BStr) {
    (rest.as_bstr(), part.as_bstr())
}

/// Takes `suffix` off, if it is there.
fn has<'a>(suffix: &str, text: &'a BStr) -> (&'a BStr, bool) {
    text.strip_prefix(suffix.as_bytes()).map_or((text, false), |rest| (rest.as_bstr(), true))
}

/// The longer operators come first.
fn compare_op(text: &[u8]) -> IResult<&[u8], CompareOp> {
    alt((
        value(CompareOp::Glob, tag("~")),
        value(CompareOp::Ne, tag("!=")),
        value(CompareOp::Eq, tag("==")),
        value(CompareOp::Le, tag("<=")),
        value(CompareOp::Lt, tag("<")),
        value(CompareOp::Ge, tag(">=")),
        value(CompareOp::Gt, tag(">")),
        value(CompareOp::And, tag("&")),
    ))
    .parse(text)
}
