//! Carries the changes of a session out in the running kernel.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::registry::TriggerId;
use super::{Backend, Session, SessionError};
use crate::kernel;
use crate::kernel::Context;
use crate::kernel::EventName;
use crate::kernel::Facts;
use crate::kernel::Needs;
use crate::kernel::format::EventFormat;
use crate::kernel::tracefs::Tracefs;
use crate::load::{
    self, Among, Attached, AttachedTrigger, Barrier, ControlError, Feeds, LiveFocus, LoadError,
    Stopper,
};
use crate::pipeline::{self, Built};
use crate::plan::{self, AttachWish, Plan, Wishes};
use crate::read::{self, ReadError};
use crate::resolve::hist::Hist;
use crate::snapshot::{Row, Snapshot};

/// The running kernel. Several of them may share what is known of it: `F` is the [`Facts`], or a
/// pointer to them.
pub struct Live<F = Facts> {
    tracefs: Tracefs,
    facts: F,
    wishes: Wishes,
    /// The maps that programs look into if the wishes have a focus that takes some.
    focus: Option<Arc<LiveFocus>>,
    /// What waiting for programs takes. None: it is made when it is needed, if there are still files
    /// for it then.
    barrier: Option<Arc<Barrier>>,
}

/// A trigger's program, and what it logs.
pub struct LiveTrigger(Attached);

impl<F: Borrow<Facts>> Live<F> {
    /// The kernel that `facts` are about and whose events `tracefs` describes.
    #[must_use]
    pub const fn new(tracefs: Tracefs, facts: F, wishes: Wishes) -> Self {
        Self { tracefs, facts, wishes, focus: None, barrier: None }
    }

    /// The same, with the open maps of the wishes' focus.
    #[must_use]
    pub fn within(self, focus: Option<Arc<LiveFocus>>) -> Self {
        Self { focus, ..self }
    }

    /// The same, which has what stopping takes from the beginning.
    #[must_use]
    pub fn with_barrier(self, barrier: Arc<Barrier>) -> Self {
        Self { barrier: Some(barrier), ..self }
    }

    /// What counts has been attached anew.
    fn settle_again(&self) -> Result<(), SessionError> {
        Ok(self.focus.as_deref().map_or(Ok(()), LiveFocus::settle_again)?)
    }

    /// Nothing begins to count any more.
    fn pause_all<'a>(&self, triggers: impl Iterator<Item = &'a LiveTrigger>) {
        Stopper::new(self.focus.clone(), triggers.map(LiveTrigger::trigger)).stop();
    }

    /// What counts an event at this moment comes to its end.
    fn wait(&self) {
        let waited = match &self.barrier {
            Some(barrier) => barrier.wait(),
            None => load::wait_for_programs(),
        };
        if let Err(error) = waited {
            log::warn!("cannot wait for events that are being counted: {error}");
        }
    }

    /// What is to be counted, if another way of attaching than the one that was built would do: it is
    /// for the raw tracepoint, which was not insisted on.
    fn otherwise(&self, plan: &Plan) -> Option<Hist> {
        let is_open = self.wishes.attach == AttachWish::Auto && !plan.has_record();
        is_open.then(|| plan.hist.clone())
    }

    /// The classic tracepoint is always right, so whatever the kernel has against the raw one is no
    /// reason to give up.
    fn attach_classic(
        &self,
        hist: Hist,
        refusal: &LoadError,
        joins: Option<&LiveTrigger>,
    ) -> Result<LiveTrigger, SessionError> {
        let wishes = Wishes { attach: AttachWish::Tracepoint, ..self.wishes.clone() };
        let context = self.context(self.needs_of(&hist, &wishes));
        self.attach_built(pipeline::build_classic(hist, wishes, &context, refusal)?, joins)
    }

    /// What planning `hist` so takes.
    fn needs_of(&self, hist: &Hist, wishes: &Wishes) -> Needs {
        let preemption = self.facts.borrow().preemption();
        Needs { symbols: false, types: plan::needs_types(hist, wishes.attach, preemption) }
    }

    /// Lets what was built count.
    fn attach_built(
        &self,
        built: Built,
        joins: Option<&LiveTrigger>,
    ) -> Result<LiveTrigger, SessionError> {
        let joined = joins.map(|joined| Feeds::Open(joined.trigger().table().clone()));
        let among = Among {
            feeds: joined.into_iter().collect(),
            focus: self.focus.as_deref(),
            barrier: self.barrier.as_ref(),
        };
        Ok(LiveTrigger(load::attach_among(built, among)?))
    }
}

