//! The one way from a trigger to what the kernel is given. Whatever attaches, lists or explains a
//! trigger [builds](build) it here, so that they all speak of the same program; no I/O.

use std::fmt;

use bstr::BString;

use crate::codegen::{self, CodegenError, code::Code};
use crate::diag::Rejection;
use crate::kernel::Context;
use crate::kernel::format::EventFormat;
use crate::link::{self, LinkError, Object, Program};
use crate::parse;
use crate::plan::{self, AttachWish, Plan, PlanError, Spill, Wishes};
use crate::resolve;
use crate::resolve::hist::Hist;

/// Why a trigger has no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The trigger is wrong. The display has the caret under the place.
    #[error("{}", .rejection.error.render(.source_text))]
    Trigger {
        /// What, and where.
        rejection: Rejection,
        /// What its spans point into.
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

impl CompileError {
    /// The trigger `text`, which may have white space around it, is wrong.
    pub(crate) fn trigger(why: impl Into<Rejection>, text: &[u8]) -> Self {
        Self::Trigger { rejection: why.into(), source_text: parse::trim(text).to_owned() }
    }
}

/// What is to run, and its code. Later a program may be made of several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What is to run.
    pub plan: Plan,
    /// What the template's holes are filled with.
    pub code: Code,
}

impl Segment {
    /// Generates the plan's code.
    ///
    /// # Errors
    /// None but defects of ours.
    pub fn new(plan: Plan) -> Result<Self, CompileError> {
        let code = codegen::generate(&plan)?;
        Ok(Self { plan, code })
    }
}

/// What the loader takes: all that the kernel is given, but for the descriptors of maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// What the programs were made from. The first one is the trigger's own.
    pub segments: Vec<Segment>,
    /// The linked programs, each of the segment at its place.
    pub object: Object,
    /// There if the table can be renewed: what is attached in the place of the first program, which it
    /// enters. The second one counts the hits for which that has no room.
    pub stub: Option<Program>,
}

impl Built {
    /// Links segments that start together, each a program with a table of its own.
    ///
    /// # Errors
    /// If one does not fit its template.
    pub fn new(segments: Vec<Segment>) -> Result<Self, CompileError> {
        let triggers: Vec<_> = segments.iter().map(|one| (&one.plan, &one.code)).collect();
        Ok(Self { object: link(&triggers)?, segments, stub: None })
    }

    /// Links the program of a table that is renewed, and those that it takes besides.
    fn renewable(plans: Spill) -> Result<Self, CompileError> {
        let built = Self::new(vec![Segment::new(plans.main)?, Segment::new(plans.rest)?])?;
        let stub = Some(link::stub(built.program())?);
        Ok(Self { stub, ..built })
    }

    /// The plan of the trigger.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        // There is no way to build nothing.
        &self.segments[0].plan
    }

    /// The program that counts the trigger.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.object.programs[0]
    }

    /// Every program that is loaded, in the order in which events reach them.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.stub.iter().chain(&self.object.programs)
    }
}

/// The programs as the kernel is given them, in the order in which events reach them.
impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.programs().map(Program::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

/// Text → what is to be counted.
///
/// # Errors
/// The first thing that is wrong with the trigger.
pub fn hist(
    text: &(impl AsRef<[u8]> + ?Sized),
    event: &EventFormat,
    context: &Context<'_>,
) -> Result<Hist, CompileError> {
    let text = text.as_ref();
    let trigger = parse::trigger(text).map_err(|error| CompileError::trigger(error, text))?;
    resolve::hist(&trigger, event, context)
        .map_err(|rejection| CompileError::trigger(rejection, text))
}

/// Text → plan, the first part of [`build_text`].
///
/// # Errors
/// The first thing that is wrong with the trigger, or keys and values that fit no template.
pub fn plan(
    text: &(impl AsRef<[u8]> + ?Sized),
    event: &EventFormat,
    context: &Context<'_>,
    wishes: Wishes,
) -> Result<Plan, CompileError> {
    plan_hist(hist(text, event, context)?, wishes, context)
}

/// Text → all that the kernel is given.
///
/// # Errors
/// As [`plan`], and defects of ours.
pub fn build_text(
    text: &(impl AsRef<[u8]> + ?Sized),
    event: &EventFormat,
    context: &Context<'_>,
    wishes: Wishes,
) -> Result<Built, CompileError> {
    build(hist(text, event, context)?, wishes, context)
}

/// What is to be counted → all that the kernel is given.
///
/// # Errors
/// If keys or values fit no template, and defects of ours.
pub fn build(hist: Hist, wishes: Wishes, context: &Context<'_>) -> Result<Built, CompileError> {
    let is_renewable = wishes.renewable;
    build_plan(plan_hist(hist, wishes, context)?, is_renewable)
}

/// The same on the classic tracepoint, which is always right: `refusal` is what the kernel has against
/// the raw one.
///
/// # Errors
/// As [`build`].
pub fn build_classic(
    hist: Hist,
    wishes: Wishes,
    context: &Context<'_>,
    refusal: &dyn fmt::Display,
) -> Result<Built, CompileError> {
    let (is_renewable, attach) = (wishes.renewable, AttachWish::Tracepoint);
    let mut plan = plan_hist(hist, Wishes { attach, ..wishes }, context)?;
    plan.why = vec![format!("the raw tracepoint was refused: {refusal}")];
    build_plan(plan, is_renewable)
}

/// Plan → all that the kernel is given. The table of a plan `is_renewable` if it can ever be full and
/// has no name, by which several triggers may feed it.
///
/// # Errors
/// If there is no memory for what being renewed takes, and defects of ours.
pub fn build_plan(plan: Plan, is_renewable: bool) -> Result<Built, CompileError> {
    let may_renew = is_renewable && plan.hist.name.is_none();
    match may_renew.then(|| plan::spill(&plan)).transpose()?.flatten() {
        Some(plans) => Built::renewable(plans),
        None => Built::new(vec![Segment::new(plan)?]),
    }
}

/// Plans and code → programs, each with maps of its own. Nothing else links what runs.
///
/// # Errors
/// If a trigger does not fit its template.
pub fn link(triggers: &[(&Plan, &Code)]) -> Result<Object, CompileError> {
    Ok(link::link(triggers)?)
}

fn plan_hist(hist: Hist, wishes: Wishes, context: &Context<'_>) -> Result<Plan, CompileError> {
    let wishes = Wishes { cpus: wishes.cpus.or(context.possible_cpus), ..wishes };
    Ok(plan::plan(hist, wishes, context)?)
}
