//! One table per rule of the language. `check…` functions are the only callers of the parser.

mod random;

use super::ast::{Control, Expr, FilterExpr, Trigger};
use crate::diag::{Kind, Logged, TriggerError};
use crate::modifier::TABLE;

/// The error that a caller without names would report.
fn error_of(text: &str) -> Option<TriggerError> {
    match super::trigger(text) {
        Err(error) => Some(error),
        Ok(trigger) => trigger.first_error(),
    }
}

#[track_caller]
fn parsed(text: &str) -> Trigger {
    match super::trigger(text) {
        Ok(trigger) => trigger,
        Err(error) => panic!("{}", error.render(super::trim(text.as_bytes()))),
    }
}

/// `text` is right and means the same as `expect`.
#[track_caller]
fn check(text: &str, expect: &str) {
    let trigger = parsed(text);
    assert_eq!(trigger.first_error(), None, "{text:?}");
    assert_eq!(trigger.to_string(), expect, "{text:?}");
}

/// `text` has an error that marks `marked`.
#[track_caller]
fn check_error(text: &str, kind: Kind, marked: &str) {
    let error = error_of(text).unwrap_or_else(|| panic!("{text:?} has no error"));
    assert_eq!((error.kind, error.span.of(text.trim())), (kind, marked.into()), "{text:?}");
}

/// As [`check_error`], with the kernel's caret.
#[track_caller]
fn check_caret(text: &str, kind: Kind, marked: &str, position: usize) {
    check_error(text, kind, marked);
    let error = error_of(text).unwrap_or_else(|| panic!("{text:?} has no error"));
    assert_eq!(super::quote(text, Logged::from(&error)).column, position, "{text:?}");
}

// --- parameters ---------------------------------------------------------------------------------

#[test]
fn parameters_stand_in_any_order_and_spelling() {
    check("hist:keys=a", "hist:keys=a");
    check("hist:key=a:val=b", "hist:keys=a:vals=b");
    check("hist:values=b,c:keys=a,d,e", "hist:keys=a,d,e:vals=b,c");
    check("hist:size=128:sort=a:keys=a", "hist:keys=a:sort=a:size=128");
    check("!hist:keys=a:pause", "!hist:keys=a:pause");
    check("hist keys=a", "hist:keys=a");
    check("  hist:keys=a\n", "hist:keys=a");
    check("hist:keys=a:name=foo bar", "hist:name=foo bar:keys=a");
    check("hist:keys=a:clock= mono \t:size=128", "hist:keys=a:size=128:clock=mono");
    check("hist:keys=a:clock= :size=128", "hist:keys=a:clock= :size=128");
    check("hist:keys=a:vals=b:NOHC", "hist:keys=a:vals=b:nohitcount");
    check("hist:keys=a:continue", "hist:keys=a:cont");
    check("hist:keys=a:clear", "hist:keys=a:clear");
}

#[test]
fn nothing_is_trimmed_inside() {
    check("hist:keys= a,b : vals=c", "hist:keys= a,b : vals=c");
    let trigger = parsed("hist:keys= a,b : vals=c");
    assert!(trigger.values.is_empty());
    assert_eq!(trigger.variables.unwrap()[0].name.node, " vals");
    check("hist:keys=s32\nhist:keys=b", "hist:keys=b");
}

/// Written in a fixed order, a parameter must not come to the end that means something else there.
#[test]
fn blanks_at_the_end_of_parameters_survive() {
    check("hist:sort= :keys=a", "hist:keys=a:sort= :keys=a");
    check("hist:vals=b :keys=a:size=128:x=c ", "hist:keys=a:vals=b :x=c:size=128");
    check("hist:x= ifa:keys=a ", "hist:keys=a:x= ifa:keys=a");
    check("hist:pause:x=b :keys=a if c==1", "hist:keys=a:x=b :pause if c==1");
}

#[test]
fn the_last_of_repeated_parameters_wins() {
    check(
        "hist:keys=a:keys=b:vals=c:vals=d:sort=a:sort=b:size=128:size=256:name=x:name=y:clock=m:clock=n",
        "hist:name=y:keys=b:vals=d:sort=b:size=256:clock=n",
    );
    check("hist:keys=a:x=b:y=c,z=d", "hist:keys=a:x=b,y=c,z=d");
}

#[test]
fn pause_comes_before_cont_before_clear() {
    let control = |text| parsed(text).control.unwrap().node;
    assert_eq!(control("hist:clear:keys=a:cont:pause"), Control::PauseExisting);
    assert_eq!(control("hist:pause:keys=a:cont:clear"), Control::PauseExisting);
    assert_eq!(control("hist:pause:keys=a:pause"), Control::Pause);
    assert_eq!(control("hist:clear:keys=a:continue"), Control::Continue);
    assert_eq!(control("hist:cont:keys=a:clear"), Control::Continue);
    assert_eq!(control("hist:keys=a:clear"), Control::Clear);
}

