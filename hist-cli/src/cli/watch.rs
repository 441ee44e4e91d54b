//! `--live`: runs the live view until a key, a signal, the end of the command or of the duration.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use crossterm::event::Event as Input;
use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};
use tokio::time::{Instant, sleep_until};

use super::events::{Event, Events, FOLLOWED, Stop, asked, leave, tick};
use super::printer::Printer;
use super::signals::{ScreenSignals, ScreenWish, Wish};
use super::worker::{Job, Worker};
use crate::live::{Action, Change, Keyboard, Look, Reader, Reading, Screen, State, is_orphaned};
use crate::session::SessionError;

/// What comes back from the thread that reads.
struct Done {
    printer: Printer,
    reader: Reader,
    reading: Result<Reading, SessionError>,
    /// How long that took.
    took: Duration,
}

/// The live view.
pub(super) struct Watch {
    signals: ScreenSignals,
    keyboard: Keyboard,
    look: Look,
}

/// The live view while it is on the screen.
struct Shown {
    signals: ScreenSignals,
    screen: Screen,
    state: State,
    /// The session, while nothing is being read.
    idle: Option<(Printer, Reader)>,
    /// The work that has it else.
    reading: Option<Job<Done>>,
    /// It is time to read.
    due: bool,
    /// But not before then.
    rested: Instant,
    /// What shall be done before.
    changes: Vec<Change>,
}

/// Something that needs doing.
enum Wake {
    Asked(Event),
    Signal(ScreenWish),
    Input(Input),
    Read(Box<anyhow::Result<Done>>),
    Tick,
    /// There is place for more on the screen, or time to read again.
    Ready,
}

impl Watch {
    /// Listens to signals and, later, to keys, and leaves the terminal alone for now.
    ///
    /// # Errors
    /// If a handler cannot be installed, or the kernel gives no thread or file for the keys.
    pub(super) fn new() -> anyhow::Result<Self> {
        let signals = ScreenSignals::listen().context("cannot listen to signals")?;
        let keyboard = Keyboard::open().context(TERMINAL)?;
        Ok(Self { signals, keyboard, look: Look::of_environment() })
    }

    /// Shows tables until something ends it, and gives the terminal back.
    ///
    /// # Errors
    /// If the maps cannot be read or the terminal cannot be written to.
    pub(super) async fn until_stopped(
        self,
        events: &mut Events<'_>,
        worker: &Worker,
        printer: &mut Option<Printer>,
    ) -> anyhow::Result<Stop> {
        let reader = Reader::new(self.look.charset);
        let screen = Screen::open(self.look, self.keyboard).context(TERMINAL)?;
        let mut shown = Shown {
            signals: self.signals,
            screen,
            state: State::default(),
            idle: printer.take().map(|printer| (printer, reader)),
            reading: None,
            due: true,
            rested: Instant::now(),
            changes: Vec::new(),
        };
        let stop = shown.run(events, worker).await;
        let ended = shown.end(events, printer).await;
        let stop = stop?;
        ended?;
        Ok(stop)
    }
}

const TERMINAL: &str = "cannot use the terminal";

/// So many times as long as reading has taken, it rests before it reads again, whatever the
/// interval: a quarter of a CPU is enough for looking on.
const REST: u32 = 3;

