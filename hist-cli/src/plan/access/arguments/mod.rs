//! Takes a plan for a classic tracepoint. Gives the same plan for the raw one where everything that
//! it reads of the record is known to be a copy of the tracepoint's arguments, and the reason why
//! or why not, field by field.
//!
//! The knowledge is the table `arguments.txt`; each row that is used is checked against the running
//! kernel's types. What does not fit is not guessed: the classic tracepoint is always right. It is
//! used, too, where a raw program could be preempted ([`crate::kernel::preemption`]), for then the kernel
//! skips it for other tasks' events.

mod bind;
pub mod copy;
mod expr;
pub mod rows;
mod uses;

use crate::kernel::EventName;
use std::fmt;

use self::bind::{BindError, Scope};
use self::copy::{BtfId, CallNumber, Copied, FieldCopy, SystemCall};
use self::rows::Row;
use self::uses::Uses;
use crate::kernel::Context;
use crate::kernel::btf::{Btf, BtfError, Tracepoint, Type};
use crate::kernel::format::{CALL_NUMBER, CALL_WORDS, EventFormat, FieldFormat};
use crate::kernel::syscalls;
use crate::plan::once::Once;
use crate::plan::{self, Attach, AttachWish, Plan, PlanError, filter};
use crate::resolve::hist::{Hist, KeySource};

/// Why a trigger cannot run on a raw tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRaw {
    /// What stands against it, a sentence each.
    reasons: Vec<String>,
}

impl fmt::Display for NotRaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join("; "))
    }
}

impl NotRaw {
    fn because(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()] }
    }
}

impl From<BtfError> for NotRaw {
    fn from(error: BtfError) -> Self {
        Self::because(error.to_string())
    }
}

/// What a plan for the raw tracepoint has of its own.
struct Raw {
    attach: Attach,
    copies: Vec<FieldCopy>,
    system_call: Option<SystemCall>,
}

/// Why system calls' own events stay on the classic tracepoint: see docs/attach.md for figures.
const ALL_CALLS: &str = "a raw program would run at every system call; --attach raw does so";

/// Why an event that could be raw is not.
const PREEMPTIBLE: &str = "this kernel can preempt a raw program, and would skip other tasks' \
                           events on that CPU meanwhile; --attach raw uses it anyway";
/// What is said if it is all the same.
const WARNING: &str = "warning: this kernel can preempt the program, and skips other tasks' \
                       events on that CPU meanwhile";
/// Why a system call's own event is not used, or what is wrong with using it.
const OWN_LOSES: &str =
    "programs on the call's own event can be preempted, and then skip other tasks' calls";
/// Why a string that is used more than once needs the record.
const READ_AGAIN: &str = "it is used twice and could change between the two reads; the classic \
                          tracepoint has one copy";

/// What to do about a row that might be right.
const INSIST: &str = "--attach raw uses it";

/// Makes `plan` one for the raw tracepoint where that is wished and right.
///
/// # Errors
/// If nothing else is wished and it is not right.
pub(in crate::plan) fn choose(
    plan: &mut Plan,
    wish: AttachWish,
    kernel: &Context<'_>,
) -> Result<(), PlanError> {
    let loses = |is_off| kernel.preemption.loses(is_off);
    if is_system_call(&plan.hist) && wish != AttachWish::Raw && loses(false) {
        avoid_own_event(plan, kernel.btf);
        return Ok(());
    }
    if wish == AttachWish::Tracepoint {
        return Ok(());
    }
    // Without types at hand nobody asks why.
    let Some(btf) = kernel.btf else {
        return match wish {
            AttachWish::Raw => Err(refusal(plan, &NotRaw::because("no BTF was given"))),
            _ => Ok(()),
        };
    };
    if wish == AttachWish::Auto && is_system_call(&plan.hist) {
        plan.why = vec![ALL_CALLS.to_owned()];
        return Ok(());
    }
    let loses = loses(rows::has_preemption_off(&plan.hist.event));
    if wish == AttachWish::Auto && loses {
        plan.why = vec![PREEMPTIBLE.to_owned()];
        return Ok(());
    }
    match raw_plan(plan, Types { btf, release: kernel.release }, wish) {
        Ok(raw) => {
            *plan = raw;
            plan.why.extend(loses.then(|| WARNING.to_owned()));
            Ok(())
        }
        Err(error) if wish == AttachWish::Raw => Err(refusal(plan, &error)),
        Err(error) => {
            plan.why = error.reasons;
            Ok(())
        }
    }
}

