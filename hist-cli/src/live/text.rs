//! Takes bytes that anybody may have chosen, as a task does its name. Gives text that moves no
//! cursor, changes no colour and fills as many cells as its width says.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Which characters a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Those of ASCII.
    Ascii,
    /// All.
    Utf8,
}

impl Charset {
    /// The charset of the locale in LC_ALL, LC_CTYPE or LANG, the first of them that is not empty
    /// (locale(7)).
    #[must_use]
    pub fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale = names.into_iter().filter_map(variable).find(|locale| !locale.is_empty());
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Utf8 } else { Self::Ascii }
    }
}

/// The text of `bytes`. Control characters, characters without a width (which reorder others or
/// hide) and bytes that are no UTF-8 are written as escapes; where there is only ASCII, so is all
/// else.
#[must_use]
pub fn shown(bytes: &[u8], charset: Charset) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c, charset));
        chunk.invalid().iter().for_each(|byte| push_byte(&mut out, *byte));
    }
    out
}

fn push(out: &mut String, c: char, charset: Charset) {
    let is_visible = c.width().is_some_and(|width| width > 0);
    if c.is_ascii_control() {
        push_byte(out, c as u8);
    } else if is_visible && (c.is_ascii() || charset == Charset::Utf8) {
        out.push(c);
    } else {
        out.extend(c.escape_unicode());
    }
}

fn push_byte(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail");
}

/// As much of `text` as fits into `width` cells, with a mark at the end if that is not all.
#[must_use]
pub fn fit(text: &str, width: usize, charset: Charset) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if charset == Charset::Utf8 { '…' } else { '~' };
    let (mut out, mut left) = (String::new(), width.saturating_sub(1));
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else { break };
        left = rest;
        out.push(c);
    }
    if width > 0 {
        out.push(mark);
    }
    out
}

/// All of `text`, in lines of at most `width` cells; where there is a blank in the second half of a
/// line, it ends there.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while rest.width() > width {
        let (line, next) = rest.split_at(end_of_line(rest, width));
        lines.push(line.trim_end().to_owned());
        rest = next.trim_start();
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// Where the first line ends, which has a character at least.
fn end_of_line(text: &str, width: usize) -> usize {
    let mut left = width;
    let mut fits = |c: char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text[end..].starts_with(' ') {
        return end.max(first);
    }
    let blank = text[..end].rfind(' ').filter(|blank| *blank >= end / 2);
    blank.unwrap_or(end).max(first)
}

/// How many cells `text` fills.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let check = |bytes: &[u8], charset, want: &str| assert_eq!(shown(bytes, charset), want);
        check(b"\x1b[2J\n\x7f", Charset::Utf8, "\\x1b[2J\\x0a\\x7f");
        check("\u{9b}31m".as_bytes(), Charset::Utf8, "\\u{9b}31m");
        check("a\u{202e}b\u{200b}".as_bytes(), Charset::Utf8, "a\\u{202e}b\\u{200b}");
        check(b"\xff\x9b", Charset::Utf8, "\\xff\\x9b");
        check("größe 漢".as_bytes(), Charset::Utf8, "größe 漢");
        check("ö".as_bytes(), Charset::Ascii, "\\u{f6}");
    }

    #[test]
    fn what_does_not_fit_is_marked() {
        assert_eq!(fit("abcdef", 6, Charset::Utf8), "abcdef");
        assert_eq!(fit("abcdef", 4, Charset::Utf8), "abc…");
        assert_eq!(fit("abcdef", 4, Charset::Ascii), "abc~");
        // A wide character does not fit into the one cell that is left for it.
        assert_eq!(fit("漢漢漢", 4, Charset::Utf8), "漢…");
        assert_eq!(fit("abc", 0, Charset::Utf8), "");
    }

    #[test]
    fn what_is_wrapped_is_whole() {
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("abc def ghi", 7), ["abc def", "ghi"]);
        assert_eq!(wrap("a bcdefghi", 6), ["a bcde", "fghi"]);
        assert_eq!(wrap("漢漢漢", 5), ["漢漢", "漢"]);
        assert_eq!(wrap("漢漢", 1), ["漢", "漢"]);
        assert_eq!(
            (wrap("", 4), wrap("ab", 0)),
            (vec![String::new()], vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn the_first_locale_that_is_set_counts() {
        let of = |all: &str, lang: &str| {
            let (all, lang) = (all.to_owned(), lang.to_owned());
            Charset::of_locale(move |name| match name {
                "LC_ALL" => Some(all.clone()),
                "LANG" => Some(lang.clone()),
                _ => None,
            })
        };
        assert_eq!(of("", "de_DE.UTF-8"), Charset::Utf8);
        assert_eq!(of("C.utf8", "C"), Charset::Utf8);
        assert_eq!(of("C", "de_DE.UTF-8"), Charset::Ascii);
        assert_eq!(Charset::of_locale(|_| None), Charset::Ascii);
    }

    proptest! {
        #[test]
        fn any_bytes_fit_without_controls(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            cells in 0_usize..40,
            utf8 in any::<bool>(),
        ) {
            let charset = if utf8 { Charset::Utf8 } else { Charset::Ascii };
            let text = shown(&bytes, charset);
            prop_assert!(text.chars().all(|c| !c.is_control() && c.width() > Some(0)));
            prop_assert!(utf8 || text.is_ascii());
            prop_assert!(width(&fit(&text, cells, charset)) <= cells);
        }
    }
}
