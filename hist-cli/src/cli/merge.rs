//! Takes files of snapshots. Gives their sum.

use std::path::PathBuf;
use std::process::ExitCode;

/// The words of `hist-bpf merge`.
#[derive(Debug, clap::Args)]
pub(super) struct MergeArgs {
    /// Files that `-f json` has written
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Adds up the snapshots.
///
/// # Errors
/// If a file cannot be read or the snapshots do not fit together.
pub(super) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("{} files: merging is not built yet", args.files.len())
}