/// Counts a system call on the classic event of all of them, where programs are never preempted and
/// records have the same at the same places. If it cannot be told from others there, it stays on
/// its own event, which counts nothing that it should not.
fn avoid_own_event(plan: &mut Plan, btf: Option<&Btf>) {
    match among_all(&plan.hist, btf) {
        Ok((attach, call)) => {
            plan.why = vec![format!("system call {} among all: {OWN_LOSES}", call.number)];
            plan.attach = attach;
            plan.system_call = Some(call);
        }
        Err(NotRaw { reasons }) => {
            let warning = format!("warning: {OWN_LOSES}");
            plan.why = reasons.into_iter().chain([warning]).collect();
        }
    }
}

/// The event of all system calls, and which of them counts.
fn among_all(hist: &Hist, btf: Option<&Btf>) -> Result<(Attach, SystemCall), NotRaw> {
    let event = tracepoint_name(hist)?.to_owned();
    let number = system_call_number(&hist.event.name)?;
    let id = hist.all_calls.ok_or_else(|| {
        NotRaw::because(format!("raw_syscalls:{event} is not there, or has other records"))
    })?;
    let btf = btf.ok_or_else(|| NotRaw::because("no BTF was given"))?;
    let status = compat_status(btf)?.ok_or_else(no_status)?;
    let call = SystemCall { id: CallNumber::Record(CALL_NUMBER), number, status };
    let event = EventName::new("raw_syscalls", event);
    Ok((Attach::Tracepoint { event, id }, call))
}

fn no_status() -> NotRaw {
    NotRaw::because("what tells 32-bit system calls is not where it should be")
}

fn refusal(plan: &Plan, error: &NotRaw) -> PlanError {
    PlanError::NotRaw { event: plan.hist.event.to_string(), reasons: error.to_string() }
}

/// The same plan for the raw tracepoint, with rows of one's own instead of the table's: field and
/// expression of each.
///
/// # Errors
/// Why it cannot be, in words.
pub fn plan_with_rows(plan: &Plan, btf: &Btf, rows: &[(&str, &str)]) -> Result<Plan, NotRaw> {
    let owned = |(field, expression): &(&str, &str)| OwnedRow {
        field: (*field).to_owned(),
        expression: (*expression).to_owned(),
        is_usable: true,
    };
    plan_of(plan, Types { btf, release: None }, &rows.iter().map(owned).collect::<Vec<_>>())
}

/// The plan for the raw tracepoint, by the table. Who insists on it takes rows that no live event
/// has proven, too.
fn raw_plan(plan: &Plan, kernel: Types<'_>, wish: AttachWish) -> Result<Plan, NotRaw> {
    let hist = &plan.hist;
    let owned = |row: &Row| OwnedRow {
        field: row.field.to_owned(),
        expression: row.expression.to_owned(),
        is_usable: row.is_proven() || wish == AttachWish::Raw,
    };
    let rows: Vec<_> = match is_system_call(hist) {
        true => by_rule(hist)?,
        false => rows::rows(&hist.event).iter().map(owned).collect(),
    };
    plan_of(plan, kernel, &rows)
}

fn plan_of(plan: &Plan, kernel: Types<'_>, rows: &[OwnedRow]) -> Result<Plan, NotRaw> {
    let raw = raw(plan, kernel, rows)?;
    let mut plan = plan.clone();
    apply(&mut plan, raw);
    plan::keep(&mut plan).map_err(|error| NotRaw::because(error.to_string()))?;
    // The length of a string is in the record, and patterns cost more without it.
    let checked = plan.filter.as_ref().map_or(Ok(()), filter::check_complexity);
    checked.map_err(|error| NotRaw::because(error.to_string()))?;
    Ok(plan)
}

fn apply(plan: &mut Plan, raw: Raw) {
    plan.attach = raw.attach;
    plan.why = raw.copies.iter().map(ToString::to_string).collect();
    if raw.copies.is_empty() {
        plan.why.push("no field of the record is used".to_owned());
    }
    plan.system_call = raw.system_call;
    for slot in &mut plan.keys {
        if let KeySource::Text(text) = &mut slot.source {
            *text = uses::copied_key(*text);
        }
    }
    plan.filter.iter_mut().for_each(|filter| uses::copied_texts(filter, &raw.copies));
    plan.copies = raw.copies;
}

fn is_system_call(hist: &Hist) -> bool {
    hist.event.system == "syscalls"
}

