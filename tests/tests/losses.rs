//! Takes triggers on events that interrupt other programs, fill tables and meet each other's locks.
//! Gives proof that no hit is lost in silence: what a trigger has counted, dropped and missed is
//! together what happened, by the count of somebody else.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hist_cli::kernel;
use hist_cli::kernel::EventName;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, Among, AttachedTrigger, Feeds};
use hist_cli::pipeline::{self, Built, Segment};
use hist_cli::plan::map::Role;
use hist_cli::plan::{Attach, Wishes};
use hist_cli::read;
use hist_cli::snapshot::{Losses, Snapshot};
use hist_tests::floods::crew::{Crew, Flood, Work};
use hist_tests::nested;

/// tracefs, if this process may load programs; and leave to cause events, which one test has at a
/// time.
fn root() -> Option<(&'static Tracefs, MutexGuard<'static, ()>)> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    static ALONE: Mutex<()> = Mutex::new(());
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return None;
    }
    Some((&TRACEFS, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn compile(tracefs: &Tracefs, (system, event): (&str, &str), trigger: &str) -> Result<Segment> {
    let format = tracefs.event(&EventName::new(system, event))?;
    let context = kernel::Context::default();
    let trigger = format!("hist:{trigger}");
    Ok(Segment::new(pipeline::plan(&trigger, &format, &context, Wishes::default())?)?)
}

fn attach(segment: Segment, feeds: Feeds) -> Result<AttachedTrigger> {
    let among = Among { feeds: vec![feeds], ..Among::default() };
    let attached = load::attach_among(Built::new(vec![segment])?, among);
    attached?.triggers.pop().context("one trigger")
}

fn attached(tracefs: &Tracefs, event: (&str, &str), trigger: &str) -> Result<AttachedTrigger> {
    attach(compile(tracefs, event, trigger)?, Feeds::New)
}

/// A program on the raw tracepoint, which nothing but itself can keep from running. Its trigger must
/// use no field.
fn raw(tracefs: &Tracefs, event: (&str, &str), trigger: &str) -> Result<Segment> {
    let mut compiled = compile(tracefs, event, trigger)?;
    compiled.plan.attach = Attach::RawTracepoint { name: event.1.to_owned(), btf_id: None };
    Ok(compiled)
}

fn hits(snapshot: &Snapshot) -> u64 {
    snapshot.rows.iter().map(|row| row.counts.hits).sum()
}

/// Hits and losses so far.
fn counted(trigger: &AttachedTrigger) -> Result<(u64, Losses)> {
    let snapshot = read::snapshot(trigger)?;
    Ok((hits(&snapshot), snapshot.losses))
}

/// Fires in an interrupt, and only for interval timers, which hardly any program has.
const EXPIRY: (&str, &str) = ("timer", "itimer_expire");
const SYSCALL: (&str, &str) = ("raw_syscalls", "sys_enter");

/// How many signals this process has got: one for each expiry, for the timer starts again when
/// the signal is delivered.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_alarm(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// The timer's period.
const PERIOD: Duration = Duration::from_micros(100);

/// Sets the interval timer of this process, and starts or stops it.
fn set_timer(period: Duration) {
    let time =
        libc::timeval { tv_sec: 0, tv_usec: libc::suseconds_t::from(period.subsec_micros()) };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the pointer is to a live value; the old one is not asked for.
    let result =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// That many expiries while this thread makes system calls without a pause. Gives their number by
/// the signals.
fn storm(expiries: u64) -> u64 {
    let handler = on_alarm as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler only counts, which may be done at any point.
    unsafe { libc::signal(libc::SIGALRM, handler) };
    let before = SIGNALS.load(Ordering::Relaxed);
    set_timer(PERIOD);
    while SIGNALS.load(Ordering::Relaxed) < before + expiries {
        std::hint::black_box(rustix::process::getppid());
    }
    set_timer(Duration::ZERO);
    // One may be on its way.
    std::thread::sleep(Duration::from_millis(5));
    SIGNALS.load(Ordering::Relaxed) - before
}

/// A slow program on every system call of this thread, which other programs of tracepoints cannot
/// interrupt.
fn stress(tracefs: &Tracefs) -> Result<AttachedTrigger> {
    let thread = rustix::thread::gettid();
    let trigger = format!("keys=common_stacktrace if common_pid=={thread}");
    attached(tracefs, SYSCALL, &trigger)
}

/// What one storm came to.
#[derive(Debug)]
struct Storm {
    /// By an independent program.
    happened: u64,
    hits: u64,
    losses: Losses,
}

impl Storm {
    fn is_exact(&self) -> bool {
        let Storm { happened, hits, losses } = self;
        *hits == 128 && losses.full > 0 && losses.missed > 0 && hits + losses.total() == *happened
    }
}

fn storm_on_full_table(tracefs: &Tracefs) -> Result<Storm> {
    // Every hit has another key, so that the table is soon full.
    let trigger = attached(tracefs, EXPIRY, "keys=common_timestamp:size=128:pause")?;
    let independent = attach(raw(tracefs, EXPIRY, "keys=common_cpu:pause")?, Feeds::New)?;
    let _stress = stress(tracefs)?;
    trigger.resume()?;
    independent.resume()?;
    storm(3000);
    trigger.pause();
    independent.pause();
    let (happened, none) = counted(&independent)?;
    assert_eq!(none, Losses::default());
    let (hits, losses) = counted(&trigger)?;
    Ok(Storm { happened, hits, losses })
}

/// The two are not switched on and off in the same instant, and timers of other processes expire,
/// too: what comes between makes a difference that is no loss. It does not come every time.
#[test]
fn counted_dropped_and_missed_are_all_that_happened() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let mut seen = Vec::new();
    for _ in 0..20 {
        let storm = storm_on_full_table(tracefs)?;
        if storm.is_exact() {
            return Ok(());
        }
        seen.push(storm);
    }
    panic!("{seen:#?}");
}

/// More threads than CPUs that make system calls.
const FLOOD: Flood = Flood { work: Work::Getppid, cpus: 1, threads: 3, distance: 200 };

/// What a flood came to: its calls, and for each trigger what it knows of.
fn flood(
    triggers: impl FnOnce() -> Result<Vec<AttachedTrigger>>,
) -> Result<Vec<(u64, Losses, u64)>> {
    let crew = Crew::prepare(FLOOD)?;
    let triggers = triggers()?;
    let calls = crew.go(Duration::from_millis(300)).getppid;
    let read = |trigger| counted(trigger).map(|(hits, losses)| (hits, losses, calls));
    let counted = triggers.iter().map(read).collect::<Result<_>>()?;
    crew.end()?;
    Ok(counted)
}

/// The same flood by every way of attaching: all tables overflow, some triggers leave out what their
/// filter says. No event may be counted twice, and none may be lost untold, ever. That no more is
/// told than that holds unless somebody else's system call has passed a program by meanwhile, where
/// the kernel can be preempted.
#[test]
fn more_threads_than_cpus_lose_nothing_untold_from_full_tables() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let facts = kernel::Facts::read()?;
    const EXIT: (&str, &str) = ("raw_syscalls", "sys_exit");
    let all = "keys=common_timestamp:size=128 if comm==\"flood\"";
    let one = format!("keys=common_timestamp:size=128 if id=={}", libc::SYS_getppid);
    let auto = |(system, event): (&str, &str), keys: &str| {
        let (format, text) =
            (tracefs.event(&EventName::new(system, event))?, format!("hist:{keys}"));
        let plan = pipeline::plan(&text, &format, &facts.context(), Wishes::default())?;
        attach(Segment::new(plan)?, Feeds::New)
    };
    let triggers = || {
        Ok(vec![
            attached(tracefs, SYSCALL, all)?,
            attached(tracefs, SYSCALL, &format!("{one}&&comm==\"flood\""))?,
            attached(tracefs, EXIT, all)?,
            attach(raw(tracefs, SYSCALL, all)?, Feeds::New)?,
            attach(raw(tracefs, EXIT, all)?, Feeds::New)?,
            auto(SYSCALL, &format!("{one}&&comm==\"flood\""))?,
            auto(EXIT, all)?,
        ])
    };
    let mut seen = Vec::new();
    for _ in 0..5 {
        let counted = flood(triggers)?;
        for (index, (hits, losses, calls)) in counted.iter().enumerate() {
            let Losses { full, busy, missed } = losses;
            let known = hits + full + busy;
            assert!(*hits > 0 && *full > 0, "trigger {index} did not overflow: {hits}, {losses:?}");
            assert!(known <= *calls, "trigger {index}: {calls} calls, {hits} hits, {losses:?}");
            assert!(
                known + missed >= *calls,
                "trigger {index}: {calls} calls, {hits} hits, {losses:?}"
            );
        }
        if counted.iter().all(|(hits, losses, calls)| hits + losses.total() == *calls) {
            return Ok(());
        }
        seen.push(counted);
    }
    panic!("more is reported as missed than was, each time: {seen:#?}");
}

/// As a user starts them. Classic programs on the same events lose some meanwhile.
#[test]
fn auto_attach_loses_no_interrupt_in_a_storm_of_system_calls() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let facts = kernel::Facts::read()?;
    let auto = |(system, event): (&str, &str), keys: &str| {
        let (format, text) =
            (tracefs.event(&EventName::new(system, event))?, format!("hist:keys={keys}"));
        let plan = pipeline::plan(&text, &format, &facts.context(), Wishes::default())?;
        assert!(matches!(plan.attach, Attach::RawTracepoint { .. }), "{event}");
        attach(Segment::new(plan)?, Feeds::New)
    };
    let triggers = [
        auto(EXPIRY, "common_cpu")?,
        auto(("timer", "hrtimer_expire_entry"), "function")?,
        auto(("timer", "hrtimer_start"), "function")?,
        auto(("irq", "softirq_entry"), "vec")?,
    ];
    let classic = attached(tracefs, EXPIRY, "keys=common_cpu")?;
    let _stress = stress(tracefs)?;
    storm(3000);
    storm_until_missed(&classic)?;
    for trigger in &triggers {
        let (hits, losses) = counted(trigger)?;
        assert_eq!(losses, Losses::default(), "{}", trigger.plan.hist.event);
        assert!(hits > 0, "{}", trigger.plan.hist.event);
    }
    Ok(())
}

