//! One thread for work that may block, so that signals are heeded meanwhile.
//!
//! The thread is there before anything counts. One that were made when there is something to print
//! might not be had by then (`pids.max` of the cgroup, `ulimit -u`), and what was counted would be
//! lost.

use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};
use std::thread;

use anyhow::Context as _;
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that does one piece of work after the other. It ends when this is dropped; if it is
/// busy then, nobody waits for it.
pub(super) struct Worker(Sender<Work>);

/// Work that has been handed over. Dropping this does not stop it.
pub(super) struct Job<T>(oneshot::Receiver<T>);

impl Worker {
    /// A thread that waits for work.
    ///
    /// # Errors
    /// If the kernel gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = channel::<Work>();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            receiver.into_iter().for_each(|work| work());
        })?;
        Ok(Self(sender))
    }

    /// Has `work` done after all that was handed over before.
    pub(super) fn start_job<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        let (sender, receiver) = oneshot::channel();
        let work = move || {
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        };
        // If the thread has panicked, the receiver learns it as the sender is dropped.
        let _ = self.0.send(Box::new(work));
        Job(receiver)
    }
}

impl<T> Future for Job<T> {
    type Output = anyhow::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(context);
        result.map(|result| result.context("the working thread panicked"))
    }
}