impl<F: Borrow<Facts>> Session<Live<F>> {
    /// Does what [`stop`](Self::stop) does for all of them, as close together as can be: the kernel is
    /// waited for once.
    pub fn stop_all<'a>(sessions: impl Iterator<Item = &'a Self>)
    where
        F: 'a,
    {
        let mut last = None;
        for session in sessions {
            session.backend.pause_all(session.attached.values());
            last = Some(session);
        }
        if let Some(session) = last {
            session.backend.wait();
        }
    }

    /// Has a trigger count into an empty table from now on, but for the keys of `seeds`, which are
    /// there without hits. Gives what was in the one before, as [`snapshot`](Self::snapshot) does:
    /// no hit is in both, and none in neither.
    ///
    /// # Errors
    /// If the kernel refuses. What has not been read then is given by the next call.
    pub fn renew(&mut self, id: TriggerId, seeds: &[Row]) -> Result<Snapshot, SessionError> {
        let attached = self.attached.get_mut(&id).expect("what the registry has is attached");
        let snapshot = attached.renew(seeds)?;
        let entry = self.registry.entries().iter().find(|entry| entry.id == id);
        Ok(self.settled(entry.expect("it is attached"), snapshot))
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

    /// [`read::renew`]
    pub(super) fn renew(&mut self, seeds: &[Row]) -> Result<Snapshot, ReadError> {
        read::renew(&mut self.0.triggers[0], seeds)
    }

    /// Passes on what the program has logged since the last call.
    pub fn flush_log(&mut self) {
        self.0.flush_log();
    }

    /// How many events should have been logged and were not; exact once the session has stopped and
    /// the log was passed on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn unlogged(&self) -> io::Result<u64> {
        self.0.unlogged()
    }
}

impl<F: Borrow<Facts>> Backend for Live<F> {
    type Attached = LiveTrigger;

    fn context(&self, needs: Needs) -> Context<'_> {
        self.facts.borrow().context_with(needs)
    }

    fn event(&self, event: &EventName) -> Result<EventFormat, SessionError> {
        let format = self.tracefs.event(event)?;
        let dynamic_events = self.tracefs.dynamic_events()?;
        match kernel::attachable::refuse_unattachable(event, &dynamic_events) {
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
        let needs = self.needs_of(&hist, &self.wishes);
        let built = pipeline::build(hist, self.wishes.clone(), &self.context(needs))?;
        let otherwise = self.otherwise(built.plan());
        match (self.attach_built(built, joins), otherwise) {
            (Err(SessionError::Load(error)), Some(hist)) if error.is_refusal() => {
                self.attach_classic(hist, &error, joins)
            }
            (result, _) => result,
        }
    }

    fn pause(&mut self, trigger: &LiveTrigger) -> Result<(), SessionError> {
        trigger.trigger().pause();
        Ok(())
    }

    fn resume(&mut self, trigger: &mut LiveTrigger) -> Result<(), SessionError> {
        let otherwise = self.otherwise(&trigger.trigger().plan);
        match (trigger.trigger().resume(), otherwise) {
            // A trigger that begins paused is attached only now.
            (Err(ControlError::Attach(error)), Some(hist)) if error.is_refusal() => {
                let hist = Hist { paused: false, ..hist };
                *trigger = self.attach_classic(hist, &error, Some(trigger))?;
            }
            (result, _) => result?,
        }
        self.settle_again()
    }

    fn stop<'a>(&self, triggers: impl Iterator<Item = &'a LiveTrigger>) {
        self.pause_all(triggers);
        self.wait();
    }

    fn is_paused(&self, trigger: &LiveTrigger) -> bool {
        trigger.trigger().is_paused()
    }

    fn clear(&mut self, trigger: &LiveTrigger) -> Result<(), SessionError> {
        trigger.trigger().clear_with(self.barrier.as_deref())?;
        self.settle_again()
    }

    fn snapshot(&self, trigger: &LiveTrigger) -> Result<Snapshot, SessionError> {
        Ok(read::snapshot(trigger.trigger())?)
    }
}

#[cfg(test)]
mod tests {
    use hist_test_support::needs;

    use super::*;
    use crate::kernel::tracefs::find_or_mount;
    use crate::plan::Attach;

    /// Only what was attached at once had the classic one to fall back on, and what the command
    /// starts is attached when all is ready.
    #[test]
    fn a_raw_tracepoint_that_is_refused_on_resuming_gives_way_to_the_classic_one() {
        if !needs::root() {
            return;
        }
        let facts = Facts::read().expect("the list of CPUs");
        let mut live = Live::new(find_or_mount().expect("tracefs"), facts, Wishes::default());
        let thread = rustix::thread::gettid();
        let text = format!("hist:keys=id:pause if common_pid=={thread}");
        let event = live.event(&EventName::new("raw_syscalls", "sys_enter")).expect("it is there");
        let wishes = live.wishes.clone();
        let mut plan = pipeline::plan(
            &text,
            &event,
            &live.context(Needs { symbols: false, types: true }),
            wishes,
        )
        .expect("a plan");
        assert!(!plan.has_record(), "{plan}");
        // What the kernel takes until it is asked to attach it.
        plan.attach = Attach::RawTracepoint { name: "no_such_tracepoint".into(), btf_id: None };
        let mut trigger = live
            .attach_built(pipeline::build_plan(plan, false).expect("it links"), None)
            .expect("it is loaded");
        let table = trigger.trigger().table().clone();
        live.resume(&mut trigger).expect("the classic one is there");
        assert!(!live.is_paused(&trigger) && Arc::ptr_eq(&table, trigger.trigger().table()));
        let plan = &trigger.trigger().plan;
        assert!(plan.has_record() && plan.why[0].contains("refused: "), "{plan}");
        for _ in 0..10 {
            std::hint::black_box(rustix::process::getppid());
        }
        let rows = live.snapshot(&trigger).expect("it can be read").rows;
        let number = libc::SYS_getppid.cast_unsigned();
        let hits = rows.iter().find(|row| row.word(0) == number).map(|row| row.counts.hits);
        assert_eq!(hits, Some(10));
    }
}
