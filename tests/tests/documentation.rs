//! Runs the triggers of the kernel's own documentation of histograms (histogram.rst, section 2.1 and
//! its examples) on this machine's kernel: each attaches, counts, and prints a table that adds up.
//! The suites that run in virtual machines have them all, too, and compare them with the kernel's
//! own.
//!
//! Skipped without root. Packets are those of a network of the test's own, so that nobody else's
//! count.

use std::fs;
use std::io::{IsTerminal as _, Read as _};
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::plan::Wishes;
use hist_cli::session::{Live, Session, SessionError, since_boot};
use hist_test_support::needs;
use hist_test_support::table::{self, Table};
use hist_tests::live::tracefs;
use rustix::thread::UnshareFlags;

const KMALLOC: &str = "kmem:kmalloc";
const READ: &str = "syscalls:sys_enter_read";
const RECVFROM: &str = "syscalls:sys_enter_recvfrom";
const ENTER: &str = "raw_syscalls:sys_enter";
const FORK: &str = "sched:sched_process_fork";
const RECEIVE: &str = "net:netif_receive_skb";
const RX: &str = "net:netif_rx";

/// Triggers that stand alone, each with its event.
const SINGLE: [(&str, &str); 14] = [
    (RX, "hist:keys=skbaddr.hex:vals=len"),
    (KMALLOC, "hist:key=call_site:val=bytes_req"),
    (KMALLOC, "hist:key=call_site.hex:val=bytes_req"),
    (KMALLOC, "hist:key=call_site.sym:val=bytes_req"),
    (KMALLOC, "hist:key=call_site.sym:val=bytes_req:sort=bytes_req.descending"),
    (KMALLOC, "hist:key=call_site.sym-offset:val=bytes_req:sort=bytes_req.descending"),
    (KMALLOC, "hist:keys=call_site.sym:values=bytes_req,bytes_alloc:sort=bytes_alloc.descending"),
    (KMALLOC, "hist:keys=stacktrace:values=bytes_req,bytes_alloc:sort=bytes_alloc"),
    (READ, "hist:key=common_pid.execname:val=count:sort=count.descending"),
    (ENTER, "hist:key=id.syscall:val=hitcount"),
    (ENTER, "hist:key=id.syscall,common_pid.execname:val=hitcount:sort=id,hitcount"),
    (ENTER, "hist:key=id.syscall,common_pid.execname:val=hitcount:sort=id,hitcount if id == 16"),
    (RECVFROM, "hist:key=common_pid.execname,size:val=hitcount:sort=common_pid,size"),
    (FORK, "hist:key=child_comm:val=hitcount:size=256"),
];

/// Triggers on one event at the same time. The first three need packets that do not come by
/// themselves, or none that there could be.
const SEVERAL: [&str; 4] = [
    "hist:keys=skbaddr.hex:vals=len if len < 0",
    "hist:keys=skbaddr.hex:vals=len if len > 4096",
    "hist:keys=skbaddr.hex:vals=len if len == 256",
    "hist:keys=skbaddr.hex:vals=len",
];

/// Triggers that share a table, each on two events.
const NAMED: [(&str, [&str; 2]); 2] = [
    ("hist:name=foo:keys=skbaddr.hex:vals=len", [RECEIVE, RX]),
    ("hist:name=bar:key=stacktrace:val=hitcount", [FORK, RX]),
];

/// What is written one after the other to the same file.
const PAUSED: [&str; 3] = [
    "hist:key=child_comm:val=hitcount:size=256",
    "hist:key=child_comm:val=hitcount:size=256:pause",
    "hist:key=child_comm:val=hitcount:size=256:cont",
];
const CLEARED: [&str; 2] =
    ["hist:key=stacktrace:vals=len:pause", "hist:key=stacktrace:vals=len:clear"];

/// Refused here, or by every kernel.
const FLAGS: &str = "hist:keys=len:vals=common_preempt_count";
const WRONG: &str = "hist:key=call_site:val=bytes_req.buckets=32";

fn session() -> Option<Session<Live>> {
    let facts = Facts::read().expect("the list of CPUs");
    let live = Live::new(tracefs()?.clone(), facts, Wishes::default());
    Some(Session::new(live, Box::new(since_boot)))
}

/// This kernel has it. If not, the trigger runs in virtual machines only.
fn exists(event: &str) -> bool {
    let path = format!("/sys/kernel/tracing/events/{}/format", event.replace(':', "/"));
    needs::file(path, event)
}

