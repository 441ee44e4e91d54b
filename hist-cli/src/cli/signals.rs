//! Takes signals. Gives what they ask for.

use std::io;

use rustix::process::Signal as RawSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the command listens to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None: it was ignored when the command started, as behind `nohup`, and stays so.
    hangup: Option<Signal>,
    print: Signal,
}

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
    pub(super) fn listen(status: &str) -> io::Result<Self> {
        let kind = |signal: RawSignal| SignalKind::from_raw(signal.as_raw());
        let stop = kind(RawSignal::TSTP);
        Ok(Self {
            stop: (!ignores(status, stop)).then(|| signal(stop)).transpose()?,
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
    /// SIGUSR1: print now.
    Print,
}

impl Signals {
    /// Starts listening. From then on none of them ends the process by itself, and what comes is
    /// kept until [`next`](Self::next) asks. `status` is the text of /proc/self/status.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub(super) fn listen(status: &str) -> io::Result<Self> {
        let listens_to_hangup = !ignores(status, SignalKind::hangup());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: listens_to_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
            print: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            () = received(self.hangup.as_mut()) => Wish::Stop,
            _ = self.print.recv() => Wish::Print,
        }
    }
}

/// The next signal of that kind; never without one to listen to.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether the process ignores the signal, by the mask in its status; false if that does not tell.
fn ignores(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_those_of_the_mask() {
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SignalKind::hangup()));
        assert!(ignores(status, SignalKind::pipe()));
        assert!(!ignores(status, SignalKind::interrupt()));
        assert!(!ignores("", SignalKind::hangup()));
    }
}
