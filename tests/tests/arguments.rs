//! Takes the table of what fields are copies of, and this kernel. Gives a verdict: every row fits the
//! kernel's types, a kernel whose types are others is not misread, what raw tracepoints give is what
//! records have, and nothing is lost where classic tracepoints lose events.
//!
//! Needs root for events' formats and says so when it is not; as root everything must run.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::Context;
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::btf::Btf;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, Attached};
use hist_cli::pipeline;
use hist_cli::plan::access::arguments::{check, rows};
use hist_cli::plan::once::{Kept, Once};
use hist_cli::plan::{Attach, AttachWish, Plan, Wishes};
use hist_cli::read;

fn root() -> Option<&'static Tracefs> {
    static TRACEFS: LazyLock<Tracefs> = LazyLock::new(|| find_or_mount().expect("tracefs"));
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: reading formats and loading programs needs root");
        return None;
    }
    Some(&TRACEFS)
}

/// The plan of a trigger on an event, given a kernel's types.
fn plan(event: &str, trigger: &str, btf: &Btf, attach: AttachWish) -> Result<Plan> {
    let (system, name) = event.split_once(':').context("an event's name")?;
    let format = find_or_mount()?.event(&EventName::new(system, name))?;
    let context = Context { btf: Some(btf), ..Context::default() };
    let wishes = Wishes { attach, ..Wishes::default() };
    Ok(pipeline::plan(trigger, &format, &context, wishes)?)
}

fn auto(event: &str, trigger: &str, btf: &Btf) -> Result<Plan> {
    plan(event, trigger, btf, AttachWish::Auto)
}

#[test]
fn every_field_of_the_table_has_a_row_that_fits() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let btf = Btf::at(Btf::VMLINUX);
    let (mut fields, mut misfits) = (0, Vec::<String>::new());
    for (event, rows) in rows::all() {
        // Not every kernel has every event, or every field of it.
        let (Ok(format), Some(tracepoint)) = (tracefs.event(&event), btf.tracepoint(&event.name)?)
        else {
            continue;
        };
        for field in &format.fields {
            let mut own = rows.iter().filter(|row| row.field == field.name).peekable();
            if own.peek().is_none() {
                continue;
            }
            fields += 1;
            let results: Vec<_> =
                own.map(|row| check(&btf, &tracepoint, row.expression, field)).collect();
            if results.iter().all(Result::is_err) {
                misfits.push(format!("{event} {}: {results:?}", field.name));
            }
        }
    }
    assert!(fields > 500, "{fields} fields");
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
    Ok(())
}

#[test]
fn what_is_no_plain_copy_is_read_from_the_record() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    let btf = Btf::at(Btf::VMLINUX);
    let state = auto("sched:sched_switch", "hist:keys=next_pid,prev_state", &btf)?;
    assert!(state.has_record(), "{}", state.attach);
    assert_eq!(state.why, ["prev_state: not known to be a copy of an argument"]);
    let both = auto("sched:sched_switch", "hist:keys=next_pid if prev_comm == \"a\"", &btf)?;
    assert!(both.is_typed(), "{both}");
    assert_eq!(both.why, ["next_pid = next->pid", "prev_comm = prev->comm"]);
    let none = auto("sched:sched_switch", "hist:keys=common_pid", &btf)?;
    assert!(!none.has_record() && !none.is_typed(), "{none}");
    let trigger = "hist:keys=next_pid,prev_state";
    let refused = plan("sched:sched_switch", trigger, &btf, AttachWish::Raw).expect_err("no row");
    assert!(refused.to_string().contains("prev_state"), "{refused}");
    let classic = plan("sched:sched_switch", "hist:keys=next_pid", &btf, AttachWish::Tracepoint)?;
    assert!(classic.has_record() && classic.why.is_empty());
    Ok(())
}

/// The verifier's own words were shown: `invalid bpf_context access` and some hundred lines more.
#[test]
fn an_argument_that_older_kernels_keep_from_typed_programs_is_refused_in_words() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    let btf = Btf::at(Btf::VMLINUX);
    let format = find_or_mount()?.event(&EventName::new("kmem", "kmem_cache_alloc"))?;
    let plan = |trigger: &str, attach, release| {
        let context = Context { btf: Some(&btf), release: Some(release), ..Context::default() };
        pipeline::plan(trigger, &format, &context, Wishes { attach, ..Wishes::default() })
    };
    let both = "hist:keys=ptr:vals=bytes_req";
    for release in [(6, 1), (6, 12), (6, 15)] {
        let reason = "ptr: before Linux 6.16 a program that follows pointers for another field may \
                      not read the argument `ptr`";
        let classic = plan(both, AttachWish::Auto, release)?;
        assert!(classic.has_record(), "{classic}");
        assert_eq!(classic.why, [reason]);
        let refused = plan(both, AttachWish::Raw, release).expect_err("it is raw only");
        assert!(refused.to_string().contains(reason), "{refused}");
        // Each without the other.
        assert!(!plan("hist:keys=ptr", AttachWish::Auto, release)?.has_record());
        assert!(plan("hist:keys=call_site:vals=bytes_req", AttachWish::Auto, release)?.is_typed());
    }
    assert!(plan(both, AttachWish::Auto, (6, 16))?.is_typed());
    Ok(())
}