#[test]
fn dropped_hits_are_counted_exactly() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let thread = rustix::thread::gettid();
    let trigger = format!(
        "keys=common_timestamp:size=128 if id=={} && common_pid=={thread}",
        libc::SYS_getppid
    );
    let trigger = attached(tracefs, SYSCALL, &trigger)?;
    for _ in 0..1000 {
        std::hint::black_box(rustix::process::getppid());
    }
    let losses = Losses { full: 1000 - 128, ..Losses::default() };
    assert_eq!(counted(&trigger)?, (128, losses));
    Ok(())
}

/// The kernel counts what a paused trigger misses; it was shown as lost.
#[test]
fn what_a_paused_trigger_misses_is_no_loss() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let trigger = attached(tracefs, EXPIRY, "keys=common_cpu:pause")?;
    let other = attached(tracefs, EXPIRY, "keys=common_cpu")?;
    let independent = attach(raw(tracefs, EXPIRY, "keys=common_cpu:pause")?, Feeds::New)?;
    let _stress = stress(tracefs)?;
    storm_until_missed(&other)?;
    assert_eq!(counted(&trigger)?, (0, Losses::default()));
    trigger.resume()?;
    assert_eq!(counted(&trigger)?, (0, Losses::default()));
    independent.resume()?;
    storm_until_missed(&trigger)?;
    trigger.pause();
    independent.pause();
    let (hits, losses) = counted(&trigger)?;
    assert!(losses.missed > 0);
    assert_eq!(hits + losses.total(), counted(&independent)?.0, "{losses:?}");
    storm(1000);
    assert_eq!(counted(&trigger)?, (hits, losses), "paused again");
    trigger.clear()?;
    assert_eq!(counted(&trigger)?, (0, Losses::default()));
    Ok(())
}

