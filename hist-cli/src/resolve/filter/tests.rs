//! Of several mistakes in a filter the kernel's own is reported, with its caret, and what is right
//! is bound as it should be.

use super::ranges;
use crate::diag::{Kind, Rejection};
use crate::kernel::Context;
use crate::kernel::EventName;
use crate::kernel::format::{EventFormat, FieldFormat, FieldId};
use crate::kernel::symbols::Symbols;
use crate::parse;
use crate::resolve;
use crate::resolve::hist::{Condition, Filter, Pattern, Room, TextField, TextSource};

const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81000100 T first
ffffffff81000100 T alias
ffffffff81000200 T second
ffffffff81000300 T _etext
";

fn event() -> EventFormat {
    let fields = [
        ("common_pid", "int", 4, 4, true),
        ("u64", "unsigned long", 8, 8, false),
        ("s8", "s8", 16, 1, true),
        ("s32", "int", 20, 4, true),
        ("text", "char[16]", 24, 16, false),
        ("dynamic", "__data_loc char[]", 40, 4, false),
        ("relative", "__rel_loc char[]", 44, 4, false),
        ("pointer", "const char *", 48, 8, false),
        ("mask", "__data_loc cpumask_t", 56, 4, false),
        ("args", "unsigned long[6]", 64, 48, false),
        ("comm8", "char[8]", 112, 8, false),
    ];
    let field =
        |(name, type_name, offset, size, signed): (&str, &str, u32, u32, bool)| FieldFormat {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            offset,
            size,
            signed,
            common: name.starts_with("common_"),
        };
    let fields = fields.map(field).to_vec();
    EventFormat { name: EventName::new("sys", "event"), id: 1, all_calls: None, fields }
}

/// What becomes of a filter on a machine with 4 CPUs; with the trigger's text.
fn bind(filter: &str) -> (Result<Filter, Rejection>, String) {
    let symbols = Symbols::from_kallsyms(KALLSYMS);
    let context =
        Context { symbols: Some(symbols.table()), possible_cpus: Some(4), ..Context::default() };
    let text = format!("hist:keys=u64 if {filter}");
    let trigger = parse::trigger(&text).expect("only the filter may be wrong");
    let hist = resolve::hist(&trigger, &event(), &context);
    (hist.map(|hist| hist.filter.expect("there is one")), text)
}

#[track_caller]
fn check(filter: &str, expect: &str) {
    let (bound, _) = bind(filter);
    assert_eq!(bound.expect(filter).tree.to_string(), expect, "{filter}");
}

#[track_caller]
fn check_error(filter: &str, kind: Kind, position: usize) {
    let (bound, text) = bind(filter);
    let rejection = bound.expect_err(filter);
    let column = parse::quote(&text, rejection.log[0]).column;
    assert_eq!((rejection.error.kind, column), (kind, position), "{filter}");
}

#[test]
fn mistakes_are_the_kernels() {
    check_error("nope == 1", Kind::FilterFieldNotFound, 5);
    check_error("u64 == 1 && nope == 1", Kind::FilterFieldNotFound, 17);
    check_error("hitcount == 1", Kind::FilterFieldNotFound, 9);
    check_error("common_comm == 1", Kind::FilterFieldNotFound, 12);
    check_error("text == 1", Kind::FilterExpectString, 9);
    check_error("comm == 1", Kind::FilterExpectString, 9);
    check_error("pointer & 1", Kind::FilterExpectString, 11);
    check_error("text ~ 1", Kind::FilterExpectString, 8);
    check_error("u64 == \"a\"", Kind::FilterExpectNumber, 8);
    check_error("mask == \"a\"", Kind::FilterExpectNumber, 9);
    check_error("stacktrace == \"a\"", Kind::FilterExpectNumber, 15);
    check_error("text < \"a\"", Kind::FilterIllegalOperation, 8);
    check_error("u64 < \"a\"", Kind::FilterIllegalOperation, 7);
    check_error("u64 ~ 1", Kind::FilterIllegalOperation, 7);
    check_error("s8 == 9z", Kind::FilterIllegalInteger, 7);
    check_error("u64 == -1", Kind::FilterIllegalInteger, 8);
    check_error("s32 == 9223372036854775808", Kind::FilterIllegalInteger, 8);
    check_error("cpu == 9223372036854775808", Kind::FilterIllegalInteger, 8);
    check_error("text == a", Kind::FilterInvalidValue, 9);
}

#[test]
fn mistakes_with_cpus_are_the_kernels() {
    check_error("text == CPUS{1}", Kind::FilterIllegalOperation, 9);
    check_error("comm == CPUS{1}", Kind::FilterIllegalOperation, 9);
    check_error("stacktrace == CPUS{1}", Kind::FilterIllegalOperation, 15);
    check_error("cpu < CPUS{1}", Kind::FilterIllegalOperation, 7);
    check_error("cpu ~ CPUS{1", Kind::FilterIllegalOperation, 7);
    check_error("cpu == CPUS", Kind::FilterMissingBraceOpen, 13);
    check_error("cpu == CPUS{1", Kind::FilterMissingBraceClose, 14);
    check_error("cpu == CPUS{}", Kind::FilterInvalidCpulist, 13);
    check_error("cpu == CPUS{4}", Kind::FilterInvalidCpulist, 14);
    check_error("mask & CPUS{3-1}", Kind::FilterInvalidCpulist, 16);
}

