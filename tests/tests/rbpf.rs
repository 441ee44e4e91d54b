//! Takes random events, triggers and records. Gives proof that the generated code, run in user
//! space by rbpf, counts exactly what the reference model counts.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use hist_cli::bpf::insn::{Insn, R10, Width};
use hist_cli::kernel::Context;
use hist_cli::kernel::EventName;
use hist_cli::kernel::format::{EventFormat, FieldFormat};
use hist_cli::kernel::symbols::Symbols;
use hist_cli::link::{Program, Target};
use hist_cli::pipeline::{Built, build_text};
use hist_cli::plan::focus::{Processes, runs};
use hist_cli::plan::map::Role;
use hist_cli::plan::{Focus, MapKind, Plan, Wishes};
use hist_cli::print;
use hist_cli::read::empty;
use hist_cli::snapshot::sort::{Ties, sort};
use hist_cli::snapshot::{Row, Snapshot};
use hist_common::layout;
use hist_tests::interpreter::without_atomics;
use hist_tests::model::{Hit, Memory, Model, NoMemory};
use proptest::prelude::*;

/// What the helpers answer; rbpf's helpers are plain functions and cannot be told more.
const PID: u32 = 0x8001;
const PROCESS: u32 = 0x1ead_0000;
const CPU: u32 = 3;
const NOW: u64 = 1_234_567_890_123;

thread_local! {
    /// How often helpers that tell of the event have been called since it began: clock, thread, CPU,
    /// task's name. `None` if they are to answer the same at each call.
    static CALLS: Cell<Option<[u8; 4]>> = const { Cell::new(None) };
}

/// How many calls of that helper there were before this one. What an event has one of is right at the
/// first call only: a program that asks again counts something else than the model.
fn call_number(helper: usize) -> u8 {
    let Some(mut calls) = CALLS.get() else { return 0 };
    let number = calls[helper];
    calls[helper] += 1;
    CALLS.set(Some(calls));
    number
}

fn current_pid_tgid(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    u64::from(PROCESS) << 32 | u64::from(PID + u32::from(call_number(1)))
}

fn smp_processor_id(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    u64::from(CPU) - u64::from(call_number(2)).min(u64::from(CPU))
}

/// The thread's name, and what the record's pointers point to.
const COMM: [u8; 16] = *b"abc-ca\0\0\0\0\0\0\0\0\0\0";

thread_local! {
    /// The record and other memory that helpers can read, with its addresses.
    static READABLE: RefCell<Regions> = RefCell::default();
}

/// Memory by address.
#[derive(Clone, Debug, Default)]
struct Regions {
    record: (u64, Vec<u8>),
    kernel: Vec<(u64, Vec<u8>)>,
    user: Vec<(u64, Vec<u8>)>,
}

impl Memory for Regions {
    fn at(&self, address: u64, user: bool) -> &[u8] {
        let regions = if user { &self.user } else { &self.kernel };
        let holds = |(start, bytes): &&(u64, Vec<u8>)| {
            (*start..*start + bytes.len() as u64).contains(&address)
        };
        regions.iter().find(holds).map_or(&[], |(start, bytes)| {
            &bytes[usize::try_from(address - start).expect("small")..]
        })
    }
}

/// `count` bytes from `address` on, as far as there are any. There is memory behind a record, too.
fn readable(address: u64, count: usize, user: bool) -> Vec<u8> {
    READABLE.with_borrow(|regions| {
        let (start, record) = &regions.record;
        let inside = address.checked_sub(*start).map(|at| usize::try_from(at).expect("64 bits"));
        let mut bytes = match inside.filter(|at| !user && *at <= record.len()) {
            Some(at) => [&record[at..], &[b'a'; 512]].concat(),
            None => regions.at(address, user).to_vec(),
        };
        bytes.truncate(count);
        bytes
    })
}

/// -EFAULT
const FAULT: u64 = (-14i64).cast_unsigned();

fn write(to: u64, bytes: &[u8]) {
    let to: *mut u8 = std::ptr::with_exposed_provenance_mut(usize::try_from(to).expect("64 bits"));
    // SAFETY: the helpers write to where the program has them write. A program that names anything
    // but its own stack, with less room than it says, is a defect that this test is there to find.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
}