#[test]
fn malformed_parameters() {
    check_error("", Kind::UnknownCommand, "");
    check_error("traceoff:1", Kind::UnknownCommand, "traceoff");
    check_error("hist", Kind::NoKeys, "hist");
    check_error("hist:vals=a", Kind::NoKeys, "vals=a");
    check_error("hist :keys=a", Kind::EmptyParameter, "");
    check_error("hist:keys=a:", Kind::EmptyParameter, "");
    check_error("hist:keys=a::vals=b", Kind::EmptyParameter, "");
    check_error("hist:keys=a:PAUSE", Kind::UnknownWord, "PAUSE");
    check_error("hist:keys=a:nohc", Kind::UnknownWord, "nohc");
    check_error("hist:keys", Kind::UnknownWord, "keys");
    check_error("hist:keys=a if", Kind::MalformedIf, "if");
    check_error("hist:if a==1", Kind::MalformedIf, "if a==1");
    check_caret("hist:keys=:vals=b", Kind::EmptyAssignment, "keys=", 5);
    check_caret("hist:keys=a:x=", Kind::EmptyAssignment, "x=", 12);
    // The scan sees only the first `=`, so this is a variable whose field has an odd name.
    check("hist:keys=a:b==", "hist:keys=a:b==");
    check("hist:keys=a:foo=bar", "hist:keys=a:foo=bar");
    check("hist:keys=a:=5", "hist:keys=a:=5");
}

#[test]
fn length_is_limited_to_a_page() {
    let text = |len: usize| format!("hist:keys={}", "a".repeat(len - "hist:keys=".len()));
    check(&text(4095), &text(4095));
    check_error(&text(4096), Kind::TooLong, "a");
    check_error(&format!("{}\n", text(4095)), Kind::TooLong, "");
}

#[test]
fn size_is_rounded_up() {
    let size = |text: &str| parsed(&format!("hist:keys=a:size={text}")).size.unwrap().node;
    assert_eq!(size("65"), 128);
    assert_eq!(size("128"), 128);
    assert_eq!(size("129"), 256);
    assert_eq!(size("0x100"), 256);
    assert_eq!(size("0200"), 128);
    assert_eq!(size("+128"), 128);
    assert_eq!(size("131072"), 131_072);
    for bad in ["0", "1", "64", "131073", "-1", "12z", " 128", "4294967297", "18446744073709551615"]
    {
        check_error(&format!("hist:keys=a:size={bad}:pause"), Kind::BadSize, bad.trim_end());
    }
    check_error(
        "hist:keys=a:size=18446744073709551616",
        Kind::SizeOverflow,
        "18446744073709551616",
    );
}

#[test]
fn keys_are_at_most_three() {
    check("hist:keys=a,b,c", "hist:keys=a,b,c");
    check_error("hist:keys=a,b,c,d,e", Kind::TooManyKeys, "d,e");
    check_error("hist:keys=a,b,c,", Kind::TooManyKeys, "");
    check("hist:keys=,a", "hist:keys=,a");
    // What is wrong with one of the first three comes first.
    check_error("hist:keys=a,5z,c,d", Kind::ExpectNumber, "5z");
}

#[track_caller]
fn check_values(values: &str, expect: &[&str]) {
    let trigger = parsed(&format!("hist:keys=a:vals={values}"));
    assert_eq!(trigger.first_error(), None, "{values:?}");
    let counted: Vec<String> = trigger.counted_values().iter().map(ToString::to_string).collect();
    assert_eq!(counted, expect, "{values:?}");
}

#[test]
fn hitcount_among_values() {
    check_values("hitcount", &[]);
    check_values("b,c", &["b", "c"]);
    check_values("b,c,hitcount", &["b", "c"]);
    check_values("hitcount,b,c", &["b", "c"]);
    check_values("hitcount,b,c,hitcount", &["b", "c"]);
    check_values("b,hitcount,c,hitcount", &["b", "c"]);
    check_values("hitcount,hitcount", &["hitcount"]);
    check_values("hitcount,hitcount,b", &["hitcount", "b"]);
    check_values("hitcount,hitcount,b,hitcount", &["hitcount", "b"]);
    check_values("hitcount.hex", &["hitcount.hex"]);
    check_values("x.y.hitcount", &["x.y.hitcount"]);
    check_values(",b", &["", "b"]);
    for (values, rest) in [
        ("b,c,d", "d"),
        ("b,c,", ""),
        ("b,c,hitcount,hitcount", "hitcount,hitcount"),
        ("hitcount,b,hitcount,c", "c"),
        ("hitcount,b,c,d", "d"),
    ] {
        check_error(&format!("hist:keys=a:vals={values}"), Kind::TooManyValues, rest);
    }
}

