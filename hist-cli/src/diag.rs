//! Takes a source text, a place in it and what is wrong there. Gives the message with a caret
//! under the place; nothing else in the project draws carets.
//!
//! The kinds and their wording are those of the kernel's own table (`err_text` in
//! kernel/trace/trace_events_hist.c and `ERRORS` in trace_events_filter.c), so that a reader of
//! `error_log` feels at home and tests can compare. The kernel has one table for parsing and
//! resolving, hence so have we.

use std::fmt::{self, Write as _};

use bstr::{BStr, BString, ByteSlice as _, ByteVec as _};

use crate::parse::command;

/// A half-open range of bytes in a trigger's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The text that the span covers, or nothing if it lies outside of `source`.
    #[must_use]
    pub fn of(self, source: &(impl AsRef<[u8]> + ?Sized)) -> &BStr {
        source.as_ref().get(self.start..self.end).unwrap_or_default().as_bstr()
    }
}

/// What can be wrong with a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is explained by its text in `Kind::text`")]
pub enum Kind {
    // The kernel's table of hist errors.
    EmptyAssignment,
    FieldNotFound,
    BadFieldModifier,
    InvalidSortField,
    InvalidSortModifier,
    EmptySortField,
    TooManySortFields,
    NeedNohitcountValue,
    TriggerExists,
    TriggerNotFound,
    NamedMismatch,
    SetClockFailed,
    DuplicateVariable,
    TooManyVariables,
    MalformedAssignment,
    ExpectNumber,
    StringOperand,
    TooManySubexpressions,
    DivisionByZero,
    UnaryMinusSubexpression,
    TimestampMismatch,
    ReferenceKey,
    VariableNotFound,

    // The kernel's table of filter errors.
    FilterFieldNotFound,
    FilterInvalidOperator,
    FilterExpectString,
    FilterExpectNumber,
    FilterIllegalOperation,
    FilterIllegalInteger,
    FilterInvalidValue,
    FilterOperandTooLong,
    FilterMissingBraceOpen,
    FilterMissingBraceClose,
    FilterInvalidCpulist,
    FilterFunctionNotFound,
    FilterTooManyPredicates,
    FilterMissingQuote,
    FilterTooManyOpen,
    FilterTooManyClose,
    FilterEmpty,
    FilterMeaningless,
    FilterError,
    FilterNoField,

    // The kernel answers these with a bare errno.
    UnknownCommand,
    UnknownWord,
    EmptyParameter,
    NoKeys,
    BadSize,
    SizeOverflow,
    TooManyKeys,
    TooManyValues,
    KeyTooLarge,
    UnaryMinus,
    MissingOperand,
    TooManyHandlers,
    MalformedIf,
    TooLong,
    FieldSize,

    // Ours: the kernel would accept it.
    NotSupported,
}

