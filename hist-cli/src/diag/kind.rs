//! The table of everything that can be wrong with a trigger: one row per kind, with the kernel's
//! words, its error number and where it puts its caret.
//!
//! The wording is the kernel's own (`err_text` in kernel/trace/trace_events_hist.c, `ERRORS` in
//! trace_events_filter.c), so that a reader of `error_log` feels at home and tests can compare.

use Caret::{End, Nowhere, Start, Text};

/// Which table of errors a kind is from. It decides what `error_log` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The kernel's errors of histograms, logged with the whole command.
    Hist,
    /// The kernel's errors of filters, logged with the filter alone.
    Filter,
    /// None: the kernel answers with a bare error number and logs nothing.
    Bare,
    /// Ours: the kernel would accept the command. It is logged with the reason.
    Ours,
}

/// Where the caret of an entry in `error_log` stands, in bytes from the start of the command that
/// the entry quotes.
///
/// In filters the span must cover the name of an unknown field or function; the operand as written
/// (quotes and braces included) if operator, form or value do not fit the field, or the operator if
/// there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caret {
    /// Column 0.
    Nowhere,
    /// Where the marked text occurs first, which may be before the place that is meant. Column 0
    /// if it does not occur, as for text with `.sym-offset`, which the kernel changes before it
    /// parses.
    Text,
    /// That many bytes right of the first marked byte. The kernel's scan of a filter is often one
    /// byte further than what it means.
    Start(usize),
    /// That many bytes right of the end of the marked text.
    End(usize),
}

/// All that is known of a kind.
struct Row {
    text: &'static str,
    errno: i32,
    origin: Origin,
    caret: Caret,
}

/// Makes [`Kind`] from its table. A macro, because an enum's variants, their list and the rows
/// would otherwise be three places to keep alike.
macro_rules! kinds {
    ($($origin:ident { $($kind:ident: $text:literal, $errno:ident, $caret:expr;)* })*) => {
        /// What can be wrong with a trigger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(
                #[doc = concat!("“", $text, "”")]
                $kind,
            )*)*
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &[Self] = &[$($(Self::$kind),*),*];

            const fn row(self) -> Row {
                match self {
                    $($(Self::$kind => Row {
                        text: $text,
                        errno: libc::$errno,
                        origin: Origin::$origin,
                        caret: $caret,
                    },)*)*
                }
            }
        }
    };
}

