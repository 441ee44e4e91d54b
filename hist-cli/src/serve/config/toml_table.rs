//! Reads what a table of a TOML file has by name and type, and notes what is wrong with it: all of
//! it, not only the first.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use crate::diag::nearest;

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed<T> {
    /// The value.
    pub(super) value: T,
    /// In bytes of the file.
    pub(super) at: Range<usize>,
}

/// A table being read.
pub(super) struct TomlTable<'a> {
    table: &'a DeTable<'a>,
    /// Where it begins.
    pub(super) at: Range<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> TomlTable<'a> {
    /// A table of which only the keys `known` make sense.
    pub(super) fn new(
        table: &'a DeTable<'a>,
        at: Range<usize>,
        known: &[&str],
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let mut problem =
                Problem::new(key.span(), format!("nothing is called `{}` here", key.get_ref()));
            let near = nearest(key.get_ref(), known.iter().copied());
            problem.help.push(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            });
            problems.push(problem);
        }
        Self { table, at, problems }
    }

    /// Notes that something is wrong.
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A string that must be there and say something.
    pub(super) fn required(&mut self, key: &str) -> Option<Placed<String>> {
        if !self.table.contains_key(key) {
            let message = format!("this metric has no `{key}`");
            self.problems.push(Problem::new(self.at.clone(), message));
        }
        self.text(key)
    }

    /// A string that may be there, and then says something.
    pub(super) fn text(&mut self, key: &str) -> Option<Placed<String>> {
        let value = self.table.get(key)?;
        let text = string(value, key, self.problems)?;
        if text.value.trim().is_empty() {
            self.problems.push(Problem::new(text.at, format!("`{key}` is empty")));
            return None;
        }
        Some(text)
    }

    /// A whole number of at least `least` that may be there.
    pub(super) fn number(&mut self, key: &str, least: u64) -> Option<Placed<u64>> {
        let value = self.table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| *number >= least) {
            Some(number) => Some(Placed { value: number, at: value.span() }),
            None => {
                let message = format!("`{key}` must be a whole number of at least {least}");
                self.problems.push(Problem::new(value.span(), message));
                None
            }
        }
    }

    /// A table of strings that may be there; empty if it is not.
    pub(super) fn texts(&mut self, key: &str) -> BTreeMap<String, Placed<String>> {
        let Some(value) = self.table.get(key) else { return BTreeMap::new() };
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("`{key}` must be a table: {key} = {{ NAME = \"NAME\" }}");
            self.problems.push(Problem::new(value.span(), message));
            return BTreeMap::new();
        };
        let texts = table.iter().filter_map(|(name, value)| {
            Some((name.get_ref().to_string(), string(value, name.get_ref(), self.problems)?))
        });
        texts.collect()
    }
}

fn string(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Option<Placed<String>> {
    match value.get_ref().as_str() {
        Some(text) => Some(Placed { value: text.to_owned(), at: value.span() }),
        None => {
            let message = format!("`{key}` must be a string");
            problems.push(Problem::new(value.span(), message));
            None
        }
    }
}
