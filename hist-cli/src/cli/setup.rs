//! What commands have ready before they begin: tracefs, what is known of the kernel, the privileges,
//! and what waits for signals and time.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::output::say;
use crate::escape::name_of;
use crate::kernel::Needs;
use crate::kernel::tracefs::{Tracefs, find_or_mount};
use crate::kernel::{self, Context, Facts};
use crate::load::LoadError;

/// What the kernel says of this process.
pub(super) fn status() -> anyhow::Result<String> {
    let path = "/proc/self/status";
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// More files than what waiting for signals and for a command takes.
const FILES: usize = 16;

/// What waits for signals, time and the command. It panics where it gets no files, so whether
/// there is room for them is tried before.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let room: io::Result<Vec<File>> = (0..FILES).map(|_| File::open("/dev/null")).collect();
    room.context("cannot open the files that are needed")?;
    // Signals come in by such a pair, without which there is another panic.
    UnixStream::pair().context("cannot make a pair of sockets for signals")?;
    Builder::new_current_thread().enable_all().build().context("cannot prepare to wait for signals")
}

/// Tells what is missing before anything is touched.
pub(super) fn check_privilege(status: &str) -> anyhow::Result<()> {
    match kernel::capabilities::missing(status) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(LoadError::Capabilities(missing).into()),
    }
}

/// The one at `root`; without a root the mounted one. If none is mounted, mounts one, and says so unless
/// `quiet`.
pub(super) fn tracefs(root: Option<&Path>, quiet: bool) -> anyhow::Result<Tracefs> {
    if let Some(root) = root {
        return Ok(Tracefs::of_user(root));
    }
    let tracefs = find_or_mount()?;
    if tracefs.newly_mounted && !quiet {
        say(&format!("mounted tracefs at {}", name_of(&tracefs.root)));
    }
    Ok(tracefs)
}

/// What compiling knows of the kernel; formats below `root` are another kernel's.
pub(super) fn context<'a>(facts: &'a Facts, needs: Needs, root: Option<&Path>) -> Context<'a> {
    let context = facts.context_with(needs);
    if root.is_none() { context } else { context.elsewhere() }
}
