//! Random triggers: no text makes the parser panic, and every tree survives being written and read.

use std::fmt::Debug;

use bstr::BString;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::diag::{Logged, Span};
use crate::parse::ast::{
    Binary, BinaryOp, CompareOp, Control, Expr, Field, Filter, FilterExpr, Modifier, Operand,
    Predicate, Reference, SortKey, Spanned, Trigger, Variable,
};

const NOWHERE: Span = Span { start: 0, end: 0 };

fn spanned<T>(node: impl Into<T>) -> Spanned<T> {
    Spanned { node: node.into(), span: NOWHERE }
}

// --- trees --------------------------------------------------------------------------------------

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_]{0,8}"
}

fn modifier() -> impl Strategy<Value = Modifier> {
    prop_oneof![
        select(vec![
            Modifier::Hex,
            Modifier::Sym,
            Modifier::SymOffset,
            Modifier::Execname,
            Modifier::Syscall,
            Modifier::Stacktrace,
            Modifier::Log2,
            Modifier::Usecs,
            Modifier::Percent,
            Modifier::Graph,
        ]),
        (1..=u64::MAX).prop_map(Modifier::Buckets),
    ]
}

fn field() -> impl Strategy<Value = Expr> {
    (option::weighted(0.2, (name(), name())), name(), option::of(modifier())).prop_map(
        |(prefix, name, modifier)| {
            Expr::Field(Field {
                prefix: prefix.map(|(system, event)| spanned(format!("{system}.{event}"))),
                name: spanned(name),
                modifier: modifier.map(spanned),
                span: NOWHERE,
            })
        },
    )
}

fn leaf() -> impl Strategy<Value = Expr> {
    prop_oneof![
        3 => field(),
        1 => any::<u64>().prop_map(|number| Expr::Number(spanned(number))),
        1 => (option::weighted(0.3, (name(), name())), name(), option::of(modifier())).prop_map(
            |(prefix, name, modifier)| {
                let prefix = prefix.map(|(system, event)| format!("{system}.{event}"));
                let field = Field {
                    prefix: prefix.map(spanned),
                    name: spanned(format!("${name}")),
                    modifier: modifier.map(spanned),
                    span: NOWHERE,
                };
                // `.sym-offset` is parsed without its `-`.
                let text = field.to_string().replace("sym-offset", "symXoffset");
                Expr::VarRef(Box::new(Reference { text: spanned(text), field }))
            },
        ),
    ]
}

fn binary(op: BinaryOp, lhs: Expr, rhs: Expr) -> Expr {
    Expr::Binary(Box::new(Binary { op, lhs, rhs, span: NOWHERE }))
}

/// All operators applied, the stronger first, from left to right.
fn join(first: Expr, others: Vec<(BinaryOp, Expr)>) -> Expr {
    let mut sum: Option<(BinaryOp, Expr)> = None;
    let mut term = first;
    for (op, leaf) in others {
        if let BinaryOp::Mul | BinaryOp::Div = op {
            term = binary(op, term, leaf);
        } else {
            let done = std::mem::replace(&mut term, leaf);
            sum = Some((
                op,
                match sum {
                    Some((before, lhs)) => binary(before, lhs, done),
                    None => done,
                },
            ));
        }
    }
    match sum {
        Some((op, lhs)) => binary(op, lhs, term),
        None => term,
    }
}

/// At most three operators. A unary minus can only be followed by a subtraction, and there can be
/// none inside of it, as the kernel splits at the last `-`.
fn expr() -> impl Strategy<Value = Expr> {
    let op = || select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div]);
    let plain =
        (leaf(), vec((op(), leaf()), 0..=3)).prop_map(|(first, others)| join(first, others));
    let inner_op = select(vec![BinaryOp::Add, BinaryOp::Mul, BinaryOp::Div]);
    let inner = (leaf(), vec((inner_op, leaf()), 0..=1));
    let negated = (inner, option::of((leaf(), option::of((op(), leaf()))))).prop_map(
        |((first, inner), behind)| {
            let room = if inner.is_empty() { 2 } else { 1 };
            let negated = Expr::Negate(Box::new(spanned(join(first, inner))));
            let others = behind.map_or_else(Vec::new, |(leaf, more)| {
                [(BinaryOp::Sub, leaf)].into_iter().chain(more).take(room).collect()
            });
            join(negated, others)
        },
    );
    prop_oneof![6 => plain, 1 => negated]
}

