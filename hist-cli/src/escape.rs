//! Makes text of bytes that anybody may have chosen, such as the name of a task or a file: it moves
//! no cursor, begins no line, changes no colour and fills as many cells as its width says.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use unicode_width::UnicodeWidthChar as _;

/// What a message shows of a text that somebody else wrote, in characters as they are shown.
const EXCERPT: usize = 300;

/// Which characters a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Those of ASCII.
    Ascii,
    /// All.
    Utf8,
}

impl Charset {
    /// The charset of this process's locale.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::of_locale(|name| std::env::var(name).ok())
    }

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
    if c.is_ascii_control() {
        push_byte(out, c as u8);
    } else if is_visible(c, charset) {
        out.push(c);
    } else {
        out.extend(c.escape_unicode());
    }
}

fn push_byte(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").expect("writing to a String cannot fail");
}

/// The text as it is, or as a terminal with that charset may get it.
#[must_use]
pub fn clean(bytes: &[u8], terminal: Option<Charset>) -> Cow<'_, [u8]> {
    terminal.map_or(bytes.into(), |charset| shown(bytes, charset).into_bytes().into())
}

/// The lines, each as [`shown`] writes it.
#[must_use]
pub fn shown_lines(bytes: &[u8], charset: Charset) -> String {
    let mut out = String::with_capacity(bytes.len());
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out.push_str(&shown(line, charset));
    }
    out
}

/// The beginning of a text that somebody else wrote, on one line, for a message. Tabs, which the
/// kernel's own files have, are shown as spaces.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let (mut start, mut length) = (String::new(), 0);
    for (taken, c) in text.chars().enumerate() {
        let c = if c == '\t' { ' ' } else { c };
        let next = shown(c.encode_utf8(&mut [0; 4]).as_bytes(), Charset::Utf8);
        // What stands for a character may be longer than it.
        length += next.chars().count();
        if length > EXCERPT {
            let rest = text.chars().count() - taken;
            return format!("{start}… ({rest} more characters)");
        }
        start.push_str(&next);
    }
    start
}

/// A file's name for a message.
#[must_use]
pub fn name_of(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes(), Charset::Utf8)
}

/// JSON that says the same and in which nothing is left that a terminal obeys. Such characters are
/// within strings alone, where `\u` stands for them.
#[must_use]
pub fn shown_json(text: &str, charset: Charset) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_form = c == '\n';
        if is_form || is_visible(c, charset) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
            }
        }
    }
    out
}

/// It can be shown as it is, but for its length.
#[must_use]
pub fn is_clean(text: &str) -> bool {
    text.chars().all(|c| is_visible(c, Charset::Utf8))
}

fn is_visible(c: char, charset: Charset) -> bool {
    let has_width = c.width().is_some_and(|width| width > 0);
    !c.is_control() && has_width && (c.is_ascii() || charset == Charset::Utf8)
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

    #[test]
    fn an_excerpt_is_one_line_of_bounded_length() {
        assert_eq!(excerpt("a\x1b[31m\n\tb"), "a\\x1b[31m\\x0a b");
        assert_eq!(excerpt(&"x".repeat(1000)), "x".repeat(300) + "… (700 more characters)");
    }

    /// Each of them is shown as four characters.
    #[test]
    fn an_excerpt_of_control_characters_was_four_times_too_long() {
        let expect = "\\x00".repeat(75) + "… (25 more characters)";
        assert_eq!(excerpt(&"\0".repeat(100)), expect);
    }

    #[test]
    fn a_files_text_could_colour_the_terminal_and_forge_lines() {
        let hostile = "\u{1b}[31mred\nerror: forged\r\u{9b}2J\u{202e}txt";
        let shown = "\\x1b[31mred\\x0aerror: forged\\x0d\\u{9b}2J\\u{202e}txt";
        assert_eq!(excerpt(hostile), shown);
        assert_eq!(name_of(Path::new(hostile)), shown);
        assert!(!is_clean(hostile));
        let harmless = "\"it's\" ö `x` \\";
        assert_eq!(excerpt(harmless), harmless);
        assert!(is_clean(harmless));
    }

    proptest! {
        #[test]
        fn any_bytes_lose_their_controls(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            utf8 in any::<bool>(),
        ) {
            let charset = if utf8 { Charset::Utf8 } else { Charset::Ascii };
            let text = shown(&bytes, charset);
            prop_assert!(text.chars().all(|c| !c.is_control() && c.width() > Some(0)));
            prop_assert!(utf8 || text.is_ascii());
            let newlines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
            let lines = shown_lines(&bytes, charset);
            prop_assert_eq!(newlines(lines.as_bytes()), newlines(&bytes));
        }

        #[test]
        fn json_still_says_the_same(text in any::<String>(), utf8 in any::<bool>()) {
            let charset = if utf8 { Charset::Utf8 } else { Charset::Ascii };
            let json = serde_json::to_string(&text).expect("a string");
            let shown = shown_json(&json, charset);
            prop_assert!(shown.chars().all(|c| is_visible(c, charset)));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), text);
        }
    }
}
