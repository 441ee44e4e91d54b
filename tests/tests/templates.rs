//! Loads the prebuilt templates, filled by hand, into the running kernel: it takes them, and they
//! count, drop and log as they should.
//!
//! Skipped without root.

use std::sync::Mutex;

use anyhow::{Context, Result};
use aya::maps::{Map, MapData, PerCpuArray, PerCpuHashMap};
use aya::programs::TracePoint;
use aya::{Ebpf, EbpfLoader};
use hist_cli::bpf::helper;
use hist_cli::bpf::insn::{Alu, Compare, Insn, R0, R1, R2, R10, Width};
use hist_cli::codegen::code::{Code, HoleCode, Line};
use hist_cli::kernel::EventName;
use hist_cli::link::{Object, Program};
use hist_cli::pipeline::link;
use hist_cli::plan::map::Role;
use hist_cli::plan::{AccessTable, Attach, Focus, Guard, MapKind, MapPlan, Plan, Template};
use hist_cli::resolve::hist::Hist;
use hist_common::holes;
use hist_tests::live::{getppid, tracefs};

/// `raw_syscalls:sys_enter`: where the record has the syscall's number, in bytes.
const ID_OFFSET: i16 = 8;

#[test]
fn hits_are_counted_per_key() -> Result<()> {
    let Some(thread) = root_thread() else { return Ok(()) };
    let object = object(Template::Hist, &[thread], 2048)?;
    let names = &object.programs[0];
    let mut ebpf = load(&object)?;
    attach(&mut ebpf, names)?;
    getppid(1000);
    detach(&mut ebpf, names)?;
    assert_eq!(hits(&ebpf, names, libc::SYS_getppid)?, 1000);
    assert_eq!(losses(&ebpf, names)?, [0, 0]);
    Ok(())
}

#[test]
fn maps_are_preallocated_and_have_the_planned_sizes() -> Result<()> {
    let Some(thread) = root_thread() else { return Ok(()) };
    let object = object(Template::Hist, &[thread], 4096)?;
    let names = &object.programs[0];
    let ebpf = load(&object)?;
    let info = map_data(&ebpf, &own(names, Role::Hist)?)?.info()?;
    assert_eq!((info.key_size(), info.value_size(), info.max_entries()), (8, 8, 4096));
    assert_eq!(info.map_flags(), 0, "BPF_F_NO_PREALLOC is 1");
    Ok(())
}

#[test]
fn hits_without_room_are_counted_as_losses() -> Result<()> {
    let Some(thread) = root_thread() else { return Ok(()) };
    let object = object(Template::Hist, &[thread], 1)?;
    let names = &object.programs[0];
    let mut ebpf = load(&object)?;
    attach(&mut ebpf, names)?;
    // The first of all takes the only entry.
    let _uid = rustix::process::getuid();
    getppid(500);
    detach(&mut ebpf, names)?;
    let entries = hist(&ebpf, names)?.keys().count();
    let [full, busy] = losses(&ebpf, names)?;
    assert_eq!((entries, busy), (1, 0));
    assert_eq!(hits(&ebpf, names, libc::SYS_getppid)?, 0);
    assert!(full >= 500, "{full}");
    Ok(())
}

#[test]
fn triggers_in_one_object_do_not_touch_each_other() -> Result<()> {
    let Some(thread) = root_thread() else { return Ok(()) };
    let object = object(Template::Hist, &[thread, 0], 128)?;
    let [first, second] = [&object.programs[0], &object.programs[1]];
    let mut ebpf = load(&object)?;
    attach(&mut ebpf, first)?;
    attach(&mut ebpf, second)?;
    getppid(30);
    detach(&mut ebpf, first)?;
    detach(&mut ebpf, second)?;
    assert_eq!(hits(&ebpf, first, libc::SYS_getppid)?, 30);
    assert_eq!(hist(&ebpf, second)?.keys().count(), 0, "no thread has id 0");
    Ok(())
}

