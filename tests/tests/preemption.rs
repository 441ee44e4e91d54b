//! Checks what differs on kernels that can preempt raw programs, with that fact given as a value:
//! auto attach goes where no event is lost and says why, and a system call counted among all of them
//! has the counts of its own event.
//!
//! Skipped without root.

use std::hint::black_box;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use anyhow::{Context as _, Result};
use hist_cli::discover::explain::explain;
use hist_cli::discover::suits::Arguments;
use hist_cli::kernel::Context;
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::btf::Btf;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::preemption::Preemption;
use hist_cli::load::AttachedTrigger;
use hist_cli::pipeline;
use hist_cli::plan::access::arguments::rows;
use hist_cli::plan::access::record::{Form, Place};
use hist_cli::plan::{Access, Attach, AttachWish, Plan, Wishes};
use hist_cli::read;
use hist_cli::snapshot::{Losses, Row, Snapshot};
use hist_test_support::needs;
use hist_tests::live::{format, tracefs};
use hist_tests::{cpus, live};
use rustix::process::getppid;

/// The plan of a trigger on a kernel that has this one's types.
fn plan(
    event: &str,
    trigger: &str,
    (attach, preemption): (AttachWish, Preemption),
) -> Result<Plan> {
    let btf = Btf::at(Btf::VMLINUX);
    let context = Context { btf: Some(&btf), preemption, ..Context::default() };
    let wishes = Wishes { attach, ..Wishes::default() };
    Ok(pipeline::plan(trigger, &format(event)?, &context, wishes)?)
}

fn auto(event: &str, trigger: &str, preemption: Preemption) -> Result<Plan> {
    plan(event, trigger, (AttachWish::Auto, preemption))
}

/// Of events whose fields are all known arguments, and of what reads no field.
#[test]
fn raw_programs_that_can_be_preempted_lose_events_so_auto_is_classic() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    for (event, trigger) in [
        ("raw_syscalls:sys_enter", "hist:keys=id:vals=id"),
        ("raw_syscalls:sys_exit", "hist:keys=common_pid"),
        ("raw_syscalls:sys_enter", "hist:keys=common_stacktrace"),
        ("kmem:kmalloc", "hist:keys=bytes_req:vals=bytes_alloc"),
        ("task:task_rename", "hist:keys=pid"),
    ] {
        let raw = auto(event, trigger, Preemption::Never)?;
        assert!(!raw.has_record(), "{event}: {raw}");
        for preemption in [Preemption::Preemptible, Preemption::Realtime] {
            let classic = auto(event, trigger, preemption)?;
            let own: EventName = event.parse()?;
            let is_own =
                matches!(&classic.attach, Attach::Tracepoint { event, .. } if *event == own);
            assert!(is_own, "{event}: {classic}");
            let [why] = &classic.why[..] else { panic!("{event}: {classic}") };
            assert!(why.starts_with("this kernel can preempt a raw program"), "{why}");
            assert!(why.contains("--attach raw"), "{why}");
            let insists = plan(event, trigger, (AttachWish::Raw, preemption))?;
            assert!(!insists.has_record(), "{event}: {insists}");
            let warning = insists.why.last().context("a warning")?;
            assert!(warning.starts_with("warning: this kernel can preempt"), "{warning}");
            assert_eq!(insists.why[..insists.why.len() - 1], raw.why);
        }
        assert_eq!(plan(event, trigger, (AttachWish::Raw, Preemption::Never))?, raw);
    }
    Ok(())
}

#[test]
fn events_that_have_preemption_off_stay_raw_but_on_realtime_kernels() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    for (event, trigger) in [
        ("sched:sched_switch", "hist:keys=next_pid"),
        ("sched:sched_waking", "hist:keys=common_pid"),
        ("irq:softirq_entry", "hist:keys=vec"),
        ("timer:hrtimer_start", "hist:keys=common_stacktrace"),
    ] {
        assert!(rows::has_preemption_off(&event.parse()?), "{event}");
        let raw = auto(event, trigger, Preemption::Never)?;
        assert!(!raw.has_record(), "{event}: {raw}");
        assert_eq!(auto(event, trigger, Preemption::Preemptible)?, raw);
        let realtime = auto(event, trigger, Preemption::Realtime)?;
        assert!(realtime.has_record(), "{event}: {realtime}");
    }
    Ok(())
}

