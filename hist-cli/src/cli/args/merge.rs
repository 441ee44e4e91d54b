//! The words of `hist-bpf merge`.

use std::path::PathBuf;

use super::value::FormatName;

/// The words of `hist-bpf merge`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counts are added up exactly. Within a file, of the snapshots that were taken since the\n\
                        same moment the last includes the others, and alone counts. Between boots functions\n\
                        are the same if they have the same name, and addresses are left out."
)]
pub(in crate::cli) struct MergeArgs {
    /// Files that `-f json` has written, of the same triggers each; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Write the sum as ftrace, json, ndjson, csv, folded or plot
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub format: FormatName,

    /// Measure that value, not the hitcount (folded, plot)
    #[arg(long, value_name = "VALUE")]
    pub weight: Option<String>,

    /// Write the sum to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