/// On an event that few others cause: every one of them takes room in the log.
#[test]
fn the_logging_template_logs_each_outcome() -> Result<()> {
    let Some(thread) = root_thread() else { return Ok(()) };
    let two = linked(Template::HistLog, &[code(thread, five()), code(0, five())], 128)?;
    let messages = log_of_two_renames(&two)?;
    expect(&messages, &format!("new: pid {thread}, key 0x5"));
    expect(&messages, &format!("counted: pid {thread}, key 0x5"));
    expect(&messages, &format!("filtered out: pid {thread}"));
    let small = linked(Template::HistLog, &[code(thread, time())], 1)?;
    expect(&log_of_two_renames(&small)?, &format!("full: pid {thread}, key 0x"));
    Ok(())
}

fn log_of_two_renames(object: &Object) -> Result<Vec<String>> {
    let mut ebpf = load(object)?;
    let messages = Messages::default();
    let mut logger = aya_log::EbpfLogger::init_with_logger(&mut ebpf, &messages)?;
    for program in &object.programs {
        let program = tracepoint(&mut ebpf, program)?;
        program.load()?;
        program.attach("task", "task_rename")?;
    }
    rustix::thread::set_name(c"first")?;
    rustix::thread::set_name(c"second")?;
    for program in &object.programs {
        detach(&mut ebpf, program)?;
    }
    logger.flush();
    messages.0.into_inner().map_err(|_| anyhow::anyhow!("a logger panicked"))
}

fn expect(messages: &[String], start: &str) {
    let found = messages.iter().any(|message| message.starts_with(start));
    assert!(found, "no `{start}` in {messages:#?}");
}

/// This thread, if it may load programs; tracefs is mounted then.
fn root_thread() -> Option<u32> {
    tracefs()?;
    rustix::thread::gettid().as_raw_nonzero().get().try_into().ok()
}

/// Counts syscalls by number, one program per thread given.
fn object(template: Template, threads: &[u32], max_entries: u32) -> Result<Object> {
    let codes: Vec<_> = threads.iter().map(|thread| code(*thread, syscall())).collect();
    linked(template, &codes, max_entries)
}

fn linked(template: Template, codes: &[Code], max_entries: u32) -> Result<Object> {
    let plan = plan(template, max_entries);
    let triggers: Vec<_> = codes.iter().map(|code| (&plan, code)).collect();
    Ok(link(&triggers)?)
}

/// What link reads of it are template and map.
fn plan(template: Template, max_entries: u32) -> Plan {
    Plan {
        comm: None,
        hist: Hist {
            event: EventName::new("raw_syscalls", "sys_enter"),
            name: None,
            keys: vec![],
            values: vec![],
            sort: vec![],
            size: max_entries,
            paused: false,
            record_size: 64,
            fields: vec![],
            event_id: 0,
            all_calls: None,
            nohitcount: false,
            clock: None,
            filter: None,
        },
        template,
        attach: Attach::Tracepoint { event: EventName::new("raw_syscalls", "sys_enter"), id: 0 },
        shared: false,
        map: MapPlan { kind: MapKind::PerCpuHash, key_size: 8, value_size: 8, max_entries },
        cpus: 1,
        index: None,
        focus: Focus::default(),
        filter: None,
        keys: vec![],
        values: vec![],
        access: AccessTable::default(),
        once: vec![],
        system_call: None,
        guard: Guard::Harmless,
        why: vec![],
        origins: vec![],
    }
}

/// Counts that thread's events under the key that `key` writes.
fn code(thread: u32, key: HoleCode) -> Code {
    let filter = [
        Insn::call(helper::GET_CURRENT_PID_TGID),
        Insn::mov32_reg(R1, R0),
        Insn::mov64_imm(R0, 0),
        Insn::jump32_imm(Compare::Ne, R1, thread.cast_signed(), 2),
        Insn::mov64_imm(R0, 1),
        Insn::exit(),
    ];
    let update = [
        Insn::load(Width::Dw, R1, R2, 0),
        Insn::alu64_imm(Alu::Add, R1, 1),
        Insn::store_reg(Width::Dw, R2, 0, R1),
    ];
    let init = [Insn::store_imm(Width::Dw, R2, 0, 1)];
    Code {
        holes: vec![
            body(holes::FILTER, &filter),
            key,
            body(holes::UPDATE, &update),
            body(holes::INIT, &init),
        ],
    }
}

