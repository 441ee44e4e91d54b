//! Fields that a program makes of its tracepoint's arguments, as programs on raw tracepoints do, which
//! have no record.
//!
//! What a field is a copy of is known by the table `arguments.txt`; each row that is used is checked
//! against the running kernel's types. What does not fit is not guessed: the classic tracepoint is
//! always right.

pub(in crate::plan) mod bind;
pub(super) mod expr;
pub mod rows;
pub(in crate::plan) mod rules;
pub mod value;

use std::fmt;

use self::bind::Scope;
use self::rows::Row;
use super::uses::{self, Use, What};
use super::{Access, AccessRow, AccessTable};
use crate::kernel::btf::{Btf, BtfError, Tracepoint, Type};
use crate::kernel::format::{FieldFormat, FieldId};
use crate::plan::draft::Draft;
use crate::resolve::hist::Hist;

pub use rules::rows_of_system_call;
pub use value::Argument;

/// Why a trigger cannot do without the event's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedsRecord {
    /// What stands against it, a sentence each.
    pub(in crate::plan) reasons: Vec<String>,
}

impl fmt::Display for NeedsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join("; "))
    }
}

impl NeedsRecord {
    pub(in crate::plan) fn because(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()] }
    }

    /// `value`, if there is no reason against it.
    fn unless<T>(reasons: Vec<String>, value: T) -> Result<T, Self> {
        if reasons.is_empty() { Ok(value) } else { Err(Self { reasons }) }
    }
}

impl From<BtfError> for NeedsRecord {
    fn from(error: BtfError) -> Self {
        Self::because(error.to_string())
    }
}

/// Why a string that is used more than once needs the record.
const READ_AGAIN: &str = "it is used twice and could change between the two reads; the classic \
                          tracepoint has one copy";

/// What to do about a row that might be right.
const INSIST: &str = "--attach raw uses it";

/// A row of the table, or one that is made for the occasion.
pub(in crate::plan) struct UsableRow {
    pub(in crate::plan) field: String,
    pub(in crate::plan) expression: String,
    /// It is proven, or need not be.
    pub(in crate::plan) is_usable: bool,
}

/// The rows of an event. Who `insists` takes those that no live event has proven, too.
pub(in crate::plan) fn usable_rows(
    hist: &Hist,
    insists: bool,
) -> Result<Vec<UsableRow>, NeedsRecord> {
    if rules::is_system_call(hist) {
        return rules::rows(hist);
    }
    let usable = |row: &Row| UsableRow {
        field: row.field.to_owned(),
        expression: row.expression.to_owned(),
        is_usable: row.is_proven() || insists,
    };
    Ok(rows::rows(&hist.event).iter().map(usable).collect())
}

/// The tracepoint behind an event. Events of one name would be told apart by system only, but a
/// tracepoint is a symbol of the kernel's, so there is one of each name.
pub(in crate::plan) fn tracepoint_name(hist: &Hist) -> Result<&str, NeedsRecord> {
    match hist.event.system.as_str() {
        "syscalls" if hist.event.name.starts_with("sys_enter_") => Ok("sys_enter"),
        "syscalls" if hist.event.name.starts_with("sys_exit_") => Ok("sys_exit"),
        "syscalls" | "ftrace" => {
            Err(NeedsRecord::because("the event has no tracepoint of its own"))
        }
        _ => Ok(&hist.event.name),
    }
}

/// All fields that the draft's holes read, made of arguments.
pub(in crate::plan) fn table(
    draft: &Draft,
    scope: &Scope<'_>,
    rows: &[UsableRow],
) -> Result<AccessTable, NeedsRecord> {
    let (cpus, uses): (Vec<_>, Vec<_>) =
        uses::of(draft).into_iter().partition(|one| one.what == What::Cpus);
    let needs = |one: &Use<'_>| format!("{}: sets of CPUs need the record", one.label);
    let mut reasons: Vec<_> = cpus.last().map(needs).into_iter().collect();
    let mut found = Vec::new();
    for field in uses::fields(&uses) {
        match row(draft.hist.field(field), is_repeated_text(&uses, field), scope, rows) {
            Ok(argument) => found.push(AccessRow {
                field,
                name: draft.hist.field(field).name.clone(),
                access: Access::Argument(argument),
            }),
            Err(reason) => reasons.push(reason),
        }
    }
    NeedsRecord::unless(reasons, found.into_iter().collect())
}

/// What a field is made of, or why that cannot be.
fn row(
    field: &FieldFormat,
    is_repeated: bool,
    scope: &Scope<'_>,
    rows: &[UsableRow],
) -> Result<Argument, String> {
    if field.size == 0 || field.common {
        return Err(format!("no field is known at byte {} of the record", field.offset));
    }
    let argument = argument(field, scope, rows).map_err(|why| format!("{}: {why}", field.name))?;
    match is_repeated && argument.is_read_again() {
        true => Err(format!("{}: {READ_AGAIN}", field.name)),
        false => Ok(argument),
    }
}

/// The field is used as a string more than once.
fn is_repeated_text(uses: &[Use<'_>], field: FieldId) -> bool {
    let is_text = |one: &&Use<'_>| one.field == field && matches!(one.what, What::Text(_));
    uses.iter().filter(is_text).count() > 1
}

/// The first of the field's rows that fits.
fn argument(
    field: &FieldFormat,
    scope: &Scope<'_>,
    rows: &[UsableRow],
) -> Result<Argument, String> {
    let mut last = None;
    for row in rows.iter().filter(|row| row.field == field.name) {
        let expression = row.expression.clone();
        match scope.content(&expression, field) {
            Ok(_) if !row.is_usable => {
                return Err(format!("`{expression}` is not proven on live events; {INSIST}"));
            }
            Ok(content) => return Ok(Argument { expression, content }),
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => format!("the known copy does not fit this kernel: {error}"),
        None => "not known to be a copy of an argument".to_owned(),
    })
}

/// Names the fields for which a program must read an argument that points to nothing known. One that
/// follows no pointers does not know its arguments' types, and may.
pub(in crate::plan) fn refuse_opaque(
    table: &AccessTable,
    scope: &Scope<'_>,
) -> Result<(), NeedsRecord> {
    let mut reasons = Vec::new();
    for row in table.rows() {
        let Access::Argument(argument) = &row.access else { continue };
        for index in argument.content.pointer_arguments() {
            let Some(parameter) = scope.tracepoint.parameters.get(index as usize) else { continue };
            let Type::Pointer(target) = scope.btf.resolve(parameter.type_id)? else { continue };
            let is_known = target == 0 || scope.btf.resolve(target)? != Type::Other;
            reasons.extend((!is_known).then(|| {
                format!(
                    "{}: before Linux 6.16 a program that follows pointers for another field may \
                     not read the argument `{}`",
                    row.name, parameter.name
                )
            }));
        }
    }
    NeedsRecord::unless(reasons, ())
}

/// Why an expression is no copy of `field` on the kernel that `btf` describes; for tests of the
/// table, and for who writes it.
///
/// # Errors
/// In words.
pub fn check(
    btf: &Btf,
    tracepoint: &Tracepoint,
    expression: &str,
    field: &FieldFormat,
) -> Result<(), String> {
    let scope = Scope { btf, tracepoint };
    scope.content(expression, field).map(drop).map_err(|error| error.to_string())
}