fn raw(plan: &Plan, kernel: Types<'_>, rows: &[OwnedRow]) -> Result<Raw, NotRaw> {
    let Types { btf, release } = kernel;
    let hist = &plan.hist;
    let name = tracepoint_name(hist)?;
    let tracepoint = btf.tracepoint(name)?;
    let tracepoint = tracepoint
        .ok_or_else(|| NotRaw::because(format!("the kernel's BTF has no tracepoint `{name}`")))?;
    let scope = Scope { btf, tracepoint: &tracepoint };
    let copies = copies(plan, &scope, rows)?;
    let system_call = is_system_call(hist).then(|| system_call(hist, &scope)).transpose()?;
    let follows = copies.iter().any(|copy| copy.value.follows_pointers())
        || system_call.as_ref().is_some_and(|call| call.id.follows_pointers());
    let btf_id = follows.then_some(BtfId(tracepoint.id));
    if follows && release.is_some_and(|release| release < FIRST_CONST_VOID) {
        refuse_opaque(&copies, &scope)?;
    }
    let attach = Attach::RawTracepoint { name: name.to_owned(), btf_id };
    Ok(Raw { attach, copies, system_call })
}

/// The tracepoint behind an event. Events of one name would be told apart by system only, but a
/// tracepoint is a symbol of the kernel's, so there is one of each name.
fn tracepoint_name(hist: &Hist) -> Result<&str, NotRaw> {
    match hist.event.system.as_str() {
        "syscalls" if hist.event.name.starts_with("sys_enter_") => Ok("sys_enter"),
        "syscalls" if hist.event.name.starts_with("sys_exit_") => Ok("sys_exit"),
        "syscalls" | "ftrace" => Err(NotRaw::because("the event has no tracepoint of its own")),
        _ => Ok(&hist.event.name),
    }
}

/// What is known of a kernel's types, and of what it lets programs do with them.
#[derive(Clone, Copy)]
struct Types<'a> {
    btf: &'a Btf,
    /// The first two numbers of its release, if they are known.
    release: Option<(u32, u32)>,
}

/// The first release that lets a program that knows its arguments' types read one that is a pointer
/// to `const void` (`btf_ctx_access()` in Linux kernel/bpf/btf.c).
const FIRST_CONST_VOID: (u32, u32) = (6, 16);

/// Names the fields for which a program must read an argument that points to nothing known. One that
/// follows no pointers does not know its arguments' types, and may.
fn refuse_opaque(copies: &[FieldCopy], scope: &Scope<'_>) -> Result<(), NotRaw> {
    let mut reasons = Vec::new();
    for copy in copies {
        for index in copy.value.pointer_arguments() {
            let Some(parameter) = scope.tracepoint.parameters.get(index as usize) else { continue };
            let Type::Pointer(target) = scope.btf.resolve(parameter.type_id)? else { continue };
            let is_known = target == 0 || scope.btf.resolve(target)? != Type::Other;
            reasons.extend((!is_known).then(|| {
                format!(
                    "{}: before Linux 6.16 a program that follows pointers for another field may \
                     not read the argument `{}`",
                    copy.field, parameter.name
                )
            }));
        }
    }
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(NotRaw { reasons }),
    }
}

/// A row that is made for the occasion.
struct OwnedRow {
    field: String,
    expression: String,
    /// It is proven, or need not be.
    is_usable: bool,
}

fn copies(plan: &Plan, scope: &Scope<'_>, rows: &[OwnedRow]) -> Result<Vec<FieldCopy>, NotRaw> {
    let uses = Uses::of(&plan.keys, &plan.values, plan.filter.as_ref());
    let mut reasons: Vec<_> = uses
        .cpumask
        .as_ref()
        .map(|label| format!("{label}: sets of CPUs need the record"))
        .into_iter()
        .collect();
    let mut copies = Vec::new();
    for offset in uses.offsets.iter().copied() {
        let field = plan
            .hist
            .fields
            .iter()
            .find(|field| field.offset == offset && field.size > 0 && !field.common);
        let Some(field) = field else {
            reasons.push(format!("no field is known at byte {offset} of the record"));
            continue;
        };
        match copy(field, scope, rows) {
            Ok(copy) if uses.repeats_text(offset) && is_read_again(&copy) => {
                reasons.push(format!("{}: {READ_AGAIN}", field.name));
            }
            Ok(copy) => copies.push(copy),
            Err(reason) => reasons.push(format!("{}: {reason}", field.name)),
        }
    }
    match reasons.is_empty() {
        true => Ok(copies),
        false => Err(NotRaw { reasons }),
    }
}

/// It is a string that no stack has room for: each use reads it where it is.
fn is_read_again(copy: &FieldCopy) -> bool {
    matches!(copy.value, Copied::Text(_))
        && Once::of_text(copy.offset, std::slice::from_ref(copy)).is_none()
}