/// At most two that count, and the literal `hitcount` where it does not.
fn values() -> impl Strategy<Value = Vec<Expr>> {
    let hitcount = || {
        Expr::Field(Field {
            prefix: None,
            name: spanned("hitcount".to_owned()),
            modifier: None,
            span: NOWHERE,
        })
    };
    (vec(expr(), 0..=2), option::of(any::<Index>())).prop_map(move |(mut values, at)| {
        if let Some(at) = at {
            values.insert(at.index(values.len() + 1), hitcount());
        }
        values
    })
}

/// The first must not be named like a parameter.
fn variables() -> impl Strategy<Value = Vec<Variable>> {
    let keyword = select(vec!["keys", "sort", "size", "pause"]).prop_map(str::to_owned);
    let variable = (prop_oneof![3 => name(), 1 => keyword], expr())
        .prop_map(|(name, value)| Variable { name: spanned(name), value });
    vec(variable, 0..=16).prop_map(|mut variables| {
        if let Some(first) = variables.first_mut() {
            first.name.node = format!("v_{}", first.name.node).into();
        }
        variables
    })
}

fn sort() -> impl Strategy<Value = Vec<SortKey>> {
    vec(
        (name(), any::<bool>()).prop_map(|(name, descending)| SortKey {
            name: spanned(name),
            descending: Ok(descending),
        }),
        0..=2,
    )
}

fn operand() -> impl Strategy<Value = (bool, CompareOp, Operand)> {
    use CompareOp::{And, Eq, Ge, Glob, Gt, Le, Lt, Ne};
    let any_op = || select(vec![Eq, Ne, Lt, Le, Gt, Ge, And, Glob]);
    let text = prop_oneof!["[^\"\0]{0,20}", "[^'\0]{0,20}"];
    prop_oneof![
        4 => (any_op(), "-?[0-9][0-9a-zA-Z]{0,10}")
            .prop_map(|(op, number)| (false, op, Operand::Number(number.into()))),
        2 => (select(vec![Eq, Ne, Glob]), text)
            .prop_map(|(op, text)| (false, op, Operand::Text(text.into()))),
        1 => (any_op(), "[0-9, -]{1,8}").prop_map(|(op, list)| (false, op, Operand::Cpus(list.into()))),
        1 => (any_op(), "[a-z_.][a-z0-9_.]{0,9}")
            .prop_map(|(op, symbol)| (true, op, Operand::Symbol(symbol.into()))),
    ]
}

fn predicate() -> impl Strategy<Value = FilterExpr> {
    (name(), any::<bool>(), operand()).prop_map(|(field, ustring, (function, op, operand))| {
        FilterExpr::Predicate(Predicate {
            field: spanned(field),
            ustring,
            function,
            op: spanned(op),
            operand: spanned(operand),
            error: None,
        })
    })
}

fn filter_expr() -> impl Strategy<Value = FilterExpr> {
    predicate().prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..=4).prop_map(FilterExpr::And),
            vec(inner.clone(), 2..=4).prop_map(FilterExpr::Or),
            inner.prop_map(|inner| match inner {
                FilterExpr::Not(inner) => *inner,
                other => FilterExpr::Not(Box::new(other)),
            }),
        ]
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    filter_expr().prop_map(|tree| Filter { text: spanned(tree.to_string()), tree: Ok(tree) })
}

fn handlers() -> impl Strategy<Value = Vec<Spanned<BString>>> {
    let handler = select(vec!["onmatch(a.b).trace(c,d)", "onmax($x).save(y,z)", "onchange("]);
    vec(handler.prop_map(spanned), 0..=8)
}

prop_compose! {
    fn trigger()(
        remove: bool,
        keys in vec(expr(), 1..=3),
        values in values(),
        variables in variables(),
        sort in sort(),
        size in option::of((7_u32..=17).prop_map(|bits| 1_u32 << bits)),
        name in option::of("[a-z]([ -9;-~]{0,6}[a-z])?"),
        clock in option::of("([a-z][a-z-]*)?"),
        control in option::of(select(vec![
            Control::Pause,
            Control::PauseExisting,
            Control::Continue,
            Control::Clear,
        ])),
        nohitcount: bool,
        handlers in handlers(),
        filter in option::of(filter()),
    ) -> Trigger {
        let mut trigger = Trigger {
            text: BString::default(),
            remove,
            keys,
            values,
            variables: Ok(variables),
            sort: sort.into_iter().map(Ok).collect(),
            size: size.map(spanned::<u32>),
            name: name.map(spanned),
            clock: clock.map(spanned),
            control: control.map(spanned),
            nohitcount: None,
            handlers,
            filter,
        };
        if nohitcount && !trigger.counted_values().is_empty() {
            trigger.nohitcount = Some(NOWHERE);
        }
        trigger.text = trigger.to_string().into();
        trigger
    }
}