#[test]
fn nohitcount_needs_a_value() {
    check("hist:keys=a:vals=b:nohitcount", "hist:keys=a:vals=b:nohitcount");
    check(
        "hist:keys=a:vals=hitcount,hitcount:nohitcount",
        "hist:keys=a:vals=hitcount,hitcount:nohitcount",
    );
    check_caret("hist:keys=a:nohitcount", Kind::NeedNohitcountValue, "nohitcount", 0);
    check_caret("hist:keys=a:vals=hitcount:NOHC", Kind::NeedNohitcountValue, "NOHC", 0);
}

#[test]
fn sort_keys() {
    check("hist:keys=a:sort=a.descending,hitcount", "hist:keys=a:sort=a.descending,hitcount");
    check("hist:keys=a:sort=a.ascending", "hist:keys=a:sort=a");
    check("hist:keys=a:sort=b+c.descending", "hist:keys=a:sort=b+c.descending");
    for (sort, kind) in [
        ("a,", Kind::EmptySortField),
        (",a", Kind::EmptySortField),
        (".descending", Kind::EmptySortField),
        ("a,.hex", Kind::EmptySortField),
        ("a,,c", Kind::EmptySortField),
        ("a,b,c", Kind::TooManySortFields),
        ("a,b,", Kind::TooManySortFields),
        ("a,.x,c", Kind::TooManySortFields),
    ] {
        check_caret(&format!("hist:keys=a:sort={sort}"), kind, "sort=", 12);
    }
    check_caret("hist:keys=a:sort=a.hex", Kind::InvalidSortModifier, "hex", 19);
    check_caret("hist:keys=a:sort=a.", Kind::InvalidSortModifier, "", 0);
    check_error("hist:keys=a:sort=a.descending.x", Kind::InvalidSortModifier, "descending.x");
}

/// The kernel looks the first name up before it reads the second item, and a name before its
/// modifier; so all of them are kept.
#[test]
fn sort_errors_leave_the_names_before_them() {
    let sort = parsed("hist:keys=a:sort=no.foo,,").sort;
    assert_eq!(sort.len(), 2);
    let first = sort[0].as_ref().unwrap();
    assert_eq!(first.name.node, "no");
    assert_eq!(first.descending.as_ref().unwrap_err().kind, Kind::InvalidSortModifier);
    assert_eq!(sort[1].as_ref().unwrap_err().kind, Kind::EmptySortField);
    assert!(parsed("hist:keys=a").sort.is_empty());
}

#[test]
fn variables_are_split_at_commas() {
    check("hist:keys=a:x=b+1,keys=c", "hist:keys=a:x=b+1,keys=c");
    check("hist:keys=a:x=b=c", "hist:keys=a:x=b=c");
    check("hist:keys=a:x=b,y=", "hist:keys=a:x=b,y=");
    check_caret("hist:keys=a:x=b,c", Kind::MalformedAssignment, "c", 16);
    check_caret("hist:keys=a:x=b,", Kind::MalformedAssignment, "", 0);
    // Before anything in values.
    check_error("hist:keys=a:vals=5z:x=b,c", Kind::MalformedAssignment, "c");
}

#[test]
fn variables_are_at_most_sixteen() {
    let list = |n: usize, separator| {
        let items: Vec<String> = (0..n).map(|index| format!("v{index}=a")).collect();
        format!("hist:keys=a:{}", items.join(separator))
    };
    check(&list(16, ":"), &list(16, ","));
    check_error(&list(17, ":"), Kind::TooManyVariables, "v16=a");
    // What goes beyond 16 inside of one parameter is dropped.
    check(&list(18, ","), &list(16, ","));
    check_error(&format!("{}:w=a", list(16, ",")), Kind::TooManyVariables, "w");
    check_error(&format!("{},w=a", list(16, ":")), Kind::TooManyVariables, "w");
}

#[test]
fn handlers_are_kept_whole() {
    let text = "hist:keys=a:onmatch(s.e).trace(x,y):onmax($b).save(c):onchange($d).snapshot()";
    let handlers = parsed(text).handlers;
    let texts: Vec<_> = handlers.iter().map(|handler| handler.node.to_string()).collect();
    assert_eq!(texts, ["onmatch(s.e).trace(x,y)", "onmax($b).save(c)", "onchange($d).snapshot()"]);
    check(text, text);
    // An `=` makes a variable of it.
    check("hist:keys=a:onmax(x=b", "hist:keys=a:onmax(x=b");
    assert!(parsed("hist:keys=a:onmax(x=b").handlers.is_empty());
    check_error("hist:keys=a:onmatch", Kind::UnknownWord, "onmatch");
    let nine = format!("hist:keys=a{}", ":onmax(x".repeat(9));
    check_error(&nine, Kind::TooManyHandlers, "onmax(x");
}

