//! Translates signals into what they ask for: a table, the end, or the end at once.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal as RawSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::sys::rights::was_ignored;

/// The signals that the command listens to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None: it was ignored when the command started, as behind `nohup`, and stays so.
    hangup: Option<Signal>,
    print: Signal,
    stops: Stops,
}

/// The wishes to stop that there have been.
#[derive(Debug, Default)]
struct Stops {
    /// When the first one came.
    first: Option<Instant>,
}

/// Signals that come so soon after the first one are the same wish. timeout(1) sends its signal to
/// the process and then to its group, a shell that ends sends SIGHUP and so does the terminal, and
/// systemd may send SIGHUP after SIGTERM. Nobody types Ctrl-C twice as fast.
const SAME_WISH: Duration = Duration::from_millis(100);

/// The signals that matter to a process that has taken the terminal.
pub(super) struct ScreenSignals {
    stop: Option<Signal>,
    resume: Signal,
    hangup: Signal,
    quit: Signal,
}

/// What a signal asks of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScreenWish {
    /// SIGTSTP: give the terminal back and stop.
    Suspend,
    /// SIGCONT: take it again.
    Resume,
    /// SIGQUIT, or the terminal is gone, which a live view heeds even behind `nohup`.
    Quit,
}

impl ScreenSignals {
    /// As [`Signals::listen`]; a SIGTSTP that is ignored stays so.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub(super) fn listen() -> io::Result<Self> {
        let kind = |signal: RawSignal| SignalKind::from_raw(signal.as_raw());
        let stop = kind(RawSignal::TSTP);
        Ok(Self {
            stop: (!was_ignored(stop.as_raw_value())).then(|| signal(stop)).transpose()?,
            resume: signal(kind(RawSignal::CONT))?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> ScreenWish {
        tokio::select! {
            biased;
            _ = self.hangup.recv() => ScreenWish::Quit,
            _ = self.quit.recv() => ScreenWish::Quit,
            () = received(self.stop.as_mut()) => ScreenWish::Suspend,
            _ = self.resume.recv() => ScreenWish::Resume,
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Ctrl-C, SIGTERM or SIGHUP: print the final table and end.
    Stop,
    /// Another one of those: end here and now.
    Leave,
    /// SIGUSR1: print now.
    Print,
}

impl Signals {
    /// Starts listening. From then on none of them ends the process by itself, and what comes is
    /// kept until [`next`](Self::next) asks.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub(super) fn listen() -> io::Result<Self> {
        let listens_to_hangup = !was_ignored(SignalKind::hangup().as_raw_value());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: listens_to_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
            print: signal(SignalKind::user_defined1())?,
            stops: Stops::default(),
        })
    }

    /// Waits for the next wish. Whoever waits, all wishes to stop are counted together: the first
    /// one is [`Wish::Stop`], also if counting has ended by itself before.
    pub(super) async fn next(&mut self) -> Wish {
        loop {
            let is_stop = tokio::select! {
                _ = self.interrupt.recv() => true,
                _ = self.terminate.recv() => true,
                () = received(self.hangup.as_mut()) => true,
                _ = self.print.recv() => false,
            };
            if !is_stop {
                return Wish::Print;
            }
            if let Some(wish) = self.stops.count(Instant::now()) {
                return wish;
            }
        }
    }

    /// Notes a wish to stop that came in another way, such as by a key.
    pub(super) fn note_stop(&mut self) {
        self.stops.count(Instant::now());
    }
}

impl Signals {
    /// Nobody has looked at signals for a while. What came meanwhile may well belong to the first wish,
    /// for when it came is not known.
    pub(super) fn catch_up(&mut self) {
        self.stops.catch_up(Instant::now());
    }
}

impl Stops {
    /// The time in which signals are the first wish begins anew, if there was one.
    fn catch_up(&mut self, now: Instant) {
        self.first = self.first.map(|_| now);
    }

    /// What a signal that comes `now` means; nothing if it belongs to the first one.
    fn count(&mut self, now: Instant) -> Option<Wish> {
        let Some(first) = self.first else {
            self.first = Some(now);
            return Some(Wish::Stop);
        };
        (now.duration_since(first) >= SAME_WISH).then_some(Wish::Leave)
    }
}

/// The next signal of that kind; never without one to listen to.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second signal of timeout(1) came while the final table was written, and tore it.
    #[test]
    fn signals_that_come_together_are_one_wish() {
        let (mut stops, start) = (Stops::default(), Instant::now());
        assert_eq!(stops.count(start), Some(Wish::Stop));
        assert_eq!(stops.count(start), None);
        assert_eq!(stops.count(start + SAME_WISH / 2), None);
        assert_eq!(stops.count(start + SAME_WISH), Some(Wish::Leave));
    }

    /// All triggers were stopped meanwhile, and the second signal was looked at only then.
    #[test]
    fn a_signal_that_waited_until_counting_had_ended_was_a_second_wish() {
        let (mut stops, start) = (Stops::default(), Instant::now());
        stops.catch_up(start);
        assert_eq!(stops.count(start), Some(Wish::Stop));
        let stopped = start + 5 * SAME_WISH;
        stops.catch_up(stopped);
        assert_eq!(stops.count(stopped), None);
        assert_eq!(stops.count(stopped + SAME_WISH), Some(Wish::Leave));
    }
}