/// Everything but the places.
fn without_spans(tree: &impl Debug) -> String {
    let text = format!("{tree:?}");
    let mut parts = text.split("Span { start: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('}').map_or(part, |(_, rest)| rest))
}

proptest! {
    #[test]
    fn trees_survive_being_written_and_read(trigger in trigger()) {
        let text = trigger.to_string();
        prop_assume!(text.len() < 4096 && !text.contains(" if if "));
        let read = crate::parse::trigger(&text);
        let read = read.map_err(|error| TestCaseError::fail(error.render(&text)))?;
        prop_assert_eq!(without_spans(&read), without_spans(&trigger));
    }

    #[test]
    fn filters_survive_being_written_and_read(tree in filter_expr()) {
        let text = format!("hist:keys=k if {tree}");
        prop_assume!(text.len() < 4096);
        let read = crate::parse::trigger(&text).unwrap();
        prop_assert_eq!(without_spans(&read.filter.unwrap().tree), without_spans(&Ok::<_, ()>(tree)));
    }
}

// --- texts --------------------------------------------------------------------------------------

/// Everything that can be done with a text. A trigger without error must survive a round trip, unless
/// it is cut in the midst of a character.
fn exercise(text: impl AsRef<[u8]>) -> Result<(), TestCaseError> {
    let text = text.as_ref();
    let error = match crate::parse::trigger(text) {
        Err(error) => Some(error),
        Ok(trigger) => {
            prop_assert!(!trigger.listing().is_empty());
            let error = trigger.first_error();
            let shown = trigger.to_string();
            let again = crate::parse::trigger(&shown);
            if error.is_none() && !shown.contains(char::REPLACEMENT_CHARACTER) {
                let mut again = again.map_err(|error| TestCaseError::fail(error.render(&shown)))?;
                again.text = trigger.text.clone();
                prop_assert_eq!(without_spans(&again), without_spans(&trigger));
            }
            error
        }
    };
    if let Some(error) = error {
        let trimmed = crate::parse::trim(text);
        let Span { start, end } = error.span;
        prop_assert!(trimmed.get(start..end).is_some(), "{:?} in {:?}", error, trimmed);
        prop_assert!(error.render(trimmed).contains('^'));
        let quote = crate::parse::quote(text, Logged::from(&error));
        prop_assert!(quote.column <= quote.command.len() + 2, "{:?} in {:?}", error, quote);
    }
    Ok(())
}

/// Words of the language and some that are none.
const WORDS: [&str; 60] = [
    "hist",
    "!",
    ":",
    "=",
    ",",
    ".",
    "$",
    " ",
    "\t",
    "\n",
    "\0",
    " if ",
    "if",
    "keys=",
    "vals=",
    "sort=",
    "size=",
    "name=",
    "clock=",
    "pause",
    "cont",
    "clear",
    "nohitcount",
    "hitcount",
    "stacktrace",
    "onmatch(",
    "onmax(",
    ")",
    "(",
    "a",
    "b1",
    "common_pid",
    ".hex",
    ".sym-offset",
    ".buckets=",
    ".percent",
    ".descending",
    "-",
    "+",
    "*",
    "/",
    "0",
    "0x",
    "128",
    "-(",
    "==",
    "!=",
    "<",
    "&",
    "&&",
    "||",
    "~",
    "\"",
    "'",
    "CPUS{",
    "}",
    ".ustring",
    ".function",
    "\u{e9}",
    "\u{4e16}",
];

fn soup() -> impl Strategy<Value = String> {
    vec(select(WORDS.to_vec()), 0..40).prop_map(|words| words.concat())
}

/// A valid trigger with some words put in, or in place of something.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0_usize..4, select(WORDS.to_vec()));
    (trigger(), vec(change, 1..5)).prop_map(|(trigger, changes)| {
        let mut text = trigger.to_string().into_bytes();
        for (at, length, word) in changes {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, word.bytes());
        }
        text
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text)?;
        exercise(format!("hist:{text}"))?;
        exercise(format!("hist:keys={text}"))?;
        exercise(format!("hist:keys=k if {text}"))?;
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..60)) {
        for before in ["", "hist:", "hist:keys=", "hist:keys=k if ", "hist:keys=k if a~\""] {
            exercise([before.as_bytes(), &bytes].concat())?;
        }
    }

    #[test]
    fn no_soup_of_words_panics(text in soup()) {
        exercise(&text)?;
        exercise(format!("hist:keys={text}"))?;
        exercise(format!("hist:keys=k:sort={text}"))?;
        exercise(format!("hist:keys=k if {text}"))?;
    }

    #[test]
    fn no_mutation_panics(text in mutated()) {
        exercise(&text)?;
    }
}
