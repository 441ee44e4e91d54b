//! Floods of events while tables take turns: each event is in one of them, and in one only.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::num::NonZeroI32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::find_or_mount;
use hist_cli::load::{Barrier, LiveFocus, Stopper};
use hist_cli::plan::{Attach, AttachWish, Focus, Wishes};
use hist_cli::read;
use hist_cli::session::{Live, Session, since_boot};
use hist_cli::snapshot::{Losses, Snapshot};

/// How often tables take turns in each test, unless `HIST_RENEWALS` says otherwise.
const RENEWALS: u32 = 100;
/// Threads that call getppid(2) all the time.
const THREADS: usize = 2;

fn renewals() -> u32 {
    std::env::var("HIST_RENEWALS").ok().and_then(|text| text.parse().ok()).unwrap_or(RENEWALS)
}

/// What a session counts of getppid(2) by some threads.
struct Case {
    event: (&'static str, &'static str),
    keys: &'static str,
    filter: &'static str,
    attach: AttachWish,
}

/// Calls of all threads, and what the tables had of them, one after the other.
fn flood(case: &Case, renewals: u32, is_kind: impl Fn(&Attach) -> bool) -> Result<(u64, Counted)> {
    let (begin, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let (sender, tids) = mpsc::channel();
    thread::scope(|scope| {
        let call = || {
            let tid = rustix::thread::gettid().as_raw_nonzero();
            sender.clone().send(tid).expect("somebody listens");
            while !begin.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let mut calls = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                std::hint::black_box(rustix::process::getppid());
                calls += 1;
            }
            calls
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        let tids: Vec<_> = tids.iter().take(THREADS).collect();
        let session = start(case, &tids, is_kind);
        begin.store(session.is_ok(), Ordering::Relaxed);
        let renewed = session.and_then(|session| renew(session, renewals));
        stop.store(true, Ordering::Relaxed);
        let calls = threads.into_iter().map(|thread| thread.join().expect("it only counts")).sum();
        let (session, hits) = renewed?;
        Ok((calls, Counted::of(&session, hits)?))
    })
}

/// Counts calls of these threads.
fn start(
    case: &Case,
    tids: &[NonZeroI32],
    is_kind: impl Fn(&Attach) -> bool,
) -> Result<Session<Live>> {
    let mut session = renewable(Wishes { attach: case.attach, ..Wishes::default() }, None)?;
    let threads: Vec<_> = tids.iter().map(|tid| format!("common_pid == {tid}")).collect();
    let threads = threads.join(" || ");
    let trigger = format!("hist:keys={}:size=128 if {} && ({threads})", case.keys, case.filter);
    session.write(&EventName::new(case.event.0, case.event.1), trigger.as_bytes())?;
    let attached = session.attached(&session.triggers()[0]).trigger();
    ensure!(attached.is_renewable() && is_kind(&attached.plan.attach), "{}", attached.plan.attach);
    Ok(session)
}

/// Has tables take turns. Gives the hits that were in those that are gone.
fn renew(mut session: Session<Live>, renewals: u32) -> Result<(Session<Live>, u64)> {
    let (id, mut hits) = (session.triggers()[0].id, 0);
    for _ in 0..renewals {
        hits += self::hits(&session.renew(id, &[])?);
    }
    Ok((session, hits))
}

/// What was counted, and where.
struct Counted {
    /// In tables, one after the other.
    in_tables: u64,
    /// Of hits that found no room there.
    in_rest: u64,
    /// Hits that found no room, by the programs that wanted it.
    full: u64,
    /// Otherwise lost.
    lost: u64,
}

impl Counted {
    /// `before` was in tables that are gone.
    fn of(session: &Session<Live>, before: u64) -> Result<Self> {
        let entry = &session.triggers()[0];
        let (last, trigger) = (session.snapshot(entry)?, session.attached(entry).trigger());
        let rest = read::rest(trigger)?.context("hits without room are counted")?;
        let Losses { full, busy, missed } = last.losses;
        let (in_tables, in_rest) = (before + hits(&last), hits(&rest));
        Ok(Self { in_tables, in_rest, full, lost: busy + missed })
    }
}

fn hits(snapshot: &Snapshot) -> u64 {
    snapshot.rows.iter().map(|row| row.counts.hits).sum()
}

fn check(case: &Case, is_kind: impl Fn(&Attach) -> bool) -> Result<Option<Counted>> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return Ok(None);
    }
    let renewals = renewals();
    let (calls, counted) = flood(case, renewals, is_kind).context("a flood")?;
    let Counted { in_tables, in_rest, full, lost } = counted;
    println!("{renewals} renewals: {in_tables} + {in_rest} hits of {calls} calls");
    assert!(calls > 0);
    assert_eq!((in_tables + in_rest, in_rest, lost), (calls, full, 0));
    Ok(Some(counted))
}

