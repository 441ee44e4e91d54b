//! The types of a parsed trigger. They are faithful to the text: every part has its spelling and
//! span; meaning comes with `resolve`. Spellings are bytes: nothing says that a trigger is UTF-8.

use bstr::BString;

use crate::diag::{Span, TriggerError};
use crate::modifier::Modifier;

/// Something and the place where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub node: T,
    /// Its place in [`Trigger::text`].
    pub span: Span,
}

/// A whole command, as written to a `trigger` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The text without surrounding white space; all spans point into it.
    pub text: BString,
    /// `!hist:…`: remove instead of add.
    pub remove: bool,
    /// `keys=`: never empty. A fourth item is kept as one [`Expr::Bad`].
    pub keys: Vec<Expr>,
    /// `vals=` as written, each literal `hitcount` included; see [`Trigger::counted_values`].
    /// Items beyond the limit are kept as one [`Expr::Bad`].
    pub values: Vec<Expr>,
    /// `name=expr` parameters, in order. The kernel checks their syntax before it looks at values.
    pub variables: Result<Vec<Variable>, TriggerError>,
    /// `sort=`; empty if absent. The kernel looks each name up before it reads the next item, so
    /// an item that cannot be read ends the list.
    pub sort: Vec<Result<SortKey, TriggerError>>,
    /// `size=`, in entries, already rounded up to a power of two.
    pub size: Option<Spanned<u32>>,
    /// `name=`. The span covers the whole parameter, as the kernel's carets do.
    pub name: Option<Spanned<BString>>,
    /// `clock=`.
    pub clock: Option<Spanned<BString>>,
    /// `pause`, else `cont`/`continue`, else `clear`.
    pub control: Option<Spanned<Control>>,
    /// `nohitcount` or `NOHC`.
    pub nohitcount: Option<Span>,
    /// `onmatch(…`, `onmax(…`, `onchange(…` parameters, whole.
    pub handlers: Vec<Spanned<BString>>,
    /// What follows ` if `.
    pub filter: Option<Filter>,
}

/// What a trigger does to an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `pause`.
    Pause,
    /// `pause`, and also `cont`, `continue` or `clear`: pauses an existing one, but makes none.
    PauseExisting,
    /// `cont` or `continue`.
    Continue,
    /// `clear`.
    Clear,
}

/// `name=expr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name, unchecked.
    pub name: Spanned<BString>,
    /// What it is set to.
    pub value: Expr,
}

/// One item of `sort=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Name of a key or value, without modifier.
    pub name: Spanned<BString>,
    /// `.descending`. The error comes after that of an unknown name.
    pub descending: Result<bool, TriggerError>,
}

/// A key, a value or the right side of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// An integer literal.
    Number(Spanned<u64>),
    /// `name` or `name.modifier`.
    Field(Field),
    /// `$name` or `system.event.$name`.
    VarRef(Box<Reference>),
    /// `-(…)`.
    Negate(Box<Spanned<Expr>>),
    /// `a op b`.
    Binary(Box<Binary>),
    /// Text that is no expression. The kernel looks up names and parses in one go, values before
    /// keys, so the error is kept here and `resolve` reports the one that comes first.
    Bad(TriggerError),
}

/// `$name` or `system.event.$name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// All of it.
    pub text: Spanned<BString>,
    /// What it means if there is no such variable: the kernel then looks for a field of that name,
    /// `$` included, and minds its modifier.
    pub field: Field,
}

/// `lhs op rhs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// Both and the operator.
    pub span: Span,
}

/// An arithmetic operator; all work on wrapping `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
}

/// `name` or `name.modifier`, and the name `hitcount`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The `system.event` of `system.event.name`. The kernel ignores it, except that such a field
    /// is neither the literal `hitcount` nor the literal `stacktrace`.
    pub prefix: Option<Spanned<BString>>,
    /// The name; may be empty.
    pub name: Spanned<BString>,
    /// What follows its first dot: a modifier, or text that is none. The span of the latter is where
    /// the kernel puts its caret.
    pub modifier: Option<Result<Spanned<Modifier>, Spanned<BString>>>,
    /// All of it.
    pub span: Span,
}

/// The condition behind ` if `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The text as the kernel keeps and prints it.
    pub text: Spanned<BString>,
    /// Its structure, or the error that comes before any name is looked up.
    pub tree: Result<FilterExpr, TriggerError>,
}

impl Trigger {
    /// Its filter compares with functions of the kernel, so resolving it takes the list of symbols.
    #[must_use]
    pub fn names_functions(&self) -> bool {
        let tree = self.filter.as_ref().and_then(|filter| filter.tree.as_ref().ok());
        tree.is_some_and(FilterExpr::names_functions)
    }
}

/// A filter's logical structure. The kernel reads and looks up from left to right and stops at the
/// first error; so nothing follows a kept error, and going through the tree in order gives the
/// errors in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterExpr {
    /// `a || b || …`, two or more.
    Or(Vec<FilterExpr>),
    /// `a && b && …`, two or more.
    And(Vec<FilterExpr>),
    /// `!a`; never directly another `Not`, for two cancel each other.
    Not(Box<FilterExpr>),
    /// `field op operand`
    Predicate(Predicate),
    /// A predicate that cannot be read beyond its field.
    BadPredicate(BadPredicate),
    /// Text that cannot be read at all, kept for `resolve` as in [`Expr::Bad`].
    Bad(TriggerError),
}

impl FilterExpr {
    fn names_functions(&self) -> bool {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().any(Self::names_functions),
            Self::Not(inner) => inner.names_functions(),
            Self::Predicate(predicate) => predicate.function,
            Self::BadPredicate(_) | Self::Bad(_) => false,
        }
    }
}

/// A predicate of which only the field can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPredicate {
    /// The field's name. If it is unknown, that is the error to report.
    pub field: Spanned<BString>,
    /// What is wrong behind the field.
    pub error: TriggerError,
}

/// `field op operand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// The field's name.
    pub field: Spanned<BString>,
    /// `.ustring` stands behind the field.
    pub ustring: bool,
    /// `.function` stands behind the field.
    pub function: bool,
    /// The operator.
    pub op: Spanned<CompareOp>,
    /// The constant on the right. The span includes quotes and braces.
    pub operand: Spanned<Operand>,
    /// What is wrong inside the operand, to be reported when field, operator and the operand's
    /// form are known to fit together.
    pub error: Option<TriggerError>,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&`: any common bit
    And,
    /// `~`: glob
    Glob,
}

/// The right side of a comparison, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Digits with optional `-`: not yet converted, since the range depends on the field.
    Number(BString),
    /// The text between quotes.
    Text(BString),
    /// What stands between the braces of `CPUS{}`.
    Cpus(BString),
    /// A symbol's name, behind `.function` only. May be empty.
    Symbol(BString),
}