impl Kind {
    /// The message: the kernel's own where it has one.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::EmptyAssignment => "Empty assignment",
            Self::FieldNotFound => "Couldn't find field",
            Self::BadFieldModifier => "Invalid field modifier",
            Self::InvalidSortField => "Sort field must be a key or a val",
            Self::InvalidSortModifier => "Invalid sort modifier",
            Self::EmptySortField => "Empty sort field",
            Self::TooManySortFields => "Too many sort fields (Max = 2)",
            Self::NeedNohitcountValue => "Non-hitcount value is required for 'nohitcount'",
            Self::TriggerExists => "Hist trigger already exists",
            Self::TriggerNotFound => "Can't clear or continue a nonexistent hist trigger",
            Self::NamedMismatch => {
                "Named hist trigger doesn't match existing named trigger (includes variables)"
            }
            Self::SetClockFailed => "Couldn't set trace_clock",
            Self::DuplicateVariable => "Variable already defined",
            Self::TooManyVariables => "Too many variables defined",
            Self::MalformedAssignment => "Malformed assignment",
            Self::ExpectNumber => "Expecting numeric literal",
            Self::StringOperand => "String type can not be an operand in expression",
            Self::TooManySubexpressions => "Too many subexpressions (3 max)",
            Self::DivisionByZero => "Division by zero",
            Self::UnaryMinusSubexpression => "Unary minus not supported in sub-expressions",
            Self::TimestampMismatch => "Timestamp units in expression don't match",
            Self::ReferenceKey => "Using variable references in keys not supported",
            Self::VariableNotFound => "Couldn't find variable",
            Self::FilterFieldNotFound => "Field not found",
            Self::FilterInvalidOperator => "Invalid operator",
            Self::FilterExpectString => "Expecting string field",
            Self::FilterExpectNumber => "Expecting numeric field",
            Self::FilterIllegalOperation => "Illegal operation for field type",
            Self::FilterIllegalInteger => "Illegal integer value",
            Self::FilterInvalidValue => "Invalid value (did you forget quotes)?",
            Self::FilterOperandTooLong => "Operand too long",
            Self::FilterMissingBraceOpen => "Missing '{'",
            Self::FilterMissingBraceClose => "Missing '}'",
            Self::FilterInvalidCpulist => "Invalid cpulist",
            Self::FilterFunctionNotFound => "Function not found",
            Self::FilterTooManyPredicates => "Too many terms in predicate expression",
            Self::FilterMissingQuote => "Missing matching quote",
            Self::FilterTooManyOpen => "Too many '('",
            Self::FilterTooManyClose => "Too few '('",
            Self::FilterEmpty => "No filter found",
            Self::FilterMeaningless => "Meaningless filter expression",
            Self::FilterError | Self::FilterNoField => "Error",
            Self::UnknownCommand => "Not a hist trigger",
            Self::UnknownWord => "Unknown word in trigger",
            Self::EmptyParameter => "Empty parameter",
            Self::NoKeys => "No keys given",
            Self::BadSize | Self::SizeOverflow => "Size must be from 65 to 131072",
            Self::TooManyKeys => "Too many keys (Max = 3)",
            Self::TooManyValues => "Too many values (Max = 2 besides hitcount)",
            Self::KeyTooLarge => "Keys are too large together",
            Self::UnaryMinus => "Unary minus needs parentheses around its operand",
            Self::MissingOperand => "Operator needs an operand on both sides",
            Self::TooManyHandlers => "Too many handlers (Max = 8)",
            Self::MalformedIf => "Malformed 'if'",
            Self::TooLong => "Trigger is too long (Max = 4095 bytes)",
            Self::FieldSize => "Field has a size that cannot be counted",
            Self::NotSupported => "Not supported yet",
        }
    }

    /// The error number with which the kernel answers the write. The filter parser returns some
    /// plain -1, -2 and -3, which read as EPERM, ENOENT and ESRCH.
    #[must_use]
    pub const fn errno(self) -> i32 {
        match self {
            Self::NeedNohitcountValue | Self::TriggerNotFound | Self::FilterTooManyOpen => {
                libc::ENOENT
            }
            Self::TriggerExists => libc::EEXIST,
            Self::DivisionByZero => libc::EDOM,
            Self::FilterTooManyPredicates | Self::FilterTooManyClose | Self::FilterNoField => {
                libc::EPERM
            }
            Self::FilterMissingQuote => libc::ESRCH,
            Self::SizeOverflow => libc::ERANGE,
            Self::FieldSize => libc::ENOMEM,
            Self::NotSupported => libc::EOPNOTSUPP,
            _ => libc::EINVAL,
        }
    }

    /// The kernel writes it to `error_log`.
    #[must_use]
    pub const fn logged(self) -> bool {
        !matches!(
            self,
            Self::UnknownCommand
                | Self::UnknownWord
                | Self::EmptyParameter
                | Self::NoKeys
                | Self::BadSize
                | Self::SizeOverflow
                | Self::TooManyKeys
                | Self::TooManyValues
                | Self::KeyTooLarge
                | Self::UnaryMinus
                | Self::MissingOperand
                | Self::TooManyHandlers
                | Self::MalformedIf
                | Self::TooLong
                | Self::FieldSize
                | Self::NotSupported
        )
    }

    /// It belongs to the filter, whose errors the kernel logs apart: as `event filter parse
    /// error`, with the filter alone as the command.
    #[must_use]
    pub const fn in_filter(self) -> bool {
        self.filter_caret().is_some()
    }

    /// Where the kernel puts its caret for a filter error. Where that follows its scan, it is one
    /// column further right than the character that it means.
    const fn filter_caret(self) -> Option<FilterCaret> {
        Some(match self {
            Self::FilterInvalidOperator
            | Self::FilterExpectString
            | Self::FilterExpectNumber
            | Self::FilterIllegalOperation
            | Self::FilterIllegalInteger
            | Self::FilterInvalidValue => FilterCaret::Start(1),
            Self::FilterTooManyPredicates
            | Self::FilterMissingQuote
            | Self::FilterTooManyOpen
            | Self::FilterTooManyClose => FilterCaret::Start(0),
            Self::FilterFieldNotFound
            | Self::FilterFunctionNotFound
            | Self::FilterOperandTooLong
            | Self::FilterMissingBraceClose => FilterCaret::End(1),
            Self::FilterMissingBraceOpen => FilterCaret::End(2),
            Self::FilterInvalidCpulist | Self::FilterEmpty | Self::FilterMeaningless => {
                FilterCaret::End(0)
            }
            Self::FilterError | Self::FilterNoField => FilterCaret::None,
            _ => return None,
        })
    }

    /// The kernel gives no place for it.
    const fn without_place(self) -> bool {
        matches!(
            self,
            Self::NeedNohitcountValue
                | Self::TriggerExists
                | Self::TriggerNotFound
                | Self::TimestampMismatch
        )
    }
}