/// As Linux 6.1 does it: what is behind the name's last word is left as it was.
fn current_comm(to: u64, size: u64, _: u64, _: u64, _: u64) -> u64 {
    let length = COMM.iter().position(|byte| *byte == 0).expect("a NUL");
    let written = (length + 1).next_multiple_of(8).min(usize::try_from(size).expect("64 bits"));
    let mut name = COMM;
    name[0] += call_number(3);
    write(to, &name[..written]);
    0
}

fn probe_read_kernel(to: u64, size: u64, from: u64, _: u64, _: u64) -> u64 {
    let size = usize::try_from(size).expect("64 bits");
    let bytes = readable(from, size, false);
    if bytes.len() < size {
        return FAULT;
    }
    write(to, &bytes);
    0
}

/// Up to a NUL, which the result counts; a string that is too long is cut.
fn probe_read_str(to: u64, size: u64, from: u64, user: bool) -> u64 {
    let size = usize::try_from(size).expect("64 bits");
    let mut bytes = readable(from, size, user);
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => bytes.truncate(end + 1),
        None if bytes.len() < size => return FAULT,
        None => bytes[size - 1] = 0,
    }
    write(to, &bytes);
    bytes.len() as u64
}

fn probe_read_kernel_str(to: u64, size: u64, from: u64, _: u64, _: u64) -> u64 {
    probe_read_str(to, size, from, false)
}

fn probe_read_user_str(to: u64, size: u64, from: u64, _: u64, _: u64) -> u64 {
    probe_read_str(to, size, from, true)
}

fn ktime_get_ns(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // Within an event, a clock goes on.
    NOW + 17_000 * u64::from(call_number(0))
}

/// What the program's maps are called when it is run: their numbers.
const HIST: u64 = 1;
const LOSSES: u64 = 2;
const SCRATCH: u64 = 3;

/// -EEXIST and -E2BIG
const EXISTS: u64 = (-17i64).cast_unsigned();
const FULL: u64 = (-7i64).cast_unsigned();

thread_local! {
    /// The maps of the program that runs.
    static MAPS: RefCell<Maps> = RefCell::default();
}

/// A trigger's maps, as one CPU sees them.
#[derive(Debug, Default)]
struct Maps {
    key_size: usize,
    value_size: usize,
    capacity: usize,
    /// By key, where in `values` its value is.
    places: HashMap<Vec<u8>, usize>,
    /// Room for all values; it never moves.
    values: Vec<u8>,
    losses: [u64; 2],
    scratch: Vec<u64>,
}

impl Maps {
    /// Those of `plan`, empty. No more records than that come.
    fn new(plan: &Plan, records: usize) -> Self {
        let (key_size, value_size) = (plan.map.key_size as usize, plan.map.value_size as usize);
        let capacity = plan.map.max_entries as usize;
        let is_array = plan.map.kind == MapKind::PerCpuArray;
        let room = if is_array { capacity } else { capacity.min(records) };
        let numbers = 0..if is_array { plan.map.max_entries } else { 0 };
        Self {
            key_size,
            value_size,
            capacity,
            places: numbers
                .map(|number| (number.to_le_bytes().to_vec(), number as usize * value_size))
                .collect(),
            values: vec![0; room * value_size],
            losses: [0; 2],
            scratch: vec![0xa5a5_a5a5_a5a5_a5a5; layout::LARGE_KEY_ROOM / 8],
        }
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        Some(&self.values[*self.places.get(key)?..][..self.value_size])
    }
}

/// Copies `size` bytes of the program's memory.
fn copied(from: u64, size: usize) -> Vec<u8> {
    let from: *const u8 =
        std::ptr::with_exposed_provenance(usize::try_from(from).expect("64 bits"));
    // SAFETY: as for `write`: a program that names less than its map needs is a defect to be found.
    unsafe { std::slice::from_raw_parts(from, size) }.to_vec()
}

fn lookup(map: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    MAPS.with_borrow_mut(|maps| match map {
        HIST => {
            let key = copied(key, maps.key_size);
            let value = maps.places.get(&key).map(|place| &raw mut maps.values[*place]);
            value.map_or(0, |value| value.expose_provenance() as u64)
        }
        LOSSES => maps.losses.as_mut_ptr().expose_provenance() as u64,
        SCRATCH => maps.scratch.as_mut_ptr().expose_provenance() as u64,
        other => panic!("there is no map {other}"),
    })
}

