//! Checks the [`Args`] against each other, and turns them into [`Options`], the form that the work
//! needs.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use bstr::BString;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Error};

use super::args::{Args, CommandLine, FocusArgs, Stage};
use super::color;
use crate::diag::nearest;
use crate::export::Format;
use crate::kernel::{EventName, EventNameError};
use crate::plan::{AttachWish, Focus, Proof, Wishes};

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
    /// How tables are shown.
    pub look: Look,
    /// Tables are looked at while they fill, and printed at the end.
    pub live: bool,
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

/// How tables are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// How they are written.
    pub format: Format,
    /// So many of the largest entries; None: all.
    pub top: Option<usize>,
    /// Only what is new since the table before.
    pub delta: bool,
    /// With the time.
    pub timestamp: bool,
    /// On a screen of its own each.
    pub clear_screen: bool,
    /// The value that is measured, if not the hitcount.
    pub weight: Option<String>,
}

/// A trigger for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The trigger's text.
    pub trigger: BString,
    /// The event that is counted.
    pub event: EventName,
}

impl Options {
    /// What is asked of the programs, with that focus and such losses counted.
    pub(super) const fn wishes(&self, focus: Focus, proof: Proof) -> Wishes {
        let (log, memory) = (self.verbose >= 2, self.memory);
        Wishes { log, attach: self.attach, memory, cpus: None, focus, proof, renewable: false }
    }
}

impl TryFrom<Args> for Options {
    type Error = Error;

    fn try_from(args: Args) -> Result<Self, Error> {
        let look = Look::new(&args);
        look.check()?;
        let interval = interval(args.interval, &look)?;
        check_live(&args, interval)?;
        Ok(Self {
            pairs: pairs(&args.pairs)?,
            command: (!args.command.is_empty()).then_some(args.command),
            focus: FocusOptions { system_wide: args.system_wide, ..args.focus.into() },
            interval,
            look,
            live: args.live,
            duration: args.duration,
            output: args.output,
            fail_on_loss: args.fail_on_loss,
            quiet: args.quiet,
            verbose: args.verbose,
            attach: args.attach.into(),
            memory: args.memory,
            emit: args.emit,
            tracefs: args.tracefs,
        })
    }
}

impl From<FocusArgs> for FocusOptions {
    fn from(args: FocusArgs) -> Self {
        let FocusArgs { pid, follow, cgroup, cpu } = args;
        Self { pids: pid, follow, system_wide: false, cgroup, cpus: cpu }
    }
}

/// Seconds between tables where none are given.
const INTERVAL: Duration = Duration::from_secs(1);

/// Stacks that are folded from every table would count the same hits again and again.
fn interval(given: Option<Duration>, look: &Look) -> Result<Option<Duration>, Error> {
    let adds_up = look.format != Format::Folded || look.delta;
    match given {
        Some(interval) if interval.is_zero() => Ok(None),
        Some(_) if !adds_up => Err(conflict(
            "-f folded at intervals counts the same hits again and again: add --delta, or leave \
             --interval out to get them at the end",
        )),
        None if !adds_up => Ok(None),
        interval => Ok(interval.or(Some(INTERVAL))),
    }
}

/// What clap cannot see: values that leave nothing to look at, or write where it is looked at.
fn check_live(args: &Args, interval: Option<Duration>) -> Result<(), Error> {
    match (args.live, interval, args.verbose) {
        (true, None, _) => Err(conflict("--live shows tables at intervals: -i must be above 0")),
        (true, _, 2..) => Err(conflict("--live has no place for the log of -vv")),
        _ => Ok(()),
    }
}

impl Look {
    fn new(args: &Args) -> Self {
        Self {
            format: args.format.into(),
            top: args.top.map(NonZeroUsize::get),
            delta: args.delta,
            timestamp: args.timestamp,
            clear_screen: args.clear_screen,
            weight: args.weight.clone(),
        }
    }

