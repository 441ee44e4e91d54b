//! The flags that say whose events count: of counting, and of what explains it.

use std::path::PathBuf;

use super::value::pid;

/// The flags that say whose events count.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct FocusArgs {
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
