//! Finds the errors that are kept in a [`Trigger`], in the kernel's order, and what else follows from
//! its syntax alone.

use super::ast::{Expr, Field, Filter, FilterExpr, SortKey, Spanned, Trigger};
use super::trigger::MAX_VALUES;
use crate::diag::{Kind, TriggerError};
use crate::modifier::Modifier;

impl Trigger {
    /// The first error that is kept in the tree: variables' syntax, values, variables, keys, sort,
    /// filter. `None` means that the syntax is right; names are not looked at.
    #[must_use]
    pub fn first_error(&self) -> Option<TriggerError> {
        let variables = match &self.variables {
            Err(error) => return Some(error.clone()),
            Ok(variables) => variables.iter().map(|variable| &variable.value),
        };
        first_in(self.values.iter())
            .or_else(|| self.missing_value())
            .or_else(|| first_in(variables))
            .or_else(|| first_in(self.keys.iter()))
            .or_else(|| self.sort.iter().find_map(sort_error))
            .or_else(|| self.filter.as_ref().and_then(filter_error))
    }

    /// The values that are summed besides the implicit hitcount: all but the first literal
    /// `hitcount` and one that follows when the kernel has read as many as it can.
    #[must_use]
    pub fn counted_values(&self) -> Vec<&Expr> {
        let mut counted = Vec::new();
        let mut seen_hitcount = false;
        for (index, value) in self.values.iter().enumerate() {
            let is_full = index >= MAX_VALUES || counted.len() + 1 >= MAX_VALUES;
            let ignored = value.is_hitcount() && (is_full || !seen_hitcount);
            seen_hitcount |= value.is_hitcount();
            if !ignored {
                counted.push(value);
            }
        }
        counted
    }

    /// The error that `nohitcount` leaves nothing to show; it comes right after those of values.
    #[must_use]
    pub fn missing_value(&self) -> Option<TriggerError> {
        let span = self.nohitcount.filter(|_| self.counted_values().is_empty())?;
        let error = TriggerError::new(Kind::NeedNohitcountValue, span);
        Some(error.help("add a value: `vals=FIELD`"))
    }
}

impl Expr {
    /// It is the bare word `hitcount`.
    #[must_use]
    pub fn is_hitcount(&self) -> bool {
        matches!(self, Self::Field(field) if field.is_bare("hitcount"))
    }

    /// The first error kept in it, from left to right. An unknown modifier counts as one.
    #[must_use]
    pub fn first_error(&self) -> Option<TriggerError> {
        match self {
            Self::Bad(error) => Some(error.clone()),
            Self::Field(field) => modifier_error(field),
            Self::Negate(operand) => operand.node.first_error(),
            Self::Binary(binary) => binary.lhs.first_error().or_else(|| binary.rhs.first_error()),
            Self::Number(_) | Self::VarRef(_) => None,
        }
    }
}

impl Field {
    /// It is `name` and nothing else: no prefix, no modifier.
    #[must_use]
    pub fn is_bare(&self, name: &str) -> bool {
        self.prefix.is_none() && self.modifier.is_none() && self.name.node == name
    }

    /// The modifier, if it has one that there is.
    #[must_use]
    pub fn known_modifier(&self) -> Option<&Spanned<Modifier>> {
        self.modifier.as_ref()?.as_ref().ok()
    }
}

impl FilterExpr {
    /// The error kept in it, if any; nothing follows it.
    #[must_use]
    pub fn first_error(&self) -> Option<TriggerError> {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().find_map(Self::first_error),
            Self::Not(inner) => inner.first_error(),
            Self::Predicate(predicate) => predicate.error.clone(),
            Self::BadPredicate(predicate) => Some(predicate.error.clone()),
            Self::Bad(error) => Some(error.clone()),
        }
    }
}

fn first_in<'a>(mut exprs: impl Iterator<Item = &'a Expr>) -> Option<TriggerError> {
    exprs.find_map(Expr::first_error)
}

fn modifier_error(field: &Field) -> Option<TriggerError> {
    let text = field.modifier.as_ref()?.as_ref().err()?;
    Some(TriggerError::new(Kind::BadFieldModifier, text.span))
}

fn sort_error(key: &Result<SortKey, TriggerError>) -> Option<TriggerError> {
    match key {
        Err(error) => Some(error.clone()),
        Ok(key) => key.descending.as_ref().err().cloned(),
    }
}

fn filter_error(filter: &Filter) -> Option<TriggerError> {
    match &filter.tree {
        Err(error) => Some(error.clone()),
        Ok(tree) => tree.first_error(),
    }
}
