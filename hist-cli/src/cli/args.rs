//! Takes the command line. Gives [`Args`]: what was written, flag by flag.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};

/// Count trace events with ftrace's hist triggers, compiled to eBPF.
#[derive(Debug, Parser)]
#[command(
    name = "hist-bpf",
    version,
    override_usage = "hist-bpf [OPTIONS] <TRIGGER> <SYSTEM:EVENT> [<TRIGGER> <SYSTEM:EVENT>]... \
                      [-- COMMAND [ARG]...]",
    after_help = "Example: hist-bpf 'hist:key=call_site.sym:val=bytes_req:sort=bytes_req' kmem:kmalloc\n\n\
                  Tables go to stdout, everything else to stderr. SIGUSR1 prints a table now;\n\
                  Ctrl-C, SIGTERM and SIGHUP print the final one. COMMAND is counted from its exec on,
\
                  with all that it forks, until none of them is left; with -p it only says how long.
\
                  Exit codes: 0 done, 1 error,\n\
                  2 usage, 3 lost events with --fail-on-loss, 130 after a second Ctrl-C. With COMMAND:\n\
                  its own, unless that is 0 and events were lost; 126 not executable, 127 not found."
)]
pub(super) struct Args {
    /// A hist trigger, and the event that it is for; any number of such pairs
    #[arg(value_name = "TRIGGER SYSTEM:EVENT", required = true, hide = true)]
    pub pairs: Vec<String>,

    /// Start this and count what it and its descendants do; stop when all have ended
    #[arg(value_name = "COMMAND", last = true, hide = true)]
    pub command: Vec<OsString>,

    /// Count only these processes, all threads of each; the end of all of them stops
    #[arg(short, long, value_name = "PID[,PID]", value_delimiter = ',', help_heading = "Focus")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=MAX_PID), conflicts_with = "system_wide")]
    pub pid: Vec<u32>,

    /// With --pid: also what these processes have forked and will fork
    #[arg(long, requires = "pid", help_heading = "Focus")]
    pub follow: bool,

    /// With COMMAND: count everything, not only the command and what it forks
    #[arg(long, help_heading = "Focus")]
    pub system_wide: bool,

    /// Count only processes in this cgroup (v2) or below; as /sys/fs/cgroup has it or
    /// /proc/PID/cgroup
    #[arg(long, value_name = "PATH", help_heading = "Focus")]
    pub cgroup: Option<PathBuf>,

    /// Count only what happens on these CPUs, such as 0-3,8
    #[arg(long, value_name = "LIST", help_heading = "Focus")]
    pub cpu: Option<String>,

    /// Seconds between tables, fractions allowed; 0 prints only at the end
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    pub interval: Duration,

    /// Stop after that many seconds
    #[arg(short, long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    pub duration: Option<Duration>,

    /// Write the tables to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Exit with 3 if any event was lost; with COMMAND, if that itself exits with 0
    #[arg(long)]
    pub fail_on_loss: bool,

    /// Say nothing on stderr but errors and lost events
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on stderr; twice: log every event
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// How programs are attached
    #[arg(long, value_name = "WAY", default_value = "auto")]
    pub attach: Way,
    /// The most that one histogram may take in the kernel: bytes, or with K, M or G. By default
    /// a histogram takes what it needs, but all CPUs share one value in an entry if 64M would not
    /// do for one each
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<u64>,

    /// Print what a stage of the compiler makes of the triggers, and attach nothing
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["command", "duration", "fail_on_loss"])]
    pub emit: Option<Stage>,

    /// Read the events' formats below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR", requires = "emit")]
    pub tracefs: Option<PathBuf>,
}

/// A way to attach a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// The cheapest that is known to be right; -v tells which
    Auto,
    /// To the raw tracepoint, or not at all
    Raw,
    /// To the classic tracepoint
    Tracepoint,
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
const MAX_PID: i64 = i32::MAX as i64;

/// A hundred years, in seconds: clocks overflow far above it.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86400.0;

/// A number of bytes, perhaps with a suffix for a power of 1024.
fn bytes(text: &str) -> Result<u64, String> {
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
        Args::command().debug_assert();
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