/// Their own programs run preemptible, even the classic ones.
#[test]
fn a_system_calls_own_program_can_be_preempted_so_it_is_counted_among_all() -> Result<()> {
    let Some(tracefs) = tracefs() else { return Ok(()) };
    for (event, all, trigger, number) in [
        ("syscalls:sys_enter_openat", "sys_enter", "hist:keys=flags", libc::SYS_openat),
        ("syscalls:sys_exit_lseek", "sys_exit", "hist:keys=ret", libc::SYS_lseek),
        ("syscalls:sys_exit_lseek", "sys_exit", "hist:keys=common_pid", libc::SYS_lseek),
    ] {
        let id = tracefs.event(&EventName::new("raw_syscalls", all))?.id;
        for wish in [AttachWish::Auto, AttachWish::Tracepoint] {
            let own = plan(event, trigger, (wish, Preemption::Never))?;
            assert_eq!(own.attach.to_string(), format!("tracepoint {event}"));
            assert_eq!(own.system_call, None);
            for preemption in [Preemption::Preemptible, Preemption::Realtime] {
                let among = plan(event, trigger, (wish, preemption))?;
                let event = EventName::new("raw_syscalls", all);
                assert_eq!(among.attach, Attach::Tracepoint { event, id });
                let call = among.system_call.context("a number")?;
                let place = Place { offset: 8, form: Form::Whole { size: 8 } };
                assert_eq!((call.id, i64::from(call.number)), (Access::Record(place), number));
                let why = format!("system call {number} among all: programs on the call's own");
                assert!(among.why[0].starts_with(&why), "{:?}", among.why);
            }
        }
        let raw = plan(event, trigger, (AttachWish::Raw, Preemption::Preemptible))?;
        let warning = raw.why.last().context("a warning")?;
        assert!(!raw.has_record() && warning.starts_with("warning: "), "{raw}");
    }
    Ok(())
}

/// Without types 32-bit calls would count, which have other numbers; losses are told, wrong counts
/// are not.
#[test]
fn a_system_call_that_cannot_be_told_from_others_stays_on_its_own_event() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    let trigger = "hist:keys=common_pid";
    let check = |format: &EventFormat, btf: Option<&Btf>, reason: &str| -> Result<()> {
        let preemption = Preemption::Preemptible;
        let context = Context { btf, preemption, ..Context::default() };
        let plan = pipeline::plan(trigger, format, &context, Wishes::default())?;
        assert_eq!(plan.attach.to_string(), format!("tracepoint {}", format.name));
        let [why, warning] = &plan.why[..] else { panic!("{plan}") };
        assert!(why.contains(reason) && warning.starts_with("warning: programs"), "{plan}");
        Ok(())
    };
    let format = format("syscalls:sys_enter_openat")?;
    let btf = Btf::at(Btf::VMLINUX);
    check(&format, None, "BTF")?;
    check(&format, Some(&Btf::at("/no/such/btf")), "BTF")?;
    check(&EventFormat { all_calls: None, ..format.clone() }, Some(&btf), "raw_syscalls")?;
    let unknown =
        EventFormat { name: EventName::new("syscalls", "sys_enter_no_such_call"), ..format };
    check(&unknown, Some(&btf), "number")
}

/// Records of another layout are no substitute.
#[test]
fn the_event_of_all_calls_must_have_its_number_where_a_single_ones_is() -> Result<()> {
    let Some(tracefs) = tracefs() else { return Ok(()) };
    for (own, all) in [("sys_enter_openat", "sys_enter"), ("sys_exit_lseek", "sys_exit")] {
        let (own, all) = (
            tracefs.event(&EventName::new("syscalls", own))?,
            tracefs.event(&EventName::new("raw_syscalls", all))?,
        );
        assert_eq!((own.all_calls, all.all_calls), (Some(all.id), None));
        assert!(own.is_part_of(&all));
        for field in all.fields.iter().filter(|field| !field.common) {
            let mut moved = all.clone();
            let other = moved.fields.iter_mut().find(|other| other.name == field.name);
            other.context("it is there")?.offset += 8;
            assert!(!own.is_part_of(&moved), "{}", field.name);
        }
        let mut moved = own.clone();
        moved.fields.iter_mut().for_each(|field| field.offset += 4);
        assert!(!moved.is_part_of(&all));
    }
    Ok(())
}