const SYSCALL: (&str, &str) = ("raw_syscalls", "sys_enter");
/// getppid(2) on x86-64.
const GETPPID: &str = "id == 110";

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_raw() -> Result<()> {
    let case =
        Case { event: SYSCALL, keys: "id,common_pid", filter: GETPPID, attach: AttachWish::Raw };
    check(&case, |attach| matches!(attach, Attach::RawTracepoint { btf_id: None, .. })).map(drop)
}

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_typed() -> Result<()> {
    let event = ("syscalls", "sys_exit_getppid");
    let case = Case { event, keys: "ret,common_pid", filter: "ret > 0", attach: AttachWish::Raw };
    check(&case, |attach| matches!(attach, Attach::RawTracepoint { btf_id: Some(_), .. })).map(drop)
}

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_classic() -> Result<()> {
    let attach = AttachWish::Tracepoint;
    let case = Case { event: SYSCALL, keys: "id,common_pid", filter: GETPPID, attach };
    check(&case, |attach| matches!(attach, Attach::Tracepoint { .. })).map(drop)
}

/// Each has a key of its own, so that tables are full nearly all the time.
#[test]
fn hits_that_find_no_room_are_counted_while_tables_change() -> Result<()> {
    for attach in [AttachWish::Raw, AttachWish::Tracepoint] {
        let case = Case { event: SYSCALL, keys: "common_timestamp", filter: GETPPID, attach };
        let counted = check(&case, |_| true)?;
        assert!(counted.is_none_or(|counted| counted.in_rest > 0 && counted.in_tables > 1000));
    }
    Ok(())
}

/// The program that counts them read stack that nothing had written: it took the thread's number to
/// be kept there by the filter, which is in the other program.
#[test]
fn hits_without_room_are_in_the_bucket_of_a_number_that_the_filter_uses_too() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return Ok(());
    }
    const CALLS: u64 = 1000;
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    let number = u64::try_from(tid).context("a thread's number")?;
    for attach in [AttachWish::Raw, AttachWish::Tracepoint] {
        for values in ["", ":vals=common_pid"] {
            let mut session = renewable(Wishes { attach, ..Wishes::default() }, None)?;
            let trigger = format!(
                "hist:keys=common_timestamp,common_pid.log2{values}:size=128 \
                 if common_pid > 5 && common_pid == {tid} && {GETPPID}"
            );
            session.write(&EventName::new(SYSCALL.0, SYSCALL.1), trigger.as_bytes())?;
            getppid(CALLS);
            let entry = &session.triggers()[0];
            let rest = read::rest(session.attached(entry).trigger())?.context("there is a rest")?;
            let rows: Vec<_> = rest.rows.iter().map(|row| (row.word(0), row.counts.hits)).collect();
            let in_table = hits(&session.snapshot(entry)?);
            // As the kernel rounds: up.
            let bucket = u64::from(number.next_power_of_two().ilog2());
            assert_eq!(rows, [(bucket, CALLS - in_table)], "{trigger}");
            assert!(in_table < CALLS, "{trigger}");
            let sums: Vec<_> = rest.rows[0].counts.values.iter().copied().collect();
            let sum = (CALLS - in_table) * number;
            assert!(values.is_empty() || sums == [sum], "{trigger}: {sums:?}");
        }
    }
    Ok(())
}