// The filter parser returns some plain -1, -2 and -3, which read as EPERM, ENOENT and ESRCH.
kinds! {
    Hist {
        EmptyAssignment: "Empty assignment", EINVAL, Text;
        FieldNotFound: "Couldn't find field", EINVAL, Text;
        BadFieldModifier: "Invalid field modifier", EINVAL, Text;
        InvalidSortField: "Sort field must be a key or a val", EINVAL, Text;
        InvalidSortModifier: "Invalid sort modifier", EINVAL, Text;
        EmptySortField: "Empty sort field", EINVAL, Text;
        TooManySortFields: "Too many sort fields (Max = 2)", EINVAL, Text;
        NeedNohitcountValue: "Non-hitcount value is required for 'nohitcount'", ENOENT, Nowhere;
        TriggerExists: "Hist trigger already exists", EEXIST, Nowhere;
        TriggerNotFound: "Can't clear or continue a nonexistent hist trigger", ENOENT, Nowhere;
        NamedMismatch:
            "Named hist trigger doesn't match existing named trigger (includes variables)",
            EINVAL, Text;
        SetClockFailed: "Couldn't set trace_clock", EINVAL, Text;
        TooManyVariables: "Too many variables defined", EINVAL, Text;
        MalformedAssignment: "Malformed assignment", EINVAL, Text;
        ExpectNumber: "Expecting numeric literal", EINVAL, Text;
        StringOperand: "String type can not be an operand in expression", EINVAL, Text;
        TooManySubexpressions: "Too many subexpressions (3 max)", EINVAL, Text;
        DivisionByZero: "Division by zero", EDOM, Text;
        UnaryMinusSubexpression: "Unary minus not supported in sub-expressions", EINVAL, Text;
        TimestampMismatch: "Timestamp units in expression don't match", EINVAL, Nowhere;
        VariableNotFound: "Couldn't find variable", EINVAL, Text;
    }
    Filter {
        FilterFieldNotFound: "Field not found", EINVAL, End(1);
        FilterInvalidOperator: "Invalid operator", EINVAL, Start(1);
        FilterExpectString: "Expecting string field", EINVAL, Start(1);
        FilterExpectNumber: "Expecting numeric field", EINVAL, Start(1);
        FilterIllegalOperation: "Illegal operation for field type", EINVAL, Start(1);
        FilterIllegalInteger: "Illegal integer value", EINVAL, Start(1);
        FilterInvalidValue: "Invalid value (did you forget quotes)?", EINVAL, Start(1);
        FilterOperandTooLong: "Operand too long", EINVAL, End(1);
        FilterMissingBraceOpen: "Missing '{'", EINVAL, End(2);
        FilterMissingBraceClose: "Missing '}'", EINVAL, End(1);
        FilterInvalidCpulist: "Invalid cpulist", EINVAL, End(0);
        FilterFunctionNotFound: "Function not found", EINVAL, End(1);
        FilterTooManyPredicates: "Too many terms in predicate expression", EPERM, Start(0);
        FilterMissingQuote: "Missing matching quote", ESRCH, Start(0);
        FilterTooManyOpen: "Too many '('", ENOENT, Start(0);
        FilterTooManyClose: "Too few '('", EPERM, Start(0);
        FilterEmpty: "No filter found", EINVAL, End(0);
        FilterMeaningless: "Meaningless filter expression", EINVAL, End(0);
        FilterError: "Error", EINVAL, Nowhere;
        FilterNoField: "Error", EPERM, Nowhere;
    }
    Bare {
        UnknownCommand: "Not a hist trigger", EINVAL, Nowhere;
        UnknownWord: "Unknown word in trigger", EINVAL, Nowhere;
        EmptyParameter: "Empty parameter", EINVAL, Nowhere;
        NoKeys: "No keys given", EINVAL, Nowhere;
        BadSize: "Size must be from 65 to 131072", EINVAL, Nowhere;
        SizeOverflow: "Size must be from 65 to 131072", ERANGE, Nowhere;
        TooManyKeys: "Too many keys (Max = 3)", EINVAL, Nowhere;
        TooManyValues: "Too many values (Max = 2 besides hitcount)", EINVAL, Nowhere;
        KeyTooLarge: "Keys are too large together", EINVAL, Nowhere;
        UnaryMinus: "Unary minus needs parentheses around its operand", EINVAL, Nowhere;
        MissingOperand: "Operator needs an operand on both sides", EINVAL, Nowhere;
        TooManyHandlers: "Too many handlers (Max = 8)", EINVAL, Nowhere;
        MalformedIf: "Malformed 'if'", EINVAL, Nowhere;
        TooLong: "Trigger is too long (Max = 4095 bytes)", EINVAL, Nowhere;
        FieldSize: "Field has a size that cannot be counted", ENOMEM, Nowhere;
    }
    Ours {
        NotSupported: "Not supported yet", EOPNOTSUPP, Text;
    }
}

impl Kind {
    /// The message: the kernel's own where it has one.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// The error number with which the kernel answers the write if nothing else is wrong.
    #[must_use]
    pub const fn errno(self) -> i32 {
        self.row().errno
    }

    /// The table that it is from.
    #[must_use]
    pub const fn origin(self) -> Origin {
        self.row().origin
    }

    /// How the caret in `error_log` is found.
    #[must_use]
    pub const fn caret(self) -> Caret {
        self.row().caret
    }

    /// It makes an entry in `error_log`.
    #[must_use]
    pub const fn logged(self) -> bool {
        match self.origin() {
            Origin::Hist | Origin::Filter | Origin::Ours => true,
            Origin::Bare => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says is the same for two kinds only if it gives them no words: then the
    /// error number tells them apart.
    #[test]
    fn no_two_rows_are_alike() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert!(!kind.text().is_empty() && kind.errno() > 0, "{kind:?}");
            for other in &Kind::ALL[..index] {
                let same = (kind.text(), kind.origin()) == (other.text(), other.origin());
                assert!(!same || kind.errno() != other.errno(), "{kind:?} and {other:?}");
            }
        }
    }

    /// The kernel searches a histogram's command for text, and counts along in a filter.
    #[test]
    fn each_table_has_its_ways_to_find_the_caret() {
        for kind in Kind::ALL {
            let fits = match kind.origin() {
                Origin::Hist | Origin::Ours => matches!(kind.caret(), Nowhere | Text),
                Origin::Filter => matches!(kind.caret(), Nowhere | Start(0..=1) | End(0..=2)),
                Origin::Bare => kind.caret() == Nowhere,
            };
            assert!(fits, "{kind:?}");
        }
    }
}
