//! Makes text that others wrote fit for a message: one line, no control characters, not too long.

use std::fmt::Write as _;

/// The most characters of such a text that a message shows.
const LENGTH_MAX: usize = 120;

/// The text with escapes in place of what would move a terminal's cursor, change its colours, begin
/// a line or turn the direction of writing; cut off where it is long.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut shown = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == LENGTH_MAX {
            shown.push('…');
            break;
        }
        match needs_escape(char) {
            // Writing to a String cannot fail.
            true => drop(write!(shown, "{}", char.escape_debug())),
            false => shown.push(char),
        }
    }
    shown
}

/// [`clean`], in back quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("`{}`", clean(text))
}

/// It can be shown as it is, but for its length.
#[must_use]
pub fn is_clean(text: &str) -> bool {
    !text.contains(needs_escape)
}

/// Controls but for tabs, line and paragraph separators, and what Unicode calls explicit directional
/// formatting.
fn needs_escape(char: char) -> bool {
    char.is_control() && char != '\t'
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_text_could_colour_the_terminal_and_forge_lines() {
        let hostile = "\u{1b}[31mred\nerror: forged\r\u{9b}2J\u{202e}txt";
        let shown = quoted(hostile);
        assert_eq!(shown, "`\\u{1b}[31mred\\nerror: forged\\r\\u{9b}2J\\u{202e}txt`");
        assert!(!is_clean(hostile));
        let harmless = "\"it's\" ö\t`x` \\";
        assert_eq!(clean(harmless), harmless);
        assert!(is_clean(harmless));
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = clean(&"ö".repeat(100_000));
        assert_eq!(shown.chars().count(), LENGTH_MAX + 1);
        assert!(shown.ends_with('…'));
    }
}
