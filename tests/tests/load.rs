//! Takes triggers on events that the tests cause themselves. Gives a verdict on what runs in this
//! machine's kernel: it counts, it can be paused, resumed, cleared and shared, it goes away when
//! dropped, and what the kernel refuses is told.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::programs::Program;
use hist_cli::bpf::insn::{Insn, R0, R1, R2, Width};
use hist_cli::codegen::code::Line;
use hist_cli::kernel;
use hist_cli::kernel::EventName;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, Among, Attached, AttachedTrigger, Feeds, LoadError};
use hist_cli::pipeline::{self, Built, Segment};
use hist_cli::plan::{Attach, AttachWish, MapKind, Template, Wishes};
use hist_cli::read;
use hist_cli::snapshot::{KeyBytes, Losses, Snapshot, Values};
use hist_common::holes;
use rustix::process::Pid;

/// How often a table is cleared under fire. Without waiting for the programs, about one in 500
/// leaves a wrong number.
const CLEARINGS: u32 = 100;

/// tracefs, if this process may load programs.
fn root() -> Option<&'static Tracefs> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return None;
    }
    Some(&TRACEFS)
}

fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// `keys=id:vals=id*3` of that thread, on `raw_syscalls:sys_enter` or `sys_exit`.
fn compile(tracefs: &Tracefs, event: &str, thread: i32) -> Result<Segment> {
    compile_with(tracefs, event, &format!("keys=id:vals=id*3 if common_pid=={thread}"))
}

fn compile_with(tracefs: &Tracefs, event: &str, trigger: &str) -> Result<Segment> {
    let format = tracefs.event(&EventName::new("raw_syscalls", event))?;
    segment(&format!("hist:{trigger}"), &format, &kernel::Context::default(), Wishes::default())
}

fn segment(
    trigger: &str,
    format: &EventFormat,
    context: &kernel::Context<'_>,
    wishes: Wishes,
) -> Result<Segment> {
    Ok(Segment::new(pipeline::plan(trigger, format, context, wishes)?)?)
}

fn attach(segments: &[Segment]) -> Result<Attached> {
    Ok(load::attach(Built::new(segments.to_vec())?)?)
}

/// The same, with tables as said.
fn attach_to(segments: &[Segment], feeds: &[Feeds]) -> Result<Result<Attached, LoadError>> {
    let among = Among { feeds: feeds.to_vec(), ..Among::default() };
    Ok(load::attach_among(Built::new(segments.to_vec())?, among))
}

/// One trigger, attached.
fn attach_one(compiled: Segment) -> Result<AttachedTrigger> {
    attach(&[compiled])?.triggers.pop().context("one trigger")
}

fn refusal(segments: &[Segment]) -> Result<LoadError> {
    match attach_to(segments, &[])? {
        Ok(_) => bail!("the kernel took it"),
        Err(error) => Ok(error),
    }
}

fn getppid(times: u32) {
    for _ in 0..times {
        std::hint::black_box(rustix::process::getppid());
    }
}

/// Hits of the syscall; 0 without entry.
fn hits(trigger: &AttachedTrigger, syscall: i64) -> Result<u64> {
    let snapshot = read::snapshot(trigger)?;
    Ok(hits_in(&snapshot, syscall))
}

fn hits_in(snapshot: &Snapshot, syscall: i64) -> u64 {
    let row = snapshot.rows.iter().find(|row| row.word(0) == syscall.cast_unsigned());
    row.map_or(0, |row| row.counts.hits)
}

#[test]
fn a_trigger_counts_exactly() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let trigger = attach_one(compile(tracefs, "sys_enter", this_thread())?)?;
    getppid(1000);
    let snapshot = read::snapshot(&trigger)?;
    let syscall = libc::SYS_getppid;
    let row = snapshot.rows.iter().find(|row| row.word(0) == syscall.cast_unsigned());
    let row = row.context("an entry")?;
    assert_eq!(
        (row.counts.hits, &row.counts.values[..]),
        (1000, &[3000 * syscall.cast_unsigned()][..])
    );
    assert_eq!(snapshot.losses, Losses::default());
    Ok(())
}

