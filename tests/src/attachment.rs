//! Checks that auto attach goes where this kernel loses no event, by what the kernel says of
//! itself.

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::find_or_mount;
use hist_cli::pipeline;
use hist_cli::plan::Wishes;

use crate::differential::Verdict;
use crate::version::Version;

/// The verdict's name.
pub const NAME: &str = "auto-attach";

/// Event, trigger, and what it is attached to: before Linux 7.0, and from then on where tasks are
/// preempted, as the kernels of the virtual machines do.
const EXPECTED: [(&str, &str, [&str; 2]); 5] = [
    (
        "raw_syscalls:sys_enter",
        "hist:keys=id",
        ["raw tracepoint sys_enter", "tracepoint raw_syscalls:sys_enter"],
    ),
    ("kmem:kmalloc", "hist:keys=bytes_req", ["raw tracepoint kmalloc", "tracepoint kmem:kmalloc"]),
    (
        "sched:sched_switch",
        "hist:keys=common_pid",
        ["raw tracepoint sched_switch", "raw tracepoint sched_switch"],
    ),
    (
        "timer:hrtimer_expire_entry",
        "hist:keys=common_pid",
        ["raw tracepoint hrtimer_expire_entry", "raw tracepoint hrtimer_expire_entry"],
    ),
    (
        "syscalls:sys_exit_lseek",
        "hist:keys=ret",
        ["tracepoint syscalls:sys_exit_lseek", "tracepoint raw_syscalls:sys_exit"],
    ),
];

/// Plans each trigger with the facts of the running kernel, which is of `version`.
#[must_use]
pub fn verdict(version: Version) -> Verdict {
    check(version).into()
}

fn check(version: Version) -> Result<()> {
    let (tracefs, facts) = (find_or_mount()?, Facts::read()?);
    for (event, trigger, expected) in EXPECTED {
        let (system, name) = event.split_once(':').context("an event's name")?;
        let format = tracefs.event(&EventName::new(system, name))?;
        let plan = pipeline::plan(trigger, &format, &facts.context(), Wishes::default())?;
        let expected = expected[usize::from(version >= Version(7, 0))];
        ensure!(
            plan.attach.to_string() == expected,
            "{trigger} on {event} is attached to {}, not to {expected}: {:?}",
            plan.attach,
            plan.why
        );
    }
    Ok(())
}
