//! Waits while a session counts: has a table printed at every interval and signal, and ends with an
//! exit code on a signal, when the time is over, or with the processes that are counted.

use std::io;
use std::mem;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Child;
use tokio::time::{self, Instant, Interval, MissedTickBehavior};

use super::command::{self, Kept, SpawnError};
use super::focus::Focused;
use super::options::Options;
use super::output::{Output, Written, say};
use super::printer::{Lost, Printer, Work, each_once};
use super::signals::{Signals, Wish};
use super::watch::Watch;
use super::worker::{Job, Worker};
use crate::load::{LiveFocus, Stopper};
use crate::session::registry::TriggerEntry;

/// What a second Ctrl-C exits with, as if it had killed the process: 128 + SIGINT.
const INTERRUPTED: i32 = 130;
/// What `--fail-on-loss` exits with.
const LOSS: u8 = 3;
/// How often it is looked whether processes that are counted are left.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// How often the log of `-vv` is passed on.
const LOG_PERIOD: Duration = Duration::from_millis(50);

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

/// All that is waited for.
pub(super) struct Counting<'a> {
    pub options: &'a Options,
    pub signals: Signals,
    pub tables: Option<Interval>,
    log: Option<Interval>,
    pub deadline: Option<Instant>,
    pub command: Option<Child>,
    /// What does all that may block.
    pub worker: Worker,
    /// There while nothing is being read or printed.
    pub printer: Option<Printer>,
    /// How it ended, once it has.
    status: Option<ExitStatus>,
    focused: &'a Focused,
    /// What the command writes while it cannot have the terminal.
    kept: Option<Kept>,
    /// A table was asked for while another one was printed.
    wanted: bool,
    /// Ends counting while the printer is at work.
    stopper: Stopper,
    /// What the tables printed last had lost.
    lost: Vec<Lost>,
    /// The last thing done was one that intervals ask for. What ends counting then goes first, or
    /// tables that take longer than their interval would keep it from ever ending.
    ticked: bool,
}

/// Everything that waiting and printing need. It is set up before anything counts, so that no counts
/// are lost when the kernel refuses a thread or a file later.
pub(super) struct Means {
    /// What has been asked for from outside.
    pub signals: Signals,
    /// What does all that may block.
    pub worker: Worker,
    /// Tables are looked at on the terminal.
    pub screen: Option<(Watch, Kept)>,
}

/// Counts until a signal, the end of the command, the duration or a closed pipe.
///
/// # Errors
/// If a table cannot be read or written.
pub(super) async fn count(
    options: &Options,
    means: Means,
    printer: Printer,
    focused: &Focused,
) -> anyhow::Result<ExitCode> {
    let Means { signals, worker, screen } = means;
    let (watch, kept) = screen.unzip();
    say_attached(options, printer.session.triggers(), watch.is_some());
    let command = match start(options, focused, kept.as_ref(), &worker).await? {
        Ok(command) => command,
        Err(error) => {
            say(&format!("error: {error}"));
            return Ok(error.exit_code());
        }
    };
    let is_told = !options.quiet && watch.is_none();
    let forgetting = forget_ended(focused.live.clone(), is_told, command.is_some());
    let forgetting = tokio::spawn(forgetting);
    let mut counting = Counting::new(options, (signals, worker), printer, command, focused, kept);
    let result = match watch {
        None => counting.until_stopped().await,
        Some(watch) => counting.watched(watch).await,
    };
    counting.end_command().await?;
    if result.as_ref().map_or_else(may_take_more, |()| true) {
        counting.show_kept().await?;
    }
    result?;
    if forgetting.is_finished() {
        forgetting.await.context("what watches processes panicked")??;
    }
    let is_loss = counting.lost.iter().any(|lost| lost.losses.total() > 0 || lost.is_more);
    let is_loss = tell_unfollowed(focused)? || is_loss;
    Ok(exit_code(counting.status, options.fail_on_loss && is_loss))
}

/// Whatever went wrong, it is not that the terminal takes nothing.
fn may_take_more(error: &anyhow::Error) -> bool {
    let on_terminal = error.downcast_ref::<io::Error>();
    on_terminal.is_none_or(|error| error.kind() != io::ErrorKind::TimedOut)
}

/// Starts the command, if there is one.
async fn start(
    options: &Options,
    focused: &Focused,
    kept: Option<&Kept>,
    worker: &Worker,
) -> anyhow::Result<Result<Option<Child>, SpawnError>> {
    let Some(words) = &options.command else { return Ok(Ok(None)) };
    let child = if focused.follows_command {
        command::spawn_after(words, kept, worker, |pid| Ok(focused.live.arm(pid)?)).await?
    } else {
        command::spawn(words, kept)
    };
    Ok(child.map(Some))
}

/// Says how many processes could not be followed, if any, and whether there are such.
fn tell_unfollowed(focused: &Focused) -> anyhow::Result<bool> {
    let lost = focused.live.lost()?;
    if lost > 0 {
        say(&format!("{lost} processes could not be followed, and what they did is not counted"));
    }
    Ok(lost > 0)
}