/// Each use read the clock again, so the difference was up to 17 us below 0; and the sum was another
/// time than the key.
#[test]
fn each_use_of_the_time_read_the_clock_again() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let thread = this_thread();
    let trigger = "keys=common_timestamp-common_timestamp,common_timestamp/1:vals=common_timestamp*2:size=4096";
    let trigger = format!("{trigger} if common_pid=={thread} && id=={}", libc::SYS_getppid);
    let trigger = attach_one(compile_with(tracefs, "sys_enter", &trigger)?)?;
    getppid(1000);
    let rows = read::snapshot(&trigger)?.rows;
    assert_eq!(rows.iter().map(|row| row.counts.hits).sum::<u64>(), 1000);
    for row in &rows {
        let (difference, time) = (row.word(0), row.word(8));
        assert_eq!((difference, &row.counts.values[..]), (0, &[2 * time * row.counts.hits][..]));
    }
    Ok(())
}

#[test]
fn pausing_stops_and_resuming_goes_on() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let trigger = attach_one(compile(tracefs, "sys_enter", this_thread())?)?;
    getppid(10);
    trigger.pause();
    assert!(trigger.is_paused());
    getppid(100);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 10);
    assert!(read::snapshot(&trigger)?.trigger.ends_with(b"[paused]"));
    trigger.resume()?;
    assert!(!trigger.is_paused());
    getppid(20);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 30);
    Ok(())
}

/// Its program was still called, looked at a flag and did nothing.
#[test]
fn a_paused_trigger_costs_its_events_nothing() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let _stats = aya::sys::enable_stats(aya::sys::Stats::RunTime)?;
    let (facts, format) =
        (kernel::Facts::read()?, tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?);
    for wish in [AttachWish::Tracepoint, AttachWish::Raw] {
        let wishes = Wishes { attach: wish, ..Wishes::default() };
        let context = facts.context();
        let trigger = attach_one(segment("hist:keys=id:pause", &format, &context, wishes)?)?;
        getppid(100);
        assert_eq!(trigger.run_stats()?.runs, 0, "{wish:?}");
        trigger.resume()?;
        getppid(100);
        trigger.pause();
        let runs = trigger.run_stats()?.runs;
        assert!(runs >= 100, "{wish:?}: {runs}");
        getppid(100);
        let more = trigger.run_stats()?.runs - runs;
        // One may have been under way on another CPU.
        assert!(more <= 1, "{wish:?}: {more}");
    }
    Ok(())
}

/// The kernel knows what programs of type TRACING attach to from their loading on, and forgets none
/// of it when they are detached.
#[test]
fn a_program_that_follows_pointers_can_be_attached_again() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let (facts, format) =
        (kernel::Facts::read()?, tracefs.event(&EventName::new("sched", "sched_switch"))?);
    let wishes = Wishes { attach: AttachWish::Raw, ..Wishes::default() };
    let text = "hist:keys=next_pid:pause";
    let trigger = attach_one(segment(text, &format, &facts.context(), wishes)?)?;
    assert!(trigger.plan.is_typed(), "{}", trigger.plan);
    let switch = || std::thread::sleep(std::time::Duration::from_millis(5));
    for _ in 0..2 {
        trigger.resume()?;
        trigger.clear()?;
        switch();
        let rows = read::snapshot(&trigger)?.rows;
        assert!(rows.iter().any(|row| row.word(0) == this_thread() as u64), "{rows:?}");
        trigger.pause();
    }
    Ok(())
}

