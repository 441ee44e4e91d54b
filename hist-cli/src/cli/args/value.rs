//! Values of flags as they are written.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;

use crate::export::Format;
use crate::plan::AttachWish;

/// [`AttachWish`] as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AttachName {
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
pub(in crate::cli) enum FormatName {
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
pub(in crate::cli) enum Stage {
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

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Shell {
    /// GNU Bash 4 or later
    Bash,
    /// Z shell
    Zsh,
    /// Friendly interactive shell, 3 or later
    Fish,
}

/// The largest pid that a kernel can be told to give (`PID_MAX_LIMIT` in Linux
/// include/linux/threads.h, which is 2^22), and room for more.
const MAX_PID: u32 = i32::MAX.cast_unsigned();

/// A hundred years, in seconds: clocks overflow far above it.
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86400.0;

/// The number of a process.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|pid| (1..=MAX_PID).contains(pid));
    number.ok_or_else(|| "not the number of a process".to_owned())
}

/// How many entries are shown.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
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
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if number > MAX_SECONDS {
        return Err(format!("at most {MAX_SECONDS} seconds, which are 100 years"));
    }
    Duration::try_from_secs_f64(number).map_err(|_| "not a number of seconds from 0 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