/// Each use read it from memory that another CPU may write to: the filter could see another string
/// than the key. Short ones are kept on the stack; for others the record has the one copy.
#[test]
fn a_string_that_was_used_twice_was_read_twice() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    let btf = Btf::at(Btf::VMLINUX);
    let (event, twice) = ("sched:sched_switch", "hist:keys=prev_comm if prev_comm ~ \"*a\"");
    let short = plan(event, twice, &btf, AttachWish::Raw)?;
    assert!(short.is_typed(), "{short}");
    assert!(matches!(short.once[..], [Kept { what: Once::Array { size: 16, .. }, .. }]), "{short}");
    let number = "hist:keys=next_prio if next_prio < 100";
    let number = plan(event, number, &btf, AttachWish::Raw)?;
    assert!(matches!(number.once[..], [Kept { what: Once::Field(_), .. }]), "{number}");
    let (event, twice) = ("sched:sched_process_exec", "hist:keys=filename if filename ~ \"*a\"");
    let once = auto(event, "hist:keys=filename if pid > 1", &btf)?;
    let long = auto(event, twice, &btf)?;
    assert!(!once.has_record() && once.once.is_empty(), "{once}");
    assert!(long.has_record(), "{long}");
    assert!(long.why[0].starts_with("filename: it is used twice"), "{:?}", long.why);
    let refused = plan(event, twice, &btf, AttachWish::Raw).expect_err("two reads");
    assert!(refused.to_string().contains("filename: it is used twice"), "{refused}");
    Ok(())
}

/// The kernel that runs has not proven it, or its events do not occur anywhere.
#[test]
fn what_no_live_event_has_proven_is_raw_only_when_told() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    /// Planning takes its time.
    const ENOUGH: usize = 15;
    let btf = Btf::at(Btf::VMLINUX);
    let mut told = 0;
    for (event, rows) in rows::all() {
        if told >= ENOUGH {
            break;
        }
        let (Ok(format), Some(tracepoint)) = (tracefs.event(&event), btf.tracepoint(&event.name)?)
        else {
            continue;
        };
        for field in format.fields.iter().filter(|field| field.size <= 8 && !field.common) {
            let mut own = rows.iter().filter(|row| row.field == field.name);
            let first = own.find(|row| check(&btf, &tracepoint, row.expression, field).is_ok());
            let Some(row) = first.filter(|row| !row.is_proven()) else { continue };
            let (name, trigger) = (event.to_string(), format!("hist:keys={}", field.name));
            // Some are no keys.
            let Ok(careful) = auto(&name, &trigger, &btf) else { continue };
            assert!(careful.has_record(), "{name}: {careful}");
            let reason = format!(
                "{}: `{}` is not proven on live events; --attach raw uses it",
                field.name, row.expression
            );
            assert_eq!(careful.why, [reason]);
            assert!(!plan(&name, &trigger, &btf, AttachWish::Raw)?.has_record(), "{name}");
            told += 1;
        }
    }
    assert!(told > 0, "no such row is left");
    Ok(())
}

#[test]
fn a_system_calls_own_event_goes_raw_only_when_told() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    let btf = Btf::at(Btf::VMLINUX);
    let (event, trigger) = ("syscalls:sys_enter_openat", "hist:keys=flags");
    assert!(auto(event, trigger, &btf)?.has_record());
    let raw = plan(event, trigger, &btf, AttachWish::Raw)?;
    assert_eq!(raw.why, ["flags = regs->dx"]);
    let Attach::RawTracepoint { name, .. } = &raw.attach else { panic!("{}", raw.attach) };
    assert_eq!(name, "sys_enter");
    assert_eq!(raw.system_call.map(|call| i64::from(call.number)), Some(libc::SYS_openat));
    Ok(())
}

/// The kernel's BTF, with `change` made to its bytes.
fn lying(change: impl FnOnce(&mut Vec<u8>)) -> Result<Btf> {
    let mut bytes = fs::read(Btf::VMLINUX)?;
    change(&mut bytes);
    Ok(Btf::of_bytes(bytes))
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|part| part == wanted).expect("it is there")
}