#[test]
fn a_trigger_that_starts_paused_counts_when_resumed() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let text = format!("keys=id:pause if common_pid=={}", this_thread());
    let trigger = attach_one(compile_with(tracefs, "sys_enter", &text)?)?;
    assert!(trigger.is_paused());
    getppid(10);
    assert_eq!(read::snapshot(&trigger)?.rows, []);
    trigger.resume()?;
    getppid(20);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 20);
    Ok(())
}

#[test]
fn clearing_empties_entries_and_losses_and_counting_goes_on() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let mut compiled = compile(tracefs, "sys_enter", this_thread())?;
    compiled.plan.map.max_entries = 1;
    let trigger = attach_one(compiled)?;
    // The first of all takes the only entry.
    let _uid = rustix::process::getuid();
    getppid(50);
    let before = read::snapshot(&trigger)?;
    assert!(before.rows.len() == 1 && before.losses.full >= 50, "{before:?}");
    trigger.pause();
    trigger.clear()?;
    let after = read::snapshot(&trigger)?;
    assert_eq!((&after.rows[..], after.losses), (&[][..], Losses::default()));
    assert!(trigger.is_paused(), "clearing keeps the state");
    trigger.clear()?;
    trigger.resume()?;
    // Nothing but what attaches the program can come before.
    getppid(1);
    let rows = read::snapshot(&trigger)?.rows;
    assert_eq!(rows.len(), 1, "there is room again: {rows:?}");
    Ok(())
}

/// Every key's sum is its hits times itself, thrice. A hit that went to an entry after another key had
/// got its place would show.
#[test]
fn clearing_while_programs_run_leaves_no_wrong_number() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    // Dropped in any case, a panic included: that ends the thread.
    let (go_on, is_over) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.send(this_thread()).expect("the test waits");
            while is_over.try_recv() == Err(TryRecvError::Empty) {
                getppid(1);
                let _ids = (rustix::process::getuid(), rustix::process::getgid());
                let _ids = (rustix::process::geteuid(), rustix::process::getegid());
            }
        });
        let _go_on = go_on;
        let trigger = attach_one(compile(tracefs, "sys_enter", receiver.recv()?)?)?;
        (0..CLEARINGS).try_for_each(|_| clear_and_check(&trigger))
    })
}

fn clear_and_check(trigger: &AttachedTrigger) -> Result<()> {
    let counted_something = (0..1_000_000).any(|_| {
        read::snapshot(trigger).is_ok_and(|snapshot| hits_in(&snapshot, libc::SYS_getppid) > 1000)
    });
    assert!(counted_something, "it counts again after it was cleared");
    trigger.clear()?;
    // Reading in the midst of a hit finds its hitcount without its sum.
    trigger.pause();
    std::thread::sleep(Duration::from_millis(5));
    let snapshot = read::snapshot(trigger)?;
    trigger.resume()?;
    for row in &snapshot.rows {
        assert_eq!(row.counts.values[..], [row.counts.hits * row.word(0) * 3], "{snapshot:?}");
    }
    assert_eq!(snapshot.losses, Losses::default());
    Ok(())
}

#[test]
fn clearing_removes_every_entry_of_a_large_table() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let text = format!("keys=args:size=131072 if common_pid=={}", this_thread());
    // The field is an array; its first element is a number like any other.
    let mut format = tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    let args = format.fields.iter_mut().find(|field| field.name == "args").context("args")?;
    args.type_name = "unsigned long".into();
    args.size = 8;
    let compiled =
        segment(&format!("hist:{text}"), &format, &kernel::Context::default(), Wishes::default())?;
    let trigger = attach_one(compiled)?;
    for number in 1..=60_000 {
        // Whether or not there is such a process: what counts is the argument.
        let process = Pid::from_raw(number).context("not 0")?;
        std::hint::black_box(rustix::process::test_kill_process(process).ok());
    }
    trigger.pause();
    assert!(read::snapshot(&trigger)?.rows.len() >= 60_000);
    trigger.clear()?;
    assert_eq!(read::snapshot(&trigger)?.rows, []);
    Ok(())
}

