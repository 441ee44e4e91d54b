//! Waits while a session counts: has a table printed at every interval and signal, and ends with an
//! exit code on a signal, when the time is over, or with the processes that are counted.

use std::io;
use std::mem;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Child;
use tokio::time::{self, Instant, Interval};

use super::command::{self, Kept, SpawnError};
use super::events::{Event, Events, FOLLOWED, LOOK_PERIOD, Stop, asked, every, leave, tick};
use super::focus::Focused;
use super::options::Options;
use super::output::{Output, Written, say};
use super::printer::{Lost, Printer, Work};
use super::signals::{Signals, Wish};
use super::unique::each_once;
use super::watch::Watch;
use super::worker::{Job, Worker};
use crate::load::{LiveFocus, Stopper};
use crate::session::registry::TriggerEntry;

/// What `--fail-on-loss` exits with.
const LOSS: u8 = 3;
/// How often the log of `-vv` is passed on.
const LOG_PERIOD: Duration = Duration::from_millis(50);

/// All that is waited for.
struct Counting<'a> {
    options: &'a Options,
    events: Events<'a>,
    log: Option<Interval>,
    /// What does all that may block.
    worker: Worker,
    /// There while nothing is being read or printed.
    printer: Option<Printer>,
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
    Ok(exit_code(counting.events.status, options.fail_on_loss && is_loss))
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

/// The next thing that an interval asks for.
async fn due(tables: Option<&mut Interval>, log: Option<&mut Interval>) -> Event {
    tokio::select! {
        biased;
        () = tick(tables) => Event::Print,
        () = tick(log) => Event::PassLogOn,
    }
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
        let session = &printer.session;
        let attached = session.triggers().iter().map(|entry| session.attached(entry).trigger());
        Self {
            options,
            events: Events::new(options, signals, command, focused),
            log: (options.verbose >= 2).then(|| every(LOG_PERIOD, Instant::now())),
            worker,
            stopper: Stopper::new(Some(focused.live.clone()), attached),
            printer: Some(printer),
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
        let stop = watch.until_stopped(&mut self.events, &self.worker, &mut self.printer).await;
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
        let focused = self.events.limit();
        let Self { events, log, ticked, .. } = self;
        let Events { signals, tables, deadline, command, .. } = events;
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
            let focused = self.events.limit();
            let Events { signals, deadline, command, .. } = &mut self.events;
            let event = tokio::select! {
                biased;
                done = &mut *job => return Some(done),
                event = asked(signals, *deadline, command.as_mut(), focused) => event,
            };
            *end = event.and_then(|event| self.heed(event)).transpose();
        }
        self.stop();
        // That may have taken longer than two signals of one wish are apart.
        self.events.signals.catch_up();
        None
    }

    /// Gives why counting ends, if it does. A table that is asked for is printed next.
    fn heed(&mut self, event: Event) -> anyhow::Result<Option<Stop>> {
        match event {
            // It may have come too late for the table that is under way.
            Event::Print => self.wanted = true,
            Event::PassLogOn => {}
            Event::Ended(status) => {
                if self.events.command_ended(status)? {
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
                wish = self.events.signals.next() => if wish == Wish::Leave {
                    leave();
                }
            }
        }
    }

    /// A command that still runs is asked to end, and waited for until that, too, is asked to end.
    async fn end_command(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.events.command.take() else { return Ok(()) };
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
                wish = self.events.signals.next() => match wish {
                    Wish::Print => {}
                    Wish::Stop => return Ok(()),
                    Wish::Leave => leave(),
                }
            }
        }
    }
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
