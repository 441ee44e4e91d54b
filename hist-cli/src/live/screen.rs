//! Shows a [`State`] on the terminal and reads keys from it, and leaves the terminal as it was
//! found, whatever happens.

use std::future::poll_fn;
use std::io::{self, IsTerminal as _};
use std::panic;
use std::pin::Pin;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{Event, EventStream, poll};
use crossterm::queue;
use crossterm::style::ResetColor;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use futures_core::Stream as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Pid, getpgid, getpid, getsid};

use super::draw::{Look, draw};
use super::state::State;
use super::text::Charset;
use super::tty::{Outbox, Tty, write_last};

/// The terminal shows us and not what was there before.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// What is typed, and the way to the terminal. Having it takes nothing from whoever else uses the
/// terminal.
pub struct Keyboard {
    tty: Tty,
    events: EventStream,
}

/// A terminal that has been taken.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Outbox>>,
    tty: Tty,
    events: EventStream,
    look: Look,
    /// Something has not been drawn because the terminal had not taken what was before.
    stale: bool,
}

/// Why there is no live view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Of the two that are needed.
    #[error("standard input is no terminal")]
    Input,
    /// Of the two that are needed.
    #[error("standard output is no terminal")]
    Output,
    /// It moves no cursor.
    #[error("TERM is `{0}`")]
    Dumb(&'static str),
    /// A serial line, for instance, does not know it.
    #[error("the terminal does not tell its size, which `stty cols 80 rows 24` sets")]
    Size,
}

impl Unfit {
    /// Whether there is a terminal that a screen can be drawn on.
    ///
    /// # Errors
    /// If there is none: why.
    pub fn check() -> Result<(), Self> {
        if !io::stdin().is_terminal() {
            return Err(Self::Input);
        }
        if !io::stdout().is_terminal() {
            return Err(Self::Output);
        }
        match std::env::var_os("TERM") {
            None => Err(Self::Dumb("")),
            Some(term) if term.is_empty() => Err(Self::Dumb("")),
            Some(term) if term == "dumb" => Err(Self::Dumb("dumb")),
            Some(_) => match size() {
                Ok((width, height)) if width > 0 && height > 0 => Ok(()),
                _ => Err(Self::Size),
            },
        }
    }
}

impl Look {
    /// What the terminal can show, by the locale and by NO_COLOR (no-color.org).
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { color: !no_color, charset: Charset::of_locale(variable) }
    }
}

impl Keyboard {
    /// Makes ready all that takes threads and files of the kernel.
    ///
    /// # Errors
    /// If there are none to be had, or the terminal cannot be opened.
    pub fn open() -> io::Result<Self> {
        let tty = Tty::open()?;
        // The stream panics where it gets no thread, so whether there is one is tried before.
        let trial = thread::Builder::new().spawn(|| {})?;
        trial.join().map_err(|_| io::Error::other("a thread that does nothing panicked"))?;
        let events = EventStream::new();
        // Opens what events are read from, which the stream would do when the first one is awaited.
        poll(Duration::ZERO)?;
        Ok(Self { tty, events })
    }
}

impl Screen {
    /// Takes the terminal. Dropping gives it back, and so does a panic.
    ///
    /// # Errors
    /// If it cannot be taken.
    pub fn open(look: Look, keyboard: Keyboard) -> io::Result<Self> {
        HOOK.call_once(restore_on_panic);
        let Keyboard { tty, events } = keyboard;
        let terminal = Terminal::new(CrosstermBackend::new(tty.outbox()))?;
        let mut screen = Self { terminal, tty, events, look, stale: false };
        screen.take()?;
        Ok(screen)
    }

    /// Takes the terminal (again), as after a stop.
    ///
    /// # Errors
    /// If it cannot be taken.
    pub fn take(&mut self) -> io::Result<()> {
        // If somebody else has changed its modes meanwhile, ours must be set once more; asking for
        // them while they are thought to be there does nothing.
        disable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        queue!(self.tty.outbox(), EnterAlternateScreen, Hide)?;
        self.redraw()
    }

    /// Gives the terminal back, for the time being or for good.
    ///
    /// # Errors
    /// If it cannot be written to; its modes are set back all the same.
    pub fn give_back(&mut self) -> io::Result<()> {
        self.tty.forget();
        restore()
    }

    /// Forgets what is on the screen: the next [`draw`](Self::draw) draws all of it.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub fn redraw(&mut self) -> io::Result<()> {
        // `clear` would ask the terminal where its cursor is, and wait for the answer among the keys.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Shows the state, which learns the size of the screen first; nothing while the terminal is
    /// given back, or has not yet taken what was shown before.
    ///
    /// # Errors
    /// If the size of the terminal cannot be told.
    pub fn draw(&mut self, state: &mut State) -> io::Result<()> {
        self.stale = !self.tty.is_idle();
        if !TAKEN.load(Ordering::SeqCst) || self.stale {
            return Ok(());
        }
        let look = self.look;
        self.terminal.draw(|frame| {
            let area = frame.area();
            state.resize((area.width, area.height));
            draw(state, look, frame.buffer_mut());
        })?;
        Ok(())
    }

    /// What is typed next, or that the size has changed; none when the terminal takes what it did
    /// not take when it was to be drawn.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            let Self { tty, events, .. } = self;
            let event = poll_fn(|context| Pin::new(&mut *events).poll_next(context));
            tokio::select! {
                event = event => {
                    let gone = || Err(io::ErrorKind::UnexpectedEof.into());
                    return event.unwrap_or_else(gone).map(Some);
                }
                written = tty.written() => written?,
            }
            if std::mem::take(&mut self.stale) {
                return Ok(None);
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that cannot be written to any more has nothing to be restored on.
        let _ = restore();
    }
}

/// Does nothing unless the terminal is taken.
fn restore() -> io::Result<()> {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return Ok(());
    }
    let mut words = Vec::new();
    let written =
        queue!(words, ResetColor, LeaveAlternateScreen, Show).and_then(|()| write_last(&words));
    disable_raw_mode()?;
    written
}

/// What a panic says belongs on the screen that stays.
fn restore_on_panic() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // The panic is what there is to be told.
        let _ = restore();
        say(info);
    }));
}

/// Whether nobody would let this process go on if it stopped: no ancestor outside its process
/// group is in its session, so that no shell waits for the group (setpgid(2)).
#[must_use]
pub fn is_orphaned() -> bool {
    let (group, session) = (getpgid(None), getsid(None));
    let mut ancestor = getpid();
    while let Some(parent) = parent(ancestor) {
        if getsid(Some(parent)) != session {
            return true;
        }
        if getpgid(Some(parent)) != group {
            return false;
        }
        ancestor = parent;
    }
    true
}

/// The process's parent, as proc_pid_status(5) has it.
fn parent(pid: Pid) -> Option<Pid> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(line.trim().parse().ok()?)
}
