//! Causes events inside perf's handler of another one, which perf drops uncounted, and checks that a
//! classic program beside a sentinel reports each of them as missed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::find_or_mount;
use hist_cli::load::{self, AttachedTrigger};
use hist_cli::pipeline;
use hist_cli::plan::{Attach, AttachWish, Guard, Proof, Wishes};
use hist_cli::read;
use hist_cli::snapshot::Losses;

use crate::differential::Verdict;
use crate::version::Version;

/// The verdict's name.
pub const NAME: &str = "perf-guard";

/// Page faults of the kernel, those of BPF programs among them.
const FAULT: (&str, &str) = ("exceptions", "page_fault_kernel");
/// What is flooded.
const SYSCALL: (&str, &str) = ("raw_syscalls", "sys_enter");
/// How many files are opened whose name cannot be read.
const OPENS: u32 = 20_000;
/// How often counting begins and ends in a flood.
const SPANS: u32 = 50;

/// Both checks, on a kernel of `version`.
#[must_use]
pub fn verdict(version: Version) -> Verdict {
    // A sentinel could be preempted on system calls from Linux 7.0 on.
    let second = || if version < Version(7, 0) { on_its_way() } else { Ok(()) };
    faults_in_handlers().and_then(|()| second()).into()
}

/// The page faults that a classic program takes in its own reads occur within its handler.
///
/// # Errors
/// If some are neither counted nor missed, or the kernel refuses.
pub fn faults_in_handlers() -> Result<()> {
    let thread = rustix::thread::gettid();
    let mine = format!("keys=common_pid:pause if common_pid=={thread}");
    let independent = attached(FAULT, &mine, Wishes::default())?;
    let is_raw = matches!(independent.plan.attach, Attach::RawTracepoint { .. });
    ensure!(is_raw, "{}", independent.plan.attach);
    let classic = Wishes { attach: AttachWish::Tracepoint, ..Wishes::default() };
    let counting = attached(FAULT, &mine, classic.clone())?;
    ensure!(counting.plan.guard == Guard::Watched, "{:?}", counting.plan.guard);
    let open = ("syscalls", "sys_enter_openat");
    let _reader = attached(open, "keys=common_pid if filename.ustring ~ \"/x*\"", classic)?;
    independent.resume()?;
    counting.resume()?;
    ensure!(counting.unwatched().is_none(), "{:?}", counting.unwatched());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let reading = scope.spawn(|| misses_never_go_down(&counting, is_over));
        let opened = open_unreadable_names();
        is_over.store(true, Ordering::Relaxed);
        reading.join().map_err(|_| anyhow::anyhow!("reading panicked"))?.and(opened)
    })?;
    counting.pause();
    independent.pause();
    let (happened, none) = counted(&independent)?;
    ensure!(none == Losses::default(), "{none:?}");
    let (hits, losses) = counted(&counting)?;
    ensure!(losses.missed >= u64::from(OPENS), "nothing fell into a handler: {losses:?}");
    ensure!(hits + losses.total() == happened, "{hits} and {losses:?} of {happened}");
    // What is forgotten stays forgotten.
    counting.clear()?;
    ensure!(counted(&counting)? == (0, Losses::default()), "cleared");
    Ok(())
}

/// What is on its way while counting begins and ends is no loss: system calls of more threads than
/// there are CPUs, over many beginnings and ends.
///
/// # Errors
/// If something is said to be lost, or the kernel refuses.
pub fn on_its_way() -> Result<()> {
    let (attach, proof) = (AttachWish::Tracepoint, Proof::All);
    let classic = Wishes { attach, ..Wishes::default() };
    // As long as two others are on the tracepoint, the kernel need not patch the code that calls it,
    // which emulated CPUs that run it do not always survive.
    let _others = [classic.clone(), Wishes { attach: AttachWish::Raw, ..Wishes::default() }]
        .map(|wishes| attached(SYSCALL, "keys=common_cpu", wishes));
    let trigger = attached(SYSCALL, "keys=id:pause", Wishes { proof, ..classic })?;
    ensure!(trigger.plan.guard == Guard::Watched, "{:?}", trigger.plan.guard);
    let is_over = AtomicBool::new(false);
    let threads = 3 * std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::black_box(rustix::process::getppid());
                }
            });
        }
        let watched = (0..SPANS).try_for_each(|_| span(&trigger));
        is_over.store(true, Ordering::Relaxed);
        watched
    })?;
    ensure!(trigger.unwatched().is_none(), "{:?}", trigger.unwatched());
    ensure!(counted(&trigger)?.0 > 0, "nothing happened");
    Ok(())
}

/// Readers take fewer misses than before for a table that was cleared.
fn misses_never_go_down(trigger: &AttachedTrigger, is_over: &AtomicBool) -> Result<()> {
    let mut before = 0;
    while !is_over.load(Ordering::Relaxed) {
        let missed = counted(trigger)?.1.missed;
        ensure!(missed >= before, "{missed} missed after {before}");
        before = missed;
    }
    Ok(())
}

/// The kernel takes 64 classic programs on a tracepoint, and each trigger took two of them.
///
/// # Errors
/// If some are refused.
pub fn triggers_share_a_sentinel() -> Result<()> {
    let (attach, proof) = (AttachWish::Tracepoint, Proof::Nested);
    let one = |number: u32| {
        let wishes = Wishes { attach, proof, ..Wishes::default() };
        let trigger = format!("keys=common_pid:size=128 if bytes_req!={number}");
        attached(("kmem", "kmalloc"), &trigger, wishes)
    };
    let triggers = (0..40).map(one).collect::<Result<Vec<_>>>()?;
    for trigger in &triggers {
        ensure!(trigger.plan.guard == Guard::Watched, "{:?}", trigger.plan.guard);
        ensure!(trigger.unwatched().is_none(), "{:?}", trigger.unwatched());
    }
    Ok(())
}

fn span(trigger: &AttachedTrigger) -> Result<()> {
    trigger.resume()?;
    std::thread::sleep(Duration::from_millis(1));
    let missed = counted(trigger)?.1.missed;
    ensure!(missed == 0, "{missed} missed while it counts");
    trigger.pause();
    let missed = counted(trigger)?.1.missed;
    ensure!(missed == 0, "{missed} missed at its end");
    Ok(())
}

fn attached(
    (system, event): (&str, &str),
    trigger: &str,
    wishes: Wishes,
) -> Result<AttachedTrigger> {
    let (tracefs, facts) = (find_or_mount()?, Facts::read()?);
    let format = tracefs.event(&EventName::new(system, event))?;
    let text = format!("hist:{trigger}");
    let built = pipeline::build_text(&text, &format, &facts.context(), wishes)?;
    load::attach(built)?.triggers.pop().context("one trigger")
}

/// Hits and losses so far.
fn counted(trigger: &AttachedTrigger) -> Result<(u64, Losses)> {
    let snapshot = read::snapshot(trigger)?;
    Ok((snapshot.rows.iter().map(|row| row.counts.hits).sum(), snapshot.losses))
}

/// The names lie in memory that exists and cannot be read.
fn open_unreadable_names() -> Result<()> {
    let (size, flags) = (4096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address that the kernel chooses. It is never read by this process.
    let name = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    ensure!(name != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    for _ in 0..OPENS {
        // SAFETY: the kernel finds that it cannot read the name.
        let fd = unsafe { libc::openat(libc::AT_FDCWD, name.cast_const().cast(), libc::O_RDONLY) };
        ensure!(fd == -1, "the name was read");
    }
    // SAFETY: this is the mapping that was made, and nothing refers to it any more.
    unsafe { libc::munmap(name, size) };
    Ok(())
}
