//! Draws a text with carets under a place in it, for people. Nothing else in the project does.

use bstr::ByteSlice as _;

use super::Span;

/// `source` and, on a line below, carets under `span`; both indented by two blanks.
#[must_use]
pub(crate) fn marked(source: &[u8], span: Span) -> String {
    format!("  {}\n  {}\n", visible(source), carets(source, span))
}

/// `source` on one line: control characters as the pictures that Unicode has for them, tabs kept.
fn visible(source: &[u8]) -> String {
    let picture = |c: char| match c {
        '\t' => '\t',
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(' '),
        '\x7f'..='\u{9f}' => '\u{2421}',
        other => other,
    };
    // Each stretch of bytes that are no character is one U+FFFD.
    source.chars().map(picture).collect()
}

/// Blanks up to `span`, then a caret per column, one at least. Tabs stay tabs, so that the carets
/// stand right whatever the terminal's tab stops are.
fn carets(source: &[u8], span: Span) -> String {
    let mut line = String::new();
    for (at, _, c) in source.char_indices() {
        if at >= span.start && at >= span.end {
            break;
        }
        let mark = if at >= span.start { '^' } else { ' ' };
        match c {
            '\t' if mark == ' ' => line.push('\t'),
            '\t' => line.push('^'),
            _ => line.extend(std::iter::repeat_n(mark, width(c))),
        }
    }
    if !line.ends_with('^') {
        line.push('^');
    }
    line
}

/// The columns that a terminal gives to a character: nearly Unicode's, for combining marks and
/// the blocks that are wide throughout.
const fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Kind, TriggerError};

    #[track_caller]
    fn check_render(source: &str, span: Span, expect: &str) {
        let error = TriggerError::new(Kind::FieldNotFound, span).help("say something else");
        let expect = format!("error: Couldn't find field\n{expect}\n  help: say something else\n");
        assert_eq!(error.render(source), expect);
    }

    #[test]
    fn carets_stand_below_the_span() {
        let text = "hist:keys=nosuch:vals=hitcount";
        check_render(
            text,
            Span::new(10, 16),
            "  hist:keys=nosuch:vals=hitcount\n            ^^^^^^",
        );
        check_render(text, Span::new(0, 4), &format!("  {text}\n  ^^^^"));
        check_render("ab", Span::new(2, 2), "  ab\n    ^");
        check_render("ab", Span::new(1, 1), "  ab\n   ^");
        check_render("ab", Span::new(7, 9), "  ab\n    ^");
        check_render("", Span::new(0, 0), "  \n  ^");
    }

    #[test]
    fn carets_align_with_tabs_wide_and_control_characters() {
        check_render("a\tbc", Span::new(2, 4), "  a\tbc\n   \t^^");
        check_render("é=bc", Span::new(3, 5), "  é=bc\n    ^^");
        check_render("世=b", Span::new(4, 5), "  世=b\n     ^");
        check_render("世=b", Span::new(0, 3), "  世=b\n  ^^");
        check_render("e\u{301}=b", Span::new(4, 5), "  e\u{301}=b\n    ^");
        check_render("a\nb", Span::new(2, 3), "  a\u{240a}b\n    ^");
        check_render("a\x1b[1mb", Span::new(5, 6), "  a\u{241b}[1mb\n       ^");
    }

    #[test]
    fn a_span_without_width_has_a_caret() {
        check_render("\u{30c}=b", Span::new(0, 2), "  \u{30c}=b\n  ^");
    }

    #[test]
    fn a_span_inside_a_character_is_no_panic() {
        check_render("世=b", Span::new(1, 2), "  世=b\n    ^");
    }
}
