//! Takes random events, triggers and records. Gives proof that the generated code, run in user
//! space by rbpf, counts exactly what the reference model counts.

use std::collections::HashMap;
use std::fmt::Write as _;

use hist_cli::codegen::code::{Code, HoleCode};
use hist_cli::codegen::insn::{Insn, R1, R2, Width};
use hist_cli::pipeline::compile;
use hist_cli::plan::{Plan, Wishes};
use hist_cli::print;
use hist_cli::read::empty;
use hist_cli::read::snapshot::{Row, Snapshot};
use hist_cli::read::sort::{Ties, sort};
use hist_cli::tracefs::format::{EventFormat, FieldFormat};
use hist_cli::tracefs::symbols::Symbols;
use hist_common::holes;
use hist_tests::model::{Hit, Model};
use proptest::prelude::*;

/// What the helpers answer; rbpf's helpers are plain functions and cannot be told more.
const PID: u32 = 0x8001;
const CPU: u32 = 3;
const NOW: u64 = 1_234_567_890_123;

fn current_pid_tgid(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0xdead_0000_0000_0000 | u64::from(PID)
}

fn smp_processor_id(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    u64::from(CPU)
}

fn ktime_get_ns(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    NOW
}

/// A hole's body as a program of its own: its arguments come from the metadata buffer.
fn program(hole: &HoleCode) -> Vec<u8> {
    let head = [Insn::load(Width::Dw, R2, R1, 8), Insn::load(Width::Dw, R1, R1, 0)];
    let body = hole.lines.iter().map(|line| line.insn);
    head.into_iter().chain(body).chain([Insn::exit()]).flat_map(Insn::encode).collect()
}

/// Runs one hole on a record and a key or value; gives r0. What lies around the two is not
/// writable, so a stray store fails.
fn run(hole: &HoleCode, record: &mut [u8], data: &mut [u8]) -> u64 {
    let program = program(hole);
    let mut vm = rbpf::EbpfVmMbuff::new(Some(&program)).expect("rbpf takes the program");
    vm.register_helper(14, current_pid_tgid).expect("helper");
    vm.register_helper(8, smp_processor_id).expect("helper");
    vm.register_helper(5, ktime_get_ns).expect("helper");
    let (start, end) = (data.as_ptr() as u64, data.as_ptr() as u64 + data.len() as u64);
    vm.register_allowed_memory(start..end);
    let metadata: Vec<u8> =
        [record.as_ptr() as u64, start].into_iter().flat_map(u64::to_ne_bytes).collect();
    vm.execute_program(record, &metadata).expect("the program runs")
}

/// The template's part in plain Rust, with the holes run by rbpf.
struct Machine<'a> {
    plan: &'a Plan,
    code: &'a Code,
    map: HashMap<Vec<u8>, Vec<u8>>,
    full: u64,
}

impl Machine<'_> {
    fn hole(&self, symbol: &str) -> &HoleCode {
        self.code.holes.iter().find(|hole| hole.symbol == symbol).expect("every hole is filled")
    }

    fn hit(&mut self, record: &mut [u8]) {
        if self.plan.hist.paused || run(self.hole(holes::FILTER), record, &mut []) == 0 {
            return;
        }
        // Garbage, as on a real stack: every byte must be overwritten.
        let mut key = vec![0xa5; self.plan.map.key_size as usize];
        run(self.hole(holes::KEY), record, &mut key);
        if let Some(mut value) = self.map.remove(&key) {
            run(self.hole(holes::UPDATE), record, &mut value);
            self.map.insert(key, value);
        } else if self.map.len() < self.plan.map.max_entries as usize {
            let mut value = vec![0xa5; self.plan.map.value_size as usize];
            run(self.hole(holes::INIT), record, &mut value);
            self.map.insert(key, value);
        } else {
            self.full += 1;
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = empty(self.plan, self.plan.hist.paused);
        snapshot.losses.full = self.full;
        snapshot.rows = self.map.iter().map(|(key, value)| row(key, value)).collect();
        snapshot
    }
}

fn row(key: &[u8], value: &[u8]) -> Row {
    let words: Vec<u64> =
        value.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Row { key: key.into(), hitcount: words[0], sums: words[1..].to_vec(), comm: [0; 16] }
}