/// The kernel's column for a filter error, counted from an end of the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FilterCaret {
    /// That many bytes right of the first byte.
    Start(usize),
    /// That many bytes right of the end.
    End(usize),
    /// Column 0.
    None,
}

/// One thing wrong with a trigger, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerError {
    /// What is wrong.
    pub kind: Kind,
    /// Where in the trigger's text.
    pub span: Span,
    /// Sentences that help: the nearest name, what would be accepted.
    pub help: Vec<String>,
    /// What the kernel logs next, if one mistake makes it log twice.
    pub next: Option<Box<TriggerError>>,
}

impl TriggerError {
    /// An error without help.
    #[must_use]
    pub const fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span, help: Vec::new(), next: None }
    }

    /// The same error, after which the kernel logs another.
    #[must_use]
    pub fn and_then(self, next: Self) -> Self {
        Self { next: Some(Box::new(next)), ..self }
    }

    /// What the kernel's `error_log` shows behind `Command:` for it: the filter alone for filter
    /// errors, else `hist:` and all that follows the command word.
    #[must_use]
    pub fn logged_command(&self, text: &(impl AsRef<[u8]> + ?Sized)) -> BString {
        let text = command::trim(text.as_ref());
        if self.kind.in_filter() {
            return filter_of(text).to_owned();
        }
        let rest = command::split_command(text).map_or(BStr::new(""), |command| command.rest);
        let mut logged = BString::from("hist:");
        logged.push_str(rest);
        logged
    }

    /// The column of the kernel's caret below [`TriggerError::logged_command`], in bytes.
    ///
    /// For filter errors it follows from the span, which must cover: the name of an unknown field
    /// or function; the operand as written (quotes and braces included) if operator, form or
    /// value do not fit the field, or the operator if there is none. For the others it is where
    /// the offending text occurs first, which may be before the place that is meant; 0 if it does
    /// not occur, as for text with `.sym-offset`, which the kernel changes before it parses.
    #[must_use]
    pub fn kernel_position(&self, text: &(impl AsRef<[u8]> + ?Sized)) -> usize {
        let text = command::trim(text.as_ref());
        let filter_start = text.len() - filter_of(text).len();
        match self.kind.filter_caret() {
            Some(FilterCaret::Start(right)) => self.span.start.saturating_sub(filter_start) + right,
            Some(FilterCaret::End(right)) => self.span.end.saturating_sub(filter_start) + right,
            Some(FilterCaret::None) => 0,
            None if self.kind.without_place() => 0,
            None => {
                let scanned = text.replace(".sym-offset", ".symXoffset");
                self.logged_command(text).find(self.span.of(&scanned)).unwrap_or(0)
            }
        }
    }

    /// The message for people: what is wrong, the trigger with carets below the place, help. Ends
    /// in a newline. `source` is the trigger's text, with or without white space around it; bytes that
    /// are not UTF-8 are shown as U+FFFD.
    #[must_use]
    pub fn render(&self, source: &(impl AsRef<[u8]> + ?Sized)) -> String {
        let source = command::trim(source.as_ref());
        let mut message = format!("error: {}\n{}", self.kind.text(), marked(source, self.span));
        for sentence in &self.help {
            // Writing to a String cannot fail.
            let _ = writeln!(message, "  help: {sentence}");
        }
        message
    }

    /// The same error with one more sentence of help.
    #[must_use]
    pub fn help(mut self, sentence: impl Into<String>) -> Self {
        self.help.push(sentence.into());
        self
    }
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())
    }
}