/// Storms until some expiry has come while another program ran; as a rule the first one does.
fn storm_until_missed(trigger: &AttachedTrigger) -> Result<()> {
    for _ in 0..100 {
        storm(1000);
        if counted(trigger)?.1.missed > 0 {
            return Ok(());
        }
    }
    panic!("nothing was missed");
}

/// Triggers are detached one after the other, and what they missed until then was lost.
#[test]
fn what_is_missed_before_counting_begins_and_after_it_has_ended_is_no_loss() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let trigger = attached(tracefs, EXPIRY, "keys=common_cpu")?;
    let _stress = stress(tracefs)?;
    storm_until_missed(&trigger)?;
    trigger.forget_misses()?;
    assert_eq!(counted(&trigger)?.1, Losses::default());
    storm_until_missed(&trigger)?;
    trigger.hold_misses();
    let missed = counted(&trigger)?.1.missed;
    storm(1000);
    assert_eq!(counted(&trigger)?.1.missed, missed);
    trigger.pause();
    assert_eq!(counted(&trigger)?.1.missed, missed);
    // Whoever ends counting once more takes what the detached program had missed until then.
    trigger.hold_misses();
    assert_eq!(counted(&trigger)?.1.missed, missed);
    Ok(())
}

/// They went with the trigger, while what it had counted stayed in the table.
#[test]
fn what_a_trigger_has_missed_stays_when_it_goes() -> Result<()> {
    let Some((tracefs, _alone)) = root() else { return Ok(()) };
    let trigger = attached(tracefs, EXPIRY, "keys=common_cpu")?;
    let paused = compile(tracefs, EXPIRY, "keys=common_cpu:pause")?;
    let reader = attach(paused, Feeds::Open(trigger.table().clone()))?;
    let _stress = stress(tracefs)?;
    storm_until_missed(&trigger)?;
    let before = counted(&trigger)?;
    drop(trigger);
    assert_eq!(counted(&reader)?, before);
    Ok(())
}