#[test]
fn types_that_are_others_mean_the_record() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    // An argument of another name.
    let renamed = lying(|bytes| {
        let at = find(bytes, b"\0bytes_req\0");
        bytes[at + 9] = b'x';
    })?;
    let plan = auto("kmem:kmalloc", "hist:keys=bytes_req:vals=bytes_alloc", &renamed)?;
    assert!(plan.has_record());
    let reason = "bytes_req: the known copy does not fit this kernel: \
                  the tracepoint has no argument `bytes_req`";
    assert_eq!(plan.why, [reason]);

    // A member of another size.
    let honest = Btf::at(Btf::VMLINUX);
    let task = honest.compound("task_struct")?.context("task_struct")?;
    let pid = honest.member(task, "pid")?.context("pid")?;
    let longer = honest.member(task, "start_time")?.context("start_time")?;
    let lie = lying(|bytes| {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("a word"));
        // `struct btf_header`: hdr_len, and str_off behind it.
        let strings = (word(4) + word(16)) as usize;
        let name = find(&bytes[strings..], b"\0pid\0") + 1;
        let member = [name as u32, pid.type_id, pid.bit_offset].map(u32::to_ne_bytes).concat();
        let at = find(bytes, &member);
        bytes[at + 4..at + 8].copy_from_slice(&longer.type_id.to_ne_bytes());
    })?;
    let plan = auto("sched:sched_switch", "hist:keys=next_pid", &lie)?;
    assert!(plan.has_record());
    let reason = "next_pid: the known copy does not fit this kernel: \
                  `next->pid` has 8 bytes, the field 4";
    assert_eq!(plan.why, [reason]);

    // No BTF, or none that can be understood.
    for btf in [Btf::at("/no/such/btf"), lying(|bytes| bytes.truncate(1_000_000))?] {
        let plan = auto("kmem:kmalloc", "hist:keys=bytes_req", &btf)?;
        assert!(plan.has_record() && plan.why.len() == 1, "{plan}");
        assert!(plan.why[0].contains("BTF"), "{plan}");
    }
    Ok(())
}

/// Events of this machine's own making, both ways; `cargo xtask arguments` does all of the table.
#[test]
fn copies_are_what_records_have() -> Result<()> {
    if root().is_none() {
        return Ok(());
    }
    let events = [
        "kmem:kmalloc",
        "kmem:kmem_cache_free",
        "raw_syscalls:sys_exit",
        "sched:sched_switch",
        "sched:sched_process_fork",
        "net:netif_receive_skb",
        "irq:softirq_entry",
        "timer:hrtimer_start",
        "signal:signal_generate",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_vm-guest"));
    command.args(["arguments", "--seconds=2"]);
    let output = command.args(events.map(|event| format!("--event={event}"))).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for event in events {
        let rows = text.lines().filter_map(|line| line.strip_prefix(&format!("ROW {event} ")));
        let mut compared = 0;
        for row in rows {
            let mut words = row.split(' ').skip(1).map(str::parse::<u64>);
            let (same, different) =
                (words.next().context("same")??, words.next().context("different")??);
            // Another process may watch the same event; then a few are compared with others that
            // interrupt them (`hist_tests::copies`).
            assert!(different <= same / 10_000, "{event} {row}");
            assert!(same > 0, "{event} {row}");
            compared += 1;
        }
        assert!(compared > 0, "{event} has rows: {text}");
    }
    Ok(())
}

/// A trigger that counts timers, attached so.
fn timers(tracefs: &Tracefs, facts: &Facts, attach: AttachWish) -> Result<Attached> {
    let format = tracefs.event(&EventName::new("timer", "hrtimer_expire_entry"))?;
    let wishes = Wishes { attach, ..Wishes::default() };
    attached("hist:keys=function", &format, facts, wishes)
}

fn attached(
    trigger: &str,
    format: &hist_cli::kernel::format::EventFormat,
    facts: &Facts,
    wishes: Wishes,
) -> Result<Attached> {
    Ok(load::attach(pipeline::build_text(trigger, format, &facts.context(), wishes)?)?)
}

/// The slowest program that a trigger can be runs at every system call of every thread, while timers
/// expire.
#[test]
fn timers_are_not_lost_in_a_storm_of_system_calls() -> Result<()> {
    let Some(tracefs) = root() else { return Ok(()) };
    let facts = Facts::read()?;
    let storm = tracefs.event(&EventName::new("raw_syscalls", "sys_enter"))?;
    let classic = Wishes { attach: AttachWish::Tracepoint, ..Wishes::default() };
    let _slow = attached("hist:keys=common_stacktrace", &storm, &facts, classic)?;
    let auto = timers(tracefs, &facts, AttachWish::Auto)?;
    assert!(!auto.triggers[0].plan.has_record(), "{}", auto.triggers[0].plan);
    let classic = timers(tracefs, &facts, AttachWish::Tracepoint)?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::black_box(rustix::process::getppid());
                }
            });
        }
        // Timers of one's own, besides the clock's.
        for _ in 0..500 {
            std::thread::sleep(Duration::from_millis(2));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let hits = |attached: &Attached| -> Result<(u64, u64)> {
        let snapshot = read::snapshot(&attached.triggers[0])?;
        let losses = snapshot.losses;
        assert_eq!((losses.full, losses.busy), (0, 0));
        Ok((snapshot.rows.iter().map(|row| row.counts.hits).sum(), losses.missed))
    };
    // The classic one was attached later and is read earlier, so it can have no event more.
    let ((seen, missed), (raw, raw_missed)) = (hits(&classic)?, hits(&auto)?);
    println!("raw: {raw} seen, {raw_missed} missed; classic: {seen} seen, {missed} missed");
    assert_eq!(raw_missed, 0);
    assert!(missed > 0, "the storm makes the classic tracepoint miss timers: {seen} seen");
    assert!(raw >= seen + missed, "{raw} against {seen} + {missed}");
    Ok(())
}
