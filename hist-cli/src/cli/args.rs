//! Defines the command line, flag by flag, and parses it into a [`CommandLine`] that says what was
//! written.
//!
//! If the first word is the name of a subcommand, that is meant. Everything else counts: a trigger
//! begins with `hist:` or `!hist:`, so no pair can be taken for a subcommand.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ColorChoice, Parser, Subcommand, ValueEnum};

use super::completions::{CompleteArgs, CompletionsArgs};
use super::explain::ExplainArgs;
use super::list::ListArgs;
use super::merge::MergeArgs;
use super::serve::ServeArgs;
use crate::export::Format;
use crate::plan::AttachWish;

/// Count trace events with ftrace's hist triggers, compiled to eBPF.
#[derive(Debug, Parser)]
#[command(
    name = "hist-bpf",
    version,
    max_term_width = 100,
    override_usage = "hist-bpf [OPTIONS] (<TRIGGER> <SYSTEM:EVENT>)... [-- COMMAND [ARG]...]\n       hist-bpf <SUBCOMMAND> [OPTIONS] ...",
    subcommand_help_heading = "Subcommands",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "Example: hist-bpf 'hist:keys=call_site.sym:vals=bytes_req' kmem:kmalloc   (more: --help)",
    arg_required_else_help = true,
    after_long_help = "TRIGGER is what ftrace takes (Documentation/trace/histogram.rst of Linux):\n\
                       hist:keys=FIELD[.MODIFIER][,...][:vals=FIELD,...][:sort=NAME[.descending]][:size=N][ if FILTER]\n\
                       'hist-bpf list -v EVENT' shows fields, the modifiers that suit them, and triggers to try.\n\n\
                       Example: hist-bpf 'hist:keys=call_site.sym:vals=bytes_req:sort=bytes_req' kmem:kmalloc\n\n\
                       Tables go to stdout, everything else to stderr. SIGUSR1 prints a table now;\n\
                       Ctrl-C, SIGTERM and SIGHUP print the final one, a second one does not wait for it. COMMAND is counted from its exec on,\n\
                       with all that it forks, until none of them is left; with -p it only says how long.\n\n\
                       Exit codes: 0 done, 1 error, 2 usage, 3 lost events with --fail-on-loss, 130 after\n\
                       a second signal. With COMMAND: its own, unless that is 0 and events were lost;\n\
                       126 not executable, 127 not found."
)]
pub(super) struct CommandLine {
    /// None: count.
    #[command(subcommand)]
    pub task: Option<Task>,

    #[command(flatten)]
    pub args: Args,

    /// Colours in messages: auto, always or never; auto minds NO_COLOR
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", global = true)]
    #[arg(hide_short_help = true, hide_possible_values = true)]
    pub color: ColorChoice,
}

/// Everything that can be done besides counting. Each has its own module, with its own flags.
#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// List the events of this kernel, and what their fields are good for
    List(ListArgs),
    /// Say in plain words what a trigger would count, and what that costs
    Explain(ExplainArgs),
    /// Add up snapshots of several machines or times
    Merge(MergeArgs),
    /// Expose what triggers count as metrics for Prometheus
    Serve(ServeArgs),
    /// Print the script that completes words in a shell
    Completions(CompletionsArgs),
    /// What the scripts ask.
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
}

