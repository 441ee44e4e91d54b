//! How a program gets its events, and why so.
//!
//! The classic tracepoint is always right. The raw one is cheaper, and used where every field that
//! the trigger reads is known to be made of the tracepoint's arguments ([`super::access::arguments`]);
//! but not where a raw program could be preempted ([`crate::kernel::preemption`]), for then the kernel
//! skips it for other tasks' events.

use super::access::arguments::bind::Scope;
use super::access::arguments::rows::has_preemption_off;
use super::access::arguments::{self, NeedsRecord, UsableRow};
use super::access::system_call::{self, SystemCall};
use super::access::{Access, AccessRow, AccessTable, record};
use super::draft::Draft;
use super::once::{self, Kept};
use super::{PlanError, Template, filter};
use crate::kernel::Context;
use crate::kernel::btf::{Btf, TypeId};
use crate::resolve::hist::Hist;

/// How programs are to be attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachWish {
    /// By the cheapest way that is known to be right.
    #[default]
    Auto,
    /// To the raw tracepoint, or not at all.
    Raw,
    /// To the classic tracepoint.
    Tracepoint,
}

/// How a program gets its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// As a program of type TRACEPOINT; the context is the record.
    Tracepoint {
        /// The event's system.
        system: String,
        /// The event's name.
        event: String,
        /// The event's number, by which the kernel knows it.
        id: u32,
    },
    /// As a program of type RAW_TRACEPOINT; the context is the tracepoint's arguments, 8 bytes
    /// each.
    RawTracepoint {
        /// The tracepoint's name, without system.
        name: String,
        /// By which the kernel's verifier knows the arguments' types, as a program of type TRACING
        /// ("tp_btf"): it may follow pointers.
        btf_id: Option<BtfId>,
    },
}

/// How a program of type TRACING is told its tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfId(pub TypeId);

