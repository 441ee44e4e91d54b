//! Translates the text that follows `~` into the pattern that it means (`filter_parse_regex()` in
//! the kernel's trace_events_filter.c, and lib/glob.c for all but the simple ones).

use crate::resolve::hist::{GlobPart, Pattern};

/// The pattern, and whether a leading `!` negates it.
pub(in crate::resolve) fn parse(text: &[u8]) -> (Pattern, bool) {
    let (text, negated) = match text.strip_prefix(b"!") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    (simple(text).unwrap_or_else(|| Pattern::Glob(glob(text))), negated)
}

/// A pattern without anything that only a full glob can match.
fn simple(text: &[u8]) -> Option<Pattern> {
    // A digit at the beginning selects by number elsewhere in ftrace; here all of it is literal.
    if text.first().is_some_and(u8::is_ascii_digit) {
        return Some(Pattern::Exact(text.to_vec()));
    }
    let (text, open_start) = match text.strip_prefix(b"*") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let (text, open_end) = match text.strip_suffix(b"*") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if text.iter().any(|byte| b"*?[\\".contains(byte)) {
        return None;
    }
    let text = text.to_vec();
    Some(match (open_start, open_end) {
        (false, false) => Pattern::Exact(text),
        (false, true) => Pattern::Prefix(text),
        (true, false) => Pattern::Suffix(text),
        (true, true) => Pattern::Contains(text),
    })
}

fn glob(mut text: &[u8]) -> Vec<GlobPart> {
    let mut parts = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        let part = match first {
            b'*' => GlobPart::Any,
            b'?' => GlobPart::One,
            b'[' => match class(rest) {
                Some((class, behind)) => {
                    text = behind;
                    class
                }
                None => GlobPart::Byte(b'['),
            },
            b'\\' => match rest.split_first() {
                Some((&escaped, behind)) => {
                    text = behind;
                    GlobPart::Byte(escaped)
                }
                // It would escape the end of the pattern, which is what it is anyway.
                None => break,
            },
            literal => GlobPart::Byte(literal),
        };
        if part != GlobPart::Any || parts.last() != Some(&GlobPart::Any) {
            parts.push(part);
        }
    }
    parts
}

/// What stands behind `[`, and what follows its `]`. The first character may be a `]`.
fn class(text: &[u8]) -> Option<(GlobPart, &[u8])> {
    let (mut text, negated) = match text.strip_prefix(b"!") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut ranges = Vec::new();
    loop {
        let (&low, rest) = text.split_first()?;
        if low == b']' && !ranges.is_empty() {
            return Some((GlobPart::Class { ranges, negated }, rest));
        }
        let (high, rest) = match rest {
            [b'-', high, rest @ ..] if *high != b']' => (*high, rest),
            [b'-'] => return None,
            _ => (low, rest),
        };
        ranges.push((low, high));
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, pattern: Pattern) {
        assert_eq!(parse(text.as_bytes()), (pattern, false), "{text:?}");
    }

    #[test]
    fn stars_at_the_ends_are_simple() {
        check("", Pattern::Exact(vec![]));
        check("ab", Pattern::Exact(b"ab".to_vec()));
        check("ab*", Pattern::Prefix(b"ab".to_vec()));
        check("*ab", Pattern::Suffix(b"ab".to_vec()));
        check("*ab*", Pattern::Contains(b"ab".to_vec()));
        check("*", Pattern::Suffix(vec![]));
        check("**", Pattern::Contains(vec![]));
        check("1*", Pattern::Exact(b"1*".to_vec()));
        check("a]", Pattern::Exact(b"a]".to_vec()));
        assert_eq!(parse(b"!ab*"), (Pattern::Prefix(b"ab".to_vec()), true));
        assert_eq!(parse(b"!!"), (Pattern::Exact(b"!".to_vec()), true));
        assert_eq!(parse(b"!1*"), (Pattern::Exact(b"1*".to_vec()), true));
    }

    #[test]
    fn all_else_is_a_glob() {
        use GlobPart::{Any, Byte, Class, One};
        let class = |ranges: &[(u8, u8)], negated| Class { ranges: ranges.to_vec(), negated };
        for (text, parts) in [
            ("a*b", vec![Byte(b'a'), Any, Byte(b'b')]),
            ("***", vec![Any]),
            ("a?", vec![Byte(b'a'), One]),
            ("[ab-d]", vec![class(&[(b'a', b'a'), (b'b', b'd')], false)]),
            ("[!a]*", vec![class(&[(b'a', b'a')], true), Any]),
            ("[]a]", vec![class(&[(b']', b']'), (b'a', b'a')], false)]),
            ("[^a]", vec![class(&[(b'^', b'^'), (b'a', b'a')], false)]),
            ("[a-]", vec![class(&[(b'a', b'a'), (b'-', b'-')], false)]),
            ("[ab", vec![Byte(b'['), Byte(b'a'), Byte(b'b')]),
            ("[a-", vec![Byte(b'['), Byte(b'a'), Byte(b'-')]),
            ("[", vec![Byte(b'[')]),
            ("\\*\\a\\", vec![Byte(b'*'), Byte(b'a')]),
            ("[\\]", vec![class(&[(b'\\', b'\\')], false)]),
        ] {
            check(text, Pattern::Glob(parts));
        }
    }
}