#[test]
fn errors_come_in_the_kernels_order() {
    let mut text = String::from("hist:keys=1z:vals=2z:x=3z:sort=a.hex if b=");
    for (bad, good, kind) in [
        ("2z", "c", Kind::ExpectNumber),
        ("3z", "c", Kind::ExpectNumber),
        ("1z", "c", Kind::ExpectNumber),
        (".hex", "", Kind::InvalidSortModifier),
        ("b=", "b==1", Kind::FilterInvalidOperator),
    ] {
        let error = error_of(&text).unwrap();
        let start = text.rfind(bad).unwrap();
        assert_eq!(error.kind, kind, "{text}");
        assert!((start..start + bad.len()).contains(&error.span.start), "{text}");
        text.replace_range(start..start + bad.len(), good);
    }
    assert_eq!(error_of(&text), None, "{text}");
}

// --- expressions --------------------------------------------------------------------------------

/// The tree with every operator in parentheses.
fn shape(expr: &Expr) -> String {
    match expr {
        Expr::Binary(binary) => {
            format!("({} {} {})", shape(&binary.lhs), binary.op, shape(&binary.rhs))
        }
        Expr::Negate(operand) => format!("(- {})", shape(&operand.node)),
        Expr::VarRef(reference) => format!("ref {}", reference.text.node),
        Expr::Number(number) => format!("{}", number.node),
        Expr::Field(field) => match &field.prefix {
            Some(prefix) => format!("[{}]{}", prefix.node, field.name.node),
            None => field.to_string(),
        },
        Expr::Bad(error) => format!("{:?}", error.kind),
    }
}

#[track_caller]
fn check_expr(text: &str, expect: &str) {
    let trigger = parsed(&format!("hist:keys={text}"));
    assert_eq!(trigger.keys.len(), 1);
    assert_eq!(shape(&trigger.keys[0]), expect, "{text:?}");
}

#[test]
fn operators_split_at_the_rightmost_of_the_weakest() {
    check_expr("a+b", "(a + b)");
    check_expr("a-b-c", "((a - b) - c)");
    check_expr("a-b+c", "((a - b) + c)");
    check_expr("a*b+c/d", "((a * b) + (c / d))");
    check_expr("a/b*c", "((a / b) * c)");
    check_expr("a*2+0x10", "((a * 2) + 16)");
    check_expr("a*(b+c)", "((a * (b) + c))");
    check_expr("a-(b)", "(a - (b))");
}

#[test]
fn unary_minus_needs_parentheses_and_the_start() {
    check_expr("-(a)", "(- a)");
    check_expr("-(a+b)", "(- (a + b))");
    check_expr("-(a)-b", "((- a) - b)");
    check_expr("-(a)-b*c", "((- a) - (b * c))");
    check_expr("-x(a)", "(- (a)");
    check_expr("-()", "(- )");
    for text in ["-a", "-(a", "-", "-(", "-)("] {
        check_expr(text, "UnaryMinus");
    }
    check_expr("-(a-b)", "(UnaryMinus - b))");
    check_expr("-(-(a))", "(UnaryMinus - (a)))");
    check_expr("1+-(a)", "(MissingOperand - (a))");
    for text in ["+a", "a-", "a+", "a*", "/a", "+", "*"] {
        check_expr(text, "MissingOperand");
    }
    check_expr("a--b", "(MissingOperand - b)");
    check_error("hist:keys=-(a)+b", Kind::UnaryMinusSubexpression, "a)+b");
    check_error("hist:keys=-(a)*b", Kind::UnaryMinusSubexpression, "a)*b");
    // One byte is dropped, whatever it is part of.
    check_expr("-\u{e9}(a)", "(- \u{fffd}(a)");
}

#[test]
fn operators_are_at_most_three() {
    check_expr("a+b+c+d", "(((a + b) + c) + d)");
    check_caret("hist:keys=k:x=a+b+c+d+e", Kind::TooManySubexpressions, "a", 14);
    check_error("hist:keys=a+b*c*d*e", Kind::TooManySubexpressions, "b");
    check_expr("-(a)-b-c", "(((- a) - b) - c)");
    check_error("hist:keys=-(a)-b-c-d", Kind::TooManySubexpressions, "-(a)");
    check_error("hist:keys=-(a+b+c+d)", Kind::TooManySubexpressions, "a");
    // The limit is for each expression.
    check("hist:keys=a+b+c+d,a*b*c*d", "hist:keys=a+b+c+d,a*b*c*d");
}

#[test]
fn atoms() {
    check_expr("12", "12");
    check_expr("017", "15");
    check_expr("18446744073709551615", "18446744073709551615");
    check_error("hist:keys=18446744073709551616", Kind::ExpectNumber, "18446744073709551616");
    check_caret("hist:keys=b+9z", Kind::ExpectNumber, "9z", 12);
    check_error("hist:keys=5.a.b", Kind::ExpectNumber, "5.a.b");
    check_expr("$x", "ref $x");
    check_expr("$x.hex", "ref $x.hex");
    check_expr("sys.ev.$x", "ref sys.ev.$x");
    check_expr("$", "$");
    check_expr("sys.ev.$", "[sys.ev]$");
    check_expr("$sys.ev.x", "[$sys.ev]x");
    check_expr("sys.ev.a.hex", "[sys.ev]a");
    check_expr("a..b", "[a.]b");
    check_expr("stacktrace", "stacktrace");
    check_expr("(a)", "(a)");
    check_expr("\u{e9}\u{4e16}", "\u{e9}\u{4e16}");
}

