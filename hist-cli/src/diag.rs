//! Takes a source text, a place in it and what is wrong there. Gives the message with a caret
//! under the place; nothing else in the project draws carets.
//!
//! The kinds and their wording are those of the kernel's own table (`err_text` in
//! kernel/trace/trace_events_hist.c and `ERRORS` in trace_events_filter.c), so that a reader of
//! `error_log` feels at home and tests can compare. The kernel has one table for parsing and
//! resolving, hence so have we.

use std::fmt;

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

    /// The text that the span covers, or `""` if it lies outside of `source`.
    #[must_use]
    pub fn of(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or("")
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

    // The kernel answers these with a bare errno.
    UnknownCommand,
    UnknownWord,
    EmptyParameter,
    NoKeys,
    BadSize,
    TooManyKeys,
    TooManyValues,
    KeyTooLarge,
    UnaryMinus,
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
            Self::FilterError => "Error",
            Self::UnknownCommand => "Not a hist trigger",
            Self::UnknownWord => "Unknown word in trigger",
            Self::EmptyParameter => "Empty parameter",
            Self::NoKeys => "No keys given",
            Self::BadSize => "Size must be from 65 to 131072",
            Self::TooManyKeys => "Too many keys (Max = 3)",
            Self::TooManyValues => "Too many values (Max = 2 besides hitcount)",
            Self::KeyTooLarge => "Keys are too large together",
            Self::UnaryMinus => "Unary minus needs parentheses around its operand",
            Self::MalformedIf => "Malformed 'if'",
            Self::TooLong => "Trigger is too long (Max = 4095 bytes)",
            Self::FieldSize => "Field has a size that cannot be counted",
            Self::NotSupported => "Not supported yet",
        }
    }
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
}

impl TriggerError {
    /// An error without help.
    #[must_use]
    pub const fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span, help: Vec::new() }
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
