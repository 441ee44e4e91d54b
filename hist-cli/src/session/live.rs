//! Takes the changes of a session. Gives programs that count in the running kernel.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{Backend, EventName, SessionError};
use crate::codegen;
use crate::link;
use crate::load::{self, Attached, AttachedTrigger, Facts, Feeds, LiveFocus, LoadError};
use crate::pipeline::CompileError;
use crate::plan::{self, AttachWish, Plan, Wishes};
use crate::read;
use crate::read::snapshot::Snapshot;
use crate::resolve::Context;
use crate::resolve::hist::Hist;
use crate::tracefs::format::EventFormat;
use crate::tracefs::mount::Tracefs;

/// The running kernel. Several of them may share what is known of it: `F` is the [`Facts`], or a
/// pointer to them.
pub struct Live<F = Facts> {
    tracefs: Tracefs,
    facts: F,
    wishes: Wishes,
    /// The maps that programs look into if the wishes have a focus that takes some.
    focus: Option<Arc<LiveFocus>>,
}

/// A trigger's program, and what it logs.
pub struct LiveTrigger(Attached);

impl<F: Borrow<Facts>> Live<F> {
    /// The kernel that `facts` are about and whose events `tracefs` describes.
    #[must_use]
    pub const fn new(tracefs: Tracefs, facts: F, wishes: Wishes) -> Self {
        Self { tracefs, facts, wishes, focus: None }
    }

    /// The same, with the open maps of the wishes' focus.
    #[must_use]
    pub fn within(self, focus: Option<Arc<LiveFocus>>) -> Self {
        Self { focus, ..self }
    }

    /// What counts has been attached anew.
    fn settle_again(&self) -> Result<(), SessionError> {
        Ok(self.focus.as_deref().map_or(Ok(()), LiveFocus::settle_again)?)
    }

    /// Compiles the plan and lets it count.
    fn attach_plan(
        &self,
        plan: Plan,
        joins: Option<&LiveTrigger>,
    ) -> Result<LiveTrigger, SessionError> {
        let code = codegen::generate(&plan).map_err(CompileError::from)?;
        let object = link::link(&[(&plan, &code)]).map_err(CompileError::from)?;
        let feeds =
            joins.map_or(Feeds::New, |joined| Feeds::Open(joined.trigger().table().clone()));
        let focus = self.focus.as_deref();
        Ok(LiveTrigger(load::attach_within(&object, vec![(plan, feeds)], focus)?))
    }
}

/// The time since boot without sleep, which is about what the kernel's own log has.
#[must_use]
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

impl LiveTrigger {
    /// The running program and its table.
    #[must_use]
    pub fn trigger(&self) -> &AttachedTrigger {
        // One is attached at a time.
        &self.0.triggers[0]
    }

    /// Passes on what the program has logged since the last call.
    pub fn flush_log(&mut self) {
        self.0.flush_log();
    }
}

impl<F: Borrow<Facts>> Backend for Live<F> {
    type Attached = LiveTrigger;

    fn context(&self) -> Context<'_> {
        self.facts.borrow().context()
    }

    fn event(&self, event: &EventName) -> Result<EventFormat, SessionError> {
        let format = self.tracefs.event(&event.system, &event.name)?;
        let dynamic_events = self.tracefs.dynamic_events()?;
        match load::refuse_unattachable(&event.system, &event.name, &dynamic_events) {
            Some(reason) => {
                Err(LoadError::Unattachable { event: event.to_string(), reason }.into())
            }
            None => Ok(format),
        }
    }

    fn attach(
        &mut self,
        hist: Hist,
        joins: Option<&LiveTrigger>,
    ) -> Result<LiveTrigger, SessionError> {
        let cpus = self.wishes.cpus.or(self.context().possible_cpus);
        let wishes = Wishes { cpus, ..self.wishes.clone() };
        let plan =
            plan::plan(hist, wishes.clone(), self.context().btf).map_err(CompileError::from)?;
        let classic = plan.hist.clone();
        let is_open = wishes.attach == AttachWish::Auto && !plan.has_record();
        match self.attach_plan(plan, joins) {
            // The classic tracepoint is always right, so whatever the kernel has against the raw
            // one is no reason to give up.
            Err(SessionError::Load(error)) if is_open && error.is_refusal() => {
                let wishes = Wishes { attach: AttachWish::Tracepoint, ..wishes };
                let mut plan = plan::plan(classic, wishes, None).map_err(CompileError::from)?;
                plan.why = vec![format!("the raw tracepoint was refused: {error}")];
                self.attach_plan(plan, joins)
            }
            result => result,
        }
    }

    fn pause(&mut self, trigger: &LiveTrigger) -> Result<(), SessionError> {
        trigger.trigger().pause();
        Ok(())
    }

    fn resume(&mut self, trigger: &LiveTrigger) -> Result<(), SessionError> {
        trigger.trigger().resume()?;
        self.settle_again()
    }

    fn clear(&mut self, trigger: &LiveTrigger) -> Result<(), SessionError> {
        trigger.trigger().clear()?;
        self.settle_again()
    }

    fn snapshot(&self, trigger: &LiveTrigger) -> Result<Snapshot, SessionError> {
        Ok(read::snapshot(trigger.trigger())?)
    }
}