#[test]
fn a_focus_tells_the_process_from_a_later_one_and_the_valve_opens_and_closes() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    hist_tests::focus::check()
}

#[test]
fn two_events_feed_one_table() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let thread = this_thread();
    let enter = attach_one(compile(tracefs, "sys_enter", thread)?)?;
    let exit = compile(tracefs, "sys_exit", thread)?;
    getppid(5);
    let feeds = Feeds::Open(enter.table().clone());
    let exit = attach_to(&[exit], &[feeds])??.triggers.remove(0);
    getppid(10);
    assert_eq!(hits(&enter, libc::SYS_getppid)?, 25);
    assert_eq!(hits(&exit, libc::SYS_getppid)?, 25);
    exit.pause();
    assert!(!enter.is_paused());
    getppid(10);
    assert_eq!(hits(&exit, libc::SYS_getppid)?, 35);
    enter.pause();
    exit.clear()?;
    assert_eq!(read::snapshot(&enter)?.rows, []);
    exit.resume()?;
    getppid(1);
    assert_eq!((hits(&exit, libc::SYS_getppid)?, enter.is_paused()), (1, true));
    Ok(())
}

#[test]
fn triggers_of_one_call_feed_one_table() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let thread = this_thread();
    let both = [compile(tracefs, "sys_enter", thread)?, compile(tracefs, "sys_exit", thread)?];
    let feeds = [Feeds::New, Feeds::Earlier(0)];
    let attached = attach_to(&both, &feeds)??;
    getppid(10);
    assert_eq!(hits(&attached.triggers[0], libc::SYS_getppid)?, 20);
    Ok(())
}

/// The runs of one program were compared with what all of them had logged.
#[test]
fn events_that_two_programs_did_not_log_were_taken_for_logged() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    /// More than the log has room for.
    const EVENTS: u64 = 300_000;
    // Few others cause it, and each event takes room in the log, whatever the filter says.
    let format = tracefs.event(&EventName::new("task", "task_rename"))?;
    let text = format!("hist:keys=oom_score_adj if common_pid == {}", this_thread());
    let wishes = || Wishes { log: true, ..Wishes::default() };
    let compile = || segment(&text, &format, &kernel::Context::default(), wishes());
    let both = [compile()?, compile()?];
    let mut attached = attach(&both)?;
    for _ in 0..EVENTS {
        rustix::thread::set_name(c"renamed")?;
    }
    attached.triggers.iter().for_each(AttachedTrigger::pause);
    load::wait_for_programs()?;
    attached.flush_log();
    let counted = |trigger| -> Result<u64> {
        Ok(read::snapshot(trigger)?.rows.iter().map(|row| row.counts.hits).sum())
    };
    for trigger in &attached.triggers {
        assert_eq!(counted(trigger)?, EVENTS);
    }
    // What is in the log is less than what one of them has counted.
    let unlogged = attached.unlogged()?;
    assert!(unlogged > EVENTS, "{unlogged} of {}", 2 * EVENTS);
    Ok(())
}

#[test]
fn a_table_of_another_shape_is_refused() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let one = attach_one(compile(tracefs, "sys_enter", this_thread())?)?;
    let two = compile_with(tracefs, "sys_enter", "keys=id,common_pid:vals=id*3")?;
    let result = attach_to(&[two], &[Feeds::Open(one.table().clone())])?;
    let Err(error @ LoadError::OtherTable { .. }) = result else { bail!("it was taken") };
    let said = error.to_string();
    assert!(
        said.contains("have 16 and 16 bytes in a per-CPU hash, the table's 8 and 16"),
        "{said}"
    );
    Ok(())
}