/// What lists and explains must not promise what auto attach does not do.
#[test]
fn list_and_explain_take_the_same_decision() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    let btf = Btf::at(Btf::VMLINUX);
    let of = |event: &str, trigger: &str, preemption| -> Result<(bool, String)> {
        let format = format(event)?;
        let context = Context { btf: Some(&btf), preemption, ..Context::default() };
        let built = pipeline::build_text(trigger, &format, &context, Wishes::default())?;
        let is_raw = Arguments::of(&format, &context).gives(&format, "common_pid");
        Ok((is_raw, explain(&built)))
    };
    let pid = "hist:keys=common_pid";
    for (event, preemption, is_raw, line) in [
        ("kmem:kmalloc", Preemption::Never, true, "to the raw tracepoint kmalloc:"),
        (
            "kmem:kmalloc",
            Preemption::Preemptible,
            false,
            "to the classic tracepoint kmem:kmalloc; why not to the raw one:\n           this kernel can",
        ),
        (
            "sched:sched_switch",
            Preemption::Preemptible,
            true,
            "to the raw tracepoint sched_switch:",
        ),
        (
            "syscalls:sys_enter_openat",
            Preemption::Preemptible,
            false,
            "to the classic tracepoint raw_syscalls:sys_enter:\n           system call 257 among all:",
        ),
    ] {
        let (listed, text) = of(event, pid, preemption)?;
        assert_eq!(listed, is_raw, "{event}");
        assert!(text.contains(&format!("\nattach   {line}")), "{event}: {text}");
    }
    let (_, text) = of("syscalls:sys_enter_openat", pid, Preemption::Preemptible)?;
    assert!(text.contains("a record of every system call, of which one counts"), "{text}");
    Ok(())
}

/// A running trigger, on a kernel that can preempt programs or cannot.
fn attached(event: &str, trigger: &str, preemption: Preemption) -> Result<AttachedTrigger> {
    let facts = Facts::read()?;
    let context = Context { preemption, ..facts.context() };
    live::attached(event, trigger, &context, Wishes::default())
}

/// An entry's key, hits and sums.
type Entry = (Vec<u8>, u64, Vec<u64>);

/// All entries, in order. Nothing was lost.
fn rows_of(trigger: &AttachedTrigger) -> Result<Vec<Entry>> {
    let Snapshot { rows, losses, .. } = read::snapshot(trigger)?;
    assert_eq!(losses, Losses::default());
    let row = |row: &Row| (row.key.to_vec(), row.counts.hits, row.counts.values.to_vec());
    let mut rows: Vec<_> = rows.iter().map(row).collect();
    rows.sort();
    Ok(rows)
}

/// `getuid` of 64 bits has the number that `socketcall` has for programs of 32 bits.
const SOCKETCALL: i64 = libc::SYS_getuid;

/// Calls it with no such operation, from a child: it ends by a signal where the kernel has no calls
/// of 32 bits.
fn call_socketcall() {
    // SAFETY: the child only calls the kernel, and this call does not write to memory.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            std::arch::asm!("xor ebx, ebx", "int 0x80", inout("rax") SOCKETCALL => _,
                in("rcx") 0, in("rdx") 0, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                clobber_abi("C"));
            libc::_exit(0);
        }
        assert!(child > 0);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// Calls of several kinds.
fn make_calls() {
    for n in 0..50 {
        let names = [c"/dev/null", c"/nonexistent/a", c"/nonexistent/b"];
        let path = names[n % 3];
        // SAFETY: these calls only take numbers and a string that is there.
        unsafe {
            let file = libc::open(path.as_ptr(), libc::O_RDONLY);
            libc::lseek(file, n as i64 * 3, [libc::SEEK_SET, libc::SEEK_CUR][n % 2]);
            libc::close(file);
            libc::getuid();
            libc::getppid();
        }
    }
}

/// Makes the calls in a thread of their own, once `attach` has attached something for that thread.
fn in_a_thread<T>(attach: impl FnOnce(i32) -> Result<T>) -> Result<T> {
    let (tell, told) = mpsc::channel();
    let (go, going) = mpsc::channel();
    let thread = thread::spawn(move || {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        tell.send(own).expect("the test waits");
        going.recv().is_ok().then(make_calls);
    });
    let attached = attach(told.recv()?)?;
    go.send(())?;
    thread.join().expect("it ends");
    Ok(attached)
}