/// A way of attaching, and what a plan has of it; its fields are described at
/// [`Plan`](super::Plan).
pub(super) struct Way {
    pub(super) attach: Attach,
    pub(super) access: AccessTable,
    pub(super) system_call: Option<SystemCall>,
    pub(super) template: Template,
    pub(super) once: Vec<Kept>,
    pub(super) why: Vec<String>,
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

/// Chooses the way for `draft`.
///
/// # Errors
/// If the verifier would not follow the filter to its end, what is read once leaves no room to log,
/// or only the raw tracepoint is wished and it is not right.
pub(super) fn choose(
    draft: &Draft,
    wish: AttachWish,
    kernel: &Context<'_>,
) -> Result<Way, PlanError> {
    let hist = &draft.hist;
    let classic = classic(draft)?;
    let loses = |is_off| kernel.preemption.loses(is_off);
    let is_own_call = system_call::is_own(hist);
    if is_own_call && wish != AttachWish::Raw && loses(false) {
        return Ok(avoid_own_event(classic, hist, kernel.btf));
    }
    if wish == AttachWish::Tracepoint {
        return Ok(classic);
    }
    let because = |why: &str| vec![why.to_owned()];
    // Without types at hand nobody asks why.
    let Some(btf) = kernel.btf else {
        return match wish {
            AttachWish::Raw => Err(refusal(hist, &NeedsRecord::because("no BTF was given"))),
            _ => Ok(classic),
        };
    };
    if wish == AttachWish::Auto && is_own_call {
        return Ok(Way { why: because(ALL_CALLS), ..classic });
    }
    let loses = loses(has_preemption_off(&hist.system, &hist.event));
    if wish == AttachWish::Auto && loses {
        return Ok(Way { why: because(PREEMPTIBLE), ..classic });
    }
    let types = Types { btf, release: kernel.release };
    let raw = arguments::usable_rows(hist, wish == AttachWish::Raw)
        .and_then(|rows| raw(draft, classic.template, types, &rows));
    match raw {
        Ok(mut raw) => {
            raw.why.extend(loses.then(|| WARNING.to_owned()));
            Ok(raw)
        }
        Err(error) if wish == AttachWish::Raw => Err(refusal(hist, &error)),
        Err(NeedsRecord { reasons }) => Ok(Way { why: reasons, ..classic }),
    }
}

fn refusal(hist: &Hist, error: &NeedsRecord) -> PlanError {
    let event = format!("{}:{}", hist.system, hist.event);
    PlanError::NeedsRecord { event, reasons: error.to_string() }
}

/// The classic tracepoint, and the record.
fn classic(draft: &Draft) -> Result<Way, PlanError> {
    let access = record::table(draft);
    check_filter(draft, &access)?;
    let (template, once) = once::keep(draft, draft.template, &access)?;
    let Hist { system, event, event_id: id, .. } = &draft.hist;
    let attach = Attach::Tracepoint { system: system.clone(), event: event.clone(), id: *id };
    Ok(Way { attach, access, system_call: None, template, once, why: Vec::new() })
}

/// Counts a system call on the classic event of all of them, where programs are never preempted and
/// records have the same at the same places. If it cannot be told from others there, it stays on
/// its own event, which counts nothing that it should not.
fn avoid_own_event(own: Way, hist: &Hist, btf: Option<&Btf>) -> Way {
    match system_call::among_records(hist, btf) {
        Ok((attach, call)) => {
            let why = vec![format!("system call {} among all: {OWN_LOSES}", call.number)];
            Way { attach, system_call: Some(call), why, ..own }
        }
        Err(NeedsRecord { mut reasons }) => {
            reasons.push(format!("warning: {OWN_LOSES}"));
            Way { why: reasons, ..own }
        }
    }
}

/// The raw tracepoint, with rows of one's own instead of the table's: field and expression of each.
///
/// # Errors
/// Why it cannot be, in words.
pub(super) fn raw_with_rows(
    draft: &Draft,
    btf: &Btf,
    rows: &[(&str, &str)],
) -> Result<Way, NeedsRecord> {
    let usable = |(field, expression): &(&str, &str)| UsableRow {
        field: (*field).to_owned(),
        expression: (*expression).to_owned(),
        is_usable: true,
    };
    let rows: Vec<_> = rows.iter().map(usable).collect();
    raw(draft, draft.template, Types { btf, release: None }, &rows)
}

/// The raw tracepoint, and its arguments. `template` has room for what the record needs kept; what
/// arguments need besides may ask for another one.
fn raw(
    draft: &Draft,
    template: Template,
    kernel: Types<'_>,
    rows: &[UsableRow],
) -> Result<Way, NeedsRecord> {
    let (hist, btf) = (&draft.hist, kernel.btf);
    let name = arguments::tracepoint_name(hist)?;
    let tracepoint = btf.tracepoint(name)?.ok_or_else(|| {
        NeedsRecord::because(format!("the kernel's BTF has no tracepoint `{name}`"))
    })?;
    let scope = Scope { btf, tracepoint: &tracepoint };
    let access = arguments::table(draft, &scope, rows)?;
    let is_own_call = system_call::is_own(hist);
    let call = is_own_call.then(|| system_call::among_arguments(hist, &scope)).transpose()?;
    let follows = access.rows().iter().any(|row| row.access.follows_pointers())
        || call.as_ref().is_some_and(|call| call.id.follows_pointers());
    if follows && kernel.release.is_some_and(|release| release < FIRST_CONST_VOID) {
        arguments::refuse_opaque(&access, &scope)?;
    }
    let btf_id = follows.then_some(BtfId(tracepoint.id));
    let attach = Attach::RawTracepoint { name: name.to_owned(), btf_id };
    let against = |error: PlanError| NeedsRecord::because(error.to_string());
    let (template, once) = once::keep(draft, template, &access).map_err(against)?;
    // The length of a string is in the record, and patterns cost more without it.
    check_filter(draft, &access).map_err(against)?;
    let why = whence(&access);
    Ok(Way { attach, access, system_call: call, template, once, why })
}

/// Whence each field is taken.
fn whence(access: &AccessTable) -> Vec<String> {
    let line = |row: &AccessRow| match &row.access {
        Access::Argument(argument) => Some(format!("{} = {}", row.name, argument.expression)),
        Access::Record(_) => None,
    };
    match access.is_empty() {
        true => vec!["no field of the record is used".to_owned()],
        false => access.rows().iter().filter_map(line).collect(),
    }
}

fn check_filter(draft: &Draft, access: &AccessTable) -> Result<(), PlanError> {
    draft.filter.as_ref().map_or(Ok(()), |tree| filter::check_complexity(tree, access))
}