/// A command that failed by itself has the last word.
fn exit_code(status: Option<ExitStatus>, fails: bool) -> ExitCode {
    match status {
        Some(status) if !status.success() => command::exit_code(status),
        _ if fails => ExitCode::from(LOSS),
        _ => ExitCode::SUCCESS,
    }
}

fn say_attached(options: &Options, triggers: &[TriggerEntry], is_watched: bool) {
    if options.quiet {
        return;
    }
    let events = each_once(triggers.iter().map(|entry| entry.event.to_string()));
    let count = triggers.len();
    let triggers = if count == 1 { "trigger" } else { "triggers" };
    let end = match options.command {
        Some(_) => "the command ends",
        None if is_watched => "q",
        None if options.focus.pids.len() == 1 => "the process ends or Ctrl-C",
        None if !options.focus.pids.is_empty() => "the processes end or Ctrl-C",
        None => "Ctrl-C",
    };
    let span = span(options, end);
    say(&format!("attached {count} {triggers} to {}; counts {span}", events.join(", ")));
}

/// How long it counts: until `end`, or for a time.
fn span(options: &Options, end: &str) -> String {
    match options.duration {
        Some(duration) => format!("for {} s or until {end}", duration.as_secs_f64()),
        None => format!("until {end}"),
    }
}

