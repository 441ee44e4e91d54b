//! What a session needs of the world to carry out its changes. The kernel implements it, and for
//! tests a fake.

use super::SessionError;
use crate::kernel::EventName;
use crate::kernel::format::EventFormat;
use crate::kernel::{Context, Needs};
use crate::resolve::hist::Hist;
use crate::snapshot::Snapshot;

/// What carries out the changes of a session.
pub trait Backend {
    /// A trigger that counts. Dropping it detaches it, and it alone; a table stays as long as one
    /// of its triggers does.
    type Attached;

    /// What the meaning of a trigger depends on, with what `needs` asks for.
    fn context(&self, needs: Needs) -> Context<'_>;

    /// What the event looks like.
    ///
    /// # Errors
    /// If there is no such event, or none that can be counted.
    fn event(&self, event: &EventName) -> Result<EventFormat, SessionError>;

    /// Begins to count, paused if `hist` says so. With `joins` it counts into the table of that
    /// trigger, whose counts stay; the two have keys and values of the same layout.
    ///
    /// # Errors
    /// If the trigger has no program, or the kernel refuses it.
    fn attach(
        &mut self,
        hist: Hist,
        joins: Option<&Self::Attached>,
    ) -> Result<Self::Attached, SessionError>;

    /// Stops this trigger's counting for the time being.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn pause(&mut self, trigger: &Self::Attached) -> Result<(), SessionError>;

    /// Goes on counting into what is there. It may take another program for that.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn resume(&mut self, trigger: &mut Self::Attached) -> Result<(), SessionError>;

    /// Stops all these triggers for good, one as close to the other as can be, and waits for those
    /// that are counting an event at this moment. What has been counted can be read afterwards.
    fn stop<'a>(&self, triggers: impl Iterator<Item = &'a Self::Attached>)
    where
        Self::Attached: 'a;

    /// It counts nothing at present.
    fn is_paused(&self, trigger: &Self::Attached) -> bool;

    /// Empties the table of `trigger`, for all that count into it. Which of them are paused stays
    /// as it is.
    ///
    /// # Errors
    /// If the kernel refuses. Some may [be paused](Self::is_paused) then that were not.
    fn clear(&mut self, trigger: &Self::Attached) -> Result<(), SessionError>;

    /// What has been counted, in any order.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn snapshot(&self, trigger: &Self::Attached) -> Result<Snapshot, SessionError>;
}