/// The first of the field's rows that fits.
fn copy(field: &FieldFormat, scope: &Scope<'_>, rows: &[OwnedRow]) -> Result<FieldCopy, String> {
    let mut last = None;
    for row in rows.iter().filter(|row| row.field == field.name) {
        match scope.copied(&row.expression, field) {
            Ok(_) if !row.is_usable => {
                let expression = &row.expression;
                return Err(format!("`{expression}` is not proven on live events; {INSIST}"));
            }
            Ok(value) => {
                return Ok(FieldCopy {
                    offset: field.offset,
                    field: field.name.clone(),
                    expression: row.expression.clone(),
                    value,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => format!("the known copy does not fit this kernel: {error}"),
        None => "not known to be a copy of an argument".to_owned(),
    })
}

/// The registers that hold a system call's arguments (x86-64).
const REGISTERS: [&str; 6] = ["di", "si", "dx", "r10", "r8", "r9"];

fn by_rule(hist: &Hist) -> Result<Vec<OwnedRow>, NotRaw> {
    let number = system_call_number(&hist.event.name)?;
    let rows = system_call_rows(&hist.event.name, number, &hist.fields);
    let owned = |(field, expression)| OwnedRow { field, expression, is_usable: true };
    Ok(rows.into_iter().map(owned).collect())
}

/// Rows for a system call's own event, which are the same for each: field and expression. None if
/// the call's number is not known.
#[must_use]
pub fn rows_of_system_call(event: &EventFormat) -> Vec<(String, String)> {
    let number = system_call_number(&event.name.name);
    number.map_or_else(
        |_| Vec::new(),
        |number| system_call_rows(&event.name.name, number, &event.fields),
    )
}

fn system_call_rows(event: &str, number: u32, fields: &[FieldFormat]) -> Vec<(String, String)> {
    let own = fields.iter().filter(|field| !field.common);
    let row = |field: &FieldFormat| {
        let position = field.offset.checked_sub(CALL_WORDS).map(|offset| offset / 8);
        let expression = match (field.name.as_str(), position) {
            ("__syscall_nr", None) => number.to_string(),
            ("ret", Some(0)) if event.starts_with("sys_exit_") => "ret".to_owned(),
            (_, Some(idx)) if field.size == 8 => {
                format!("regs->{}", REGISTERS.get(idx as usize)?)
            }
            _ => return None,
        };
        Some((field.name.clone(), expression))
    };
    own.filter_map(row).collect()
}

fn system_call_number(event: &str) -> Result<u32, NotRaw> {
    let (_, name) = event.split_once("sys_").unwrap_or_default();
    let name = name.strip_prefix("enter_").or_else(|| name.strip_prefix("exit_")).unwrap_or(name);
    syscalls::number(name).ok_or_else(|| {
        NotRaw::because(format!("the number of the system call `{name}` is not known"))
    })
}

fn system_call(hist: &Hist, scope: &Scope<'_>) -> Result<SystemCall, NotRaw> {
    let number = system_call_number(&hist.event.name)?;
    let text =
        if hist.event.name.starts_with("sys_enter_") { "(s32)id" } else { "(s32)regs->orig_ax" };
    let unbound = |error: BindError| NotRaw::because(format!("the system call's number: {error}"));
    let expr = expr::parse(text).ok_or_else(|| NotRaw::because("no expression"))?;
    let id = scope.number(&expr).map_err(unbound)?;
    let status = compat_status(scope.btf)?.ok_or_else(no_status)?;
    Ok(SystemCall { id: CallNumber::Arguments(id), number, status })
}

/// Where `task_struct.thread_info.status` is, if it is a u32.
fn compat_status(btf: &Btf) -> Result<Option<u32>, BtfError> {
    let Some(task) = btf.compound("task_struct")? else { return Ok(None) };
    let Some(info) = btf.member(task, "thread_info")? else { return Ok(None) };
    let Type::Compound { id, .. } = btf.resolve(info.type_id)? else { return Ok(None) };
    let Some(status) = btf.member(id, "status")? else { return Ok(None) };
    let is_u32 = matches!(btf.resolve(status.type_id)?, Type::Integer { size: 4, .. });
    let offset = info.bit_offset.checked_add(status.bit_offset).map(|bits| bits / 8);
    Ok(offset.filter(|offset| is_u32 && *offset < 0x7ff0))
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
    scope.copied(expression, field).map(drop).map_err(|error| error.to_string())
}

impl fmt::Display for FieldCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.field, self.expression)
    }
}