/// Both feed one table, so that it can still be read.
#[test]
fn dropping_a_trigger_detaches_it_alone() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let thread = this_thread();
    let both = [compile(tracefs, "sys_enter", thread)?, compile(tracefs, "sys_exit", thread)?];
    let feeds = [Feeds::New, Feeds::Earlier(0)];
    let mut attached = attach_to(&both, &feeds)??;
    getppid(10);
    drop(attached.triggers.remove(0));
    getppid(1);
    assert_eq!(hits(&attached.triggers[0], libc::SYS_getppid)?, 21);
    let table = attached.triggers[0].table().clone();
    drop(attached);
    getppid(100);
    // Read through a new feeder of the old table.
    let paused = compile_with(tracefs, "sys_enter", "keys=id:vals=id*3:pause")?;
    let reader = attach_to(&[paused], &[Feeds::Open(table)])??;
    assert_eq!(hits(&reader.triggers[0], libc::SYS_getppid)?, 21);
    Ok(())
}

/// The number of the syscall is the second argument of the tracepoint, and the first field of
/// the record: at the same place of the context.
#[test]
fn raw_tracepoints_count_too() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let mut compiled = compile(tracefs, "sys_enter", this_thread())?;
    compiled.plan.attach = Attach::RawTracepoint { name: "sys_enter".into(), btf_id: None };
    let trigger = attach_one(compiled)?;
    getppid(1000);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 1000);
    trigger.pause();
    getppid(10);
    trigger.clear()?;
    trigger.resume()?;
    getppid(7);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 7);
    Ok(())
}

#[test]
fn what_has_no_tracepoint_is_refused() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let mut compiled = compile(tracefs, "sys_enter", this_thread())?;
    compiled.plan.attach = Attach::RawTracepoint { name: "no_such".into(), btf_id: None };
    let error = refusal(std::slice::from_ref(&compiled))?;
    assert!(matches!(error, LoadError::Attach { .. }), "{error}");
    let event = EventName::new("raw_syscalls", "sys_enter");
    compiled.plan.attach = Attach::Tracepoint { event, id: u32::MAX };
    let error = refusal(&[compiled])?;
    assert!(matches!(error, LoadError::Attach { .. }), "{error}");
    Ok(())
}

/// One of two is refused: the other must not count either.
#[test]
fn nothing_is_attached_unless_everything_is() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let good = compile(tracefs, "sys_enter", this_thread())?;
    let mut bad = compile(tracefs, "sys_exit", this_thread())?;
    bad.plan.attach = Attach::RawTracepoint { name: "no_such".into(), btf_id: None };
    let trigger = attach_one(good.clone())?;
    let both = [good, bad];
    let feeds = [Feeds::Open(trigger.table().clone()), Feeds::New];
    let result = attach_to(&both, &feeds)?;
    assert!(matches!(result, Err(LoadError::Attach { .. })));
    getppid(10);
    assert_eq!(hits(&trigger, libc::SYS_getppid)?, 10);
    Ok(())
}

#[test]
fn a_refused_program_tells_the_verifiers_words() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let error = refusal(&[broken(tracefs, 0)?])?;
    let said = error.to_string();
    assert!(said.contains("verifier refused the program for raw_syscalls:sys_enter"), "{said}");
    let LoadError::Verifier { log, .. } = error else { bail!("{said}") };
    assert!(log.contains("invalid mem access"), "{log}");
    Ok(())
}

/// More words than the log has room for at first.
#[test]
fn a_long_verifier_log_is_whole() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let LoadError::Verifier { log, .. } = refusal(&[broken(tracefs, 5000)?])? else {
        bail!("not by the verifier")
    };
    assert!(log.len() > 64 * 1024, "{}", log.len());
    assert!(log.contains("invalid mem access"), "it has its end");
    assert!(log.lines().any(|line| line.starts_with("0: ")), "and its beginning");
    Ok(())
}

