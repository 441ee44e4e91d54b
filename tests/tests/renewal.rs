//! Floods of events while tables take turns: each event is in one of them, and in one only.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use hist_cli::load::{self, Facts};
use hist_cli::plan::{Attach, AttachWish, Wishes};
use hist_cli::read::snapshot::Snapshot;
use hist_cli::session::{EventName, Live, Session, since_boot};
use hist_cli::tracefs::mount::find_or_mount;

/// How often tables take turns in each test, unless `HIST_RENEWALS` says otherwise.
const RENEWALS: u32 = 100;
/// Threads that call getppid(2) all the time.
const THREADS: usize = 2;

fn renewals() -> u32 {
    std::env::var("HIST_RENEWALS").ok().and_then(|text| text.parse().ok()).unwrap_or(RENEWALS)
}

/// What a session counts of an event.
struct Case {
    event: (&'static str, &'static str),
    keys: &'static str,
    attach: AttachWish,
    /// The first key of the entries that stand for a call; all entries do if absent.
    number: Option<u64>,
}

impl Case {
    fn hits(&self, snapshot: &Snapshot) -> u64 {
        let is_call = |word: u64| self.number.is_none_or(|number| word == number);
        let rows = snapshot.rows.iter().filter(|row| is_call(row.word(0)));
        rows.map(|row| row.hitcount).sum()
    }
}

/// Calls of all threads, and what the tables had of them, one after the other.
fn flood(case: &Case, renewals: u32, is_kind: impl Fn(&Attach) -> bool) -> Result<(u64, u64)> {
    let stop = AtomicBool::new(false);
    let (start, (sender, tids)) = (Barrier::new(THREADS + 1), mpsc::channel());
    thread::scope(|scope| {
        let call = || {
            let tid = rustix::thread::gettid().as_raw_nonzero();
            sender.clone().send(tid).expect("somebody listens");
            start.wait();
            let mut calls = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                std::hint::black_box(rustix::process::getppid());
                calls += 1;
            }
            calls
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
        let tids: Vec<_> = tids.iter().take(THREADS).collect();
        let counted = counted(case, &tids, renewals, is_kind, || drop(start.wait()));
        stop.store(true, Ordering::Relaxed);
        let (mut session, mut hits) = match counted {
            Ok(counted) => counted,
            // Before they wait for it, or they would never end.
            Err(error) => panic!("{error:#}"),
        };
        let calls = threads.into_iter().map(|thread| thread.join().expect("it only counts")).sum();
        let id = session.triggers()[0].id;
        hits += case.hits(&session.renew(id, &[])?);
        hits += case.hits(&session.snapshot(&session.triggers()[0])?);
        Ok((calls, hits))
    })
}

fn counted(
    case: &Case,
    tids: &[std::num::NonZeroI32],
    renewals: u32,
    is_kind: impl Fn(&Attach) -> bool,
    begin: impl FnOnce(),
) -> Result<(Session<Live>, u64)> {
    let wishes = Wishes { attach: case.attach, ..Wishes::default() };
    let barrier = Arc::new(load::Barrier::new()?);
    let live = Live::new(find_or_mount()?, Facts::read()?, wishes).renewable(barrier);
    let mut session = Session::new(live, Box::new(since_boot));
    let filter: Vec<_> = tids.iter().map(|tid| format!("common_pid == {tid}")).collect();
    let trigger = format!("hist:keys={}:size=256 if {}", case.keys, filter.join(" || "));
    session.write(&EventName::new(case.event.0, case.event.1), trigger.as_bytes())?;
    let attached = session.attached(&session.triggers()[0]).trigger();
    ensure!(attached.is_renewable() && is_kind(&attached.plan.attach), "{}", attached.plan.attach);
    begin();
    let (id, mut hits) = (session.triggers()[0].id, 0);
    for _ in 0..renewals {
        hits += case.hits(&session.renew(id, &[])?);
    }
    ensure!(session.snapshot(&session.triggers()[0])?.losses.total() == 0, "hits were lost");
    Ok((session, hits))
}

fn check(case: &Case, is_kind: impl Fn(&Attach) -> bool) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return Ok(());
    }
    let renewals = renewals();
    let (calls, hits) = flood(case, renewals, is_kind).context("a flood")?;
    println!("{renewals} renewals: {hits} hits of {calls} calls");
    assert!(calls > 0);
    assert_eq!(hits, calls);
    Ok(())
}

const GETPPID: u64 = libc::SYS_getppid.cast_unsigned();

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_raw() -> Result<()> {
    let (event, number) = (("raw_syscalls", "sys_enter"), Some(GETPPID));
    let case = Case { event, keys: "id,common_pid", attach: AttachWish::Raw, number };
    check(&case, |attach| matches!(attach, Attach::RawTracepoint { btf_id: None, .. }))
}

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_typed() -> Result<()> {
    let event = ("syscalls", "sys_exit_getppid");
    let case = Case { event, keys: "ret,common_pid", attach: AttachWish::Raw, number: None };
    check(&case, |attach| matches!(attach, Attach::RawTracepoint { btf_id: Some(_), .. }))
}

#[test]
fn no_event_is_lost_or_counted_twice_while_tables_change_classic() -> Result<()> {
    let (event, number) = (("raw_syscalls", "sys_enter"), Some(GETPPID));
    let case = Case { event, keys: "id,common_pid", attach: AttachWish::Tracepoint, number };
    check(&case, |attach| matches!(attach, Attach::Tracepoint { .. }))
}
