//! Lists a [`Trigger`]'s parts with their places, one line each, for people to read.

use std::fmt::Display;

use super::ast::{BinaryOp, Expr, FilterExpr, Predicate, SortKey, Spanned, Trigger, Variable};
use crate::diag::{Span, TriggerError};

/// The lines so far.
#[derive(Default)]
struct Listing {
    text: String,
}

impl Listing {
    /// One line: what kind of part, its place in bytes, its text, indented by its depth.
    fn line(&mut self, part: &str, span: Span, depth: usize, what: impl Display) {
        let place = format!("{}..{}", span.start, span.end);
        let line = format!("{part:<11} {place:<9} {:indent$}{what}", "", indent = depth * 2);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn spanned<T: Display>(&mut self, part: &str, spanned: Option<&Spanned<T>>) {
        if let Some(Spanned { node, span }) = spanned {
            self.line(part, *span, 0, node);
        }
    }

    fn error(&mut self, part: &str, depth: usize, error: &TriggerError) {
        self.line(part, error.span, depth, format_args!("error: {error}"));
    }

    fn expr(&mut self, part: &str, depth: usize, expr: &Expr) {
        match expr {
            Expr::Number(number) => {
                self.line(part, number.span, depth, format_args!("number {}", number.node));
            }
            Expr::Field(field) => {
                self.line(part, field.span, depth, format_args!("field {field}"));
            }
            Expr::VarRef(reference) => {
                let Spanned { node, span } = &reference.text;
                self.line(part, *span, depth, format_args!("variable {node}"));
            }
            Expr::Negate(operand) => {
                self.line(part, operand.span, depth, "negate");
                self.expr("", depth + 1, &operand.node);
            }
            Expr::Binary(binary) => {
                self.line(part, binary.span, depth, op_name(binary.op));
                self.expr("", depth + 1, &binary.lhs);
                self.expr("", depth + 1, &binary.rhs);
            }
            Expr::Bad(error) => self.error(part, depth, error),
        }
    }

    fn variable(&mut self, variable: &Variable) {
        self.line("variable", variable.name.span, 0, &variable.name.node);
        self.expr("", 1, &variable.value);
    }

    fn sort(&mut self, key: &Result<SortKey, TriggerError>) {
        match key {
            Err(error) => self.error("sort", 0, error),
            Ok(key) => {
                self.line("sort", key.name.span, 0, key);
                if let Err(error) = &key.descending {
                    self.error("", 1, error);
                }
            }
        }
    }

    fn filter(&mut self, depth: usize, expr: &FilterExpr, whole: Span) {
        match expr {
            FilterExpr::Or(parts) => self.group("or", depth, parts, whole),
            FilterExpr::And(parts) => self.group("and", depth, parts, whole),
            FilterExpr::Not(inner) => {
                self.line("", extent(inner).unwrap_or(whole), depth, "not");
                self.filter(depth + 1, inner, whole);
            }
            FilterExpr::Predicate(predicate) => self.predicate(depth, predicate),
            FilterExpr::BadPredicate(predicate) => {
                self.line("", predicate.field.span, depth, &predicate.field.node);
                self.error("", depth + 1, &predicate.error);
            }
            FilterExpr::Bad(error) => self.error("", depth, error),
        }
    }

    fn group(&mut self, name: &str, depth: usize, parts: &[FilterExpr], whole: Span) {
        let first = parts.first().and_then(extent).unwrap_or(whole);
        let last = parts.last().and_then(extent).unwrap_or(whole);
        self.line("", Span::new(first.start, last.end), depth, name);
        for part in parts {
            self.filter(depth + 1, part, whole);
        }
    }

    fn predicate(&mut self, depth: usize, predicate: &Predicate) {
        self.line("", predicate_span(predicate), depth, predicate);
        if let Some(error) = &predicate.error {
            self.error("", depth + 1, error);
        }
    }
}

impl Trigger {
    /// The parts in a fixed order, one line each: kind, place in bytes of [`Trigger::text`], text.
    /// Operands and comparisons follow on lines of their own, indented.
    #[must_use]
    pub fn listing(&self) -> String {
        let mut listing = Listing::default();
        let whole = Span::new(0, self.text.len());
        listing.line(if self.remove { "remove" } else { "add" }, whole, 0, &self.text);
        self.keys.iter().for_each(|key| listing.expr("key", 0, key));
        self.values.iter().for_each(|value| listing.expr("value", 0, value));
        match &self.variables {
            Ok(variables) => variables.iter().for_each(|variable| listing.variable(variable)),
            Err(error) => listing.error("variable", 0, error),
        }
        self.sort.iter().for_each(|key| listing.sort(key));
        self.list_others(&mut listing);
        listing.text
    }

    fn list_others(&self, listing: &mut Listing) {
        listing.spanned("size", self.size.as_ref());
        listing.spanned("name", self.name.as_ref());
        listing.spanned("clock", self.clock.as_ref());
        listing.spanned("control", self.control.as_ref());
        if let Some(span) = self.nohitcount {
            listing.line("nohitcount", span, 0, "");
        }
        self.handlers.iter().for_each(|handler| listing.spanned("handler", Some(handler)));
        if let Some(filter) = &self.filter {
            listing.spanned("filter", Some(&filter.text));
            match &filter.tree {
                Ok(tree) => listing.filter(1, tree, filter.text.span),
                Err(error) => listing.error("", 1, error),
            }
        }
    }
}

const fn op_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Sub => "subtract",
        BinaryOp::Mul => "multiply",
        BinaryOp::Div => "divide",
    }
}

fn predicate_span(predicate: &Predicate) -> Span {
    Span::new(predicate.field.span.start, predicate.operand.span.end)
}

/// From the first comparison to the last, without parentheses.
fn extent(expr: &FilterExpr) -> Option<Span> {
    match expr {
        FilterExpr::Or(parts) | FilterExpr::And(parts) => {
            let (first, last) = (parts.first()?, parts.last()?);
            Some(Span::new(extent(first)?.start, extent(last)?.end))
        }
        FilterExpr::Not(inner) => extent(inner),
        FilterExpr::Predicate(predicate) => Some(predicate_span(predicate)),
        FilterExpr::BadPredicate(predicate) => {
            Some(Span::new(predicate.field.span.start, predicate.error.span.end))
        }
        FilterExpr::Bad(error) => Some(error.span),
    }
}
