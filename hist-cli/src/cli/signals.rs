//! Takes signals. Gives what they ask for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the command listens to.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    print: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Ctrl-C or SIGTERM: print the final table and end.
    Stop,
    /// SIGUSR1: print now.
    Print,
}

impl Signals {
    /// Starts listening. From then on none of them ends the process by itself.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            print: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.print.recv() => Wish::Print,
        }
    }
}