fn insert(map: u64, key: u64, value: u64, flags: u64, _: u64) -> u64 {
    assert_eq!((map, flags), (HIST, 1), "a new entry, and only if there is none");
    MAPS.with_borrow_mut(|maps| {
        let (key, value) = (copied(key, maps.key_size), copied(value, maps.value_size));
        if maps.places.contains_key(&key) {
            return EXISTS;
        }
        if maps.places.len() == maps.capacity {
            return FULL;
        }
        let place = maps.places.len() * maps.value_size;
        maps.values[place..][..value.len()].copy_from_slice(&value);
        maps.places.insert(key, place);
        0
    })
}

/// A linked program as rbpf takes it: maps by number, data by address, nothing atomic, and what
/// the stack holds at first is garbage.
fn runnable(program: &Program, constants: &HashMap<String, Vec<u8>>) -> Vec<u8> {
    let mut insns: Vec<Insn> = program.lines.iter().map(|line| line.insn).collect();
    for reference in &program.references {
        let address = match &reference.target {
            Target::Map(map) if map.role == Role::Hist => HIST,
            Target::Map(map) if map.role == Role::Losses => LOSSES,
            Target::Map(_) => SCRATCH,
            Target::Data { section, offset } => {
                constants[section].as_ptr().expose_provenance() as u64 + u64::from(*offset)
            }
            Target::Hole(hole) => panic!("{hole} is open"),
        };
        let dst = insns[reference.slot].dst;
        insns[reference.slot..reference.slot + 2].copy_from_slice(&Insn::ld_imm64(dst, address));
    }
    without_atomics(&mut insns);
    let garbage = (1..=64).map(|word| Insn::store_imm(Width::Dw, R10, -8 * word, -0x5a5a_5a5b));
    garbage.chain(insns).flat_map(Insn::encode).collect()
}

/// A linked program in user space, with maps of one CPU.
struct Machine<'a> {
    plan: &'a Plan,
    code: Vec<u8>,
    constants: HashMap<String, Vec<u8>>,
}

impl<'a> Machine<'a> {
    fn new(built: &'a Built, records: usize) -> Self {
        let program = built.program();
        let data = program.data.iter().filter(|data| data.is_read_only());
        let constants = data.map(|data| (data.name.clone(), data.bytes.clone())).collect();
        let code = runnable(program, &constants);
        MAPS.set(Maps::new(built.plan(), records));
        Self { plan: built.plan(), code, constants }
    }

    fn hit(&self, record: &mut [u8]) {
        let mut vm = rbpf::EbpfVmRaw::new(Some(&self.code)).expect("rbpf takes the program");
        for (number, helper) in HELPERS {
            vm.register_helper(number, helper).expect("helper");
        }
        READABLE.with_borrow_mut(|regions| {
            regions.record = (record.as_ptr().expose_provenance() as u64, record.to_vec());
        });
        let mut allow = |bytes: std::ops::Range<*const u8>| {
            vm.register_allowed_memory(bytes.start as u64..bytes.end as u64);
        };
        self.constants.values().for_each(|bytes| allow(bytes.as_ptr_range()));
        MAPS.with_borrow(|maps| {
            allow(maps.values.as_ptr_range());
            let words = |words: &[u64]| {
                let words = words.as_ptr_range();
                words.start.cast()..words.end.cast()
            };
            allow(words(&maps.losses));
            allow(words(&maps.scratch));
        });
        assert_eq!(vm.execute_program(record).expect("the program runs"), 0);
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = empty(self.plan, self.plan.hist.paused);
        MAPS.with_borrow(|maps| {
            assert_eq!(maps.losses[1], 0, "a map is never busy here");
            snapshot.losses.full = maps.losses[0];
            let rows = maps.places.keys().map(|key| (key, maps.value(key).expect("its value")));
            let rows = rows.map(|(key, value)| match &self.plan.index {
                Some(index) => {
                    let number = key.first_chunk().expect("four bytes");
                    row(self.plan, &index.key(u32::from_le_bytes(*number)), value)
                }
                None => row(self.plan, key, value),
            });
            snapshot.rows = rows.filter(|row| row.counts.hits > 0).collect();
        });
        snapshot
    }
}

type Helper = fn(u64, u64, u64, u64, u64) -> u64;

/// Every helper that programs call.
const HELPERS: [(u32, Helper); 9] = [
    (1, lookup),
    (2, insert),
    (5, ktime_get_ns),
    (8, smp_processor_id),
    (14, current_pid_tgid),
    (16, current_comm),
    (113, probe_read_kernel),
    (114, probe_read_user_str),
    (115, probe_read_kernel_str),
];

