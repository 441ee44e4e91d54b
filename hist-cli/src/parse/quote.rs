//! How an entry of the kernel's `error_log` quotes a command, and in which column of the quotation
//! its caret stands (`tracing_log_err()` in kernel/trace/trace.c and what calls it).

use bstr::{BStr, BString, ByteSlice as _, ByteVec as _};

use super::command;
use crate::diag::{Caret, Logged, Origin};

/// A command as an entry quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What stands after `Command:`.
    pub command: BString,
    /// The caret's column below that, in bytes. For filters it may be up to two bytes further right
    /// than the command is long.
    pub column: usize,
}

/// The quotation in an entry about `text`, which may have white space around it.
#[must_use]
pub fn quote(text: &(impl AsRef<[u8]> + ?Sized), entry: Logged) -> Quote {
    let text = command::trim(text.as_ref());
    let command = quoted(text, entry.kind.origin());
    // What is quoted ends where the text does, so places differ by what is missing in front.
    let column_of = |at: usize| (at + command.len()).saturating_sub(text.len());
    let column = match entry.kind.caret() {
        Caret::Nowhere => 0,
        Caret::Start(right) => column_of(entry.span.start) + right,
        Caret::End(right) => column_of(entry.span.end) + right,
        Caret::Text => command.find(entry.span.of(&command::hide_minus(text))).unwrap_or(0),
    };
    Quote { command, column }
}

/// The filter alone, or `hist:` and all that follows the command word whatever separates them.
fn quoted(text: &BStr, origin: Origin) -> BString {
    match origin {
        Origin::Filter => command::filter_of(text).to_owned(),
        Origin::Hist | Origin::Bare | Origin::Ours => {
            let rest = command::split_command(text).map_or(BStr::new(""), |command| command.rest);
            let mut quoted = BString::from("hist:");
            quoted.push_str(rest);
            quoted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Kind, Span};

    #[track_caller]
    fn check_column(text: &str, kind: Kind, part: &str, expect: usize) {
        let start = text.trim().find(part).unwrap();
        let entry = Logged::new(kind, Span::new(start, start + part.len()));
        assert_eq!(quote(text, entry).column, expect, "{text:?} {part:?}");
    }

    #[test]
    fn the_caret_is_at_the_first_occurrence() {
        check_column("hist:keys=no3", Kind::FieldNotFound, "no3", 10);
        check_column("!hist:keys=no3", Kind::FieldNotFound, "no3", 10);
        check_column("  hist   keys=no3\n", Kind::FieldNotFound, "no3", 10);
        check_column("hist:keys=common_cpu:sort=cpu", Kind::InvalidSortField, "cpu", 17);
        check_column("hist:keys=i:vals=i", Kind::FieldNotFound, "i", 1);
        check_column("hist:keys=a:vals=b.sym-offset", Kind::BadFieldModifier, "b.sym-offset", 0);
        check_column("hist:keys=a.b.sym-offset", Kind::FieldNotFound, "sym-offset", 0);
        check_column("hist:keys=a if zz==1", Kind::FieldNotFound, "a", 10);
        check_column("hist:keys=a:nohitcount", Kind::NeedNohitcountValue, "nohitcount", 0);
        check_column("hist:keys=a", Kind::FieldNotFound, "", 0);
    }

    #[test]
    fn the_caret_in_a_filter_is_counted_from_the_span() {
        let text = "hist:keys=a if  no==1 && s==5 && n.function==nofn && n==CPUS{9-1}";
        check_column(text, Kind::FilterFieldNotFound, "no", 4);
        check_column(text, Kind::FilterExpectString, "5", 14);
        check_column(text, Kind::FilterFunctionNotFound, "nofn", 35);
        check_column(text, Kind::FilterInvalidCpulist, "CPUS{9-1}", 50);
    }
}