    /// What clap cannot see: which formats an option goes with.
    fn check(&self) -> Result<(), Error> {
        let is_drawn = matches!(self.format, Format::Folded | Format::Plot);
        let is_read = matches!(self.format, Format::Ftrace | Format::Plot);
        if self.weight.is_some() && !is_drawn {
            return Err(conflict("--weight is for -f folded and -f plot"));
        }
        if self.clear_screen && !is_read {
            return Err(conflict("--clear-screen is for -f ftrace and -f plot"));
        }
        if self.timestamp && self.format == Format::Folded {
            return Err(conflict("--timestamp: folded stacks have no place for a time"));
        }
        if self.top.is_some() && self.format == Format::Plot {
            return Err(conflict("--top: a plot shows every bucket"));
        }
        Ok(())
    }
}

fn conflict(message: &str) -> Error {
    usage(ErrorKind::ArgumentConflict, message)
}

fn pairs(words: &[OsString]) -> Result<Vec<Pair>, Error> {
    if let Some(message) = words.first().and_then(|word| misspelt(&word.to_string_lossy())) {
        return Err(usage(ErrorKind::InvalidSubcommand, &message));
    }
    let (pairs, rest) = words.as_chunks::<2>();
    if let [word] = rest {
        let message = unpaired(&word.to_string_lossy());
        return Err(usage(ErrorKind::WrongNumberOfValues, &message));
    }
    let pair = |[trigger, event]: &[OsString; 2]| pair(trigger, event);
    let pairs = pairs.iter().map(pair).collect::<Result<_, _>>();
    pairs.map_err(|message| usage(ErrorKind::ValueValidation, &message))
}

/// What is wrong with a first word that was meant to be a subcommand.
fn misspelt(word: &str) -> Option<String> {
    if word.contains([':', '=']) {
        return None;
    }
    let command = CommandLine::command();
    let mut names: Vec<_> = command.get_subcommands().filter(|task| !task.is_hide_set()).collect();
    names.retain(|task| task.get_name() != word);
    let near = match word {
        "help" | "version" => format!("--{word}"),
        _ => nearest(word, names.into_iter().map(clap::Command::get_name))?.to_owned(),
    };
    Some(format!("there is no subcommand `{word}`; did you mean `{near}`?"))
}

/// What is wrong with a word that has no second one.
fn unpaired(word: &str) -> String {
    if CommandLine::command().find_subcommand(word).is_some() {
        return format!("the subcommand `{word}` must come first, before all options");
    }
    // What else is wrong with a trigger is told by its parser.
    if is_trigger(word) {
        return format!("no event for the trigger `{word}`: name it as SYSTEM:EVENT");
    }
    format!(
        "`{word}` is neither a subcommand nor a trigger, which begins with `hist:`; a command to \
         count stands behind `--`"
    )
}

/// What is wrong with its rest, its parser says.
fn is_trigger(word: &str) -> bool {
    word.strip_prefix('!').unwrap_or(word).starts_with("hist")
}

/// The words for one trigger, checked.
///
/// # Errors
/// What is wrong with them.
pub(super) fn pair(trigger: &OsStr, name: &OsStr) -> Result<Pair, String> {
    let (shown, name) = (trigger.to_string_lossy(), name.to_string_lossy());
    if is_trigger(&name) && name.contains('=') && !is_trigger(&shown) {
        return Err(format!("the trigger comes before its event: '{name}' {shown}"));
    }
    let event = name.parse().map_err(|error: EventNameError| error.to_string())?;
    // A trigger is bytes; only people are shown a text.
    let trigger = trigger.as_bytes().into();
    Ok(Pair { trigger, event })
}

/// A mistake in the command line.
pub(super) fn usage(kind: ErrorKind, message: &str) -> Error {
    usage_of(None, kind, message)
}

/// A mistake in the words of a subcommand.
pub(super) fn usage_of(subcommand: Option<&str>, kind: ErrorKind, message: &str) -> Error {
    let mut command = CommandLine::command().color(color::get());
    // Only then do subcommands know how they are called.
    command.build();
    match subcommand.and_then(|name| command.find_subcommand_mut(name)) {
        Some(subcommand) => subcommand.clone().color(color::get()).error(kind, message),
        None => command.error(kind, message),
    }
}
