//! Takes commands for trigger files, while the events happen. Gives a verdict on sessions in this
//! machine's kernel: what is added, paused, resumed, cleared, removed or joined while it runs
//! counts exactly what it should.
//!
//! Needs root and says so when it is not; as root everything must run.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::plan::Wishes;
use hist_cli::session::registry::TriggerEntry;
use hist_cli::session::{Live, Session, SessionError, since_boot};

/// A session, if this process may load programs.
fn session() -> Option<Session<Live>> {
    live().map(|live| Session::new(live, Box::new(since_boot)))
}

fn live() -> Option<Live> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return None;
    }
    Some(Live::new(TRACEFS.clone(), Facts::read().expect("the list of CPUs"), Wishes::default()))
}

fn enter() -> EventName {
    EventName::new("raw_syscalls", "sys_enter")
}

fn exit() -> EventName {
    EventName::new("raw_syscalls", "sys_exit")
}

fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Only this thread's calls of getppid().
fn filter() -> String {
    filter_for(this_thread())
}

fn filter_for(thread: i32) -> String {
    format!("if common_pid=={thread} && id=={}", libc::SYS_getppid)
}

fn getppid(times: u64) {
    for _ in 0..times {
        std::hint::black_box(rustix::process::getppid());
    }
}

/// What each trigger of the event has counted.
fn hits(session: &Session<Live>, event: &EventName) -> Result<Vec<u64>> {
    let of_event = session.triggers().iter().filter(|entry| entry.event == *event);
    of_event.map(|entry| hits_of(session, entry)).collect()
}

fn hits_of(session: &Session<Live>, entry: &TriggerEntry) -> Result<u64> {
    let snapshot = session.snapshot(entry)?;
    assert_eq!(snapshot.losses.total(), 0, "{:?}", snapshot.losses);
    Ok(snapshot.rows.iter().map(|row| row.counts.hits).sum())
}

/// The `hist` file, whose strings are UTF-8 here.
fn read_hist(session: &Session<Live>, event: &EventName) -> Result<String> {
    Ok(String::from_utf8(session.read_hist(event)?)?)
}

fn write(session: &mut Session<Live>, event: &EventName, text: &str) -> Result<()> {
    session.write(event, text.as_bytes()).with_context(|| text.to_owned())
}

#[test]
fn the_files_say_what_the_kernels_would() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    assert_eq!(session.read_trigger(&enter()), "# Available triggers:\n# hist\n");
    assert_eq!(read_hist(&session, &enter())?, "");
    write(&mut session, &enter(), &format!("hist:keys=id:vals=id {filter}\n"))?;
    getppid(7);
    let line = format!("hist:keys=id:vals=hitcount,id:sort=hitcount:size=2048 {filter} [active]");
    assert_eq!(session.read_trigger(&enter()), format!("{line}\n"));
    let (id, sum) = (libc::SYS_getppid, 7 * libc::SYS_getppid);
    assert_eq!(
        read_hist(&session, &enter())?,
        format!(
            "# event histogram\n#\n# trigger info: {line}\n#\n\n\
             {{ id: {id:>10} }} hitcount:          7  id: {sum:>10}\n\n\
             Totals:\n    Hits: 7\n    Entries: 1\n    Dropped: 0\n"
        )
    );
    assert_eq!(read_hist(&session, &exit())?, "");
    Ok(())
}

#[test]
fn a_second_trigger_leaves_the_first_ones_counts() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    write(&mut session, &enter(), &format!("hist:keys=id {filter}"))?;
    getppid(30);
    write(&mut session, &enter(), &format!("hist:keys=common_pid {filter}"))?;
    write(&mut session, &exit(), &format!("hist:keys=id {filter}"))?;
    getppid(12);
    assert_eq!(hits(&session, &enter())?, [42, 12]);
    assert_eq!(hits(&session, &exit())?, [12]);
    let again = session.write(&enter(), format!("hist:keys=id {filter}").as_bytes());
    assert_eq!(again.map_err(|error| error.errno()).err(), Some(libc::EEXIST));
    getppid(1);
    assert_eq!(hits(&session, &enter())?, [43, 13]);
    Ok(())
}

