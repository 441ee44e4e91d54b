//! Takes the running kernel. Gives whether it takes what programs do for a focus: find out that a
//! process is the one that was named, and whether the valve is open.

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::find_or_mount;
use hist_cli::load::{self, Among, Attached, LiveFocus, attach_among, wait_for_programs};
use hist_cli::pipeline::build_text;
use hist_cli::plan::focus::{Birth, BirthOffsets, Processes};
use hist_cli::plan::{AttachWish, Focus, Wishes};
use hist_cli::read;
use rustix::process::{getpid, getppid};
use rustix::thread::gettid;

use crate::differential::Verdict;

/// Calls that are made while the valve is closed, open, and closed again.
const CALLS: u64 = 100;

/// Counts this process's calls through every kind of focus and attachment.
#[must_use]
pub fn verdict() -> Verdict {
    check().into()
}

/// The same.
///
/// # Errors
/// If the kernel refuses, or the count is another.
pub fn check() -> Result<()> {
    let pid = getpid().as_raw_nonzero().get().cast_unsigned();
    for attach in [AttachWish::Raw, AttachWish::Tracepoint] {
        for processes in [Processes::These(vec![pid]), Processes::Listed(vec![pid])] {
            let what = format!("{attach:?}, {processes:?}");
            check_one(attach, processes, pid).context(what)?;
        }
    }
    Ok(())
}

fn check_one(attach: AttachWish, processes: Processes, pid: u32) -> Result<()> {
    let facts = Facts::read()?;
    let btf = facts.context().btf.context("no types")?;
    let offsets = BirthOffsets::find(btf)?.context("task_struct is not known")?;
    let ticks = vec![load::started(pid)?.context("this process has not started")?];
    let mut birth = Birth { offsets, ticks };
    for (is_later, hits) in [(false, CALLS), (true, 0)] {
        let focus = Focus {
            processes: processes.clone(),
            birth: Some(birth.clone()),
            valve: true,
            ..Focus::default()
        };
        // A process that started at another time is refused here already.
        let found = focus.birth.clone().filter(|_| !is_later);
        let live = LiveFocus::open(&Focus { birth: found, ..focus.clone() }, None, btf, 1, None)?;
        let attached = attached(attach, focus, &live, &facts)?;
        live.settle()?;
        make_calls();
        live.let_count(true);
        make_calls();
        live.let_count(false);
        make_calls();
        attached.triggers[0].pause();
        wait_for_programs()?;
        let counted: u64 =
            read::snapshot(&attached.triggers[0])?.rows.iter().map(|row| row.counts.hits).sum();
        ensure!(counted == hits, "{counted} hits of {hits}; as if started later: {is_later}");
        birth.ticks[0] -= 1;
    }
    Ok(())
}

fn attached(attach: AttachWish, focus: Focus, live: &LiveFocus, facts: &Facts) -> Result<Attached> {
    let format = find_or_mount()?.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    // Other threads of this process may make such calls, too.
    let text = format!("hist:keys=id if id=={} && common_pid=={}", libc::SYS_getppid, gettid());
    let wishes = Wishes { attach, focus, ..Wishes::default() };
    let built = build_text(&text, &format, &facts.context(), wishes)?;
    Ok(attach_among(built, Among { focus: Some(live), ..Among::default() })?)
}

fn make_calls() {
    for _ in 0..CALLS {
        let _ = std::hint::black_box(getppid());
    }
}