fn body(symbol: &'static str, insns: &[Insn]) -> HoleCode {
    let line = |insn: &Insn| Line { insn: *insn, note: String::new() };
    let lines = insns.iter().map(line).collect();
    HoleCode { symbol, lines, stack: 0, data: vec![], data_uses: vec![], map_uses: vec![] }
}

/// Key: the syscall's number.
fn syscall() -> HoleCode {
    let load = Insn::load(Width::Dw, R1, R1, ID_OFFSET);
    body(holes::KEY, &[load, Insn::store_reg(Width::Dw, R2, 0, R1), Insn::exit()])
}

/// Key: 5.
fn five() -> HoleCode {
    body(holes::KEY, &[Insn::store_imm(Width::Dw, R2, 0, 5)])
}

/// Key: the time, so always another. The helper loses r2, hence the stack.
fn time() -> HoleCode {
    let insns = [
        Insn::store_reg(Width::Dw, R10, -8, R2),
        Insn::call(helper::KTIME_GET_NS),
        Insn::load(Width::Dw, R2, R10, -8),
        Insn::store_reg(Width::Dw, R2, 0, R0),
    ];
    HoleCode { stack: 8, ..body(holes::KEY, &insns) }
}

fn load(object: &Object) -> Result<Ebpf> {
    EbpfLoader::new().load(&object.elf()?).with_context(|| format!("loading\n{object}"))
}

fn attach(ebpf: &mut Ebpf, names: &Program) -> Result<()> {
    let program = tracepoint(ebpf, names)?;
    program.load()?;
    program.attach("raw_syscalls", "sys_enter")?;
    Ok(())
}

fn detach(ebpf: &mut Ebpf, names: &Program) -> Result<()> {
    Ok(tracepoint(ebpf, names)?.unload()?)
}

fn tracepoint<'ebpf>(ebpf: &'ebpf mut Ebpf, names: &Program) -> Result<&'ebpf mut TracePoint> {
    let program = ebpf.program_mut(&names.name);
    Ok(program.with_context(|| format!("no program {}", names.name))?.try_into()?)
}

/// The name of the program's own map for that role.
fn own(program: &Program, role: Role) -> Result<String> {
    Ok(program.own(role).context("a map of its own")?.name())
}

fn map<'ebpf>(ebpf: &'ebpf Ebpf, name: &str) -> Result<&'ebpf Map> {
    ebpf.map(name).with_context(|| format!("no map {name}"))
}

fn map_data<'ebpf>(ebpf: &'ebpf Ebpf, name: &str) -> Result<&'ebpf MapData> {
    match map(ebpf, name)? {
        Map::PerCpuHashMap(data) => Ok(data),
        _ => anyhow::bail!("{name} is no per-CPU hash map"),
    }
}

fn hist<'ebpf>(
    ebpf: &'ebpf Ebpf,
    names: &Program,
) -> Result<PerCpuHashMap<&'ebpf MapData, u64, u64>> {
    Ok(map(ebpf, &own(names, Role::Hist)?)?.try_into()?)
}

/// Over all CPUs; 0 without entry.
fn hits(ebpf: &Ebpf, names: &Program, syscall: i64) -> Result<u64> {
    match hist(ebpf, names)?.get(&syscall.cast_unsigned(), 0) {
        Ok(values) => Ok(values.iter().sum()),
        Err(aya::maps::MapError::KeyNotFound) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Full and busy, over all CPUs.
fn losses(ebpf: &Ebpf, names: &Program) -> Result<[u64; 2]> {
    let map: PerCpuArray<_, [u64; 2]> = map(ebpf, &own(names, Role::Losses)?)?.try_into()?;
    let values = map.get(&0, 0)?;
    Ok(values.iter().fold([0, 0], |sum, cpu| [sum[0] + cpu[0], sum[1] + cpu[1]]))
}

/// A logger that keeps what it is given.
#[derive(Default)]
struct Messages(Mutex<Vec<String>>);

impl log::Log for Messages {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut messages = self.0.lock().expect("a logger panicked");
        messages.push(record.args().to_string());
    }

    fn flush(&self) {}
}
