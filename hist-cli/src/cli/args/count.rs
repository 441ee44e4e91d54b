//! The words of the command that counts.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;

use super::FocusArgs;
use super::value::{AttachName, FormatName, Stage, bytes, count, seconds};

/// The words of the command that counts.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
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