#[test]
fn spans_of_expressions() {
    let text = "hist:keys=-(u.v.a.hex)-0x1F";
    let Expr::Binary(binary) = &parsed(text).keys[0] else { panic!("not binary") };
    assert_eq!(binary.span.of(text), "-(u.v.a.hex)-0x1F");
    let Expr::Negate(operand) = &binary.lhs else { panic!("not negated") };
    assert_eq!(operand.span.of(text), "-(u.v.a.hex)");
    let Expr::Field(field) = &operand.node else { panic!("not a field") };
    assert_eq!(field.span.of(text), "u.v.a.hex");
    assert_eq!(field.name.span.of(text), "a");
    assert_eq!(field.known_modifier().unwrap().span.of(text), "hex");
    let Expr::Number(number) = &binary.rhs else { panic!("not a number") };
    assert_eq!(number.span.of(text), "0x1F");
}

// --- modifiers ----------------------------------------------------------------------------------

#[test]
fn modifiers() {
    for row in &TABLE {
        let modifier = row.example();
        let text = format!("hist:keys=a.{modifier}:vals=b.{modifier}");
        check(&text, &text);
        let trigger = parsed(&text);
        let Expr::Field(field) = &trigger.keys[0] else { panic!("{text} is not a field") };
        assert_eq!(field.known_modifier().map(|known| known.node), Some(modifier));
    }
    check("hist:keys=a.bucket=0x10", "hist:keys=a.buckets=16");
    check("hist:keys=a.buckets=18446744073709551615", "hist:keys=a.buckets=18446744073709551615");
    check("hist:keys=a.percentfoo,b.graphs", "hist:keys=a.percent,b.graph");
}

#[test]
fn minus_of_sym_offset_is_no_operator() {
    check("hist:keys=a.sym-offset+1", "hist:keys=a.sym-offset+1");
    check("hist:keys=a.symXoffset", "hist:keys=a.sym-offset");
    check("hist:keys=a.sym-offset-b", "hist:keys=a.sym-offset-b");
    check("hist:keys=a if b~\".sym-offset\"", "hist:keys=a if b~\".sym-offset\"");
    assert_eq!(parsed("hist:keys=a.sym-offset").text, "hist:keys=a.sym-offset");
}

#[test]
fn bad_modifiers_mark_what_is_left() {
    for (field, marked, position) in [
        ("a.foo", "foo", 12),
        ("a.HEX", "HEX", 12),
        ("a.", "", 0),
        ("a.buckets", "", 0),
        ("a.bucketfoo", "foo", 18),
        ("a.bucketsx=3", "x=3", 19),
        ("a.buckets=", "", 0),
        ("a.buckets=0", "0", 20),
        ("a.bucket=9z", "9z", 19),
        ("x.y.a.b.c", "b.c", 16),
    ] {
        check_caret(&format!("hist:keys={field}"), Kind::BadFieldModifier, marked, position);
    }
    check_expr("a.buckets=-5", "(a.buckets= - 5)");
    check_expr("a.buckets=+10", "(a.buckets= + 10)");
}

// --- filters ------------------------------------------------------------------------------------

#[track_caller]
fn check_filter(filter: &str, expect: &str) {
    let trigger = parsed(&format!("hist:keys=k if {filter}"));
    assert_eq!(trigger.first_error(), None, "{filter:?}");
    let tree = trigger.filter.unwrap().tree.unwrap();
    assert_eq!(tree.to_string(), expect, "{filter:?}");
}

/// `position` and `errno` are the kernel's.
#[track_caller]
fn check_filter_error(filter: &str, kind: Kind, marked: &str, position: usize, errno: i32) {
    let text = format!("hist:keys=k if {filter}");
    check_caret(&text, kind, marked, position);
    assert_eq!(kind.errno(), errno, "{filter:?}");
    let error = error_of(&text).unwrap();
    assert_eq!(super::quote(&text, Logged::from(&error)).command, filter);
}

#[test]
fn filter_text_is_kept() {
    let text = |text| parsed(text).filter.unwrap().text.node;
    assert_eq!(text("hist:keys=k if a==1 "), "a==1");
    assert_eq!(text("hist:keys=k if    a==1"), "   a==1");
    assert_eq!(text("hist:keys=k  \tif\ta ==1"), "a ==1");
    check("hist:keys=k \tif   a ==1", "hist:keys=k if   a ==1");
}

