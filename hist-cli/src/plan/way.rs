//! Chooses how a program gets its events, and tells why so.
//!
//! The classic tracepoint is always right. The raw one is cheaper, and used where every field that
//! the trigger reads is known to be made of the tracepoint's arguments ([`super::access::arguments`]);
//! but not where a raw program could be preempted ([`crate::kernel::preemption`]), for then the kernel
//! skips it for other tasks' events.

use super::access::arguments::bind::Scope;
use super::access::arguments::rows::has_preemption_off;
use super::access::arguments::rules::is_system_call;
use super::access::arguments::{self, NeedsRecord, UsableRow};
use super::access::system_call::{self, SystemCall};
use super::access::{Access, AccessRow, AccessTable, record};
use super::attach::{Attach, AttachWish, BtfId};
use super::draft::Draft;
use super::once::{self, Kept};
use super::{PlanError, Template, complexity};
use crate::kernel::btf::Btf;
use crate::kernel::preemption::Preemption;
use crate::kernel::{Context, EventName};
use crate::resolve::hist::Hist;

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
    let classic = classic(draft)?;
    match first_choice(&draft.hist, wish, kernel.preemption, kernel.btf.is_some()) {
        Choice::Classic(why) => {
            Ok(Way { why: why.into_iter().map(str::to_owned).collect(), ..classic })
        }
        Choice::AmongAll => Ok(avoid_own_event(classic, &draft.hist, kernel.btf)),
        Choice::Raw => raw_or(classic, draft, wish, kernel),
    }
}

/// What is to be tried before any field is looked at.
enum Choice {
    /// The classic tracepoint, and why not the raw one. Without types at hand nobody asks why.
    Classic(Option<&'static str>),
    /// The classic tracepoint of all system calls.
    AmongAll,
    /// The raw tracepoint.
    Raw,
}

fn first_choice(hist: &Hist, wish: AttachWish, preemption: Preemption, has_types: bool) -> Choice {
    let is_own_call = is_system_call(hist);
    if is_own_call && wish != AttachWish::Raw && preemption.loses(false) {
        return Choice::AmongAll;
    }
    match (wish, has_types) {
        (AttachWish::Tracepoint, _) | (AttachWish::Auto, false) => Choice::Classic(None),
        (AttachWish::Auto, true) if is_own_call => Choice::Classic(Some(ALL_CALLS)),
        (AttachWish::Auto, true) if loses(hist, preemption) => Choice::Classic(Some(PREEMPTIBLE)),
        (AttachWish::Auto | AttachWish::Raw, _) => Choice::Raw,
    }
}

/// Whether planning `hist` so asks the kernel's types anything.
#[must_use]
pub fn needs_types(hist: &Hist, wish: AttachWish, preemption: Preemption) -> bool {
    match first_choice(hist, wish, preemption, true) {
        Choice::Classic(_) => false,
        Choice::AmongAll | Choice::Raw => true,
    }
}

/// The kernel can preempt a raw program on the event.
fn loses(hist: &Hist, preemption: Preemption) -> bool {
    preemption.loses(has_preemption_off(&hist.event))
}

/// The raw tracepoint where that is right, else the `classic` one; unless nothing else is wished.
fn raw_or(
    classic: Way,
    draft: &Draft,
    wish: AttachWish,
    kernel: &Context<'_>,
) -> Result<Way, PlanError> {
    let insists = wish == AttachWish::Raw;
    match raw_by_table(draft, classic.template, insists, kernel) {
        Ok(mut raw) => {
            raw.why.extend(loses(&draft.hist, kernel.preemption).then(|| WARNING.to_owned()));
            Ok(raw)
        }
        Err(error) if insists => Err(refusal(&draft.hist, &error)),
        Err(NeedsRecord { reasons }) => Ok(Way { why: reasons, ..classic }),
    }
}

fn raw_by_table(
    draft: &Draft,
    template: Template,
    insists: bool,
    kernel: &Context<'_>,
) -> Result<Way, NeedsRecord> {
    let btf = kernel.btf.ok_or_else(|| NeedsRecord::because("no BTF was given"))?;
    let rows = arguments::usable_rows(&draft.hist, insists)?;
    raw(draft, template, Types { btf, release: kernel.release }, &rows)
}

fn refusal(hist: &Hist, error: &NeedsRecord) -> PlanError {
    PlanError::NeedsRecord { event: hist.event.to_string(), reasons: error.to_string() }
}

/// The classic tracepoint, and the record.
fn classic(draft: &Draft) -> Result<Way, PlanError> {
    let access = record::table(draft);
    check_filter(draft, &access)?;
    let (template, once) = once::keep(draft, draft.template, &access)?;
    let attach = Attach::Tracepoint { event: draft.hist.event.clone(), id: draft.hist.event_id };
    Ok(Way { attach, access, system_call: None, template, once, why: Vec::new() })
}

/// Counts a system call on the classic event of all of them, where programs are never preempted and
/// records have the same at the same places. If it cannot be told from others there, it stays on
/// its own event, which counts nothing that it should not.
fn avoid_own_event(own: Way, hist: &Hist, btf: Option<&Btf>) -> Way {
    match system_call::among_records(hist, btf) {
        Ok((event, id, call)) => {
            let attach = Attach::Tracepoint { event: EventName::new("raw_syscalls", event), id };
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
    let is_own_call = is_system_call(hist);
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
    draft.filter.as_ref().map_or(Ok(()), |tree| complexity::check(tree, access))
}