#[test]
fn mistakes_with_functions_are_the_kernels() {
    check_error("s32.function == first", Kind::FilterIllegalOperation, 17);
    check_error("cpu.function == first", Kind::FilterIllegalOperation, 17);
    check_error("u64.function < first", Kind::FilterInvalidOperator, 16);
    check_error("u64.function == third", Kind::FilterFunctionNotFound, 22);
    check_error("(u64.function == first)", Kind::FilterFunctionNotFound, 24);
    check_error("u64.function == 0x10", Kind::FilterFunctionNotFound, 21);
    check_error("u64.function == 9z", Kind::FilterInvalidValue, 19);
}

#[test]
fn predicates_mean_what_the_kernel_means() {
    check("s8 == 255", "s8 == -1");
    check("cpu == -1", "cpu == -1");
    check("cpu & 1", "false");
    check("args == 1", "false");
    check("args & CPUS{1,2}", "false");
    check("STACKTRACE != 1", "false");
    check("cpu == CPUS{1,2}", "false");
    check("cpu & CPUS{ }", "false");
    check("s8 != CPUS{1}", "!s8 == CPUS{1}");
    check("u64.function != alias", "!u64.function == alias");
    check("pointer.ustring != 'a'", "pointer.ustring != \"a\"");
}

fn only(filter: &str) -> Condition {
    bind(filter).0.expect(filter).tree
}

#[test]
fn ranges_are_those_that_the_kernel_compares() {
    let within = |filter| match only(filter) {
        Condition::Within(within) => {
            (within.source.shown(&event().fields).to_string(), within.ranges)
        }
        other => panic!("{filter}: {other}"),
    };
    let (first, last) = (0xffff_ffff_8100_0100, 0xffff_ffff_8100_01ff);
    assert_eq!(within("u64.function == alias"), ("u64 at record +8".into(), vec![(first, last)]));
    assert_eq!(within("u64.function == 0xffffffff81000180").1, [(first, last)]);
    // The field's own bits for one CPU, those of an `unsigned int` for several.
    assert_eq!(within("u64 == CPUS{2}"), ("u64 at record +8".into(), vec![(2, 2)]));
    assert_eq!(within("s8 & CPUS{2}"), ("u8 at record +16".into(), vec![(2, 2)]));
    assert_eq!(within("u64 & CPUS{0,2-3}"), ("u32 at record +8".into(), vec![(0, 0), (2, 3)]));
    assert_eq!(within("s8 != CPUS{0,2}"), ("u8 at record +16".into(), vec![(0, 3)]));
    assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), [(0, 2), (5, 5), (7, 8)]);
}

#[test]
fn strings_are_where_their_fields_say() {
    let text = |filter| match only(filter) {
        Condition::Text(test) => (test.source, test.pattern, test.negated),
        other => panic!("{filter}: {other}"),
    };
    let exact = || Pattern::Exact(b"a*".to_vec());
    // By their places in the format.
    let varying = |id| TextSource::Field(TextField { field: FieldId(id), room: Room::Varying });
    let fixed = TextSource::Field(TextField { field: FieldId(4), room: Room::Array(16) });
    let pointer = |user| TextSource::Pointer { field: FieldId(7), user };
    assert_eq!(text("text != \"a*\""), (fixed, exact(), true));
    assert_eq!(text("text.ustring == \"a*\""), (fixed, exact(), false));
    assert_eq!(text("dynamic == \"a*\""), (varying(5), exact(), false));
    assert_eq!(text("relative == \"a*\""), (varying(6), exact(), false));
    assert_eq!(text("pointer == \"a*\""), (pointer(false), exact(), false));
    assert_eq!(text("pointer.ustring == \"a*\""), (pointer(true), exact(), false));
    assert_eq!(text("COMM == \"a*\""), (TextSource::Comm, exact(), false));
    assert_eq!(text("comm ~ \"!a*\""), (TextSource::Comm, Pattern::Prefix(b"a".to_vec()), true));
}

#[test]
fn what_is_not_known_is_refused() {
    let trigger = |filter| parse::trigger(&format!("hist:keys=u64 if {filter}")).unwrap();
    for filter in ["u64.function == first", "cpu == CPUS{1}"] {
        let rejection = resolve::hist(&trigger(filter), &event(), &Context::default());
        assert_eq!(rejection.unwrap_err().error.kind, Kind::NotSupported, "{filter}");
    }
}

/// `did you mean common_comm?`
#[test]
fn a_name_was_corrected_to_itself() {
    for name in ["common_comm", "common_timestamp", "common_stacktrace", "hitcount"] {
        let trigger = parse::trigger(&format!("hist:keys=u64 if {name} == 1")).unwrap();
        let rejection = resolve::hist(&trigger, &event(), &Context::default()).unwrap_err();
        let text = rejection.error.render(&trigger.text);
        assert!(!text.contains("did you mean"), "{text}");
    }
}