/// perf handles one tracepoint at a time. The page faults that a classic program takes in its own
/// reads occur within its handler, and were neither counted nor missed.
#[test]
fn an_event_inside_another_classic_handler_vanished_untold() -> Result<()> {
    let Some(_alone) = root() else { return Ok(()) };
    nested::faults_in_handlers()
}

#[test]
fn each_watched_trigger_took_two_of_the_64_places() -> Result<()> {
    let Some(_alone) = root() else { return Ok(()) };
    nested::triggers_share_a_sentinel()
}

#[test]
fn watching_takes_nothing_for_lost_that_was_on_its_way() -> Result<()> {
    let Some(_alone) = root() else { return Ok(()) };
    nested::on_its_way()
}

/// What the helpers of a program in user space answer, and what they were asked for. A busy map
/// cannot be made to happen: the lock of a bucket is taken with interrupts off, and nothing that
/// runs under it is a trace event. 6 million insertions into one bucket from both CPUs of a machine,
/// with a raw tracepoint program on `lock:contention_begin` that inserts, too, gave none.
mod without_kernel {
    use std::cell::Cell;

    use super::*;
    use hist_cli::bpf::insn::Insn;
    use hist_cli::kernel::format;
    use hist_cli::link::{Program, Target};
    use hist_tests::interpreter::without_atomics;

    const HIST: u64 = 1;
    const LOSSES: u64 = 2;

    thread_local! {
        /// What inserting answers.
        static INSERTED: Cell<i64> = const { Cell::new(0) };
        /// Where the loss counters are.
        static COUNTERS: Cell<u64> = const { Cell::new(0) };
    }

    /// No key has an entry; the counters are always there.
    fn lookup(map: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
        if map == LOSSES { COUNTERS.get() } else { 0 }
    }

    fn update(map: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
        assert_eq!(map, HIST);
        INSERTED.get().cast_unsigned()
    }

    const FORMAT: &str = "name: e\nID: 1\nformat:\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:u64 n;\toffset:8;\tsize:8;\tsigned:0;\n\nprint fmt: \"\"\n";

    fn program() -> Result<Program> {
        let event = format::parse("s", FORMAT)?;
        let context = kernel::Context::default();
        let built = pipeline::build_text("hist:keys=n", &event, &context, Wishes::default())?;
        Ok(built.program().clone())
    }

    /// Its bytes, with numbers in the places of maps.
    fn bytes(program: &Program) -> Vec<u8> {
        let mut insns: Vec<_> = program.lines.iter().map(|line| line.insn).collect();
        for reference in &program.references {
            let value = match &reference.target {
                Target::Map(map) if map.role == Role::Hist => HIST,
                Target::Map(_) => LOSSES,
                other => panic!("{other:?}"),
            };
            let dst = insns[reference.slot].dst;
            insns[reference.slot..reference.slot + 2].copy_from_slice(&Insn::ld_imm64(dst, value));
        }
        without_atomics(&mut insns);
        insns.into_iter().flat_map(Insn::encode).collect()
    }

    /// Full and busy, after one event whose insertion is answered so.
    fn losses(answer: i32) -> Result<[u64; 2]> {
        let (program, mut counters) = (program()?, [0u64; 2]);
        let bytes = bytes(&program);
        let mut vm = rbpf::EbpfVmRaw::new(Some(&bytes)).expect("rbpf takes it");
        vm.register_helper(1, lookup).expect("rbpf takes it");
        vm.register_helper(2, update).expect("rbpf takes it");
        let address = counters.as_mut_ptr().expose_provenance() as u64;
        vm.register_allowed_memory(address..address + 16);
        COUNTERS.set(address);
        INSERTED.set(answer.into());
        vm.execute_program(&mut [0; 16]).expect("rbpf takes it");
        // SAFETY: the counters live on; only the program above wrote to them, and it has ended.
        Ok(unsafe { std::ptr::read_volatile(&raw const counters) })
    }

    #[test]
    fn every_refusal_is_counted_once() -> Result<()> {
        assert_eq!(losses(0)?, [0, 0]);
        assert_eq!(losses(-libc::E2BIG)?, [1, 0]);
        // The bucket is locked on this CPU: EBUSY before Linux 6.15, then EDEADLK or ETIMEDOUT.
        for answer in [libc::EBUSY, libc::EDEADLK, libc::ETIMEDOUT, libc::ENOMEM] {
            assert_eq!(losses(-answer)?, [0, 1], "{answer}");
        }
        // Another CPU was faster, and then the table was cleared.
        assert_eq!(losses(-libc::EEXIST)?, [0, 1]);
        Ok(())
    }
}
