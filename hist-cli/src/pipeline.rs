//! The one way from a trigger to what the kernel is given. Whatever attaches, lists or explains a
//! trigger [builds](build) it here, so that they all speak of the same program; no I/O.

use std::fmt;

use bstr::BString;

use crate::codegen::{self, CodegenError, code::Code};
use crate::diag::Rejection;
use crate::kernel::format::EventFormat;
use crate::kernel::{Context, Needs};
use crate::link::{self, LinkError, Object, Program};
use crate::optimize::{self, OptimizeError};
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
    /// Our defect.
    #[error("internal error: {0}")]
    Optimize(#[from] OptimizeError),
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

/// What [`hist`] of that text takes, and what planning it may.
#[must_use]
pub fn needs(text: &(impl AsRef<[u8]> + ?Sized)) -> Needs {
    // What is wrong with the text is said when it is resolved.
    let trigger = parse::trigger(text.as_ref());
    Needs { symbols: trigger.is_ok_and(|trigger| trigger.names_functions()), types: true }
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
/// As [`plan()`], and defects of ours.
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

/// Plan → all that the kernel is given. The table can be renewed if `is_renewable`, unless it can never
/// be full, or has a name, by which several triggers may feed it.
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
    let mut object = link::link(triggers)?;
    for program in &mut object.programs {
        optimize::optimize(program)?;
    }
    Ok(object)
}

fn plan_hist(hist: Hist, wishes: Wishes, context: &Context<'_>) -> Result<Plan, CompileError> {
    let wishes = Wishes { cpus: wishes.cpus.or(context.possible_cpus), ..wishes };
    Ok(plan::plan(hist, wishes, context)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::format;
    use crate::link::Target;

    fn event() -> EventFormat {
        let text = "name: e\nID: 1\nformat:\n\
            \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
            \tfield:u64 n;\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: \"\"\n";
        format::parse("s", text).expect("a format")
    }

    fn build(trigger: &str, renewable: bool) -> Built {
        let wishes = Wishes { renewable, ..Wishes::default() };
        build_text(trigger, &event(), &Context::default(), wishes).expect(trigger)
    }

    fn names(built: &Built) -> Vec<&str> {
        built.programs().map(|program| program.name.as_str()).collect()
    }

    /// The stub refers to the slots of the program that counts, and to nothing else.
    #[test]
    fn a_table_that_is_renewed_takes_three_programs() {
        let built = build("hist:keys=n", true);
        assert_eq!(names(&built), ["hist_stub", "hist0", "hist1"]);
        let stub = built.stub.as_ref().expect("it is there");
        let slots = built.program().slots().expect("hits without room go on");
        assert_eq!(stub.maps, std::slice::from_ref(slots));
        assert_eq!(stub.references.len(), 1);
        assert_eq!(stub.references[0].target, Target::Map(slots.id));
        assert_eq!(stub.section, built.program().section);
        let listing = built.to_string();
        for line in ["program hist_stub (tracepoint): ", "r2 = map SPILL0\n", "\nprogram hist1 "] {
            assert!(listing.contains(line), "no {line:?} in\n{listing}");
        }
        assert_eq!(built.segments[0].plan.hist, build("hist:keys=n", false).plan().hist);
    }

    #[test]
    fn tables_that_are_never_full_or_have_a_name_are_not_renewed() {
        for trigger in ["hist:keys=n.log2", "hist:name=a:keys=n"] {
            assert_eq!(build(trigger, true), build(trigger, false), "{trigger}");
        }
        assert_eq!(names(&build("hist:keys=n", false)), ["hist0"]);
    }

    /// The first number was the place in the command for what was listed, and 0 for what was loaded.
    #[test]
    fn the_same_trigger_is_the_same_program_wherever_it_is_built() {
        let (event, context) = (event(), Context::default());
        let hist = hist("hist:keys=n if n > 5", &event, &context).expect("right");
        let from_hist = super::build(hist, Wishes::default(), &context).expect("it builds");
        assert_eq!(from_hist, build("hist:keys=n if n > 5", false));
        let refused =
            build_classic(from_hist.plan().hist.clone(), Wishes::default(), &context, &"so");
        let refused = refused.expect("it builds");
        assert_eq!(refused.object, from_hist.object);
        assert_eq!(refused.plan().why, ["the raw tracepoint was refused: so"]);
    }
}
