//! Fits text into the cells of a line, cut or wrapped. Its text has been cleaned of all that a
//! terminal obeys.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

pub use crate::escape::{Charset, shown};

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