/// The words of the command that counts.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A hist trigger, and the event that it is for; any number of such pairs
    #[arg(value_name = "TRIGGER SYSTEM:EVENT", required = true, hide = true)]
    pub pairs: Vec<OsString>,

    /// Start this and count what it and its descendants do; stop when all have ended
    #[arg(value_name = "COMMAND", last = true, hide = true)]
    pub command: Vec<OsString>,

    /// Whose events count.
    #[command(flatten)]
    pub focus: FocusArgs,

    /// With COMMAND: count everything, not only the command and what it forks
    #[arg(long, help_heading = "Focus", hide_short_help = true, conflicts_with = "pid")]
    pub system_wide: bool,

    /// Seconds between tables; 0 prints only at the end [default: 1]
    #[arg(short, long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    #[arg(help_heading = "Tables")]
    pub interval: Option<Duration>,

    /// Stop after that many seconds
    #[arg(short, long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    #[arg(help_heading = "Tables")]
    pub duration: Option<Duration>,

    /// Write the tables to a file instead of stdout
    ///
    /// It is emptied when counting begins. If it is a named pipe, counting begins when somebody reads
    /// it.
    #[arg(short, long, value_name = "FILE")]
    #[arg(help_heading = "Tables")]
    pub output: Option<PathBuf>,

    /// Write tables as ftrace, json, ndjson, csv, folded or plot
    ///
    /// ftrace: what the kernel's hist file would have. json: one document for each table and
    /// trigger, on a line. ndjson: an object for each entry. csv: a record for each entry. folded:
    /// stacks for flame graphs. plot: bars and percentiles of a .log2 or .buckets=N key.
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "ftrace")]
    #[arg(help_heading = "Tables", hide_possible_values = true)]
    pub format: FormatName,

    /// Show only the N largest entries
    ///
    /// By the first sort key; totals stay those of all.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = count)]
    #[arg(help_heading = "Tables")]
    pub top: Option<NonZeroUsize>,

    /// Show what is new since the table before
    ///
    /// Entries without a change are left out.
    #[arg(long)]
    #[arg(help_heading = "Tables", hide_short_help = true)]
    pub delta: bool,

    /// Put a line with the time (UTC) before each table
    #[arg(long)]
    #[arg(help_heading = "Tables", hide_short_help = true)]
    pub timestamp: bool,

    /// Clear the screen before each table, on a terminal
    #[arg(long, conflicts_with = "output")]
    #[arg(help_heading = "Tables", hide_short_help = true)]
    pub clear_screen: bool,

    /// Look at the tables on this terminal: sort, filter, pause
    ///
    /// `?` shows the keys. The final tables are printed at the end, unless -q. Without a terminal,
    /// tables are printed as ever.
    #[arg(help_heading = "Tables")]
    #[arg(long, conflicts_with_all = ["output", "format", "clear_screen", "delta", "weight", "emit"])]
    pub live: bool,

    /// Measure that value, not the hitcount (folded, plot)
    #[arg(long, value_name = "VALUE")]
    #[arg(help_heading = "Tables", hide_short_help = true)]
    pub weight: Option<String>,

    /// Exit with 3 if any event was lost
    ///
    /// A COMMAND that fails has its own exit code all the same.
    #[arg(long)]
    #[arg(hide_short_help = true)]
    pub fail_on_loss: bool,

    /// Say nothing on stderr but errors and lost events
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on stderr; -vv logs every event
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// How programs are attached
    #[arg(long, value_name = "WAY", default_value = "auto")]
    #[arg(help_heading = "Internals", hide_short_help = true)]
    pub attach: AttachName,

    /// The most that one histogram may take in the kernel: bytes, or with K, M or G
    ///
    /// By default a histogram takes what it needs, but all CPUs share one value in an entry if 64M
    /// would not do for one each.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    #[arg(help_heading = "Internals", hide_short_help = true)]
    pub memory: Option<u64>,

    /// Print what a stage of the compiler makes of the triggers, and attach nothing
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["command", "duration", "fail_on_loss"])]
    #[arg(conflicts_with_all = ["format", "top", "delta", "timestamp", "clear_screen", "weight"])]
    #[arg(help_heading = "Internals", hide_short_help = true)]
    pub emit: Option<Stage>,

    /// Read the events' formats below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR", requires = "emit")]
    #[arg(help_heading = "Internals", hide_short_help = true)]
    pub tracefs: Option<PathBuf>,
}

/// The flags that say whose events count.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FocusArgs {
    /// Count only these processes, until all have ended
    ///
    /// With all threads of each. By the host's numbers, so not from within a container.
    #[arg(short, long, value_name = "PID[,PID]", value_delimiter = ',', help_heading = "Focus")]
    #[arg(value_parser = pid)]
    pub pid: Vec<u32>,

    /// With --pid: also what these processes have forked and will fork
    #[arg(long, requires = "pid", help_heading = "Focus", hide_short_help = true)]
    pub follow: bool,

    /// Count only processes in this cgroup (v2) or below
    ///
    /// PATH as in /sys/fs/cgroup, or as /proc/PID/cgroup has it.
    #[arg(long, value_name = "PATH", help_heading = "Focus", hide_short_help = true)]
    pub cgroup: Option<PathBuf>,

    /// Count only what happens on these CPUs, such as 0-3,8
    #[arg(long, value_name = "LIST", help_heading = "Focus", hide_short_help = true)]
    pub cpu: Option<String>,
}