fn write(session: &mut Session<Live>, event: &str, text: &str) -> Result<()> {
    let event: EventName = event.parse()?;
    session.write(&event, format!("{text}\n").as_bytes()).with_context(|| text.to_owned())
}

/// A device for packets that has a name of its own, so that nobody else's packets are counted.
struct Device(String);

impl Device {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("doc{}.{number}", std::process::id()))
    }

    /// The trigger for this device only: as it is documented, with a filter or one condition more.
    fn limit(&self, event: &str, text: &str) -> String {
        let filter = if text.contains(" if ") { " &&" } else { " if" };
        let is_packet = [RX, RECEIVE].contains(&event);
        if is_packet { format!("{text}{filter} name == \"{}\"", self.0) } else { text.to_owned() }
    }

    /// Moves this thread to a network of its own, whose loopback device is this one. Threads that it
    /// starts are there, too.
    fn enter(&self) -> Result<()> {
        // SAFETY: the thread has no file or memory that it would share no more.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let name = |text: &str| {
            let mut name = [0; libc::IFNAMSIZ];
            let bytes = text.bytes().map(u8::cast_signed);
            name.iter_mut().zip(bytes).for_each(|(letter, byte)| *letter = byte);
            name
        };
        let change = |number, device: &str, value| -> std::io::Result<()> {
            let request = libc::ifreq { ifr_name: name(device), ifr_ifru: value };
            // SAFETY: both calls read such a request, which is there until they return.
            let result = unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const request) };
            if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        let new_name = libc::__c_anonymous_ifr_ifru { ifru_newname: name(&self.0) };
        change(libc::SIOCSIFNAME, "lo", new_name).context("naming the device")?;
        let is_up = libc::__c_anonymous_ifr_ifru { ifru_flags: libc::IFF_UP as libc::c_short };
        change(libc::SIOCSIFFLAGS, &self.0, is_up).context("raising the device")
    }
}

/// Causes each of the events, with packets on that device, in a thread that ends.
fn work(device: &Device) -> Result<()> {
    let work = || {
        device.enter()?;
        cause_events()
    };
    thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

/// Memory, reads, packets and an ioctl of this thread, and a process.
fn cause_events() -> Result<()> {
    let mut text = String::new();
    for _ in 0..10 {
        drop(std::io::pipe()?);
        fs::File::open("/proc/self/status")?.read_to_string(&mut text)?;
        fs::File::open("/dev/null")?.is_terminal();
    }
    let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    // With the 28 bytes of both headers, packets of 256 bytes and of more than 4096.
    for size in [1, 100, 228, 1000, 5000] {
        sender.send_to(&vec![0; size], receiver.local_addr()?)?;
        receiver.recv_from(&mut [0; 8192])?;
    }
    let status = Command::new("true").status().context("starting `true`")?;
    ensure!(status.success(), "`true` ended with {status}");
    Ok(())
}

/// The tables in a `hist` file, one after the other. Each adds up, and nothing was dropped.
fn tables(session: &Session<Live>, event: &str) -> Result<Vec<Table>> {
    let text = String::from_utf8(session.read_hist(&event.parse()?)?)?;
    let tables = table::tables(&text)?;
    for table in &tables {
        table.check_sums().with_context(|| text.clone())?;
        ensure!(table.dropped == 0, "{text}");
    }
    Ok(tables)
}

#[test]
fn single_triggers_count() -> Result<()> {
    for (event, text) in SINGLE {
        let Some(mut session) = session() else { return Ok(()) };
        if exists(event) {
            let device = Device::new();
            let text = device.limit(event, text);
            write(&mut session, event, &text)?;
            work(&device)?;
            let tables = tables(&session, event).with_context(|| text.clone())?;
            assert!(tables.len() == 1 && tables[0].hits > 0, "{text}: {tables:?}");
            assert!(tables[0].trigger.ends_with(" [active]"), "{tables:?}");
            write(&mut session, event, &format!("!{text}"))?;
            assert_eq!(session.read_hist(&event.parse()?)?, b"", "{text}");
        }
    }
    Ok(())
}

#[test]
fn several_triggers_on_one_event_count() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    if !exists(RECEIVE) {
        return Ok(());
    }
    let device = Device::new();
    for text in SEVERAL {
        write(&mut session, RECEIVE, &device.limit(RECEIVE, text))?;
    }
    work(&device)?;
    let hits: Vec<_> = tables(&session, RECEIVE)?.iter().map(|table| table.hits).collect();
    let [none, long, exact, all] = hits[..] else { panic!("{hits:?}") };
    assert_eq!((none, long, exact, all), (0, 1, 1, 5));
    let refused = session.write(&RECEIVE.parse()?, FLAGS.as_bytes());
    assert_eq!(refused.map_err(|error| error.errno()), Err(libc::EOPNOTSUPP));
    assert!(
        session.error_log().to_string().contains("common_preempt_count"),
        "{}",
        session.error_log()
    );
    Ok(())
}

