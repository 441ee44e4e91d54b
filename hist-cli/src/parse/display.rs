//! Prints a parsed trigger, or a part of it, as text that parses to the same tree again.
//!
//! This is not the kernel's read-back line: nothing is added and nothing is resolved. Bytes that are
//! not UTF-8 are shown as U+FFFD.

use std::fmt::{self, Display, Formatter};

use super::ast::{
    Binary, BinaryOp, CompareOp, Control, Expr, Field, FilterExpr, Operand, Predicate, SortKey,
    Trigger, Variable,
};
use super::command::{is_space, split_filter};

/// A trigger that keeps an error is shown as it was written.
impl Display for Trigger {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Ok(variables), None) = (&self.variables, self.first_error()) else {
            return write!(f, "{}", self.text);
        };
        let mut params = params(self, variables);
        end_safely(&mut params);
        write!(f, "{}:{}", if self.remove { "!hist" } else { "hist" }, params.join(":"))?;
        match &self.filter {
            Some(filter) => write!(f, " if {}", filter.text.node),
            None => Ok(()),
        }
    }
}

/// All parameters. The first is none that could begin with white space or `if`.
fn params(trigger: &Trigger, variables: &[Variable]) -> Vec<String> {
    let handlers: Vec<_> =
        trigger.handlers.iter().map(|handler| handler.node.to_string()).collect();
    let sort: Vec<&SortKey> = trigger.sort.iter().flatten().collect();
    [
        trigger.name.as_ref().map(|name| format!("name={}", name.node)),
        list("keys=", &trigger.keys),
        list("vals=", &trigger.values),
        // In one parameter, for the name of one that is not the first may be a keyword.
        list("", variables),
        list("sort=", &sort),
        trigger.size.as_ref().map(|size| format!("size={}", size.node)),
        trigger.clock.as_ref().map(|clock| clock_param(&clock.node.to_string())),
        trigger.control.as_ref().map(|control| control.node.to_string()),
        trigger.nohitcount.map(|_| "nohitcount".to_owned()),
        Some(handlers.join(":")).filter(|handlers| !handlers.is_empty()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A blank is an empty clock, nothing at all would be an empty assignment.
fn clock_param(clock: &str) -> String {
    format!("clock={}", if clock.is_empty() { " " } else { clock })
}

/// `keyword` and the items with commas between them, if there are any.
fn list(keyword: &str, items: &[impl Display]) -> Option<String> {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| format!("{keyword}{}", texts.join(",")))
}

/// White space and some words with `if` mean something else at the end than before a `:`. Then a
/// parameter that may stand there is put last; the first one is repeated, for it must stay first,
/// and the last of several wins.
fn end_safely(params: &mut Vec<String>) {
    let Some(at) = params.iter().rposition(|param| may_end(param)) else { return };
    if at + 1 == params.len() {
        return;
    }
    let last = if at == 0 { params[0].clone() } else { params.remove(at) };
    params.push(last);
}

/// The parameter means the same at the end of the text.
fn may_end(param: &str) -> bool {
    let text = format!(":{param}");
    !param.bytes().next_back().is_some_and(is_space) && split_filter(text.as_str().into()).is_ok()
}

impl Display for Control {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::PauseExisting => "pause:cont",
            Self::Continue => "cont",
            Self::Clear => "clear",
        })
    }
}

impl Display for Variable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name.node, self.value)
    }
}

impl Display for SortKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let descending = matches!(self.descending, Ok(true));
        write!(f, "{}{}", self.name.node, if descending { ".descending" } else { "" })
    }
}

/// A kept error is shown by its message.
impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{}", number.node),
            Self::Field(field) => write!(f, "{field}"),
            Self::VarRef(reference) => write!(f, "{}", reference.text.node),
            Self::Negate(operand) => write!(f, "-({})", operand.node),
            Self::Binary(binary) => write!(f, "{binary}"),
            Self::Bad(error) => write!(f, "<{error}>"),
        }
    }
}

impl Display for Binary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.lhs, self.op, self.rhs)
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
        })
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = &self.prefix {
            write!(f, "{}.", prefix.node)?;
        }
        write!(f, "{}", self.name.node)?;
        match &self.modifier {
            Some(Ok(modifier)) => write!(f, ".{}", modifier.node),
            Some(Err(text)) => write!(f, ".{}", text.node),
            None => Ok(()),
        }
    }
}

/// How tightly a filter binds what stands around it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Whole,
    Or,
    And,
    Not,
}

/// Kept errors are shown by their message.
impl Display for FilterExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_filter(f, self, Binding::Whole)
    }
}

/// The recursion is as deep as the tree, which the length of a trigger bounds: no level takes less
/// than eight characters of it.
fn write_filter(f: &mut Formatter<'_>, expr: &FilterExpr, around: Binding) -> fmt::Result {
    match expr {
        FilterExpr::Or(parts) => write_group(f, expr, parts, Binding::Or, around),
        FilterExpr::And(parts) => write_group(f, expr, parts, Binding::And, around),
        FilterExpr::Not(inner) => {
            f.write_str("!")?;
            write_filter(f, inner, Binding::Not)
        }
        FilterExpr::Predicate(predicate) => write!(f, "{predicate}"),
        FilterExpr::BadPredicate(predicate) => {
            write!(f, "{} <{}>", predicate.field.node, predicate.error)
        }
        FilterExpr::Bad(error) => write!(f, "<{error}>"),
    }
}

/// `a && b`, in parentheses if what stands around it binds as tightly.
fn write_group(
    f: &mut Formatter<'_>,
    expr: &FilterExpr,
    parts: &[FilterExpr],
    binding: Binding,
    around: Binding,
) -> fmt::Result {
    let parentheses = around >= binding;
    f.write_str(if parentheses { "(" } else { "" })?;
    for (index, part) in parts.iter().enumerate() {
        let operator = if binding == Binding::And { " && " } else { " || " };
        f.write_str(if index == 0 { "" } else { operator })?;
        write_filter(f, part, binding)?;
    }
    match (parentheses, ends_in_symbol(expr)) {
        (false, _) => Ok(()),
        (true, false) => f.write_str(")"),
        (true, true) => f.write_str(" )"),
    }
}

/// A symbol runs to the next white space, so no parenthesis may follow it at once.
fn ends_in_symbol(mut expr: &FilterExpr) -> bool {
    loop {
        expr = match expr {
            FilterExpr::Or(parts) | FilterExpr::And(parts) => match parts.last() {
                Some(last) => last,
                None => return false,
            },
            FilterExpr::Not(inner) => inner,
            FilterExpr::Predicate(predicate) => {
                return matches!(predicate.operand.node, Operand::Symbol(_));
            }
            FilterExpr::BadPredicate(_) | FilterExpr::Bad(_) => return false,
        };
    }
}

impl Display for Predicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field.node)?;
        f.write_str(if self.ustring { ".ustring" } else { "" })?;
        f.write_str(if self.function { ".function" } else { "" })?;
        write!(f, " {} {}", self.op.node, self.operand.node)
    }
}

impl Display for CompareOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::And => "&",
            Self::Glob => "~",
        })
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(text) | Self::Symbol(text) => write!(f, "{text}"),
            Self::Text(text) if text.contains(&b'"') => write!(f, "'{text}'"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Cpus(list) => write!(f, "CPUS{{{list}}}"),
        }
    }
}
