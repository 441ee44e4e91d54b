//! For each kind of error a command that provokes it, with what the kernel answers and logs then;
//! how several errors of one command come into the log; and what other failures answer.

use std::io;
use std::time::Duration;

use super::{Bench, event};
use crate::diag::{Kind, Logged, Rejection, Span, TriggerError};
use crate::kernel::EventNameError;
use crate::kernel::error::EventError;
use crate::load::{ControlError, FocusError, LoadError};
use crate::pipeline::CompileError;
use crate::plan::PlanError;
use crate::read::ReadError;
use crate::session::{ErrorLog, SessionError};

/// A command on the event `t:one`.
struct Example {
    kind: Kind,
    /// What has been written before.
    before: &'static str,
    text: String,
    errno: i32,
    /// The entries in `error_log`: the message and the caret's column.
    log: Vec<(&'static str, usize)>,
}

/// A wrong command that the kernel logs as it answers it, with one entry.
fn logged(
    kind: Kind,
    text: impl Into<String>,
    errno: i32,
    message: &'static str,
    column: usize,
) -> Example {
    Example { kind, before: "", text: text.into(), errno, log: vec![(message, column)] }
}

/// A wrong filter.
fn filter(kind: Kind, filter: &str, errno: i32, message: &'static str, column: usize) -> Example {
    logged(kind, format!("hist:keys=a if {filter}"), errno, message, column)
}

/// A wrong command that the kernel does not log.
fn bare(kind: Kind, text: impl Into<String>, errno: i32) -> Example {
    Example { kind, before: "", text: text.into(), errno, log: Vec::new() }
}

#[rustfmt::skip]
fn examples() -> Vec<Example> {
    use libc::{EDOM, EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, ERANGE, ESRCH};
    vec![
        logged(Kind::EmptyAssignment, "hist:keys=", EINVAL, "Empty assignment", 5),
        logged(Kind::FieldNotFound, "hist:keys=no", EINVAL, "Couldn't find field", 10),
        logged(Kind::BadFieldModifier, "hist:keys=a.no", EINVAL, "Invalid field modifier", 12),
        logged(Kind::InvalidSortField, "hist:keys=a:sort=no", EINVAL, "Sort field must be a key or a val", 17),
        logged(Kind::InvalidSortModifier, "hist:keys=a:sort=a.up", EINVAL, "Invalid sort modifier", 19),
        logged(Kind::EmptySortField, "hist:keys=a:sort=a,", EINVAL, "Empty sort field", 12),
        logged(Kind::TooManySortFields, "hist:keys=a,b:sort=a,b,hitcount", EINVAL, "Too many sort fields (Max = 2)", 14),
        logged(Kind::NeedNohitcountValue, "hist:keys=a:nohitcount", ENOENT, "Non-hitcount value is required for 'nohitcount'", 0),
        Example {
            before: "hist:keys=a",
            ..logged(Kind::TriggerExists, "hist:keys=a", EEXIST, "Hist trigger already exists", 0)
        },
        logged(Kind::TriggerNotFound, "hist:keys=a:clear", ENOENT, "Can't clear or continue a nonexistent hist trigger", 0),
        Example {
            before: "hist:name=n:keys=a",
            ..logged(
                Kind::NamedMismatch, "hist:keys=b:name=n", EINVAL,
                "Named hist trigger doesn't match existing named trigger (includes variables)", 12,
            )
        },
        logged(Kind::SetClockFailed, "hist:keys=common_timestamp:clock=no", EINVAL, "Couldn't set trace_clock", 33),
        logged(Kind::TooManyVariables, "hist:keys=a".to_owned() + &":x=b".repeat(17), EINVAL, "Too many variables defined", 12),
        logged(Kind::MalformedAssignment, "hist:keys=a:x=b,c", EINVAL, "Malformed assignment", 16),
        logged(Kind::ExpectNumber, "hist:keys=a:vals=1x", EINVAL, "Expecting numeric literal", 17),
        logged(Kind::StringOperand, "hist:keys=comm+1", EINVAL, "String type can not be an operand in expression", 10),
        logged(Kind::TooManySubexpressions, "hist:keys=a:vals=b+c+d+a+b", EINVAL, "Too many subexpressions (3 max)", 17),
        logged(Kind::DivisionByZero, "hist:keys=a:vals=a/0", EDOM, "Division by zero", 19),
        logged(Kind::UnaryMinusSubexpression, "hist:keys=-(a)+b", EINVAL, "Unary minus not supported in sub-expressions", 12),
        logged(Kind::TimestampMismatch, "hist:keys=common_timestamp.usecs-b", EINVAL, "Timestamp units in expression don't match", 0),
        Example {
            log: vec![("Couldn't find variable", 11), ("Couldn't find field", 10)],
            ..bare(Kind::VariableNotFound, "hist:keys=$v", EINVAL)
        },
        filter(Kind::FilterFieldNotFound, "no==1", EINVAL, "Field not found", 3),
        filter(Kind::FilterInvalidOperator, "a=1", EINVAL, "Invalid operator", 2),
        filter(Kind::FilterExpectString, "comm==1", EINVAL, "Expecting string field", 7),
        filter(Kind::FilterExpectNumber, "a==\"x\"", EINVAL, "Expecting numeric field", 4),
        filter(Kind::FilterIllegalOperation, "comm<\"x\"", EINVAL, "Illegal operation for field type", 6),
        filter(Kind::FilterIllegalInteger, "a==1x", EINVAL, "Illegal integer value", 4),
        filter(Kind::FilterInvalidValue, "a==x", EINVAL, "Invalid value (did you forget quotes)?", 4),
        filter(Kind::FilterOperandTooLong, "a==111111111111111111111111", EINVAL, "Operand too long", 28),
        filter(Kind::FilterMissingBraceOpen, "cpu==CPUS", EINVAL, "Missing '{'", 11),
        filter(Kind::FilterMissingBraceClose, "cpu==CPUS{1", EINVAL, "Missing '}'", 12),
        filter(Kind::FilterInvalidCpulist, "cpu==CPUS{9}", EINVAL, "Invalid cpulist", 12),
        filter(Kind::FilterFunctionNotFound, "b.function==no", EINVAL, "Function not found", 15),
        filter(Kind::FilterTooManyPredicates, "a==1 b==2", EPERM, "Too many terms in predicate expression", 5),
        filter(Kind::FilterMissingQuote, "comm==\"x", ESRCH, "Missing matching quote", 6),
        filter(Kind::FilterTooManyOpen, "(a==1", ENOENT, "Too many '('", 0),
        filter(Kind::FilterTooManyClose, "a==1)", EPERM, "Too few '('", 4),
        filter(Kind::FilterEmpty, "!", EINVAL, "No filter found", 1),
        filter(Kind::FilterMeaningless, "a==1&&", EINVAL, "Meaningless filter expression", 6),
        filter(Kind::FilterError, "()", EINVAL, "Error", 0),
        filter(Kind::FilterNoField, "==1", EPERM, "Error", 0),
        bare(Kind::UnknownCommand, "traceon", EINVAL),
        bare(Kind::UnknownWord, "hist:keys=a:no", EINVAL),
        bare(Kind::EmptyParameter, "hist:keys=a::pause", EINVAL),
        bare(Kind::NoKeys, "hist:vals=a", EINVAL),
        bare(Kind::BadSize, "hist:keys=a:size=64", EINVAL),
        bare(Kind::SizeOverflow, "hist:keys=a:size=99999999999999999999", ERANGE),
        bare(Kind::TooManyKeys, "hist:keys=a,b,c,d", EINVAL),
        bare(Kind::TooManyValues, "hist:keys=a:vals=b,c,d", EINVAL),
        bare(Kind::KeyTooLarge, "hist:keys=comm,comm", EINVAL),
        bare(Kind::UnaryMinus, "hist:keys=-a", EINVAL),
        bare(Kind::MissingOperand, "hist:keys=a+", EINVAL),
        bare(Kind::TooManyHandlers, "hist:keys=a".to_owned() + &":onmax($x)".repeat(9), EINVAL),
        bare(Kind::MalformedIf, "hist:keys=a if", EINVAL),
        bare(Kind::TooLong, "hist:keys=".to_owned() + &"a".repeat(4096), EINVAL),
        bare(Kind::FieldSize, "hist:keys=array", ENOMEM),
        logged(
            Kind::NotSupported, "hist:keys=a:x=b", EOPNOTSUPP,
            "Not supported yet: `x=` defines a variable: histograms across events (variables, \
             handlers, synthetic events) are not supported yet", 12,
        ),
    ]
}

/// The entries of a log: the message and the caret's column.
fn entries(log: &str) -> Vec<(&str, usize)> {
    let mut lines = log.lines();
    let mut entries = Vec::new();
    while let (Some(head), Some(_), Some(caret)) = (lines.next(), lines.next(), lines.next()) {
        let (_, message) = head.split_once(": error: ").expect("a message");
        entries.push((message, caret.len() - "  Command: ^".len()));
    }
    entries
}

fn check(example: &Example) {
    let Example { kind, before, text, errno, log } = example;
    let mut bench = Bench::with(if before.is_empty() { &[] } else { std::slice::from_ref(before) });
    let error = bench.session.write(&event("one"), text.as_bytes()).expect_err(text);
    let SessionError::Trigger { rejection, .. } = &error else { panic!("{text}: {error}") };
    assert_eq!((rejection.error.kind, error.errno()), (*kind, *errno), "{text}");
    assert_eq!(entries(&bench.session.error_log().to_string()), *log, "{text}");
}

#[test]
fn each_kind_is_provoked_by_a_command() {
    let examples = examples();
    for example in &examples {
        check(example);
    }
    for kind in Kind::ALL {
        assert!(examples.iter().any(|example| example.kind == *kind), "nothing raises {kind:?}");
    }
}

#[test]
fn a_command_may_log_several_errors_and_answer_with_another_number() {
    let text = "hist:keys=a:onmatch(t.two).trace($lat)";
    let span = |part: &str| {
        let start = text.find(part).expect(part);
        Span::new(start, start + part.len())
    };
    let rejection = Rejection {
        errno: libc::EEXIST,
        log: vec![
            Logged::new(Kind::VariableNotFound, span("lat")),
            Logged::new(Kind::FieldNotFound, span("$lat")),
            Logged::new(Kind::TriggerExists, span("t.two")),
        ],
        ..TriggerError::new(Kind::BadFieldModifier, span("$lat")).into()
    };
    let error = SessionError::Trigger { rejection, text: text.into() };
    assert_eq!(error.errno(), libc::EEXIST);
    assert!(error.to_string().starts_with("error: Invalid field modifier\n"), "{error}");
    let mut log = ErrorLog::default();
    log.record(Duration::ZERO, &event("one"), text.as_bytes(), &error);
    let expect = [
        ("Couldn't find variable", 34),
        ("Couldn't find field", 33),
        ("Hist trigger already exists", 0),
    ];
    assert_eq!(entries(&log.text().to_string()), expect);
}

/// Spans point into what is left then.
#[test]
fn white_space_around_a_command_moves_no_caret() {
    let mut bench = Bench::new();
    let error = bench.session.write(&event("one"), b" \n hist:keys=no \t\n").unwrap_err();
    let shown = "error: Couldn't find field\n  hist:keys=no\n            ^^\n  help: ";
    assert!(error.to_string().starts_with(shown), "{error}");
    assert_eq!(entries(&bench.session.error_log().to_string()), [("Couldn't find field", 10)]);
}

/// The caret was at what follows the first `$`, wherever that stood.
#[test]
fn a_dollar_in_another_events_name_was_taken_for_the_variables() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=t$.one.$nope"), libc::EINVAL);
    let expect = [("Couldn't find variable", 18), ("Couldn't find field", 17)];
    assert_eq!(entries(&bench.session.error_log().to_string()), expect);
}