fn row(plan: &Plan, key: &[u8], value: &[u8]) -> Row {
    let words: Vec<u64> =
        value.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Row { key: key.into(), counts: plan.counts(key, &words), comm: [0; 16] }
}

fn text(mut snapshot: Snapshot) -> String {
    sort(&mut snapshot, Ties::default());
    let text = print::hist(&snapshot, &Symbols::from_kallsyms("1000 T _stext\n2000 T _etext\n"));
    text.escape_ascii().to_string().replace("\\n", "\n")
}

/// One field of a random event: its size, sign, and unused bytes before it.
#[derive(Clone, Debug)]
struct Spec {
    size: u32,
    signed: bool,
    gap: u32,
}

fn spec() -> impl Strategy<Value = Spec> {
    (prop::sample::select(vec![1u32, 2, 4, 8]), any::<bool>(), 0u32..4)
        .prop_map(|(size, signed, gap)| Spec { size, signed, gap })
}

fn field(name: &str, offset: u32, spec: &Spec, common: bool) -> FieldFormat {
    FieldFormat {
        name: name.to_owned(),
        type_name: format!("{}{}", if spec.signed { 's' } else { 'u' }, spec.size * 8),
        offset,
        size: spec.size,
        signed: spec.signed,
        common,
    }
}

/// An event with fields f0, f1, … behind the common ones.
fn event(specs: &[Spec]) -> EventFormat {
    let number = |size, signed| Spec { size, signed, gap: 0 };
    let mut fields = vec![
        field("common_type", 0, &number(2, false), true),
        field("common_flags", 2, &number(1, false), true),
        field("common_preempt_count", 3, &number(1, false), true),
        field("common_pid", 4, &number(4, true), true),
    ];
    let mut offset = 8;
    for (idx, spec) in specs.iter().enumerate() {
        offset += spec.gap;
        fields.push(field(&format!("f{idx}"), offset, spec, false));
        offset += spec.size;
    }
    EventFormat { name: EventName::new("sys", "event"), id: 77, all_calls: None, fields }
}

/// The pieces of a random trigger; names are made of the numbers once the event is known.
#[derive(Clone, Debug)]
struct TriggerSpec {
    keys: Vec<(usize, usize, u64)>,
    values: Vec<(usize, bool)>,
    sort: Vec<(usize, bool)>,
    small: bool,
    filter: Vec<(usize, usize, i64, bool, bool)>,
}

fn trigger_spec() -> impl Strategy<Value = TriggerSpec> {
    let width =
        prop_oneof![1u64..20, Just(1 << 31), Just(1 << 33), any::<u64>().prop_map(|n| n | 1)];
    let constant = prop_oneof![-3i64..300, any::<i32>().prop_map(i64::from), any::<i64>()];
    (
        prop::collection::vec((any::<usize>(), 0usize..10, width), 1..=3),
        prop::collection::vec((any::<usize>(), any::<bool>()), 0..=2),
        prop::collection::vec((any::<usize>(), any::<bool>()), 0..=2),
        any::<bool>(),
        prop::collection::vec(
            (any::<usize>(), 0usize..7, constant, any::<bool>(), any::<bool>()),
            0..5,
        ),
    )
        .prop_map(|(keys, values, sort, small, filter)| TriggerSpec {
            keys,
            values,
            sort,
            small,
            filter,
        })
}

/// What the entries are to be kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Whatever is best.
    Best,
    /// A hash for all CPUs, unless there are few keys.
    Shared,
    /// What a table with a name is.
    Named,
}

/// Triggers whose keys are powers of two and buckets only, or fields that happen to be small.
fn few_keys() -> impl Strategy<Value = TriggerSpec> {
    let width = prop_oneof![1u64..20, Just(64), Just(1000)];
    let key = (any::<usize>(), prop::sample::select(vec![0usize, 0, 1, 2, 8]), width);
    (trigger_spec(), prop::collection::vec(key, 1..=2))
        .prop_map(|(spec, keys)| TriggerSpec { keys, ..spec })
}

/// The names that a trigger may use.
fn names(event: &EventFormat) -> Vec<&str> {
    let own = event.fields.iter().filter(|field| !field.common).map(|field| field.name.as_str());
    own.chain(["common_pid", "common_cpu", "common_type"]).collect()
}