#[test]
fn what_is_written_later_controls_what_runs() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    let trigger = |word: &str| format!("hist:keys=id{word} {filter}");
    write(&mut session, &enter(), &trigger(""))?;
    getppid(5);
    write(&mut session, &enter(), &trigger(":pause"))?;
    getppid(100);
    assert_eq!(hits(&session, &enter())?, [5]);
    assert!(read_hist(&session, &enter())?.contains(" [paused]\n"));
    write(&mut session, &enter(), &trigger(":cont"))?;
    getppid(3);
    assert_eq!(hits(&session, &enter())?, [8]);
    write(&mut session, &enter(), &trigger(":clear"))?;
    assert_eq!(hits(&session, &enter())?, [0]);
    getppid(4);
    assert_eq!(hits(&session, &enter())?, [4]);
    write(&mut session, &enter(), &format!("!{}", trigger("")))?;
    assert_eq!(read_hist(&session, &enter())?, "");
    write(&mut session, &enter(), &trigger(":pause"))?;
    getppid(9);
    assert_eq!(hits(&session, &enter())?, [0]);
    Ok(())
}

#[test]
fn triggers_of_one_name_count_into_one_table() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    let trigger = |rest: &str| format!("hist:name=shared:keys=id:vals=id{rest} {filter}");
    write(&mut session, &enter(), &trigger(":size=256"))?;
    getppid(10);
    write(&mut session, &exit(), &trigger(""))?;
    assert_eq!(hits(&session, &exit())?, [10]);
    getppid(1000);
    assert_eq!(hits(&session, &enter())?, [2010]);
    let text = read_hist(&session, &exit())?;
    let expect = format!("hitcount:       2010  id: {:>10}\n", 2010 * libc::SYS_getppid);
    assert!(text.contains(&expect), "{text}");
    assert!(text.contains(":size=256 "), "{text}");
    write(&mut session, &exit(), &trigger(":pause"))?;
    getppid(5);
    assert_eq!(hits(&session, &exit())?, [2015]);
    // The first goes, its table stays; and whoever comes back finds it.
    write(&mut session, &enter(), &format!("!{}", trigger("")))?;
    write(&mut session, &exit(), &trigger(":cont"))?;
    getppid(5);
    assert_eq!(hits(&session, &exit())?, [2020]);
    write(&mut session, &enter(), &trigger(""))?;
    getppid(10);
    assert_eq!(hits(&session, &enter())?, [2040]);
    write(&mut session, &exit(), &trigger(":clear"))?;
    assert_eq!((hits(&session, &enter())?, hits(&session, &exit())?), (vec![0], vec![0]));
    getppid(1);
    assert_eq!(hits(&session, &enter())?, [2]);
    Ok(())
}

#[test]
fn one_name_twice_on_an_event_counts_twice() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    write(&mut session, &enter(), &format!("hist:name=twice:keys=id {filter}"))?;
    write(&mut session, &enter(), &format!("hist:name=twice:keys=id {filter} && id>0"))?;
    getppid(50);
    assert_eq!(hits(&session, &enter())?, [100, 100]);
    Ok(())
}

#[test]
fn keys_that_any_event_has_join_different_events() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let switch = EventName::new("sched", "sched_switch");
    let thread = this_thread();
    let trigger = "hist:name=mixed:keys=common_pid";
    write(&mut session, &enter(), &format!("{trigger} {}", filter()))?;
    write(&mut session, &switch, &format!("{trigger} if prev_pid=={thread} && prev_pid==0"))?;
    getppid(20);
    assert_eq!(hits(&session, &switch)?, [20]);
    Ok(())
}

#[test]
fn truncation_takes_the_events_triggers_only() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let filter = filter();
    write(&mut session, &enter(), &format!("hist:keys=id {filter}"))?;
    write(&mut session, &enter(), &format!("hist:keys=common_pid {filter}"))?;
    write(&mut session, &exit(), &format!("hist:keys=id {filter}"))?;
    session.open_truncate(&enter());
    let wrong = session.write(&enter(), b"hist:keys=nosuch");
    assert!(matches!(wrong, Err(SessionError::Trigger { .. })));
    getppid(6);
    assert_eq!(read_hist(&session, &enter())?, "");
    assert_eq!(hits(&session, &exit())?, [6]);
    assert!(
        session
            .error_log()
            .to_string()
            .contains("hist:raw_syscalls:sys_enter: error: Couldn't find field")
    );
    Ok(())
}

