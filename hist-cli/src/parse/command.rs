//! The outer parts of what is written to a `trigger` file: command word, parameters, filter. The
//! columns of carets in `error_log` are counted from where these begin.

use bstr::{BStr, BString, ByteSlice as _, ByteVec as _};

use crate::diag::{Kind, Span, TriggerError};

/// A write must be shorter than one page (`event_trigger_regex_write` in
/// kernel/trace/trace_events_trigger.c).
pub(crate) const PAGE_SIZE: usize = 4096;

/// The outer parts of a command, all slices of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command<'a> {
    /// It began with `!`.
    pub(crate) remove: bool,
    /// All that follows the command word and the white space behind it; never empty.
    pub(crate) rest: &'a BStr,
}

/// The parts of [`Command::rest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Everything before ` if `; never empty.
    pub(crate) params: &'a BStr,
    /// Everything behind it, further white space in front included.
    pub(crate) filter: Option<&'a BStr>,
}

/// White space by the kernel's `isspace()`, which reads Latin-1: 0xa0 is a blank (lib/ctype.c).
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

/// The kernel's `isalnum()`: in Latin-1 some bytes beyond ASCII are letters, others are not
/// (lib/ctype.c).
pub(crate) const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, 0xc0..=0xff) && !matches!(byte, 0xd7 | 0xf7)
}

/// The part of a write that the kernel looks at: up to a NUL, without white space around. It is
/// what the spans of errors point into.
#[must_use]
pub fn trim(write: &[u8]) -> &BStr {
    let end = write.find_byte(0).unwrap_or(write.len());
    trim_end(trim_start(write[..end].as_bstr()))
}