fn trigger_text(spec: &TriggerSpec, event: &EventFormat, kept: Kept) -> String {
    let names = names(event);
    let name = |idx: usize| names[idx % names.len()];
    let keys: Vec<_> = spec
        .keys
        .iter()
        .map(|&(idx, modifier, width)| match modifier {
            0 => format!("{}.log2", name(idx)),
            1 => format!("{}.buckets={width}", name(idx)),
            2 => format!("{}.hex", name(idx)),
            3 => format!("{}.sym", name(idx)),
            4 => format!("{}{}{}", name(idx), operator(width), name(idx / 7)),
            5 => format!("-({}*{})", name(idx), name(idx / 5)),
            6 => format!("{}+common_timestamp/{width}", name(idx)),
            7 => format!("common_timestamp-{}", name(idx)),
            _ => name(idx).to_owned(),
        })
        .collect();
    let table = if kept == Kept::Named { "name=shared:" } else { "" };
    let mut text = format!("hist:{table}keys={}", keys.join(","));
    let values = spec.values.iter().map(|&(idx, hex)| match (hex, idx % 3) {
        (true, 0) => format!("{}/{}", name(idx), name(idx / 3)),
        (true, 1) => format!("{}-common_cpu*3", name(idx)),
        (true, _) if idx % 2 == 0 => format!("common_timestamp/{}", name(idx / 3)),
        (true, _) => format!("{}.hex", name(idx)),
        (false, _) => name(idx).to_owned(),
    });
    let values: Vec<_> = values.collect();
    if !values.is_empty() {
        write!(text, ":vals={}", values.join(",")).expect("String");
    }
    let sort: Vec<_> = spec
        .sort
        .iter()
        .map(|&(idx, down)| {
            let (key, modifier, _) = spec.keys[idx % spec.keys.len()];
            // Expressions are sorted by their text; the plain ones are enough here.
            let plain = !matches!(modifier, 4..=7);
            let name = if idx % 4 == 0 || !plain { "hitcount" } else { name(key) };
            format!("{name}{}", if down { ".descending" } else { "" })
        })
        .collect();
    if !sort.is_empty() {
        write!(text, ":sort={}", sort.join(",")).expect("String");
    }
    text += if spec.small { ":size=65" } else { "" };
    if !spec.filter.is_empty() {
        write!(text, " if {}", filter_text(spec, event)).expect("String");
    }
    text
}

fn operator(number: u64) -> char {
    ['+', '-', '*', '/'][(number % 4) as usize]
}

fn filter_text(spec: &TriggerSpec, event: &EventFormat) -> String {
    let names = names(event);
    let mut text = String::new();
    for (position, &(idx, op, constant, or, not)) in spec.filter.iter().enumerate() {
        let name = names[idx % names.len()];
        // The CPU's number is no field; to the kernel it is an `int`.
        let signed = event.field(name).is_none_or(|field| field.signed);
        let constant =
            if signed { constant.to_string() } else { constant.cast_unsigned().to_string() };
        let op = ["==", "!=", "<", "<=", ">", ">=", "&"][op];
        let joint = if or { " || " } else { " && " };
        text += if position > 0 { joint } else { "" };
        let predicate = format!("{name} {op} {constant}");
        text += &if not { format!("!({predicate})") } else { predicate };
    }
    text
}