/// [`AttachWish`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AttachName {
    /// The cheapest that is known to be right; -v tells which
    Auto,
    /// To the raw tracepoint, or not at all
    Raw,
    /// To the classic tracepoint
    Tracepoint,
}

impl From<AttachName> for AttachWish {
    fn from(name: AttachName) -> Self {
        match name {
            AttachName::Auto => Self::Auto,
            AttachName::Raw => Self::Raw,
            AttachName::Tracepoint => Self::Tracepoint,
        }
    }
}

/// [`Format`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    /// What the kernel's hist file would have
    Ftrace,
    /// One document a table and trigger, each on a line
    Json,
    /// One object an entry, each on a line, and one for the totals
    Ndjson,
    /// One record an entry
    Csv,
    /// Stacks for flame graphs, at the end
    Folded,
    /// Bars and percentiles of a key in buckets
    Plot,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Ftrace => Self::Ftrace,
            FormatName::Json => Self::Json,
            FormatName::Ndjson => Self::Ndjson,
            FormatName::Csv => Self::Csv,
            FormatName::Folded => Self::Folded,
            FormatName::Plot => Self::Plot,
        }
    }
}

/// A stage of the compiler that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    /// The parsed trigger
    Trigger,
    /// Every name bound to the event's fields
    Hist,
    /// Attachment, map and layout
    Plan,
    /// The generated instructions, hole by hole
    Code,
    /// The whole eBPF program
    Asm,
}

/// The largest pid that a kernel can be told to give (`PID_MAX_LIMIT` in Linux
/// include/linux/threads.h, which is 2^22), and room for more.
const MAX_PID: u32 = i32::MAX.cast_unsigned();

/// A hundred years, in seconds: clocks overflow far above it.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86400.0;

/// The number of a process.
fn pid(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|pid| (1..=MAX_PID).contains(pid));
    number.ok_or_else(|| "not the number of a process".to_owned())
}

/// How many entries are shown.
fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a number of entries from 1 on".to_owned())
}

/// A number of bytes, perhaps with a suffix for a power of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let suffix = text.char_indices().last().filter(|(_, last)| last.is_ascii_alphabetic());
    let (digits, shift) = match suffix {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'm' | 'M')) => (&text[..end], 20),
        Some((end, 'g' | 'G')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number of bytes, such as 64M")?;
    number.checked_mul(1 << shift).ok_or_else(|| "more bytes than there can be".to_owned())
}

/// A number of seconds, not negative, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if number > MAX_SECONDS {
        return Err(format!("at most {MAX_SECONDS} seconds, which are 100 years"));
    }
    Duration::try_from_secs_f64(number).map_err(|_| "not a number of seconds from 0 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradictions() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_first_word_alone_names_a_subcommand() {
        let parse = |words: &[&str]| CommandLine::try_parse_from([&["hist-bpf"], words].concat());
        let line = parse(&["merge", "a.json"]).expect("a subcommand");
        assert!(matches!(line.task, Some(Task::Merge(_))));
        for words in [
            &["hist:keys=a", "merge"][..],
            &["-q", "hist:keys=a", "merge"],
            &["hist:keys=a", "a:b", "--", "merge"],
            &["!hist:keys=a", "a:b", "merge", "merge"],
        ] {
            let line = parse(words).expect("pairs");
            assert!(line.task.is_none(), "{words:?}");
        }
    }

    #[test]
    fn bytes_have_suffixes() {
        assert_eq!(bytes("12"), Ok(12));
        assert_eq!(bytes("3k"), Ok(3 << 10));
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        for bad in ["", "M", "-1", "1.5M", "1T", "1MB", "99999999999G"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_have_fractions_and_no_sign() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        // The clock overflowed with 1e19, which is a good duration.
        for bad in ["", "x", "-1", "nan", "inf", "1e300", "1e19"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
