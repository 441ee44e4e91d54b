//! The words of `hist-bpf list`.

use std::path::PathBuf;

/// The words of `hist-bpf list`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With -v, each field has its type and size (bytes); `raw` if it is counted from the raw\n\
                        tracepoint, which costs about half of the `classic` one; and the modifiers that suit it\n\
                        as a key and as a value. The kernel and hist-bpf take others as well, such as .sym of\n\
                        any number. Only tracefs is read, and nothing is attached.\n\n\
                        Examples: hist-bpf list kmem   hist-bpf list -v 'sched:*switch'"
)]
pub(in crate::cli) struct ListArgs {
    /// Only events whose name, system or SYSTEM:EVENT matches: *, ?, [a-z], and a leading ! for not
    #[arg(value_name = "GLOB")]
    pub glob: Option<String>,

    /// Show fields, and what each is good for
    #[arg(short, long)]
    pub verbose: bool,

    /// Read the events below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR")]
    pub tracefs: Option<PathBuf>,
}
