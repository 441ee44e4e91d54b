//! The notation of the table of arguments, and its tree.
//!
//! The notation is C's, with C's precedence: arguments by name, `->` and `.` for members, `[0]`
//! for elements, `&` for addresses, casts to `u8` … `s64`, `!`, and `|`, `&`, `<<`, `>>`, `+`,
//! `-`. `current->comm` is the current task's name.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, hex_digit1, multispace0};
use nom::combinator::{all_consuming, map, map_res, not, opt, peek, value};
use nom::multi::many0;
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

use super::value::{Operator, Scalar};

/// An expression as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Expr {
    /// A number.
    Constant(u64),
    /// An argument, or a member reached from one.
    Path(Path),
    /// `&path`
    Address(Path),
    /// `(u32) expr`
    Cast(Scalar, Box<Expr>),
    /// `!expr`
    Not(Box<Expr>),
    /// `expr op expr`
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `current->comm`
    Comm,
}

/// `argument->member.member[0]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct Path {
    /// The argument's name.
    pub(in crate::plan) argument: String,
    /// What follows it.
    pub(in crate::plan) steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Step {
    /// `->member`
    Arrow(String),
    /// `.member`
    Dot(String),
    /// `[number]`
    Element(u32),
}

/// Reads a whole expression; `None` if it is none.
pub(in crate::plan) fn parse(text: &str) -> Option<Expr> {
    let (_, expr) = all_consuming(terminated(expr, multispace0)).parse(text).ok()?;
    Some(match expr {
        Expr::Path(path) if path.is_comm() => Expr::Comm,
        expr => expr,
    })
}

impl Path {
    fn is_comm(&self) -> bool {
        self.argument == "current" && self.steps == [Step::Arrow("comm".to_owned())]
    }
}

type Parsed<'a, T> = IResult<&'a str, T>;

fn expr(text: &str) -> Parsed<'_, Expr> {
    binary(text, and, |text| value(Operator::Or, char('|')).parse(text))
}

fn and(text: &str) -> Parsed<'_, Expr> {
    binary(text, shift, |text| value(Operator::And, char('&')).parse(text))
}

fn shift(text: &str) -> Parsed<'_, Expr> {
    binary(text, sum, |text| {
        alt((value(Operator::Left, tag("<<")), value(Operator::Right, tag(">>")))).parse(text)
    })
}

fn sum(text: &str) -> Parsed<'_, Expr> {
    binary(text, unary, |text| {
        let minus = terminated(char('-'), not(peek(char('>'))));
        alt((value(Operator::Add, char('+')), value(Operator::Sub, minus))).parse(text)
    })
}

/// `operand (operator operand)*`, from the left.
fn binary<'a>(
    text: &'a str,
    operand: impl Fn(&'a str) -> Parsed<'a, Expr>,
    operator: impl Fn(&'a str) -> Parsed<'a, Operator>,
) -> Parsed<'a, Expr> {
    let (rest, first) = operand(text)?;
    let operator = |text| preceded(multispace0, &operator).parse(text);
    let (rest, others) = many0(pair(operator, &operand)).parse(rest)?;
    let join = |lhs, (op, rhs)| Expr::Binary(op, Box::new(lhs), Box::new(rhs));
    Ok((rest, others.into_iter().fold(first, join)))
}

fn unary(text: &str) -> Parsed<'_, Expr> {
    let cast = delimited(char('('), scalar, char(')'));
    preceded(
        multispace0,
        alt((
            map(pair(cast, unary), |(scalar, inner)| Expr::Cast(scalar, Box::new(inner))),
            map(preceded(char('!'), unary), |inner| Expr::Not(Box::new(inner))),
            map(preceded(char('&'), path), Expr::Address),
            delimited(char('('), expr, preceded(multispace0, char(')'))),
            map(number, Expr::Constant),
            map(path, Expr::Path),
        )),
    )
    .parse(text)
}

fn scalar(text: &str) -> Parsed<'_, Scalar> {
    let signed = alt((value(true, char('s')), value(false, char('u'))));
    let bits =
        alt((value(1, tag("8")), value(2, tag("16")), value(4, tag("32")), value(8, tag("64"))));
    map(pair(signed, bits), |(signed, size)| Scalar { size, signed }).parse(text)
}

fn number(text: &str) -> Parsed<'_, u64> {
    let hex = map_res(preceded(tag("0x"), hex_digit1), |digits| u64::from_str_radix(digits, 16));
    alt((hex, map_res(digit1, str::parse))).parse(text)
}

fn path(text: &str) -> Parsed<'_, Path> {
    let index = map_res(delimited(char('['), digit1, char(']')), str::parse);
    let step = alt((
        map(preceded(tag("->"), name), Step::Arrow),
        map(preceded(char('.'), name), Step::Dot),
        map(index, Step::Element),
    ));
    map(pair(name, many0(step)), |(argument, steps)| Path { argument, steps }).parse(text)
}

fn name(text: &str) -> Parsed<'_, String> {
    let (rest, word) = take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_').parse(text)?;
    let _not_a_number = not(peek(digit1::<&str, _>)).parse(text)?;
    let (rest, _) = opt(multispace0).parse(rest).map(|(after, _)| {
        // Blanks belong to what follows only before an operator; steps stand close.
        if after.starts_with("->") { (after, ()) } else { (rest, ()) }
    })?;
    Ok((rest, word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        fn show(expr: &Expr) -> String {
            match expr {
                Expr::Constant(number) => number.to_string(),
                Expr::Path(path) => show_path(path),
                Expr::Address(path) => format!("&{}", show_path(path)),
                Expr::Cast(Scalar { size, signed }, inner) => {
                    format!("({}{} {})", if *signed { 's' } else { 'u' }, 8 * size, show(inner))
                }
                Expr::Not(inner) => format!("!{}", show(inner)),
                Expr::Binary(op, lhs, rhs) => format!("({op:?} {} {})", show(lhs), show(rhs)),
                Expr::Comm => "comm".to_owned(),
            }
        }
        fn show_path(path: &Path) -> String {
            let steps = path.steps.iter().map(|step| match step {
                Step::Arrow(name) => format!("->{name}"),
                Step::Dot(name) => format!(".{name}"),
                Step::Element(index) => format!("[{index}]"),
            });
            path.argument.clone() + &steps.collect::<String>()
        }
        parse(text).map_or_else(|| "none".to_owned(), |expr| show(&expr))
    }

    #[test]
    fn expressions_have_the_tree_that_c_gives_them() {
        for (text, want) in [
            ("skb", "skb"),
            (
                "rq->q->disk->major << 20 | rq->q->disk->first_minor",
                "(Or (Left rq->q->disk->major 20) rq->q->disk->first_minor)",
            ),
            ("a - b - 1", "(Sub (Sub a b) 1)"),
            ("a-b->c", "(Sub a b->c)"),
            ("(s32)regs->orig_ax", "(s32 regs->orig_ax)"),
            ("(u32) a.b[2] & 0x1f", "(And (u32 a.b[2]) 31)"),
            ("&sk->x.y", "&sk->x.y"),
            ("a & b", "(And a b)"),
            ("!!(a | b)", "!!(Or a b)"),
            ("current->comm", "comm"),
            ("u8", "u8"),
            ("", "none"),
            ("a->", "none"),
            ("a b", "none"),
            ("9a", "none"),
            ("99999999999999999999", "none"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }
}