impl std::error::Error for TriggerError {}

/// The filter in a trigger, `""` if there is none.
fn filter_of(text: &BStr) -> &BStr {
    command::split_command(text)
        .ok()
        .and_then(|command| command::split_filter(command.rest).ok())
        .and_then(|parts| parts.filter)
        .unwrap_or_default()
}

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

/// The candidate that `name` was probably meant to be: the one with the fewest changed, missing,
/// added or swapped characters, if those are at most a third of the longer name. Case does not
/// count; the first of several wins.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| distance * 3 <= name.len().max(candidate.len()).max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        check_render(&format!(" {text}\n"), Span::new(0, 4), &format!("  {text}\n  ^^^^"));
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

    #[test]
    fn nearest_name() {
        let names = ["call_site", "ptr", "bytes_req", "bytes_alloc", "node"];
        assert_eq!(nearest("callsite", names), Some("call_site"));
        assert_eq!(nearest("byets_req", names), Some("bytes_req"));
        assert_eq!(nearest("PTR", names), Some("ptr"));
        assert_eq!(nearest("ndoe", names), Some("node"));
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("gfp_flags", names), None);
        assert_eq!(nearest("x", []), None);
    }

    #[track_caller]
    fn check_position(text: &str, kind: Kind, part: &str, expect: usize) {
        let start = text.trim().find(part).unwrap();
        let error = TriggerError::new(kind, Span::new(start, start + part.len()));
        assert_eq!(error.kernel_position(text), expect, "{text:?} {part:?}");
    }

    #[test]
    fn kernel_position_is_the_first_occurrence() {
        check_position("hist:keys=no3", Kind::FieldNotFound, "no3", 10);
        check_position("!hist:keys=no3", Kind::FieldNotFound, "no3", 10);
        check_position("  hist   keys=no3\n", Kind::FieldNotFound, "no3", 10);
        check_position("hist:keys=common_cpu:sort=cpu", Kind::InvalidSortField, "cpu", 17);
        check_position("hist:keys=i:vals=i", Kind::FieldNotFound, "i", 1);
        check_position("hist:keys=a:vals=b.sym-offset", Kind::BadFieldModifier, "b.sym-offset", 0);
        check_position("hist:keys=a.b.sym-offset", Kind::FieldNotFound, "sym-offset", 0);
        check_position("hist:keys=a if zz==1", Kind::FieldNotFound, "a", 10);
        check_position("hist:keys=a:nohitcount", Kind::NeedNohitcountValue, "nohitcount", 0);
        check_position("hist:keys=a", Kind::FieldNotFound, "", 0);
    }

    #[test]
    fn kernel_position_of_errors_that_only_names_can_give() {
        let text = "hist:keys=a if  no==1 && s==5 && n.function==nofn && n==CPUS{9-1}";
        check_position(text, Kind::FilterFieldNotFound, "no", 4);
        check_position(text, Kind::FilterExpectString, "5", 14);
        check_position(text, Kind::FilterFunctionNotFound, "nofn", 35);
        check_position(text, Kind::FilterInvalidCpulist, "CPUS{9-1}", 50);
    }

    #[test]
    fn numbers_and_log_of_each_kind() {
        assert_eq!(Kind::FieldNotFound.errno(), libc::EINVAL);
        assert_eq!(Kind::DivisionByZero.errno(), libc::EDOM);
        assert_eq!(Kind::TriggerExists.errno(), libc::EEXIST);
        assert_eq!(Kind::FilterTooManyClose.errno(), libc::EPERM);
        assert_eq!(Kind::FilterTooManyOpen.errno(), libc::ENOENT);
        assert_eq!(Kind::FilterMissingQuote.errno(), libc::ESRCH);
        assert_eq!(Kind::FieldSize.errno(), libc::ENOMEM);
        assert!(Kind::FieldNotFound.logged());
        assert!(Kind::FilterMeaningless.logged());
        assert!(!Kind::NoKeys.logged());
        assert!(!Kind::UnaryMinus.logged());
    }
}
