//! Takes [`Args`]. Gives [`Options`]: the same, checked, in the form that the work needs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Error};

use super::args::{Args, Stage, Way};
use crate::plan::{AttachWish, Focus, Wishes};
use crate::tracefs::mount::parse_event_name;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Options {
    /// At least one.
    pub pairs: Vec<Pair>,
    /// Program and arguments.
    pub command: Option<Vec<OsString>>,
    /// Whose events are counted.
    pub focus: FocusOptions,
    /// None: only at the end.
    pub interval: Option<Duration>,
    /// None: until told to stop.
    pub duration: Option<Duration>,
    /// None: stdout.
    pub output: Option<PathBuf>,
    /// Lost events change the exit code.
    pub fail_on_loss: bool,
    /// No chatter on stderr.
    pub quiet: bool,
    /// 1: more words on stderr; 2: every event.
    pub verbose: u8,
    /// How programs are attached.
    pub attach: AttachWish,
    /// The most that one histogram may take, in bytes.
    pub memory: Option<u64>,
    /// Print this stage only.
    pub emit: Option<Stage>,
    /// Where formats are read from, if not tracefs.
    pub tracefs: Option<PathBuf>,
}

/// Whose events are counted, not yet checked against the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FocusOptions {
    /// Processes; all if empty.
    pub pids: Vec<u32>,
    /// Their descendants, too.
    pub follow: bool,
    /// Everything, although there is a command.
    pub system_wide: bool,
    /// Only this one and those below.
    pub cgroup: Option<PathBuf>,
    /// A list.
    pub cpus: Option<String>,
}

/// A trigger for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The trigger's text.
    pub trigger: String,
    /// The event's system.
    pub system: String,
    /// The event's name.
    pub event: String,
}

impl Options {
    /// What is asked of the programs, with that focus.
    pub(super) const fn wishes(&self, focus: Focus) -> Wishes {
        let (log, memory) = (self.verbose >= 2, self.memory);
        Wishes { log, attach: self.attach, memory, cpus: None, focus }
    }
}

impl TryFrom<Args> for Options {
    type Error = Error;

    fn try_from(args: Args) -> Result<Self, Error> {
        Ok(Self {
            pairs: pairs(&args.pairs)?,
            command: (!args.command.is_empty()).then_some(args.command),
            focus: FocusOptions {
                pids: args.pid,
                follow: args.follow,
                system_wide: args.system_wide,
                cgroup: args.cgroup,
                cpus: args.cpu,
            },
            interval: (!args.interval.is_zero()).then_some(args.interval),
            duration: args.duration,
            output: args.output,
            fail_on_loss: args.fail_on_loss,
            quiet: args.quiet,
            verbose: args.verbose,
            attach: match args.attach {
                Way::Auto => AttachWish::Auto,
                Way::Raw => AttachWish::Raw,
                Way::Tracepoint => AttachWish::Tracepoint,
            },
            memory: args.memory,
            emit: args.emit,
            tracefs: args.tracefs,
        })
    }
}

fn pairs(words: &[String]) -> Result<Vec<Pair>, Error> {
    let (pairs, rest) = words.as_chunks::<2>();
    if let [word] = rest {
        let message = format!("no event for the trigger `{word}`: name it as SYSTEM:EVENT");
        return Err(usage(ErrorKind::WrongNumberOfValues, &message));
    }
    pairs.iter().map(|[trigger, event]| pair(trigger, event)).collect()
}

fn pair(trigger: &str, name: &str) -> Result<Pair, Error> {
    let (system, event) = parse_event_name(name)
        .map_err(|error| usage(ErrorKind::ValueValidation, &error.to_string()))?;
    Ok(Pair { trigger: trigger.to_owned(), system: system.to_owned(), event: event.to_owned() })
}

fn usage(kind: ErrorKind, message: &str) -> Error {
    Args::command().error(kind, message)
}