/// The same events at the same time, both ways: arguments, results and strings of the caller's, with
/// other calls in between.
#[test]
fn a_call_among_all_has_the_counts_of_its_own_event() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    for (event, trigger) in [
        ("syscalls:sys_enter_openat", "keys=flags,dfd:vals=filename if flags < 1000000"),
        ("syscalls:sys_enter_openat", "keys=flags if filename.ustring ~ \"/nonexistent/*\""),
        ("syscalls:sys_exit_openat", "keys=ret:vals=__syscall_nr if ret < 0"),
        ("syscalls:sys_enter_lseek", "keys=offset,whence:vals=offset if whence != 0"),
        ("syscalls:sys_exit_lseek", "keys=ret.log2,common_pid if ret != 4"),
        ("syscalls:sys_enter_getuid", "keys=__syscall_nr,common_comm if common_cpu < 1024"),
    ] {
        let both = in_a_thread(|thread| {
            let trigger = format!("hist:{trigger} && common_pid == {thread}");
            let of = |preemption| attached(event, &trigger, preemption);
            Ok([of(Preemption::Never)?, of(Preemption::Preemptible)?])
        })?;
        let calls = both.each_ref().map(|one| one.plan.system_call.is_some());
        assert_eq!(calls, [false, true], "{event}");
        let [own, among] = [rows_of(&both[0])?, rows_of(&both[1])?];
        assert!(own.iter().map(|row| row.1).sum::<u64>() >= 20, "{event}: {own:?}");
        assert_eq!(own, among, "{event} {trigger}");
    }
    Ok(())
}

#[test]
fn a_32_bit_call_of_the_same_number_is_another_call() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    let comm = "if comm == \"socketcall\"";
    let run = |event: &str, keys: &str| {
        attached(event, &format!("hist:keys={keys} {comm}"), Preemption::Preemptible)
    };
    let among = run("syscalls:sys_enter_getuid", "__syscall_nr")?;
    let all = run("raw_syscalls:sys_enter", "id")?;
    std::thread::Builder::new()
        .spawn(|| {
            rustix::thread::set_name(c"socketcall").expect("a short name");
            call_socketcall();
            std::hint::black_box(rustix::process::getuid());
        })?
        .join()
        .expect("it ends");
    let hits = |trigger: &AttachedTrigger| -> Result<u64> {
        let rows = read::snapshot(trigger)?.rows;
        let own = rows.iter().find(|row| row.word(0) == SOCKETCALL.cast_unsigned());
        Ok(own.map_or(0, |row| row.counts.hits))
    };
    assert_eq!(hits(&among)?, 1, "getuid of 64 bits alone");
    // Without them the number alone would have done.
    let _is_shown = needs::that(hits(&all)? > 1, "system calls of 32 bits");
    Ok(())
}

/// How many threads share the CPU, and how often each calls.
const THREADS: u64 = 3;
const CALLS: u64 = 100_000;

/// On a kernel that preempts raw programs a quarter of these was lost.
#[test]
#[ignore = "heavy: `cargo xtask check --full` runs it"]
fn more_threads_than_cpus_lose_no_event() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    let facts = Facts::read()?;
    let one = cpus::first()?;
    for (event, trigger) in [
        ("raw_syscalls:sys_enter", "hist:keys=id"),
        ("syscalls:sys_enter_getppid", "hist:keys=__syscall_nr"),
        ("syscalls:sys_exit_getppid", "hist:keys=__syscall_nr"),
    ] {
        let counts = attached(event, trigger, facts.context().preemption)?;
        let begin = Arc::new(Barrier::new(THREADS as usize));
        let threads = (0..THREADS).map(|_| {
            let (begin, one) = (Arc::clone(&begin), one);
            thread::spawn(move || {
                cpus::pin([one]).expect("it was allowed a moment ago");
                begin.wait();
                for n in 0..CALLS {
                    black_box(getppid());
                    // Something to be preempted in besides the call.
                    for n in 0..n % 200 {
                        black_box(n);
                    }
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|one| one.join().expect("it ends"));
        let Snapshot { rows, losses, .. } = read::snapshot(&counts)?;
        assert_eq!(losses, Losses::default(), "{event}");
        let number = libc::SYS_getppid.cast_unsigned();
        let hits: u64 =
            rows.iter().filter(|row| row.word(0) == number).map(|row| row.counts.hits).sum();
        assert!(hits >= THREADS * CALLS, "{event}: {hits}");
    }
    Ok(())
}