/// A program that, after so many instructions, reads where number 1 points to.
fn broken(tracefs: &Tracefs, instructions: usize) -> Result<Segment> {
    let mut compiled = compile(tracefs, "sys_enter", this_thread())?;
    let code = &mut compiled.code;
    let body = code.holes.iter_mut().find(|body| body.symbol == holes::KEY).context("a body")?;
    let line = |insn| Line { insn, note: String::new() };
    let mut lines = vec![line(Insn::store_imm(Width::Dw, R2, 0, 5)); instructions];
    lines.push(line(Insn::mov64_imm(R0, 1)));
    lines.push(line(Insn::load(Width::Dw, R1, R0, 0)));
    body.lines.splice(0..0, lines);
    Ok(compiled)
}

#[test]
fn maps_that_are_too_large_are_told() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let mut compiled = compile(tracefs, "sys_enter", this_thread())?;
    compiled.plan.map.max_entries = 1 << 31;
    let error = refusal(&[compiled])?;
    let said = error.to_string();
    assert!(matches!(&error, LoadError::Map { name, .. } if name == "HIST0"), "{said}");
    assert!(said.ends_with("a smaller size= needs less memory"), "{said}");
    Ok(())
}

#[test]
fn maps_are_preallocated() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let trigger = attach_one(compile(tracefs, "sys_enter", this_thread())?)?;
    let hist = trigger.hist_fd();
    assert_eq!(map_info(hist, "map_flags")?, "0x0", "BPF_F_NO_PREALLOC is 1");
    // BPF_MAP_TYPE_PERCPU_HASH
    assert_eq!(map_info(hist, "map_type")?, "5");
    assert_eq!(map_info(hist, "key_size")?, "8");
    assert_eq!(map_info(hist, "value_size")?, "16");
    assert_eq!(map_info(hist, "max_entries")?, "2048");
    assert_eq!(map_info(trigger.losses_fd(), "map_flags")?, "0x0");
    Ok(())
}

/// What the kernel says of the map.
fn map_info(map: BorrowedFd<'_>, name: &str) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let text = fs::read_to_string(Path::new(&path))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("{name} in {text}"))?.trim().to_owned())
}

/// The kinds of map that a histogram of few keys can be kept in.
const KINDS: [(MapKind, &str); 3] =
    [(MapKind::PerCpuArray, "6"), (MapKind::PerCpuHash, "5"), (MapKind::Hash, "1")];

/// The syscalls' powers of two, kept in a map of that kind.
fn compile_kind(tracefs: &Tracefs, kind: MapKind, rest: &str) -> Result<Segment> {
    let format = tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    let hist = format!("hist:keys=id.log2,common_cpu:vals=id{rest}");
    let context =
        kernel::Context { possible_cpus: Some(aya_cpus()?), ..kernel::Context::default() };
    let mut compiled = segment(&hist, &format, &context, Wishes::default())?;
    assert_eq!(compiled.plan.map.kind, MapKind::PerCpuArray);
    if kind != MapKind::PerCpuArray {
        let wishes = Wishes { log: true, ..Wishes::default() };
        let mut plan = pipeline::plan(&hist, &format, &context, wishes)?;
        assert_eq!(plan.map.kind, MapKind::PerCpuHash, "what is logged is a hash");
        plan.template = Template::Hist;
        (plan.map.kind, plan.shared) = (kind, kind == MapKind::Hash);
        compiled = Segment::new(plan)?;
    }
    Ok(compiled)
}

fn aya_cpus() -> Result<u32> {
    let cpus = aya::util::nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?;
    Ok(u32::try_from(cpus)?)
}