#[test]
fn what_starts_together_counts_from_one_moment() -> Result<()> {
    let Some(live) = live() else { return Ok(()) };
    let filter = filter();
    let plain = format!("hist:keys=id {filter}");
    let named = format!("hist:name=together:keys=id {filter}");
    let paused = format!("hist:keys=id:pause {filter}");
    let (enter, exit) = (enter(), exit());
    let commands = [(&enter, &*plain), (&enter, &*named), (&exit, &*named), (&exit, &*paused)];
    let mut session = Session::held(live, Box::new(since_boot));
    for (event, text) in commands {
        write(&mut session, event, text)?;
    }
    getppid(3);
    assert_eq!(hits(&session, &enter)?, [0, 0]);
    session.release()?;
    getppid(25);
    assert_eq!(hits(&session, &enter)?, [25, 50]);
    assert_eq!(hits(&session, &exit)?, [50, 0]);
    Ok(())
}

#[test]
fn events_that_take_no_programs_are_refused_and_logged() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let event = EventName::new("ftrace", "function");
    let error = session.write(&event, b"hist:keys=ip").expect_err("it takes no programs");
    assert_eq!(error.errno(), libc::EOPNOTSUPP);
    let log = session.error_log().to_string();
    assert!(
        log.contains("hist:ftrace:function: error: ftrace:function cannot be attached"),
        "{log}"
    );
    let error = session.write(&EventName::new("no", "such"), b"hist:keys=a").expect_err("no such");
    assert_eq!(error.errno(), libc::ENOENT);
    Ok(())
}

/// A thread that calls getppid() all the time, until told to stop.
#[derive(Default)]
struct Noise {
    thread: AtomicI32,
    calls: AtomicU64,
    stop: AtomicBool,
}

impl Noise {
    fn run(&self) {
        self.thread.store(this_thread(), Ordering::SeqCst);
        while !self.stop.load(Ordering::SeqCst) {
            self.calls.fetch_add(1, Ordering::SeqCst);
            getppid(1);
        }
    }

    /// Waits for a hundred calls that begin and end meanwhile.
    fn more(&self) {
        let until = self.calls.load(Ordering::SeqCst) + 102;
        while self.calls.load(Ordering::SeqCst) < until {
            thread::yield_now();
        }
    }

    fn thread(&self) -> i32 {
        loop {
            match self.thread.load(Ordering::SeqCst) {
                0 => thread::yield_now(),
                thread => return thread,
            }
        }
    }
}

/// Stops the noise however the test ends, or its thread would be waited for without end.
struct Stop<'a>(&'a Noise);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

#[test]
fn changes_amid_events_neither_lose_nor_invent() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    let noise = Noise::default();
    let watched = thread::scope(|scope| -> Result<u64> {
        let runner = scope.spawn(|| noise.run());
        let stop = Stop(&noise);
        let filter = filter_for(noise.thread());
        let witness = format!("hist:name=witness:keys=id {filter}");
        write(&mut session, &exit(), &witness)?;
        for _ in 0..5 {
            change_all(&mut session, &filter, &noise)?;
            let seen = hits(&session, &exit())?[0];
            noise.more();
            assert!(hits(&session, &exit())?[0] >= seen + 100);
        }
        drop(stop);
        runner.join().expect("the noise ends");
        Ok(hits(&session, &exit())?[0])
    })?;
    // What went on beside it has changed nothing for the witness, which missed the first calls.
    assert!(watched <= noise.calls.load(Ordering::SeqCst), "{watched}");
    assert_eq!(hits(&session, &exit())?, [watched]);
    Ok(())
}

/// Adds, pauses, clears, resumes and removes a trigger on the other event.
fn change_all(session: &mut Session<Live>, filter: &str, noise: &Noise) -> Result<()> {
    let trigger = |word: &str| format!("hist:keys=id{word} {filter}");
    write(session, &enter(), &trigger(""))?;
    noise.more();
    assert!(hits(session, &enter())?[0] >= 100);
    write(session, &enter(), &trigger(":pause"))?;
    // A program that ran at that moment may still count.
    noise.more();
    let before = hits(session, &enter())?;
    noise.more();
    assert_eq!(hits(session, &enter())?, before);
    write(session, &enter(), &trigger(":clear"))?;
    assert_eq!(hits(session, &enter())?, [0]);
    write(session, &enter(), &trigger(":cont"))?;
    noise.more();
    assert!(hits(session, &enter())?[0] >= 100);
    write(session, &enter(), &trigger(":clear"))?;
    noise.more();
    assert!(hits(session, &enter())?[0] >= 100);
    write(session, &enter(), &format!("!{}", trigger("")))
}