impl Shown {
    async fn run(&mut self, events: &mut Events<'_>, worker: &Worker) -> anyhow::Result<Stop> {
        loop {
            self.read_if_wanted(worker);
            self.screen.draw(&mut self.state).context(TERMINAL)?;
            let stop = match self.next(events).await? {
                Wake::Asked(Event::Stop(stop)) => Some(stop),
                Wake::Asked(Event::Ended(status)) => {
                    let is_over = events.command_ended(status)?;
                    if !is_over {
                        self.state.notice = Some(FOLLOWED.to_owned());
                    }
                    is_over.then_some(Stop::Over)
                }
                Wake::Asked(Event::Print | Event::PassLogOn) | Wake::Tick => {
                    self.due = true;
                    None
                }
                Wake::Ready => None,
                // They are wishes to stop like those that are signals, and come in another way.
                Wake::Signal(wish) => {
                    let stop = self.heed(wish).context(TERMINAL)?;
                    stop.inspect(|_| events.signals.note_stop())
                }
                Wake::Input(input) => {
                    let stop = self.input(&input).context(TERMINAL)?;
                    stop.inspect(|_| events.signals.note_stop())
                }
                Wake::Read(done) => {
                    self.show((*done)?)?;
                    None
                }
            };
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
    }

    async fn next(&mut self, events: &mut Events<'_>) -> anyhow::Result<Wake> {
        let limit = events.limit();
        let rests = self.due && self.idle.is_some() && self.rests();
        let Events { signals, tables, deadline, command, .. } = events;
        Ok(tokio::select! {
            biased;
            event = asked(signals, *deadline, command.as_mut(), limit) => Wake::Asked(event?),
            wish = self.signals.next() => Wake::Signal(wish),
            input = self.screen.next() => {
                input.context(TERMINAL)?.map_or(Wake::Ready, Wake::Input)
            }
            done = read(&mut self.reading) => Wake::Read(Box::new(done)),
            () = tick(tables.as_mut()) => Wake::Tick,
            () = sleep_until(self.rested), if rests => Wake::Ready,
        })
    }

    fn rests(&self) -> bool {
        Instant::now() < self.rested
    }

    /// Reads in a thread of its own: a large table takes a while, and keys must not wait.
    fn read_if_wanted(&mut self, worker: &Worker) {
        if self.changes.is_empty() && (!self.due || self.rests()) {
            return;
        }
        let Some((mut printer, mut reader)) = self.idle.take() else { return };
        self.due = false;
        let changes = std::mem::take(&mut self.changes);
        self.reading = Some(worker.start_job(move || {
            let start = Instant::now();
            let reading = reader.read(&mut printer.session, &changes);
            Done { printer, reader, reading, took: start.elapsed() }
        }));
    }

    fn show(&mut self, done: Done) -> anyhow::Result<()> {
        self.idle = Some((done.printer, done.reader));
        let reading = done.reading?;
        let start = Instant::now();
        self.state.refresh(reading.sheets);
        self.rested = Instant::now() + (done.took + start.elapsed()) * REST;
        if reading.notice.is_some() {
            self.state.notice = reading.notice;
        }
        Ok(())
    }

    fn input(&mut self, input: &Input) -> io::Result<Option<Stop>> {
        // The size is looked up whenever something is drawn.
        let Input::Key(key) = input else { return Ok(None) };
        let current = self.state.current;
        match self.state.press(*key) {
            None => {}
            Some(Action::Quit) => return Ok(Some(Stop::Asked)),
            Some(Action::Pause(paused)) => self.changes.push(Change::Pause(current, paused)),
            Some(Action::Clear) => self.changes.push(Change::Clear(current)),
            Some(Action::Redraw) => self.screen.redraw()?,
            // As the terminal would if it still minded Ctrl-Z: the command stops, too.
            Some(Action::Suspend) => kill_current_process_group(Signal::TSTP)?,
        }
        Ok(None)
    }

    fn heed(&mut self, wish: ScreenWish) -> io::Result<Option<Stop>> {
        match wish {
            ScreenWish::Quit => return Ok(Some(Stop::Asked)),
            ScreenWish::Resume => self.screen.take()?,
            // As the kernel has it: a process that nobody would let go on does not stop.
            ScreenWish::Suspend if is_orphaned() => {
                self.state.notice = Some("no shell to go back to".to_owned());
            }
            ScreenWish::Suspend => {
                self.screen.give_back()?;
                // Goes on from here after SIGCONT, which then takes the terminal again.
                kill_process(getpid(), Signal::STOP)?;
            }
        }
        Ok(None)
    }

    /// Gives the terminal back, then waits for what is still being read. The session goes back to
    /// `printer`, whatever becomes of the terminal.
    async fn end(
        mut self,
        events: &mut Events<'_>,
        printer: &mut Option<Printer>,
    ) -> anyhow::Result<()> {
        let given_back = self.screen.give_back().context(TERMINAL);
        while self.reading.is_some() {
            tokio::select! {
                done = read(&mut self.reading) => {
                    let done = done?;
                    self.idle = Some((done.printer, done.reader));
                }
                wish = events.signals.next() => if wish == Wish::Leave {
                    leave();
                }
            }
        }
        *printer = self.idle.map(|(printer, _)| printer);
        given_back
    }
}

/// What is being read; never if nothing is.
async fn read(reading: &mut Option<Job<Done>>) -> anyhow::Result<Done> {
    let Some(job) = reading else { return std::future::pending().await };
    let done = job.await;
    *reading = None;
    done
}