/// All three on the same events at the same time, while several threads make system calls.
#[test]
fn every_kind_of_map_counts_the_same() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let threads = (0..4).map(|_| CallingThread::start()).collect::<Result<Vec<_>>>()?;
    let ids: Vec<_> = threads.iter().map(|thread| format!("common_pid=={}", thread.id)).collect();
    let filter = format!(" if {}", ids.join("||"));
    let compiled: Vec<_> = KINDS
        .iter()
        .map(|(kind, _)| compile_kind(tracefs, *kind, &filter))
        .collect::<Result<_>>()?;
    let attached = attach(&compiled)?;
    for ((_, number), trigger) in KINDS.iter().zip(&attached.triggers) {
        assert_eq!(map_info(trigger.hist_fd(), "map_type")?, *number);
    }
    threads.iter().for_each(CallingThread::tell);
    threads.iter().for_each(CallingThread::wait);
    let rows = attached.triggers.iter().map(rows_of_threads).collect::<Result<Vec<_>>>()?;
    assert_eq!(rows[0].iter().map(|row| row.1).sum::<u64>(), 4 * 30_000, "{rows:?}");
    assert_eq!(rows[0], rows[1], "array and per-CPU hash");
    assert_eq!(rows[1], rows[2], "per-CPU hash and hash");
    for trigger in &attached.triggers {
        trigger.clear()?;
        let snapshot = read::snapshot(trigger)?;
        assert_eq!((&snapshot.rows[..], snapshot.losses), (&[][..], Losses::default()));
    }
    threads.iter().for_each(CallingThread::tell);
    threads.iter().for_each(CallingThread::wait);
    for trigger in &attached.triggers {
        assert_eq!(rows_of_threads(trigger)?.iter().map(|row| row.1).sum::<u64>(), 4 * 30_000);
    }
    Ok(())
}

/// Key, hits and sums of getppid(2), getuid(2) and getgid(2), by key: powers 7.
fn rows_of_threads(trigger: &AttachedTrigger) -> Result<Vec<(KeyBytes, u64, Values)>> {
    let rows = read::snapshot(trigger)?.rows.into_iter().filter(|row| row.word(0) == 7);
    let mut rows: Vec<_> = rows.map(|row| (row.key, row.counts.hits, row.counts.values)).collect();
    rows.sort();
    Ok(rows)
}

/// A thread that makes system calls when it is told to, and none in between.
struct CallingThread {
    id: i32,
    /// How often it has been told to, and how often it has done so.
    wanted: Arc<AtomicU32>,
    done: Arc<AtomicU32>,
}

