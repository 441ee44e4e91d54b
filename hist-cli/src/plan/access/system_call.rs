//! System calls' own events: the kernel makes them out of those of all system calls, so a program on
//! one of these must tell which call it sees.

use super::Access;
use super::arguments::bind::{BindError, Scope};
use super::arguments::value::{Argument, Content, Scalar};
use super::arguments::{NeedsRecord, expr, rules, tracepoint_name};
use super::record::{Form, Place};
use crate::kernel::btf::{Btf, BtfError, Type};
use crate::kernel::format::CALL_NUMBER;
use crate::resolve::hist::Hist;

/// A system call's own event among those of all system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Where a call's number is, an `int`.
    pub id: Access,
    /// What it must be.
    pub number: u32,
    /// Where `thread_info.status` is in a task, in bytes: calls in 32-bit mode have other numbers,
    /// and no events.
    pub status: u32,
}

/// The type of a call's number where a program looks at it: of an `int` or a `long` the low half.
const NUMBER: Scalar = Scalar { size: 4, signed: true };

/// The classic event of all system calls, by name and number, and which of them counts.
pub(in crate::plan) fn among_records<'a>(
    hist: &'a Hist,
    btf: Option<&Btf>,
) -> Result<(&'a str, u32, SystemCall), NeedsRecord> {
    let event = tracepoint_name(hist)?;
    let number = rules::system_call_number(&hist.event.name)?;
    let id = hist.all_calls.ok_or_else(|| {
        NeedsRecord::because(format!("raw_syscalls:{event} is not there, or has other records"))
    })?;
    let btf = btf.ok_or_else(|| NeedsRecord::because("no BTF was given"))?;
    let status = compat_status(btf)?.ok_or_else(no_status)?;
    let place = Place { offset: CALL_NUMBER, form: Form::Whole { size: 8 } };
    Ok((event, id, SystemCall { id: Access::Record(place), number, status }))
}

/// The same for the raw tracepoint of all system calls.
pub(in crate::plan) fn among_arguments(
    hist: &Hist,
    scope: &Scope<'_>,
) -> Result<SystemCall, NeedsRecord> {
    let number = rules::system_call_number(&hist.event.name)?;
    let text =
        if hist.event.name.starts_with("sys_enter_") { "(s32)id" } else { "(s32)regs->orig_ax" };
    let unbound =
        |error: BindError| NeedsRecord::because(format!("the system call's number: {error}"));
    let expr = expr::parse(text).ok_or_else(|| NeedsRecord::because("no expression"))?;
    let content = Content::Number(scope.number(&expr).map_err(unbound)?, NUMBER);
    let id = Access::Argument(Argument { expression: text.to_owned(), content });
    let status = compat_status(scope.btf)?.ok_or_else(no_status)?;
    Ok(SystemCall { id, number, status })
}

fn no_status() -> NeedsRecord {
    NeedsRecord::because("what tells 32-bit system calls is not where it should be")
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
