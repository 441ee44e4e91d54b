//! The words of `hist-bpf explain`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::FocusArgs;
use super::value::{AttachName, bytes};

/// The words of `hist-bpf explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is attached, so no root is needed beyond reading tracefs. The cost is a class, not\n\
                        a measurement: high if a stack is walked or text searched, medium on a classic\n\
                        tracepoint or if text is copied, else low."
)]
pub(in crate::cli) struct ExplainArgs {
    /// The trigger
    #[arg(value_name = "TRIGGER")]
    pub trigger: OsString,

    /// The event that it is for
    #[arg(value_name = "SYSTEM:EVENT")]
    pub event: String,

    /// As if these were given when counting
    #[command(flatten)]
    pub focus: FocusArgs,

    /// How programs are attached
    #[arg(long, value_name = "WAY", default_value = "auto", hide_short_help = true)]
    pub attach: AttachName,

    /// The most that the histogram may take in the kernel: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", value_parser = bytes, hide_short_help = true)]
    pub memory: Option<u64>,

    /// Read the events below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR")]
    pub tracefs: Option<PathBuf>,
}