#[test]
fn filter_operators() {
    for op in ["==", "!=", "<=", "<", ">=", ">", "&"] {
        check_filter(&format!("a{op}1"), &format!("a {op} 1"));
        check_filter(&format!(" a {op} 1"), &format!("a {op} 1"));
    }
    check_filter("a~\"*b\"", "a ~ \"*b\"");
}

#[test]
fn filter_operands() {
    check_filter("a==-0x1F", "a == -0x1F");
    check_filter("a==12z", "a == 12z");
    check_filter("a==-", "a == -");
    check_filter("a=='b'", "a == \"b\"");
    check_filter("a=='\"'", "a == '\"'");
    check_filter("a==\"(b) && '\"", "a == \"(b) && '\"");
    check_filter("a==\"\"", "a == \"\"");
    check_filter("a.ustring==\"b\"", "a.ustring == \"b\"");
    check_filter("a==CPUS{0-3, 5}", "a == CPUS{0-3, 5}");
    check_filter("a.function==vfs_read", "a.function == vfs_read");
    check_filter("a.function!=0xffff", "a.function != 0xffff");
    check_filter("(a.function==f )&&b==1", "a.function == f && b == 1");
    check_filter("!(b==1 || a.function==f )", "!(b == 1 || a.function == f )");
    check_filter("a.ustring.function==f", "a.ustring.function == f");
}

#[test]
fn filter_precedence() {
    check_filter("a==1&&b==2||c==3", "a == 1 && b == 2 || c == 3");
    check_filter("a==1&&(b==2||c==3)", "a == 1 && (b == 2 || c == 3)");
    check_filter("(a==1&&b==2)||c==3", "a == 1 && b == 2 || c == 3");
    check_filter("(a==1||b==2)||c==3", "(a == 1 || b == 2) || c == 3");
    check_filter("(((a==1)))", "a == 1");
    check_filter("!a==1", "!a == 1");
    check_filter("!!a==1", "a == 1");
    check_filter("! ! !(a==1)", "!a == 1");
    check_filter("!(!(a==1))", "a == 1");
    check_filter("!(a==1&&!b==2)||c==3", "!(a == 1 && !b == 2) || c == 3");
    check_filter("!a==1&&b==2", "!a == 1 && b == 2");
    check_filter("!(a==1)&&b==2", "!a == 1 && b == 2");
}

#[test]
fn filter_balance_is_checked_first() {
    use libc::{ENOENT, EPERM, ESRCH};
    let (quote, open, close) =
        (Kind::FilterMissingQuote, Kind::FilterTooManyOpen, Kind::FilterTooManyClose);
    check_filter_error("; a==\"b", quote, "\"b", 5, ESRCH);
    check_filter_error("a=='x' && b=='y", quote, "'y", 13, ESRCH);
    check_filter_error("(a==\"b", quote, "\"b", 4, ESRCH);
    check_filter_error("(a==1", open, "(", 0, ENOENT);
    check_filter_error("((a==1)", open, "(", 0, ENOENT);
    check_filter_error("(a==1)&&(b==2", open, "(", 8, ENOENT);
    check_filter_error("(a==1 && (b==2", open, "(", 9, ENOENT);
    check_filter_error("a==1)", close, ")", 4, EPERM);
    check_filter_error("; ) \"", close, ")", 2, EPERM);
    check_filter("a==\"(\"", "a == \"(\"");
}

#[test]
fn filter_without_meaning() {
    use libc::{EINVAL, EPERM};
    check_filter_error("()", Kind::FilterError, "()", 0, EINVAL);
    check_filter_error("( ( ) )", Kind::FilterError, "( ( ) )", 0, EINVAL);
    check_filter_error("!", Kind::FilterEmpty, "!", 1, EINVAL);
    check_filter_error("! !", Kind::FilterEmpty, "! !", 3, EINVAL);
    check_filter_error("a==1 &&", Kind::FilterMeaningless, "&&", 7, EINVAL);
    check_filter_error("a==1||  !", Kind::FilterMeaningless, "||  !", 9, EINVAL);
    for (filter, marked) in [
        (";", ";"),
        ("-1==x", "-"),
        ("&& a==1", "&"),
        ("!=1", "!"),
        ("(a==1 && )", ")"),
        ("a==1 || ~b", "~"),
        ("() a==1", ")"),
    ] {
        check_filter_error(filter, Kind::FilterNoField, marked, 0, EPERM);
    }
}