#[test]
fn named_triggers_share_a_table() -> Result<()> {
    for (text, events) in NAMED {
        let Some(mut session) = session() else { return Ok(()) };
        if !events.into_iter().all(exists) {
            continue;
        }
        let device = Device::new();
        for event in events {
            write(&mut session, event, &device.limit(event, text))?;
        }
        work(&device)?;
        // Nothing may happen between two looks at the same table.
        for event in events {
            let pause = text.replacen(":key", ":pause:key", 1);
            write(&mut session, event, &device.limit(event, &pause))?;
        }
        let [first, second] = events.map(|event| tables(&session, event));
        let (first, second) = (first?, second?);
        assert_eq!((first.len(), second.len()), (1, 1));
        assert!(first[0].hits >= 5, "{text}: {first:?}");
        assert_eq!((first[0].hits, first[0].n_entries), (second[0].hits, second[0].n_entries));
    }
    Ok(())
}

#[test]
fn a_trigger_is_paused_and_continued() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    if !exists(FORK) {
        return Ok(());
    }
    let mut seen = Vec::new();
    for text in PAUSED {
        write(&mut session, FORK, text)?;
        let before = tables(&session, FORK)?.remove(0);
        work(&Device::new())?;
        let after = tables(&session, FORK)?.remove(0);
        let state = after.trigger.rsplit(' ').next().unwrap_or_default().to_owned();
        seen.push((state, after.hits > before.hits));
    }
    let active = ("[active]".to_owned(), true);
    assert_eq!(seen, [active.clone(), ("[paused]".to_owned(), false), active]);
    Ok(())
}

#[test]
fn a_paused_trigger_is_cleared() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    if !exists(RECEIVE) {
        return Ok(());
    }
    let device = Device::new();
    let [pause, clear] = CLEARED.map(|text| device.limit(RECEIVE, text));
    write(&mut session, RECEIVE, &pause)?;
    work(&device)?;
    assert_eq!(tables(&session, RECEIVE)?[0].hits, 0);
    write(&mut session, RECEIVE, &pause.replace(":pause", ":cont"))?;
    work(&device)?;
    write(&mut session, RECEIVE, &pause)?;
    assert_eq!(tables(&session, RECEIVE)?[0].hits, 5);
    write(&mut session, RECEIVE, &clear)?;
    let table = tables(&session, RECEIVE)?.remove(0);
    assert!(table.hits == 0 && table.trigger.ends_with(" [paused]"), "{table:?}");
    Ok(())
}

#[test]
fn what_no_kernel_takes_is_refused() -> Result<()> {
    let Some(mut session) = session() else { return Ok(()) };
    if exists(KMALLOC) {
        let error = session.write(&KMALLOC.parse()?, WRONG.as_bytes()).expect_err("it is wrong");
        assert!(matches!(error, SessionError::Trigger { .. }), "{error:?}");
        assert!(session.error_log().to_string().contains("Invalid field modifier"));
    }
    Ok(())
}

/// Whatever this kernel lacks, virtual machines have.
#[test]
fn the_suites_have_them_all() -> Result<()> {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    let mut text = String::new();
    for name in
        ["documentation-memory.toml", "documentation-packets.toml", "sessions/documentation.toml"]
    {
        text += &fs::read_to_string(suite.join(name)).with_context(|| name.to_owned())?;
    }
    let single = SINGLE.iter().map(|(_, trigger)| *trigger);
    let named = NAMED.iter().map(|(trigger, _)| *trigger);
    let lists = SEVERAL.into_iter().chain(PAUSED).chain(CLEARED);
    for trigger in single.chain(named).chain(lists).chain([FLAGS, WRONG]) {
        assert!(text.contains(trigger), "no suite has {trigger}");
    }
    Ok(())
}