/// The text without white space in front.
pub(crate) fn trim_start(text: &BStr) -> &BStr {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// The text without white space behind it.
pub(crate) fn trim_end(text: &BStr) -> &BStr {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// What is before the first `separator` and what is behind it.
pub(crate) fn split_once(text: &BStr, separator: u8) -> Option<(&BStr, &BStr)> {
    let at = text.find_byte(separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Splits off the command word.
pub(crate) fn split_command(text: &BStr) -> Result<Command<'_>, TriggerError> {
    let end = text.find_byteset(b": \t").unwrap_or(text.len());
    let word = &text[..end];
    let name = word.strip_prefix(b"!").unwrap_or(word).as_bstr();
    if name != "hist" {
        return Err(TriggerError::new(Kind::UnknownCommand, Span::new(0, end))
            .help("a hist trigger begins with `hist:keys=`, or `!hist:keys=` to remove one"));
    }
    let rest = trim_start(text.get(end + 1..).unwrap_or_default().as_bstr());
    if rest.is_empty() {
        return Err(no_keys(Span::new(0, text.len())));
    }
    Ok(Command { remove: name.len() < word.len(), rest })
}

/// The error that `keys=` is missing in `span`.
pub(crate) fn no_keys(span: Span) -> TriggerError {
    TriggerError::new(Kind::NoKeys, span).help("say what to count by: `keys=FIELD`")
}

/// Splits off the filter: it follows the first `if` with a blank on both sides.
///
/// # Errors
///
/// The part that begins with an `if` in a place where the kernel refuses it: at the very start, or
/// so close to the end that no filter can follow, even if it is only the beginning of a word.
pub(crate) fn split_filter(rest: &BStr) -> Result<Parts<'_>, &BStr> {
    let is_blank = |at: usize| matches!(rest[at], b' ' | b'\t');
    for at in rest.find_iter("if") {
        if at == 0 {
            return Err(rest);
        }
        if !is_blank(at - 1) {
            continue;
        }
        if at + 3 >= rest.len() {
            return Err(&rest[at..]);
        }
        if is_blank(at + 2) {
            let params = trim_end(&rest[..at - 1]);
            return Ok(Parts { params, filter: Some(&rest[at + 3..]) });
        }
    }
    Ok(Parts { params: rest, filter: None })
}

/// The filter of a command, `""` if there is none.
pub(super) fn filter_of(text: &BStr) -> &BStr {
    split_command(text)
        .ok()
        .and_then(|command| split_filter(command.rest).ok())
        .and_then(|parts| parts.filter)
        .unwrap_or_default()
}

/// The command with each `.sym-offset` among the parameters written `.symXoffset`, so that its `-`
/// is no operator. The kernel does the same, hence it takes the latter spelling from users too.
/// Every byte keeps its place.
pub(super) fn hide_minus(text: &BStr) -> BString {
    let (params, filter) = text.split_at(text.len() - filter_of(text).len());
    let mut scanned = BString::from(params.replace(".sym-offset", ".symXoffset"));
    scanned.push_str(filter);
    scanned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rest(text: &str, expect: Result<&str, Kind>) {
        let rest = split_command(text.into()).map(|command| command.rest);
        assert_eq!(rest.map_err(|error| error.kind), expect.map(BStr::new), "{text:?}");
    }

    #[track_caller]
    fn check_filter(rest: &str, expect: Result<(&str, Option<&str>), &str>) {
        let parts = split_filter(rest.into()).map(|parts| (parts.params, parts.filter));
        let expect = expect.map(|(params, filter)| (BStr::new(params), filter.map(BStr::new)));
        assert_eq!(parts, expect.map_err(BStr::new), "{rest:?}");
    }

    #[test]
    fn command_word() {
        check_rest("hist:keys=x", Ok("keys=x"));
        check_rest("hist keys=x", Ok("keys=x"));
        check_rest("hist\tkeys=x", Ok("keys=x"));
        check_rest("hist:  keys=x", Ok("keys=x"));
        check_rest("!hist:keys=x", Ok("keys=x"));
        check_rest("hist :keys=x", Ok(":keys=x"));
        check_rest("hist::keys=x", Ok(":keys=x"));
        check_rest("! hist:keys=x", Err(Kind::UnknownCommand));
        check_rest("!!hist:keys=x", Err(Kind::UnknownCommand));
        check_rest("HIST:keys=x", Err(Kind::UnknownCommand));
        check_rest("hist\nkeys=x", Err(Kind::UnknownCommand));
        check_rest("traceon", Err(Kind::UnknownCommand));
        check_rest("", Err(Kind::UnknownCommand));
        check_rest("hist", Err(Kind::NoKeys));
        check_rest("hist:", Err(Kind::NoKeys));
        assert!(split_command("!hist:x".into()).unwrap().remove);
        assert!(!split_command("hist:x".into()).unwrap().remove);
    }

    #[test]
    fn text_around_a_command() {
        assert_eq!(trim(b" \t\n\x0b\x0c\rhist:keys=x\n"), "hist:keys=x");
        assert_eq!(trim(b"hist:keys=x \0junk"), "hist:keys=x");
        assert_eq!(trim(b""), "");
        // A blank in Latin-1, and the end of many a character in UTF-8.
        assert_eq!(trim(b"\xa0hist:keys=x\xc3\xa0 "), b"hist:keys=x\xc3".as_bstr());
        assert_eq!(trim(b"hist:keys=x\x85"), b"hist:keys=x\x85".as_bstr());
    }

    #[test]
    fn filter_begins_at_the_first_if_between_blanks() {
        check_filter("keys=x", Ok(("keys=x", None)));
        check_filter("keys=x if a==1", Ok(("keys=x", Some("a==1"))));
        check_filter("keys=x \t if\ta==1", Ok(("keys=x", Some("a==1"))));
        check_filter("keys=x if    a==1", Ok(("keys=x", Some("   a==1"))));
        check_filter("keys=iffy if a==1 if b", Ok(("keys=iffy", Some("a==1 if b"))));
        check_filter("keys=x ifa if b==1", Ok(("keys=x ifa", Some("b==1"))));
        check_filter("keys=x if(a==1)", Ok(("keys=x if(a==1)", None)));
        check_filter("keys=x IF a==1", Ok(("keys=x IF a==1", None)));
        check_filter("keys=x\nif a==1", Ok(("keys=x\nif a==1", None)));
        check_filter("keys=x if a", Ok(("keys=x", Some("a"))));
        check_filter("keys=xif", Ok(("keys=xif", None)));
    }

    #[test]
    fn if_without_filter_is_malformed() {
        check_filter("if a==1", Err("if a==1"));
        check_filter("iffy=1:keys=x", Err("iffy=1:keys=x"));
        check_filter("keys=x if", Err("if"));
        check_filter("keys=x ifa", Err("ifa"));
        check_filter("keys=x ifab", Ok(("keys=x ifab", None)));
    }
}