#[test]
fn filter_predicate_errors() {
    use libc::EINVAL;
    let (op, value) = (Kind::FilterInvalidOperator, Kind::FilterInvalidValue);
    check_filter_error("abc", op, "", 4, EINVAL);
    check_filter_error("abc = 5", op, "=", 5, EINVAL);
    check_filter_error("abc !~ 5", op, "!~", 5, EINVAL);
    check_filter_error("x==1 && abc.hex==5", op, ".", 12, EINVAL);
    check_filter_error("a==", value, "", 4, EINVAL);
    check_filter_error("a== foo && b==1", value, "foo", 5, EINVAL);
    check_filter_error("a===1", value, "=1", 4, EINVAL);
    check_filter_error("a<>1", value, ">1", 3, EINVAL);
    check_filter_error("a==+1", value, "+1", 4, EINVAL);
    check_filter_error("a&&b==1", value, "", 3, EINVAL);
    check_filter_error("a<\"x\"", Kind::FilterIllegalOperation, "\"x\"", 3, EINVAL);
    let (list, open, close) =
        (Kind::FilterInvalidCpulist, Kind::FilterMissingBraceOpen, Kind::FilterMissingBraceClose);
    check_filter_error("a==CPUS", open, "CPUS", 9, EINVAL);
    check_filter_error("a==CPUS 1}", open, "CPUS", 9, EINVAL);
    check_filter_error("a==CPUS{1", close, "CPUS{1", 10, EINVAL);
    check_filter_error("a==CPUS{}", list, "CPUS{}", 9, EINVAL);
}

#[test]
fn filter_operands_have_a_length() {
    use libc::EINVAL;
    let long = Kind::FilterOperandTooLong;
    let text = |len: usize| format!("a==\"{}\"", "b".repeat(len));
    let number = |len: usize| format!("a=={}", "1".repeat(len));
    check_filter(&text(255), &format!("a == \"{}\"", "b".repeat(255)));
    check_filter_error(&text(256), long, &"b".repeat(256), 261, EINVAL);
    check_filter(&number(23), &format!("a == {}", "1".repeat(23)));
    check_filter_error(&number(24), long, &"1".repeat(24), 28, EINVAL);
    check_filter_error(
        &format!("a==-{}", "1".repeat(23)),
        long,
        &format!("-{}", "1".repeat(23)),
        28,
        EINVAL,
    );
}

#[test]
fn filter_junk_behind_a_predicate() {
    for (filter, marked, position) in [
        ("a==1 & b==2", "&", 5),
        ("a==1 | b==2", "|", 5),
        ("a==1 b==2", "b==2", 5),
        ("a==1;", ";", 4),
        ("a==1 (b==2)", "(b==2)", 5),
        ("a==\"b\"c", "c", 6),
        ("(a==1)!", "!", 6),
    ] {
        let kind = Kind::FilterTooManyPredicates;
        check_filter_error(filter, kind, marked, position, libc::EPERM);
    }
}

/// The names before an error are looked up first, so they must be in the tree before it.
#[test]
fn filter_errors_leave_what_is_before_them() {
    let tree = |filter: &str| {
        let trigger = parsed(&format!("hist:keys=k if {filter}"));
        trigger.filter.unwrap().tree.unwrap().to_string()
    };
    assert_eq!(tree("a==1 b==2"), "a == 1 && <Too many terms in predicate expression>");
    assert_eq!(tree("a==1||(!b==2&&c = 3)||d==4"), "a == 1 || !b == 2 && c <Invalid operator>");
    assert_eq!(tree("a==1&&"), "a == 1 && <Meaningless filter expression>");
    assert_eq!(tree("(a.function==f)"), "a.function == f) && <Too many '('>");
}

#[test]
fn filter_with_bytes_beyond_ascii() {
    check_filter("a==\"\u{e9}\u{4e16}\"", "a == \"\u{e9}\u{4e16}\"");
    check_error("hist:keys=k if a==1 \u{2264} 2", Kind::FilterTooManyPredicates, "\u{2264}");
}

/// As UTF-8, a letter was one; the kernel reads Latin-1, where it is a letter and a stop.
#[test]
fn characters_were_taken_for_letters_as_a_whole() {
    use libc::{EINVAL, EPERM};
    let check = |filter: &[u8], kind, start, position, errno| {
        let text = [b"hist:keys=k if ", filter].concat();
        let error = super::trigger(&text).unwrap().first_error().unwrap();
        assert_eq!((error.kind, error.span.start - 15), (kind, start), "{error:?}");
        let quote = super::quote(&text, Logged::from(&error));
        assert_eq!((quote.command, quote.column), (filter.into(), position));
        assert_eq!(kind.errno(), errno, "{filter:?}");
    };
    // \xc3\xa9 in UTF-8.
    check("\u{e9}==1".as_bytes(), Kind::FilterInvalidOperator, 1, 2, EINVAL);
    check("a==\u{e9}".as_bytes(), Kind::FilterInvalidValue, 3, 4, EINVAL);
    check("a==1\u{e9}".as_bytes(), Kind::FilterTooManyPredicates, 5, 5, EPERM);
    // Neither letters nor anything else: multiplication, division, what is below 0xc0.
    check(b"\xd7==1", Kind::FilterNoField, 0, 0, EPERM);
    check(b"a\xf7==1", Kind::FilterInvalidOperator, 1, 2, EINVAL);
    check(b"a\x80==1", Kind::FilterInvalidOperator, 1, 2, EINVAL);
    let tree = |filter: &[u8]| {
        let text = [b"hist:keys=k if ", filter].concat();
        super::trigger(&text).unwrap().filter.unwrap().tree.unwrap()
    };
    let FilterExpr::Predicate(letters) = tree(b"\xe9\xc0\xff==1") else { panic!("one") };
    assert_eq!(letters.field.node, b"\xe9\xc0\xff".as_slice());
    // 0xa0 is white space.
    let FilterExpr::And(parts) = tree(b"\xa0a\xa0==\xa01\xa0&&\xa0b==2") else { panic!("two") };
    assert_eq!(parts.len(), 2);
}

