//! Takes trigger texts and event formats. Gives linked objects, arrow by arrow; no I/O here.

use bstr::BString;

use crate::codegen::{self, CodegenError, code::Code};
use crate::diag::TriggerError;
use crate::kernel::Context;
use crate::kernel::format::EventFormat;
use crate::link::{self, LinkError, Object};
use crate::parse;
use crate::plan::{self, Plan, PlanError, Wishes};
use crate::resolve;

/// Why a trigger has no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The trigger is wrong. The display has the caret under the place.
    #[error("{}", .error.render(.source_text))]
    Trigger {
        /// What, and where.
        error: TriggerError,
        /// What the error's span points into.
        source_text: BString,
    },
    /// Keys or values fit no template.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Our defect.
    #[error("internal error: {0}")]
    Codegen(#[from] CodegenError),
    /// Our defect.
    #[error("internal error: {0}")]
    Link(#[from] LinkError),
}

/// One trigger, ready to be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What is to run.
    pub plan: Plan,
    /// The code that it runs.
    pub code: Code,
}

/// Text → plan.
///
/// # Errors
/// The first thing that is wrong with the trigger.
pub fn plan(
    text: &(impl AsRef<[u8]> + ?Sized),
    event: &EventFormat,
    context: &Context<'_>,
    wishes: Wishes,
) -> Result<Plan, CompileError> {
    let text = text.as_ref();
    let trigger = parse::trigger(text).map_err(|error| at(error, text))?;
    let hist = resolve::hist(&trigger, event, context).map_err(|error| at(error, &trigger.text))?;
    let wishes = Wishes { cpus: wishes.cpus.or(context.possible_cpus), ..wishes };
    Ok(plan::plan(hist, wishes, context)?)
}

/// Text → plan and code.
///
/// # Errors
/// As [`plan`].
pub fn compile(
    text: &(impl AsRef<[u8]> + ?Sized),
    event: &EventFormat,
    context: &Context<'_>,
    wishes: Wishes,
) -> Result<Compiled, CompileError> {
    let plan = plan(text, event, context, wishes)?;
    let code = codegen::generate(&plan)?;
    Ok(Compiled { plan, code })
}

/// Several compiled triggers → one object.
///
/// # Errors
/// If a trigger does not fit its template.
pub fn link(compiled: &[Compiled]) -> Result<Object, CompileError> {
    let triggers: Vec<_> = compiled.iter().map(|one| (&one.plan, &one.code)).collect();
    Ok(link::link(&triggers)?)
}

fn at(error: TriggerError, text: &[u8]) -> CompileError {
    CompileError::Trigger { error, source_text: text.into() }
}