fn text(mut snapshot: Snapshot) -> String {
    sort(&mut snapshot, Ties::default());
    print::hist(&snapshot, &Symbols::from_kallsyms("1000 T _stext\n2000 T _etext\n"))
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
    EventFormat { system: "sys".to_owned(), name: "event".to_owned(), id: 77, fields }
}

/// The pieces of a random trigger; names are made of the numbers once the event is known.
#[derive(Clone, Debug)]
struct TriggerSpec {
    keys: Vec<(usize, usize, u64)>,
    values: Vec<(usize, bool)>,
    sort: Vec<(usize, bool)>,
    small: bool,
    paused: bool,
    filter: Vec<(usize, usize, i64, bool, bool)>,
}

fn trigger_spec() -> impl Strategy<Value = TriggerSpec> {
    let width =
        prop_oneof![1u64..20, Just(1 << 31), Just(1 << 33), any::<u64>().prop_map(|n| n | 1)];
    let constant = prop_oneof![-3i64..300, any::<i32>().prop_map(i64::from), any::<i64>()];
    (
        prop::collection::vec((any::<usize>(), 0usize..9, width), 1..=3),
        prop::collection::vec((any::<usize>(), any::<bool>()), 0..=2),
        prop::collection::vec((any::<usize>(), any::<bool>()), 0..=2),
        any::<bool>(),
        prop::bool::weighted(0.05),
        prop::collection::vec(
            (any::<usize>(), 0usize..7, constant, any::<bool>(), any::<bool>()),
            0..5,
        ),
    )
        .prop_map(|(keys, values, sort, small, paused, filter)| TriggerSpec {
            keys,
            values,
            sort,
            small,
            paused,
            filter,
        })
}

/// The names that a trigger may use.
fn names(event: &EventFormat) -> Vec<&str> {
    let own = event.fields.iter().filter(|field| !field.common).map(|field| field.name.as_str());
    own.chain(["common_pid", "common_cpu", "common_type"]).collect()
}

fn trigger_text(spec: &TriggerSpec, event: &EventFormat) -> String {
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
            _ => name(idx).to_owned(),
        })
        .collect();
    let mut text = format!("hist:keys={}", keys.join(","));
    let values = spec.values.iter().map(|&(idx, hex)| match (hex, idx % 3) {
        (true, 0) => format!("{}/{}", name(idx), name(idx / 3)),
        (true, 1) => format!("{}-common_cpu*3", name(idx)),
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
            let plain = !matches!(modifier, 4..=6);
            let name = if idx % 4 == 0 || !plain { "hitcount" } else { name(key) };
            format!("{name}{}", if down { ".descending" } else { "" })
        })
        .collect();
    if !sort.is_empty() {
        write!(text, ":sort={}", sort.join(",")).expect("String");
    }
    text += if spec.small { ":size=65" } else { "" };
    text += if spec.paused { ":pause" } else { "" };
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
        let signed = event.field(name).is_some_and(|field| field.signed);
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

fn check(specs: &[Spec], trigger: &TriggerSpec, records: &[Vec<u8>]) {
    let event = event(specs);
    let text_of_trigger = trigger_text(trigger, &event);
    let compiled = compile(&text_of_trigger, &event, Wishes::default())
        .unwrap_or_else(|error| panic!("{text_of_trigger}\n{error}"));
    let (plan, code) = (&compiled.plan, &compiled.code);
    let mut machine = Machine { plan, code, map: HashMap::new(), full: 0 };
    let mut model = Model::new(plan);
    for record in records {
        let mut record = record[..event.record_size() as usize].to_vec();
        model.hit(Hit { record: &record, pid: PID, cpu: CPU, comm: [0; 16], now: NOW });
        machine.hit(&mut record);
    }
    assert_eq!(
        text(machine.snapshot()),
        text(model.snapshot()),
        "{text_of_trigger}\n{event:?}\n{code}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn generated_code_counts_what_the_model_counts(
        specs in prop::collection::vec(spec(), 1..5),
        trigger in trigger_spec(),
        records in records(),
    ) {
        check(&specs, &trigger, &records);
    }
}