/// Records made of few different bytes, so that keys repeat.
fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![
        4 => Just(0u8),
        2 => prop::sample::select(vec![1u8, 2, 0x7f, 0x80, 0xff]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(prop::collection::vec(byte, 64), 1..160)
}

/// CPUs and processes, those that helpers tell often among them.
#[derive(Clone, Debug, Default)]
struct FocusSpec {
    cpus: Option<BTreeSet<u32>>,
    pids: Option<Vec<u32>>,
}

fn focus_spec() -> impl Strategy<Value = FocusSpec> {
    let cpus = prop::option::of(prop::collection::btree_set(0..CPU + 5, 1..6));
    let pids = prop::option::of(prop::collection::vec(PROCESS - 2..PROCESS + 3, 1..5));
    let some = (cpus, pids).prop_map(|(cpus, pids)| FocusSpec { cpus, pids });
    prop_oneof![2 => Just(FocusSpec::default()), 1 => some]
}

impl FocusSpec {
    fn holds(&self) -> bool {
        self.cpus.as_ref().is_none_or(|cpus| cpus.contains(&CPU))
            && self.pids.as_ref().is_none_or(|pids| pids.contains(&PROCESS))
    }

    fn focus(&self) -> Focus {
        let cpus = self.cpus.as_ref().map(|cpus| Vec::from_iter(cpus.iter().copied()));
        Focus {
            cpus: cpus.map(|cpus| runs(&cpus)),
            processes: self.pids.clone().map_or(Processes::All, Processes::These),
            cgroup: None,
            ..Focus::default()
        }
    }
}

fn check(
    specs: &[Spec],
    trigger: &TriggerSpec,
    records: &[Vec<u8>],
    (kept, focus): (Kept, &FocusSpec),
) {
    let event = event(specs);
    let text_of_trigger = trigger_text(trigger, &event, kept);
    let context = Context { possible_cpus: Some(CPU + 1), ..Context::default() };
    let build = |wishes| {
        let wishes = Wishes { focus: focus.focus(), ..wishes };
        build_text(&text_of_trigger, &event, &context, wishes)
            .unwrap_or_else(|error| panic!("{text_of_trigger}\n{error}"))
    };
    let mut built = build(Wishes::default());
    if kept == Kept::Shared && built.plan().map.kind == MapKind::PerCpuHash {
        let per_cpu = built.plan().map;
        built = build(Wishes { memory: Some(per_cpu.bytes(CPU + 1) - 1), ..Wishes::default() });
        assert_eq!(built.plan().map.kind, MapKind::Hash, "{text_of_trigger}");
    }
    let (plan, code) = (built.plan(), &built.segments[0].code);
    let machine = Machine::new(&built, records.len());
    let mut model = Model::new(plan);
    for record in records {
        let mut record = record[..event.record_size() as usize].to_vec();
        let memory = &NoMemory;
        if focus.holds() {
            model.hit(Hit { record: &record, pid: PID, cpu: CPU, comm: COMM, now: NOW, memory });
        }
        // A focus asks for itself.
        CALLS.set(focus.focus().is_all().then_some([0; 4]));
        machine.hit(&mut record);
    }
    assert_eq!(
        text(machine.snapshot()),
        text(model.snapshot()),
        "{text_of_trigger}\n{focus:?}\n{event:?}\n{code}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn generated_code_counts_what_the_model_counts(
        specs in prop::collection::vec(spec(), 1..5),
        trigger in trigger_spec(),
        records in records(),
        kept in prop::sample::select(vec![Kept::Best, Kept::Shared, Kept::Named]),
        focus in focus_spec(),
    ) {
        check(&specs, &trigger, &records, (kept, &focus));
    }

    /// Those that may be arrays.
    #[test]
    fn few_keys_are_numbered_right(
        specs in prop::collection::vec(spec(), 1..5),
        trigger in few_keys(),
        records in records(),
    ) {
        check(&specs, &trigger, &records, (Kept::Best, &FocusSpec::default()));
    }
}

// --- strings ------------------------------------------------------------------------------------

/// Where each field of the random events with strings lies: `s`, the static string, is last.
const N: u32 = 8;
const D: u32 = 12;
const R: u32 = 16;
const M: u32 = 20;
const P: u32 = 24;
const S: u32 = 32;
/// CPUs that there may be.
const POSSIBLE: u32 = 70;

/// An event with a field of each class; `s` is moved by `gap` and has `size` bytes.
fn event_with_strings(gap: u32, size: u32) -> EventFormat {
    let field = |name: &str, type_name: &str, offset, size| FieldFormat {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        offset,
        size,
        signed: false,
        common: false,
    };
    let mut event = event(&[]);
    event.fields.extend([
        field("n", "u32", N, 4),
        field("d", "__data_loc char[]", D, 4),
        field("r", "__rel_loc char[]", R, 4),
        field("m", "__data_loc cpumask_t", M, 4),
        field("p", "const char *", P, 8),
        field("s", &format!("char[{size}]"), S + gap, size),
    ]);
    event
}

/// The contents of one record.
#[derive(Clone, Debug)]
struct Contents {
    n: u32,
    texts: [Vec<u8>; 4],
    terminated: bool,
    cpus: u128,
    /// 0: the pointer points nowhere; 1: to the kernel; 2: to user space.
    pointer: u8,
}

/// Few different bytes, so that patterns match.
fn string(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        40 => prop::sample::select(b"aabbc".to_vec()),
        1 => any::<u8>(),
    ];
    let length = prop_oneof![4 => 0..10usize, 2 => 0..40usize, 1 => 0..longest + 1];
    length.prop_flat_map(move |length| prop::collection::vec(byte.clone(), length..=length))
}

