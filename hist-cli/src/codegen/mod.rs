//! Turns a [`Plan`] into eBPF instructions for each hole of its template, with a note beside each that
//! says why it is there.
//!
//! A body follows the hole ABI of [`hist_common::holes`]: r1 is the context and r2, where there
//! is one, the key or value; r0 and r3 to r5 are free. A body that calls a helper keeps r1 and r2
//! on the stack meanwhile.

mod access;
mod argument;
mod bits;
mod branch;
mod chunk;
pub mod code;
mod condition;
mod display;
mod emit;
mod focus;
mod key;
mod matching;
mod once;
mod record;
mod saved;
mod scan;
mod slot;
mod source;
mod stack;
mod system_call;
mod text;
mod value;
mod word;

use crate::kernel::format::FieldId;
use crate::plan::Plan;
use code::Code;

/// Why code cannot be generated: always a defect of ours, never the user's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// A jump is longer than its 16 bits can say.
    #[error("the code of {hole} is too long for a jump of {distance} instructions")]
    JumpTooLong {
        /// The hole's symbol.
        hole: &'static str,
        /// Instructions.
        distance: i64,
    },
    /// An offset does not fit the 16 bits of an instruction.
    #[error("the offset {offset} in {hole} does not fit an instruction")]
    OffsetTooLarge {
        /// The hole's symbol.
        hole: &'static str,
        /// Bytes.
        offset: u32,
    },
    /// The plan does not say how to read a field, or not as what a hole wants it for.
    #[error("the plan does not say how to read the event's field {} for {hole}", .field.0)]
    NoAccess {
        /// The hole's symbol.
        hole: &'static str,
        /// Which one.
        field: FieldId,
    },
    /// The plan does not say where a system call's number is.
    #[error("the plan does not say how to read a system call's number")]
    NoCallNumber,
}

/// Generates the bodies of all holes of `plan.template`.
///
/// # Errors
/// If a jump or an offset does not fit its 16 bits.
pub fn generate(plan: &Plan) -> Result<Code, CodegenError> {
    let mut holes = vec![condition::filter(plan)?];
    match &plan.index {
        Some(index) => holes.extend([key::index(plan, index)?, value::update(plan)?]),
        None => holes.extend([key::key(plan)?, value::update(plan)?, value::init(plan)?]),
    }
    Ok(Code { holes })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    /// The modules in a folder, each with those beside it that it imports.
    fn imports(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let files = fs::read_dir(path).expect("a folder").map(|file| file.expect("a file").path());
        let sources = files.filter(|file| file.is_file() && !file.ends_with("mod.rs"));
        let sources: BTreeMap<_, _> = sources
            .map(|file| {
                let text = fs::read_to_string(&file).expect("its text");
                (file.file_stem().expect("a name").to_string_lossy().into_owned(), text)
            })
            .collect();
        let names: Vec<_> = sources.keys().cloned().collect();
        let of = |text: &str| {
            let uses = text.split(';').filter_map(|part| part.split_once("use super::"));
            let words = uses.flat_map(|(_, tree)| first_words(tree));
            words.filter(|word| names.contains(word)).collect()
        };
        sources.iter().map(|(name, text)| (name.clone(), of(text))).collect()
    }

    /// The first word of each path in a `use` tree: of `{a::{b, c}, d}` they are `a` and `d`.
    fn first_words(tree: &str) -> Vec<String> {
        let (mut words, mut depth, is_list) = (vec![String::new()], 0, tree.starts_with('{'));
        for part in tree.split_inclusive(['{', '}', ',', ':']) {
            let path = part.trim_end_matches(['{', '}', ',', ':']);
            let word = path.split_whitespace().next().unwrap_or_default();
            if depth == usize::from(is_list) && words.last().is_some_and(String::is_empty) {
                word.clone_into(words.last_mut().expect("there is one"));
            }
            match part.chars().last() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(',') if depth == usize::from(is_list) => words.push(String::new()),
                _ => {}
            }
        }
        words
    }

    #[test]
    fn first_words_are_those_of_each_path() {
        assert_eq!(first_words("a::{b, c}"), ["a"]);
        assert_eq!(first_words("{a::{b, c}, d::e, f as g}"), ["a", "d", "f"]);
    }

    /// `condition`, `matching` and `scan` imported each other, and so did `key` and `text`.
    #[test]
    fn modules_imported_each_other_in_circles() {
        for folder in ["codegen", "plan", "plan/access", "plan/access/arguments"] {
            let mut open = imports(folder);
            assert!(open.values().any(|imported| !imported.is_empty()), "{folder} has imports");
            loop {
                let done: Vec<_> = open
                    .iter()
                    .filter(|(_, imported)| imported.iter().all(|name| !open.contains_key(name)))
                    .map(|(name, _)| name.clone())
                    .collect();
                if done.is_empty() {
                    break;
                }
                open.retain(|name, _| !done.contains(name));
            }
            assert!(open.is_empty(), "a circle in {folder}: {open:#?}");
        }
    }
}
