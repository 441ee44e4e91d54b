//! Finds the names in a source file: what it imports, which paths its code spells out, what it defines.
//! Comments, texts and whatever is compiled for tests alone are left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// What the code of one module names. An inline module counts as one of its own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// What `use` binds.
    pub imports: Vec<Import>,
    /// The paths of two parts or more in the code itself.
    pub paths: Vec<Path>,
    /// Where each other identifier stands first.
    pub words: BTreeMap<String, usize>,
    /// What is defined at the top level.
    pub items: BTreeSet<String>,
    /// `mod name;`
    pub children: Vec<String>,
    /// `mod name { … }`
    pub inline: Vec<(String, Names)>,
}

/// A path and the line where it stands, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub parts: Vec<String>,
    pub line: usize,
}

/// One name that a `use` brings in.
#[derive(Debug)]
pub(crate) struct Import {
    /// As it is called here; `*` for all that there is.
    pub name: String,
    /// Where it comes from; without the `*`.
    pub path: Path,
    /// It is handed on: `pub use`, or `pub(super) use` and the like.
    pub is_public: bool,
}

impl Names {
    /// Those of a source text.
    pub(crate) fn of(text: &str) -> Self {
        let tokens: TokenStream = text.parse().expect("Rust source");
        let mut names = Self::default();
        names.read(tokens, true);
        names
    }

    fn read(&mut self, tokens: TokenStream, is_top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.step(&tokens, at, is_top);
        }
    }

    /// Reads what begins at `at`. Gives where the next begins.
    fn step(&mut self, tokens: &[TokenTree], at: usize, is_top: bool) -> usize {
        let word = word(tokens, at).unwrap_or_default();
        match word.as_str() {
            _ if is_test_only(tokens, at) => after_item(tokens, at + 2),
            "use" => {
                let end = at + tokens[at..].iter().take_while(|token| !is(token, ';')).count();
                let is_public = is_public(&tokens[..at]);
                self.import(&tokens[at + 1..end], &[], is_public);
                end
            }
            "mod" => self.module(tokens, at),
            "" => {
                if let TokenTree::Group(group) = &tokens[at] {
                    self.read(group.stream(), false);
                }
                at + 1
            }
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                if is_top =>
            {
                self.items.extend(self::word(tokens, at + 1));
                at + 1
            }
            _ => self.path(tokens, at),
        }
    }

    fn module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let name = word(tokens, at + 1).expect("a module's name");
        match &tokens[at + 2] {
            TokenTree::Group(body) => {
                let mut names = Self::default();
                names.read(body.stream(), true);
                self.inline.push((name, names));
            }
            _ => self.children.push(name),
        }
        at + 3
    }

    /// A path as far as it is of plain names, or a single word.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let line = tokens[at].span().start().line;
        let (parts, end) = parts(tokens, at);
        // `<T as Trait>::b::c` and `::b::c` are nothing that begins here.
        let begins = at < 2 || !is_colons(tokens, at - 2);
        match &parts[..] {
            [_] => drop(self.words.entry(parts[0].clone()).or_insert(line)),
            _ if begins => self.paths.push(Path { parts, line }),
            _ => {}
        }
        end
    }

    /// A tree of imports below `prefix`.
    fn import(&mut self, tree: &[TokenTree], prefix: &[String], is_public: bool) {
        let at = usize::from(tree.len() > 1 && is_colons(tree, 0)) * 2;
        let (parts, mut end) = match word(tree, at) {
            Some(_) => parts(tree, at),
            None => (Vec::new(), at),
        };
        let path = [prefix, &parts].concat();
        if end + 1 < tree.len() && is_colons(tree, end) {
            end += 2;
        }
        let line = tree[0].span().start().line;
        match tree.get(end) {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let branches = inner.split(|token| is(token, ','));
                for branch in branches.filter(|branch| !branch.is_empty()) {
                    self.import(branch, &path, is_public);
                }
            }
            rest => {
                let is_all = rest.is_some_and(|token| is(token, '*'));
                let renamed =
                    word(tree, end).filter(|word| word == "as").and_then(|_| word(tree, end + 1));
                self.bind(path, renamed, is_all, line, is_public);
            }
        }
    }

    fn bind(
        &mut self,
        mut path: Vec<String>,
        renamed: Option<String>,
        is_all: bool,
        line: usize,
        is_public: bool,
    ) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = if is_all {
            "*".to_owned()
        } else {
            renamed.unwrap_or_else(|| path[path.len() - 1].clone())
        };
        self.imports.push(Import { name, path: Path { parts: path, line }, is_public });
    }
}

/// Identifiers with `::` between them from `at` on, and where they end.
fn parts(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let (mut parts, mut end) = (Vec::from_iter(word(tokens, at)), at + 1);
    while end + 2 < tokens.len() && is_colons(tokens, end) {
        let Some(part) = word(tokens, end + 2) else { break };
        parts.push(part);
        end += 3;
    }
    (parts, end)
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at)? {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    }
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let is_joint = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint);
    is(&tokens[at], ':') && is_joint(&tokens[at]) && is(&tokens[at + 1], ':')
}

/// Whether what comes next is handed on.
fn is_public(before: &[TokenTree]) -> bool {
    let before = match before.split_last() {
        Some((TokenTree::Group(group), rest)) if group.delimiter() == Delimiter::Parenthesis => {
            rest
        }
        _ => before,
    };
    before.last().is_some_and(|token| token.to_string() == "pub")
}

/// `#[cfg(test)]`
fn is_test_only(tokens: &[TokenTree], at: usize) -> bool {
    is(&tokens[at], '#')
        && tokens
            .get(at + 1)
            .is_some_and(|token| token.to_string().replace(' ', "") == "[cfg(test)]")
}

/// Where the item, the variant or the arm that begins at `at` has ended.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let mut at = at;
    let mut is_item = false;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Ident(word) => {
                is_item |= matches!(
                    word.to_string().as_str(),
                    "fn" | "struct" | "enum" | "impl" | "trait" | "type"
                );
                if word == "use" {
                    return at
                        + tokens[at..].iter().take_while(|token| !is(token, ';')).count()
                        + 1;
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            token if is(token, ';') || is(token, ',') && !is_item => break,
            _ => {}
        }
    }
    at
}

/// The line of a word's first place in the code of a source, of whatever kind that is.
pub(crate) fn line_of(text: &str, wanted: &str) -> Option<usize> {
    fn find(tokens: TokenStream, wanted: &str) -> Option<usize> {
        tokens.into_iter().find_map(|token| match token {
            TokenTree::Group(group) => find(group.stream(), wanted),
            TokenTree::Ident(word) if word == wanted => Some(word.span().start().line),
            _ => None,
        })
    }
    find(text.parse().expect("Rust source"), wanted)
}