fn contents() -> impl Strategy<Value = Contents> {
    let cpus = prop_oneof![
        Just(0b100u128),
        0u128..16,
        Just(1u128 << 69),
        any::<u128>().prop_map(|mask| mask & ((1 << POSSIBLE) - 1)),
    ];
    (
        prop_oneof![0u32..80, any::<u32>()],
        [string(80), string(300), string(300), string(1300)],
        prop::bool::weighted(0.9),
        cpus,
        0u8..3,
    )
        .prop_map(|(n, texts, terminated, cpus, pointer)| Contents {
            n,
            texts,
            terminated,
            cpus,
            pointer,
        })
}

/// Where the strings behind pointers are.
const ADDRESS: u64 = 0xffff_8880_0000_1001;

impl Contents {
    fn record(&self, gap: u32, size: u32) -> Vec<u8> {
        let mut record = vec![0xcc; (S + gap + size) as usize];
        let [s, d, r, _] = &self.texts;
        let mut fixed = |offset: u32, bytes: &[u8]| {
            record[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        };
        fixed(N, &self.n.to_le_bytes());
        fixed(P, &if self.pointer == 0 { 0 } else { ADDRESS }.to_le_bytes());
        let s = &s[..s.len().min(size as usize)];
        fixed(S + gap, s);
        if s.len() < size as usize {
            fixed(S + gap + s.len() as u32, &[0]);
        }
        for (offset, text, base) in [(D, d, 0), (R, r, R + 4)] {
            let mut text = text.clone();
            text.extend(self.terminated.then_some(0));
            add_dynamic(&mut record, offset, base, &text);
        }
        // Whole words: that is what there is in a record.
        add_dynamic(&mut record, M, 0, &self.cpus.to_le_bytes());
        record
    }

    fn memory(&self) -> Regions {
        let mut text = self.texts[3].clone();
        text.push(0);
        let regions = vec![(ADDRESS, text)];
        match self.pointer {
            1 => Regions { kernel: regions, ..Regions::default() },
            _ => Regions { user: regions, ..Regions::default() },
        }
    }
}

/// Puts `data` behind the record and says so in the word at `offset`.
fn add_dynamic(record: &mut Vec<u8>, offset: u32, base: u32, data: &[u8]) {
    let word = (data.len() as u32) << 16 | (record.len() as u32 - base);
    record[offset as usize..][..4].copy_from_slice(&word.to_le_bytes());
    record.extend_from_slice(data);
}

/// What a pattern is made of.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "aa", "ab"]).prop_map(str::to_owned),
        3 => Just("*".to_owned()),
        1 => prop::sample::select(vec!["?", "[ab]", "[!a]", "[a-", "\\a", "]", "!", "1"])
            .prop_map(str::to_owned),
    ];
    let parts = prop_oneof![
        6 => prop::collection::vec(part.clone(), 0..6),
        1 => prop::collection::vec(part, 0..90),
    ];
    let literal = string(250)
        .prop_map(|text| text.iter().map(|byte| char::from(b'a' + byte % 3)).collect::<String>());
    let stars = prop::sample::select(vec![("", ""), ("*", ""), ("", "*"), ("*", "*")]);
    prop_oneof![
        2 => parts.prop_map(|parts| parts.concat()),
        3 => (literal, stars).prop_map(|(text, (start, end))| format!("{start}{text}{end}")),
    ]
}

/// A predicate, written out but for its strings, which may be those of a record.
#[derive(Clone, Debug)]
enum Predicate {
    Text { field: usize, op: usize, text: String, from: Option<(usize, usize, usize)> },
    Cpus { field: usize, op: usize, list: String },
    Pid(bool),
    Number(u32),
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let from = prop::option::of((any::<usize>(), 0usize..4, 0usize..5));
    let list = prop::sample::select(vec!["2", "0-3", "1,3,69", "all", " ", "N", "0-69:2/3"]);
    prop_oneof![
        6 => (0usize..6, 0usize..3, pattern(), from)
            .prop_map(|(field, op, text, from)| Predicate::Text { field, op, text, from }),
        2 => (0usize..3, 0usize..3, list)
            .prop_map(|(field, op, list)| Predicate::Cpus { field, op, list: list.to_owned() }),
        1 => any::<bool>().prop_map(Predicate::Pid),
        1 => (0u32..80).prop_map(Predicate::Number),
    ]
}