/// An empty session with tables that can be renewed.
fn renewable(wishes: Wishes, focus: Option<Arc<LiveFocus>>) -> Result<Session<Live>> {
    let wishes = Wishes { renewable: true, ..wishes };
    let live = Live::new(find_or_mount()?, Facts::read()?, wishes).within(focus);
    Ok(Session::new(live.with_barrier(Arc::new(Barrier::new()?)), Box::new(since_boot)))
}

fn getppid(calls: u64) {
    for _ in 0..calls {
        std::hint::black_box(rustix::process::getppid());
    }
}

/// Counts getppid(2) of this thread, each call by a key of its own.
fn unique(more: &str) -> Vec<u8> {
    let tid = rustix::thread::gettid();
    let keys = "keys=common_timestamp:size=128";
    format!("hist:{keys}{more} if {GETPPID} && common_pid == {tid}").into_bytes()
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: loading programs needs root");
    }
    is_root
}

/// It emptied one of the three tables.
#[test]
fn clearing_left_the_hits_that_had_found_no_room() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut session = renewable(Wishes::default(), None)?;
    session.write(&EventName::new(SYSCALL.0, SYSCALL.1), &unique(""))?;
    let (id, table) = (session.triggers()[0].id, session.triggers()[0].table);
    for _ in 0..3 {
        getppid(1000);
        session.renew(id, &[])?;
        getppid(1000);
        session.clear(table)?;
        let Counted { in_tables, in_rest, full, lost } = Counted::of(&session, 0)?;
        assert_eq!((in_tables, in_rest, full, lost), (0, 0, 0, 0));
        getppid(10);
        assert_eq!(hits(&session.renew(id, &[])?), 10);
    }
    Ok(())
}

/// Their programs looked into maps of their own, where nobody ever let them count.
#[test]
fn a_focus_had_renewable_tables_count_nothing() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let facts = Facts::read()?;
    let focus = Focus { valve: true, ..Focus::default() };
    let btf = facts.context().btf.context("the kernel's types")?;
    let live = Arc::new(LiveFocus::open(&focus, None, btf, 1, None)?);
    for attach in [AttachWish::Raw, AttachWish::Tracepoint] {
        let wishes = Wishes { attach, focus: focus.clone(), ..Wishes::default() };
        let mut session = renewable(wishes, Some(live.clone()))?;
        session.write(&EventName::new(SYSCALL.0, SYSCALL.1), &unique(""))?;
        live.let_count(true);
        getppid(100);
        let before = hits(&session.renew(session.triggers()[0].id, &[])?);
        getppid(100);
        live.let_count(false);
        getppid(100);
        let Counted { in_tables, in_rest, .. } = Counted::of(&session, before)?;
        assert_eq!((in_tables, in_rest), (200, 0));
    }
    Ok(())
}

/// Each had a table of its own.
#[test]
fn triggers_of_one_name_did_not_share_a_renewable_table() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut session = renewable(Wishes::default(), None)?;
    for event in ["sys_enter", "sys_exit"] {
        session.write(&EventName::new(SYSCALL.0, event), &unique(":name=both"))?;
    }
    getppid(50);
    for entry in session.triggers() {
        assert_eq!(hits(&session.snapshot(entry)?), 100);
        assert!(!session.attached(entry).trigger().is_renewable());
    }
    Ok(())
}

/// Clearing attached again what had been stopped meanwhile, for the two took the locks of two tables.
#[test]
fn what_was_stopped_while_its_renewed_table_was_cleared_counted_on() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut session = renewable(Wishes::default(), None)?;
    session.write(&EventName::new(SYSCALL.0, SYSCALL.1), &unique(""))?;
    let id = session.triggers()[0].id;
    for _ in 0..20 {
        session.set_paused(id, false)?;
        let trigger = session.attached(&session.triggers()[0]).trigger();
        let stopper = Stopper::new(None, [trigger].into_iter());
        session.renew(id, &[])?;
        let trigger = session.attached(&session.triggers()[0]).trigger();
        thread::scope(|scope| {
            let clearing = scope.spawn(|| trigger.clear());
            while !trigger.is_paused() && !clearing.is_finished() {
                thread::yield_now();
            }
            stopper.stop();
            clearing.join().expect("it only clears")
        })?;
        assert!(trigger.is_paused());
    }
    Ok(())
}