// --- size and depth -----------------------------------------------------------------------------

/// Everything that goes through a tree, on the stack that Rust gives to threads.
fn go_through(text: String) {
    let body = move || {
        let trigger = parsed(&text);
        let copy = trigger.clone();
        assert_eq!(copy, trigger);
        assert!(!format!("{copy:?}").is_empty());
        assert!(!copy.listing().is_empty());
        let tree = trigger.filter.unwrap().tree.unwrap();
        let error = tree.first_error();
        let spaceless = tree.to_string().replace(' ', "");
        let again = parsed(&format!("hist:keys=k if {spaceless}"));
        let same = again.filter.and_then(|filter| filter.tree.ok());
        assert!(error.is_some() || same.unwrap().to_string() == tree.to_string());
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(body).unwrap();
    thread.join().unwrap();
}

#[test]
fn deep_filters_do_not_overflow_the_stack() {
    let room = 4095 - "hist:keys=k if ".len();
    let nest = |open: &str, last: &str, close: &str| {
        let n = (room - last.len()) / (open.len() + close.len());
        format!("hist:keys=k if {}{last}{}", open.repeat(n), close.repeat(n))
    };
    go_through(nest("!", "a&1", ""));
    go_through(nest("(", "a&1", ")"));
    go_through(nest("!(", "a&1", ")"));
    go_through(nest("(a&1||", "b&1", ")"));
    go_through(nest("(a&1||(a&1&&", "b&1", "))"));
    go_through(nest("!(a&1||", "b&1", ")"));
    go_through(nest("!(", "a&1", "&&b&1)"));
    go_through(nest("a&1&&", "a&1", ""));
    check_error(&nest("(", "", ""), Kind::FilterTooManyOpen, "(");
    check_error(&nest("!", "", ""), Kind::FilterEmpty, &"!".repeat(room));
    let minus = error_of(&format!("hist:keys={}", "-(".repeat(2000)));
    assert_eq!(minus.unwrap().kind, Kind::TooManySubexpressions);
}

// --- listing ------------------------------------------------------------------------------------

#[test]
fn listing_has_a_line_for_each_part() {
    let text =
        "hist:keys=a.hex,b+2*$x:sort=a.descending:NOHC:vals=c:size=100 if !(d==1 || e~\"x*\")";
    let expect = "\
add         0..82     hist:keys=a.hex,b+2*$x:sort=a.descending:NOHC:vals=c:size=100 if !(d==1 || e~\"x*\")
key         10..15    field a.hex
key         16..22    add
            16..17      field b
            18..22      multiply
            18..19        number 2
            20..22        variable $x
value       51..52    field c
sort        28..29    a.descending
size        58..61    128
nohitcount  41..45
filter      65..82    !(d==1 || e~\"x*\")
            67..81      not
            67..81        or
            67..71          d == 1
            75..81          e ~ \"x*\"
";
    assert_eq!(parsed(text).listing(), expect);
}

#[test]
fn listing_shows_kept_errors() {
    let text = "!hist:keys=1z:sort=a.up,:x=b:onmax($x).save(c) if d = 1";
    let expect = "\
remove      0..55     !hist:keys=1z:sort=a.up,:x=b:onmax($x).save(c) if d = 1
key         11..13    error: Expecting numeric literal
variable    25..26    x
            27..28      field b
sort        19..20    a
            21..23      error: Invalid sort modifier
sort        14..19    error: Empty sort field
handler     29..46    onmax($x).save(c)
filter      50..55    d = 1
            50..51      d
            52..53        error: Invalid operator
";
    assert_eq!(parsed(text).listing(), expect);
}

#[test]
fn only_a_filter_with_functions_takes_the_list_of_symbols() {
    for (text, wanted) in [
        ("hist:keys=a", false),
        ("hist:keys=a.sym", false),
        ("hist:keys=a if b == 1 || c ~ \"x.function\"", false),
        ("hist:keys=a if b.function == vfs_read", true),
        ("hist:keys=a if x == 1 && !(y == 2 || b.function != vfs_read )", true),
        ("hist:keys=a if (", false),
    ] {
        let trigger = super::trigger(text).expect("a trigger");
        assert_eq!(trigger.names_functions(), wanted, "{text}");
    }
}
