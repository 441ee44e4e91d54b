//! What the real binary does on the running kernel, by topic: its output, its messages, its exit codes.
//! What needs root is skipped without it, see [`hist_test_support::needs`].

mod counting;
mod discover;
mod ending;
mod focus;
mod formats;
mod hostile;
mod live;
mod losses;
mod output;
mod serve;
mod signals;
mod stages;
mod support;
mod usage;
