//! What counting waits for: signals, time, and the end of the command or of the processes that are
//! counted. The printed tables and the live view wait for the same.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Child;
use tokio::time::{self, Instant, Interval, MissedTickBehavior};

use super::focus::Focused;
use super::options::Options;
use super::signals::{Signals, Wish};

/// What a second Ctrl-C exits with, as if it had killed the process: 128 + SIGINT.
const INTERRUPTED: i32 = 130;
/// How often it is looked whether processes that are counted are left.
pub(super) const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// What counting goes on for after the end of the command.
pub(super) const FOLLOWED: &str = "the command has ended, but not all that it started";

/// Something that needs doing.
pub(super) enum Event {
    Print,
    PassLogOn,
    /// The command ended.
    Ended(ExitStatus),
    Stop(Stop),
}

/// Why counting ends.
pub(super) enum Stop {
    /// A signal, or the duration is over.
    Asked,
    /// The command ended, or what is counted did.
    Over,
    /// Nobody reads the tables.
    Closed,
    /// Tables cannot be written.
    Failed(anyhow::Error),
}

/// Where events come from.
pub(super) struct Events<'a> {
    pub signals: Signals,
    /// When tables are due.
    pub tables: Option<Interval>,
    pub deadline: Option<Instant>,
    pub command: Option<Child>,
    /// How the command ended, once it has.
    pub status: Option<ExitStatus>,
    focused: &'a Focused,
}

impl<'a> Events<'a> {
    /// Those of counting that begins now.
    pub(super) fn new(
        options: &Options,
        signals: Signals,
        command: Option<Child>,
        focused: &'a Focused,
    ) -> Self {
        let now = Instant::now();
        let tables = options.interval.map(|period| every(period, now));
        let deadline = options.duration.map(|duration| now + duration);
        Self { signals, tables, deadline, command, status: None, focused }
    }

    /// Whether counting ends with the command. What it has started may go on.
    pub(super) fn command_ended(&mut self, status: ExitStatus) -> anyhow::Result<bool> {
        (self.command, self.status) = (None, Some(status));
        Ok(!self.focused.follows_command || self.focused.live.is_over()?)
    }

    /// What is followed and ends counting by ending, if there is such.
    pub(super) fn limit(&self) -> Option<&'a Focused> {
        // Beside a command that is not followed, what is followed may come and go.
        (self.command.is_none() && self.focused.live.is_limited()).then_some(self.focused)
    }
}

/// Ticks every `period` after `start`; ticks that nobody had time for are left out.
pub(super) fn every(period: Duration, start: Instant) -> Interval {
    let mut interval = time::interval_at(start + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

/// The next tick; never without an interval.
pub(super) async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// The next thing that is asked for from outside, the end first of all.
pub(super) async fn asked(
    signals: &mut Signals,
    deadline: Option<Instant>,
    command: Option<&mut Child>,
    focused: Option<&Focused>,
) -> anyhow::Result<Event> {
    Ok(tokio::select! {
        biased;
        wish = signals.next() => match wish {
            Wish::Print => Event::Print,
            Wish::Stop => Event::Stop(Stop::Asked),
            Wish::Leave => leave(),
        },
        () = time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
            Event::Stop(Stop::Asked)
        }
        status = ended(command) => {
            Event::Ended(status.context("cannot wait for the command")?)
        }
        over = over(focused) => {
            over?;
            Event::Stop(Stop::Over)
        }
    })
}

/// The end of all processes that are counted; never if they are not limited.
async fn over(focused: Option<&Focused>) -> anyhow::Result<()> {
    let Some(focused) = focused else { return std::future::pending().await };
    while !focused.live.is_over()? {
        time::sleep(LOOK_PERIOD).await;
    }
    Ok(())
}

/// The end of the command; never without one.
async fn ended(command: Option<&mut Child>) -> std::io::Result<ExitStatus> {
    match command {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

/// Ends the process here and now, whatever is being written.
pub(super) fn leave() -> ! {
    std::process::exit(INTERRUPTED);
}