#[test]
fn each_failure_answers_with_a_number_of_its_own() {
    let denied = || io::Error::from_raw_os_error(libc::EACCES);
    let map = || LoadError::Map { name: "HIST0".to_owned(), source: denied() };
    let cleared = ControlError::Clear { event: "t:one".to_owned(), source: denied() };
    let cases: [(SessionError, i32); 14] = [
        (EventError::Name(EventNameError("one".to_owned())).into(), libc::ENOENT),
        (EventError::LockedDown.into(), libc::EPERM),
        (CompileError::Plan(PlanError::NoLog { size: 512 }).into(), libc::EINVAL),
        (
            CompileError::trigger(TriggerError::new(Kind::FieldSize, Span::default()), b"").into(),
            libc::ENOMEM,
        ),
        (LoadError::Capabilities(vec!["CAP_BPF"]).into(), libc::EPERM),
        (LoadError::NoBpf.into(), libc::EOPNOTSUPP),
        (LoadError::Full { event: "t:one".to_owned() }.into(), libc::E2BIG),
        (map().into(), libc::EACCES),
        (LoadError::Internal("why".to_owned()).into(), libc::EIO),
        (ControlError::Reattach(map()).into(), libc::EACCES),
        (cleared.into(), libc::EACCES),
        (FocusError::Load(map()).into(), libc::EIO),
        (ReadError::Entries(denied()).into(), libc::EACCES),
        (ReadError::Losses(io::Error::other("no number")).into(), libc::EIO),
    ];
    for (error, errno) in cases {
        assert_eq!(error.errno(), errno, "{error}");
    }
}