/// A string of a record as the operand, whole or with stars, if it can be one.
fn borrowed(from: (usize, usize, usize), records: &[Contents]) -> Option<String> {
    let (record, which, shape) = from;
    let text = &records[record % records.len()].texts[which];
    let text =
        str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_lowercase()));
    let text = text.filter(|text| (2..250).contains(&text.len()))?;
    Some(match shape {
        0 => text.to_owned(),
        1 => format!("{}*", &text[..text.len() / 2]),
        2 => format!("*{}", &text[text.len() / 2..]),
        3 => format!("*{}*", &text[text.len() / 3..text.len() / 3 * 2]),
        _ => format!("{}?{}", &text[..text.len() / 2], &text[text.len() / 2 + 1..]),
    })
}

fn predicate_text(predicate: &Predicate, records: &[Contents]) -> String {
    match predicate {
        Predicate::Text { field, op, text, from } => {
            let field = ["s", "d", "r", "p", "p.ustring", "comm"][*field];
            let text =
                from.and_then(|from| borrowed(from, records)).unwrap_or_else(|| text.clone());
            format!("{field} {} \"{text}\"", ["==", "!=", "~"][*op])
        }
        Predicate::Cpus { field, op, list } => {
            format!("{} {} CPUS{{{list}}}", ["n", "m", "cpu"][*field], ["==", "!=", "&"][*op])
        }
        Predicate::Pid(is_ours) => {
            format!("common_pid {} {PID}", if *is_ours { "==" } else { "!=" })
        }
        Predicate::Number(number) => format!("n < {number}"),
    }
}

fn check_strings(
    (gap, size): (u32, u32),
    keys: &str,
    predicates: &[(Predicate, bool, bool)],
    records: &[Contents],
) {
    let event = event_with_strings(gap, size);
    let mut text_of_trigger = format!("hist:keys={keys}");
    text_of_trigger += if predicates.is_empty() { "" } else { " if " };
    for (idx, (predicate, or, not)) in predicates.iter().enumerate() {
        let joint = if *or { " || " } else { " && " };
        text_of_trigger += if idx > 0 { joint } else { "" };
        text_of_trigger += if *not { "!" } else { "" };
        text_of_trigger += &predicate_text(predicate, records);
    }
    let context = Context { possible_cpus: Some(POSSIBLE), ..Context::default() };
    let built = build_text(&text_of_trigger, &event, &context, Wishes::default())
        .unwrap_or_else(|error| panic!("{text_of_trigger}\n{error}"));
    let (plan, code) = (built.plan(), &built.segments[0].code);
    let machine = Machine::new(&built, records.len());
    let mut model = Model::new(plan);
    for contents in records {
        let mut record = contents.record(gap, size);
        let memory = contents.memory();
        READABLE.set(memory.clone());
        model.hit(Hit {
            record: &record,
            pid: PID,
            cpu: CPU,
            comm: COMM,
            now: NOW,
            memory: &memory,
        });
        CALLS.set(Some([0; 4]));
        machine.hit(&mut record);
    }
    assert_eq!(
        text(machine.snapshot()),
        text(model.snapshot()),
        "{text_of_trigger}\n{event:?}\n{code}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn strings_are_tested_as_the_model_tests_them(
        place in (0u32..8, prop_oneof![1u32..40, 1u32..300]),
        predicates in prop::collection::vec((predicate(), any::<bool>(), any::<bool>()), 1..4),
        records in prop::collection::vec(contents(), 1..20),
    ) {
        check_strings(place, "n", &predicates, &records);
    }

    /// Twice the same records, so that there are entries to add to.
    #[test]
    fn strings_are_counted_as_the_model_counts_them(
        place in (0u32..8, prop_oneof![1u32..40, 1u32..240]),
        keys in prop::sample::select(vec![
            "s", "d", "r", "common_comm", "s,n", "n,s", "d,n", "n,r", "s,d", "r,s", "common_comm,s",
            "comm,common_pid", "d,common_pid",
        ]),
        predicates in prop::collection::vec((predicate(), any::<bool>(), any::<bool>()), 0..2),
        records in prop::collection::vec(contents(), 1..20),
    ) {
        check_strings(place, keys, &predicates, &[&records[..], &records].concat());
    }
}