/// Ticks every `period` after `start`; ticks that nobody had time for are left out.
fn every(period: Duration, start: Instant) -> Interval {
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

/// The next thing that an interval asks for.
async fn due(tables: Option<&mut Interval>, log: Option<&mut Interval>) -> Event {
    tokio::select! {
        biased;
        () = tick(tables) => Event::Print,
        () = tick(log) => Event::PassLogOn,
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

impl<'a> Counting<'a> {
    fn new(
        options: &'a Options,
        (signals, worker): (Signals, Worker),
        printer: Printer,
        command: Option<Child>,
        focused: &'a Focused,
        kept: Option<Kept>,
    ) -> Self {
        let now = Instant::now();
        let session = &printer.session;
        let attached = session.triggers().iter().map(|entry| session.attached(entry).trigger());
        Self {
            options,
            signals,
            tables: options.interval.map(|period| every(period, now)),
            log: (options.verbose >= 2).then(|| every(LOG_PERIOD, now)),
            deadline: options.duration.map(|duration| now + duration),
            command,
            worker,
            stopper: Stopper::new(Some(focused.live.clone()), attached),
            printer: Some(printer),
            status: None,
            focused,
            kept,
            wanted: false,
            lost: Vec::new(),
            ticked: false,
        }
    }

    /// Prints whenever it is time to, the last table included, whatever ends counting.
    async fn until_stopped(&mut self) -> anyhow::Result<()> {
        let stop = self.print_until_stopped().await;
        self.print_last(stop).await
    }

    /// Prints whenever it is time to.
    async fn print_until_stopped(&mut self) -> anyhow::Result<Stop> {
        loop {
            let work = match self.next().await? {
                Event::PassLogOn => Work::Log,
                Event::Print => Work::Tables,
                event => match self.heed(event)? {
                    Some(stop) => return Ok(stop),
                    None => continue,
                },
            };
            if let Some(stop) = self.work(work).await? {
                return Ok(stop);
            }
        }
    }

    /// Shows tables on the terminal until that ends, then prints the last ones.
    async fn watched(&mut self, watch: Watch) -> anyhow::Result<()> {
        let stop = watch.until_stopped(self).await;
        if !stop.as_ref().map_or_else(may_take_more, |_| true) {
            return stop.map(drop);
        }
        self.show_kept().await?;
        self.print_last(stop).await
    }

    /// Prints the last tables, also if counting ends because something went wrong, but not where
    /// tables cannot be written any more.
    async fn print_last(&mut self, stop: anyhow::Result<Stop>) -> anyhow::Result<()> {
        let last = match stop {
            Ok(Stop::Closed) => return Ok(()),
            Ok(Stop::Failed(error)) => return Err(error),
            _ => self.work(Work::LastTables).await,
        };
        match (stop?, last?) {
            (_, Some(Stop::Failed(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes to the terminal what the command could not.
    async fn show_kept(&mut self) -> anyhow::Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let bytes = kept.take().context("cannot read what the command wrote")?;
        let job = self.worker.start_job(move || Output::Stdout.write(&bytes));
        // Whether anybody reads it is known with the tables.
        self.patiently(job).await?.map(drop)
    }

    /// A table that is due is printed before whatever ends counting at the same moment, but not when
    /// the time is over: the last table would say the same again.
    async fn next(&mut self) -> anyhow::Result<Event> {
        if mem::take(&mut self.wanted) {
            return Ok(Event::Print);
        }
        let focused = self.limit();
        let Self { tables, log, signals, deadline, command, ticked, .. } = self;
        let ticks = due(tables.as_mut(), log.as_mut());
        let asked = asked(signals, *deadline, command.as_mut(), focused);
        let (is_tick, event) = if *ticked {
            tokio::select! { biased; event = asked => (false, event?), event = ticks => (true, event) }
        } else {
            tokio::select! { biased; event = ticks => (true, event), event = asked => (false, event?) }
        };
        *ticked = is_tick;
        let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
        Ok(if is_tick && is_over { Event::Stop(Stop::Asked) } else { event })
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

    fn say_followed(&self) {
        if !self.options.quiet {
            say(&format!("{FOLLOWED}; counts {}", span(self.options, "Ctrl-C")));
        }
    }

    /// Has work done. Gives why counting ends, if it does.
    async fn work(&mut self, work: Work) -> anyhow::Result<Option<Stop>> {
        let mut printer = self.printer.take().context("the working thread panicked")?;
        let mut job = self.worker.start_job(move || {
            let result = printer.work(work);
            (printer, result)
        });
        let mut end = None;
        let done = match work {
            Work::LastTables => None,
            Work::Log | Work::Tables => self.until_done(&mut job, &mut end).await,
        };
        let (printer, result) = match done {
            Some(done) => done?,
            None => self.patiently(job).await?,
        };
        self.printer = Some(printer);
        let done = result?;
        if work != Work::Log {
            self.lost = done.lost;
        }
        Ok(match done.written {
            Err(error) => Some(Stop::Failed(error)),
            Ok(Written::Closed) => Some(Stop::Closed),
            Ok(Written::Whole) => end.transpose()?,
        })
    }

    /// Waits for work until counting ends, which it does at once: a log that is written as fast as it
    /// is read has no end, and a table may lie around until it is read. Gives nothing if the work was
    /// not done by then.
    async fn until_done<T>(
        &mut self,
        job: &mut Job<T>,
        end: &mut Option<anyhow::Result<Stop>>,
    ) -> Option<anyhow::Result<T>> {
        while end.is_none() {
            let focused = self.limit();
            let Self { signals, deadline, command, .. } = self;
            let event = tokio::select! {
                biased;
                done = &mut *job => return Some(done),
                event = asked(signals, *deadline, command.as_mut(), focused) => event,
            };
            *end = event.and_then(|event| self.heed(event)).transpose();
        }
        self.stop();
        // That may have taken longer than two signals of one wish are apart.
        self.signals.catch_up();
        None
    }

    /// Gives why counting ends, if it does. A table that is asked for is printed next.
    fn heed(&mut self, event: Event) -> anyhow::Result<Option<Stop>> {
        match event {
            // It may have come too late for the table that is under way.
            Event::Print => self.wanted = true,
            Event::PassLogOn => {}
            Event::Ended(status) => {
                if self.command_ended(status)? {
                    return Ok(Some(Stop::Over));
                }
                self.say_followed();
            }
            Event::Stop(stop) => return Ok(Some(stop)),
        }
        Ok(None)
    }

    /// Ends counting.
    fn stop(&self) {
        self.stopper.stop();
    }

    /// Waits for work that may block on a slow reader, and handles signals meanwhile. A second wish to
    /// stop ends the process without waiting; the end of the command or of `-d` is not such a wish.
    async fn patiently<T>(&mut self, mut job: Job<T>) -> anyhow::Result<T> {
        loop {
            tokio::select! {
                done = &mut job => return done,
                wish = self.signals.next() => if wish == Wish::Leave {
                    leave();
                }
            }
        }
    }

    /// A command that still runs is asked to end, and waited for until that, too, is asked to end.
    async fn end_command(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.command.take() else { return Ok(()) };
        command::terminate(&child).context("cannot end the command")?;
        if !self.options.quiet {
            say("waiting for the command to end; Ctrl-C leaves it alone");
        }
        loop {
            tokio::select! {
                status = child.wait() => {
                    status.context("cannot wait for the command")?;
                    return Ok(());
                }
                wish = self.signals.next() => match wish {
                    Wish::Print => {}
                    Wish::Stop => return Ok(()),
                    Wish::Leave => leave(),
                }
            }
        }
    }
}

/// The end of all processes that are counted; never if they are not limited.
async fn over(focused: Option<&Focused>) -> anyhow::Result<()> {
    let Some(focused) = focused else { return std::future::pending().await };
    while !focused.live.is_over()? {
        time::sleep(LOOK_PERIOD).await;
    }
    Ok(())
}

/// Takes processes that end out of the focus, for as long as some may, and says so if wished. The
/// end of the last one is said only `beside_command`, for else it ends counting.
async fn forget_ended(
    live: Arc<LiveFocus>,
    is_told: bool,
    beside_command: bool,
) -> anyhow::Result<()> {
    while live.listed() > 0 {
        time::sleep(LOOK_PERIOD).await;
        for pid in live.forget_ended()? {
            match live.listed() {
                _ if !is_told => {}
                0 if beside_command => say("no process is left to count; the command goes on"),
                0 => {}
                left => say(&format!("process {pid} has ended; {left} left")),
            }
        }
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