impl CallingThread {
    fn start() -> Result<Self> {
        let (wanted, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (sender, receiver) = mpsc::channel();
        let (told, says) = (Arc::downgrade(&wanted), done.clone());
        std::thread::spawn(move || {
            sender.send(this_thread()).expect("the test waits");
            drop(sender);
            while let Some(told) = told.upgrade() {
                if told.load(Ordering::Acquire) > says.load(Ordering::Relaxed) {
                    for _ in 0..10_000 {
                        getppid(1);
                        let _ids = (rustix::process::getuid(), rustix::process::getgid());
                    }
                    says.fetch_add(1, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        });
        Ok(Self { id: receiver.recv()?, wanted, done })
    }

    fn tell(&self) {
        self.wanted.fetch_add(1, Ordering::Release);
    }

    fn wait(&self) {
        while self.done.load(Ordering::Acquire) < self.wanted.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}

/// What is planned is what the kernel says that it takes, but for some pages.
#[test]
fn memory_is_as_planned() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    for (kind, _) in KINDS {
        let mut compiled = compile_kind(tracefs, kind, ":size=4096")?;
        // Large enough that what does not depend on the size hardly counts.
        compiled.plan.map.max_entries = compiled.plan.map.max_entries.max(4096);
        let planned = compiled.plan.map.bytes(aya_cpus()?);
        let trigger = attach_one(compiled)?;
        let taken: u64 = map_info(trigger.hist_fd(), "memlock")?.parse()?;
        let apart = planned.abs_diff(taken);
        assert!(apart * 50 < taken, "{kind}: {planned} bytes planned, {taken} taken");
    }
    Ok(())
}

/// Counting goes on while tables are read: no key twice, none lost that was there before, and
/// no count ever gets less.
#[test]
fn reading_while_programs_insert_is_whole() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    for kind in [MapKind::PerCpuHash, MapKind::Hash] {
        let (go_on, is_over) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                sender.send(this_thread()).expect("the test waits");
                let mut number = 0;
                while is_over.try_recv() == Err(TryRecvError::Empty) {
                    // Half of them known keys, half of them new ones.
                    number = number % 120_000 + 1;
                    for number in [number, number / 2 + 1] {
                        let process = Pid::from_raw(number).expect("not 0");
                        std::hint::black_box(rustix::process::test_kill_process(process).ok());
                    }
                }
            });
            let _go_on = go_on;
            let trigger = attach_one(first_arguments(tracefs, receiver.recv()?, kind)?)?;
            let mut before: HashMap<u64, u64> = HashMap::new();
            while before.len() < 60_000 {
                let rows = read::snapshot(&trigger)?.rows;
                let now: HashMap<u64, u64> =
                    rows.iter().map(|row| (row.word(0), row.counts.hits)).collect();
                assert_eq!(now.len(), rows.len(), "no key twice, {kind}");
                for (key, hits) in &before {
                    let new = now.get(key).with_context(|| format!("{key} was there, {kind}"))?;
                    assert!(new >= hits, "{key}: {hits} hits, then {new}, {kind}");
                }
                before = now;
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

/// Counts that thread's system calls by their first argument, which is not a field of its own.
fn first_arguments(tracefs: &Tracefs, thread: i32, kind: MapKind) -> Result<Segment> {
    let mut format = tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    let args = format.fields.iter_mut().find(|field| field.name == "args").context("args")?;
    (args.type_name, args.size) = ("unsigned long".into(), 8);
    let text = format!("hist:keys=args:vals=id:size=131072 if id==62 && common_pid=={thread}");
    let context = kernel::Context::default();
    let per_cpu = pipeline::plan(&text, &format, &context, Wishes::default())?;
    let memory = (kind == MapKind::Hash).then(|| per_cpu.map.bytes(1) - 1);
    let wishes = Wishes { memory, ..Wishes::default() };
    let compiled = segment(&text, &format, &context, wishes)?;
    assert_eq!(compiled.plan.map.kind, kind);
    Ok(compiled)
}

/// The ELF is for others; that it is right shows when another loader takes it, for what it is.
#[test]
fn ayas_own_loader_takes_the_object() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let facts = kernel::Facts::read()?;
    let elf = |(system, event), trigger: &str, wishes: Wishes| -> Result<Vec<u8>> {
        let format = tracefs.event(&EventName::new(system, event))?;
        Ok(pipeline::build_text(trigger, &format, &facts.context(), wishes)?.object.elf()?)
    };
    let calls = ("raw_syscalls", "sys_enter");
    let (classic, raw) = (AttachWish::Tracepoint, AttachWish::Raw);
    for (attach, log) in [(classic, false), (classic, true), (raw, false)] {
        let wishes = Wishes { attach, log, ..Wishes::default() };
        let mut ebpf = aya::EbpfLoader::new().load(&elf(calls, "hist:keys=id", wishes)?)?;
        match ebpf.program_mut("hist0").context("the program")? {
            Program::TracePoint(program) if attach == classic => program.load()?,
            Program::RawTracePoint(program) if attach == raw => program.load()?,
            _ => bail!("{attach:?}: it is taken for something else"),
        }
    }
    let wishes = Wishes { attach: raw, ..Wishes::default() };
    let typed = elf(("syscalls", "sys_exit_getppid"), "hist:keys=ret", wishes)?;
    let mut ebpf = aya::EbpfLoader::new().load(&typed)?;
    match ebpf.program_mut("hist0").context("the program")? {
        Program::BtfTracePoint(program) => {
            program.load("sys_exit", &aya::Btf::from_sys_fs()?)?;
        }
        _ => bail!("it is taken for something else"),
    }
    Ok(())
}
