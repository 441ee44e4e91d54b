//! What the options ask of the programs on this machine.

use super::focus::Target;
use super::options::Options;
use crate::kernel::Facts;
use crate::load;
use crate::plan::{Proof, Wishes};

/// Whose events are counted, and how programs are to be.
///
/// # Errors
/// If a process, a cgroup or a CPU is not there.
pub(super) fn wanted(options: &Options, facts: &Facts) -> anyhow::Result<(Target, Wishes)> {
    let target = Target::new(&options.focus, options.command.is_some(), facts)?;
    // One alone has nobody to begin and end with.
    let target = target.together(options.pairs.len() > 1);
    let wishes = options.wishes(target.focus.clone(), proof(options, facts.release()));
    Ok((target, wishes))
}

/// Whose losses are to be counted although the kernel does not.
fn proof(options: &Options, release: &str) -> Proof {
    match options.fail_on_loss {
        false => Proof::Usual,
        true if load::counts_all_misses(release) => Proof::Nested,
        true => Proof::All,
    }
}
