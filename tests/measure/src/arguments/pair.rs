//! Attaches two programs to an event, one to the raw tracepoint and one to the classic one, to
//! compare rows: the first keeps what the generated code makes of the arguments or of the record,
//! the second compares that with what it makes of the other.
//!
//! A tracepoint calls its programs one after the other on one CPU, in the order in which they were
//! attached, so both see the same event. Should another task's event come in between, its number is
//! not the same, and nothing is compared; nor is it if an interrupt's has been kept meanwhile.
//!
//! The raw one goes first. In an interrupt either may be skipped, so there is one more raw program
//! before both, which numbers the events, and one behind them, which counts those that are over. By
//! the number the second knows that the first was not skipped, and by the count that no event has
//! been over since. But all classic programs of an event stand where the first of them did, whoever
//! attached that. If somebody did before, each event is compared with the one before it, and the
//! order must be the other one. There nothing can come before, and every 100,000th event, or so, is
//! compared with that of an interrupt.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use aya::maps::{MapData, PerCpuArray};
use hist_cli::bpf::helper;
use hist_cli::bpf::insn::{
    Alu, Compare, Insn, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Width,
};
use hist_cli::codegen::code::HoleCode;
use hist_cli::kernel::Facts;
use hist_cli::kernel::btf::Btf;
use hist_cli::link::{DataSection, Object, Program, ProgramLine, Reference, Target};
use hist_cli::load::{self, Among, Attached, Feeds};
use hist_cli::pipeline::{self, Built, Segment};
use hist_cli::plan::map::Role;
use hist_cli::plan::{AttachWish, MapKind, MapPlan, Plan, Template, Wishes, plan_with_rows};
use hist_common::holes;

use super::{Outcome, Subject, Values, Verdict};

/// Words of the per-CPU value; a CPU's part of a map has at most 32 KiB.
const WORDS: usize = 3072;
/// `BPF_MAP_TYPE_PERCPU_ARRAY`
const PERCPU_ARRAY: u32 = 6;
/// Word 0: whose event is kept, and 1; 0 if none is.
const KEPT: usize = 0;
/// Word 1: the number of the last event.
const LAST: usize = 1;
/// Word 2: the number of the event that is kept.
const NUMBER: usize = 2;
/// Word 3: how many events are over.
const OVER: usize = 3;
/// Word 4: how many were when this one was kept.
const WERE_OVER: usize = 4;
/// From here on words for each row.
const ROWS: usize = 5;
/// Words for each row: same, different, first value, whether there was one, whether it changed.
const PER_ROW: usize = 5;

/// Which program is called first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The one on the raw tracepoint, if nobody else watches.
    Raw,
    /// The one on the classic tracepoint.
    Classic,
}

/// Both programs, running.
pub(super) struct Pair {
    event: String,
    rows: Vec<(String, String)>,
    attached: Attached,
}

/// One row's code, both ways.
struct Row {
    /// Field and expression.
    name: (String, String),
    raw: HoleCode,
    record: HoleCode,
    /// Words of the value.
    words: usize,
    raw_plan: Plan,
    record_plan: Plan,
}

impl Pair {
    /// Attaches both; rows that mean nothing here are reported and left out.
    ///
    /// # Errors
    /// If something fails that has nothing to do with a row.
    pub(super) fn attach(
        subject: &Subject,
        first: First,
        (facts, btf): (&Facts, &Btf),
        report: &mut dyn FnMut(&Outcome),
    ) -> Result<Option<Self>> {
        let event = subject.format.name.to_string();
        let mut rows: Vec<Row> = Vec::new();
        let mut refused = |name: &(String, String), reason: String| {
            report(&Outcome {
                event: event.clone(),
                field: name.0.clone(),
                expression: name.1.clone(),
                verdict: Verdict::Refused(reason),
            });
        };
        for name in &subject.rows {
            match row(subject, name, facts, btf) {
                Ok(row) => rows.push(row),
                Err(error) => refused(name, format!("{error:#}")),
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let of = |rows: Vec<Row>, attached| {
            Some(Self {
                event: event.clone(),
                rows: rows.into_iter().map(|row| row.name).collect(),
                attached,
            })
        };
        if let Ok(attached) = attach(&rows, first) {
            return Ok(of(rows, attached));
        }
        // Those that the verifier refuses must not take the others along.
        rows.retain(|row| match attach(std::slice::from_ref(row), first) {
            Ok(_) => true,
            Err(error) => {
                refused(&row.name, format!("{error:#}"));
                false
            }
        });
        if rows.is_empty() {
            return Ok(None);
        }
        let attached = attach(&rows, first).with_context(|| event.clone())?;
        Ok(of(rows, attached))
    }

    /// What has been compared so far.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub(super) fn outcomes(&self) -> Result<Vec<Outcome>> {
        let fd = self.attached.triggers[0].hist_fd().try_clone_to_owned()?;
        let map = aya::maps::Map::PerCpuArray(MapData::from_fd(fd)?);
        let map: PerCpuArray<MapData, [u64; WORDS]> = map.try_into()?;
        let cpus = map.get(&0, 0)?;
        let sum = |row: usize, word: usize| -> u64 {
            cpus.iter().map(|words| words[ROWS + PER_ROW * row + word]).sum()
        };
        let firsts = |row: usize| {
            let counted = cpus.iter().filter(move |words| words[ROWS + PER_ROW * row + 3] > 0);
            counted.map(move |words| words[ROWS + PER_ROW * row + 2]).collect::<BTreeSet<_>>()
        };
        let outcome = |(idx, (field, expression)): (usize, &(String, String))| Outcome {
            event: self.event.clone(),
            field: field.clone(),
            expression: expression.clone(),
            verdict: Verdict::Compared {
                same: sum(idx, 0),
                different: sum(idx, 1),
                values: match firsts(idx) {
                    firsts if sum(idx, 4) > 0 || firsts.len() > 1 => Values::Many,
                    firsts if firsts.contains(&0) => Values::Zero,
                    _ => Values::One,
                },
            },
        };
        Ok(self.rows.iter().enumerate().map(outcome).collect())
    }
}

fn row(subject: &Subject, name: &(String, String), facts: &Facts, btf: &Btf) -> Result<Row> {
    let text = format!("hist:keys={}", name.0);
    let classic = Wishes { attach: AttachWish::Tracepoint, ..Wishes::default() };
    let record_plan = pipeline::plan(&text, &subject.format, &facts.context(), classic)?;
    let rows = [(name.0.as_str(), name.1.as_str())];
    let (hist, cpus) = (record_plan.hist.clone(), Some(record_plan.cpus));
    let raw_plan = plan_with_rows(hist, Wishes { cpus, ..Wishes::default() }, btf, &rows)
        .map_err(|reason| anyhow::anyhow!("{reason}"))?;
    let (raw_plan, record_plan) = (as_hash(raw_plan), as_hash(record_plan));
    let words = record_plan.map.key_size as usize / 8;
    let (raw, record) = (key_code(&raw_plan)?, key_code(&record_plan)?);
    Ok(Row { name: name.clone(), raw, record, words, raw_plan, record_plan })
}

/// The same with a key, where that may be a number as well.
fn as_hash(plan: Plan) -> Plan {
    let key_size = plan.keys.last().map_or(0, |slot| slot.offset + slot.size);
    let map = MapPlan { kind: MapKind::PerCpuHash, key_size, ..plan.map };
    Plan { template: Template::Hist, index: None, map, ..plan }
}

fn key_code(plan: &Plan) -> Result<HoleCode> {
    let code = Segment::new(plan.clone())?.code;
    code.holes.into_iter().find(|hole| hole.symbol == holes::KEY).context("a key hole")
}

/// Loads and attaches both programs, in order.
fn attach(rows: &[Row], first: First) -> Result<Attached> {
    let row = rows.first().context("a row")?;
    // One that may follow pointers may do all that others need.
    let typed = rows.iter().find(|row| row.raw_plan.is_typed()).unwrap_or(row);
    let (kind, value_size) = (MapKind::PerCpuArray, (WORDS * 8) as u32);
    let map = MapPlan { kind, key_size: 4, value_size, max_entries: 1 };
    let (raw, record) = (typed.raw_plan.clone(), row.record_plan.clone());
    let (plans, programs) = match first {
        First::Raw => {
            let both = [keeper(rows, first)?, comparer(rows, first)?];
            let programs = [vec![counter(LAST)], both.into(), vec![counter(OVER)]].concat();
            (vec![raw.clone(), raw.clone(), record, raw], programs)
        }
        First::Classic => (vec![record, raw], vec![keeper(rows, first)?, comparer(rows, first)?]),
    };
    let feeds = plans.iter().enumerate().map(|(index, _)| match index {
        0 => Feeds::New,
        _ => Feeds::Earlier(0),
    });
    let among = Among { feeds: feeds.collect(), ..Among::default() };
    let segments = plans.into_iter().map(Segment::new).collect::<Result<_, _>>()?;
    let mut built = Built::new(segments)?;
    for (index, program) in programs.into_iter().enumerate() {
        fill(&mut built.object, index, program)?;
    }
    built.segments.iter_mut().for_each(|segment| segment.plan.map = map);
    Ok(load::attach_among(built, among)?)
}

/// A program in the making.
#[derive(Clone, Default)]
struct Assembly {
    insns: Vec<Insn>,
    maps: Vec<usize>,
    data: Vec<u8>,
    data_uses: Vec<(usize, u32)>,
}

impl Assembly {
    fn push(&mut self, insn: Insn) -> usize {
        self.insns.push(insn);
        self.insns.len() - 1
    }

    /// Lets the jump at `at` go to what comes next.
    fn land(&mut self, at: usize) {
        self.insns[at].off = (self.insns.len() - at - 1) as i16;
    }

    /// r6 = the context, r7 = this CPU's words; goes on only if they are there.
    fn begin(&mut self) {
        self.push(Insn::mov64_reg(R6, R1));
        self.push(Insn::store_imm(Width::W, R10, -4, 0));
        self.maps.push(self.insns.len());
        for insn in Insn::ld_map_fd(R1, 0) {
            self.push(insn);
        }
        self.push(Insn::mov64_reg(R2, R10));
        self.push(Insn::alu64_imm(Alu::Add, R2, -4));
        self.push(Insn::call(helper::MAP_LOOKUP_ELEM));
        let there = self.push(Insn::jump_imm(Compare::Ne, R0, 0, 0));
        self.end();
        self.land(there);
        self.push(Insn::mov64_reg(R7, R0));
        // r8 = the thread and 1, which is never 0.
        self.push(Insn::call(helper::GET_CURRENT_PID_TGID));
        self.push(Insn::mov64_reg(R8, R0));
        self.push(Insn::alu64_imm(Alu::Add, R8, 1));
    }

    fn end(&mut self) {
        self.push(Insn::mov64_imm(R0, 0));
        self.push(Insn::exit());
    }

    /// The body of a key hole, which writes at that word.
    fn body(&mut self, hole: &HoleCode, word: usize) {
        self.push(Insn::mov64_reg(R1, R6));
        self.push(Insn::mov64_reg(R2, R7));
        self.push(Insn::alu64_imm(Alu::Add, R2, 8 * word as i32));
        let start = self.insns.len();
        let data = self.data.len() as u32;
        self.data.extend(&hole.data);
        self.data_uses.extend(hole.data_uses.iter().map(|(at, from)| (start + at, data + from)));
        self.insns.extend(hole.lines.iter().map(|line| line.insn));
    }

    fn load(&mut self, dst: Reg, word: usize) {
        self.push(Insn::load(Width::Dw, dst, R7, 8 * word as i16));
    }

    fn store(&mut self, word: usize, src: Reg) {
        self.push(Insn::store_reg(Width::Dw, R7, 8 * word as i16, src));
    }

    fn count(&mut self, word: usize) {
        self.load(R3, word);
        self.push(Insn::alu64_imm(Alu::Add, R3, 1));
        self.store(word, R3);
    }
}

/// Where each row's words are: of the arguments, of the record.
fn places(rows: &[Row]) -> Result<Vec<(usize, usize)>> {
    let mut at = ROWS + PER_ROW * rows.len();
    let mut places = Vec::new();
    for row in rows {
        places.push((at, at + row.words));
        at += 2 * row.words;
    }
    anyhow::ensure!(at <= WORDS, "the values need {at} words, there are {WORDS}");
    Ok(places)
}

/// A program that counts events in that word.
fn counter(word: usize) -> Assembly {
    let mut program = Assembly::default();
    program.begin();
    program.count(word);
    program.end();
    program
}

/// Writes what a row means to one of the two programs where it belongs.
fn write(program: &mut Assembly, row: &Row, (raw, record): (usize, usize), is_raw: bool) {
    match is_raw {
        true => program.body(&row.raw, raw),
        false => program.body(&row.record, record),
    }
}

fn keeper(rows: &[Row], first: First) -> Result<Assembly> {
    let mut program = Assembly::default();
    program.begin();
    // What the other program has been skipped for is of no use any more.
    program.push(Insn::mov64_imm(R3, 0));
    program.store(KEPT, R3);
    for (row, place) in rows.iter().zip(places(rows)?) {
        write(&mut program, row, place, first == First::Raw);
    }
    if first == First::Classic {
        program.count(LAST);
    }
    for (from, to) in [(LAST, NUMBER), (OVER, WERE_OVER)] {
        program.load(R3, from);
        program.store(to, R3);
    }
    program.store(KEPT, R8);
    program.end();
    Ok(program)
}

fn comparer(rows: &[Row], first: First) -> Result<Assembly> {
    let mut program = Assembly::default();
    program.begin();
    // First of all: what comes in between from now on is noticed.
    program.load(R9, LAST);
    program.load(R4, OVER);
    for (word, wanted) in [(KEPT, R8), (NUMBER, R9), (WERE_OVER, R4)] {
        program.load(R3, word);
        let kept = program.push(Insn::jump_reg(Compare::Eq, R3, wanted, 0));
        program.end();
        program.land(kept);
    }
    for (idx, (row, place)) in rows.iter().zip(places(rows)?).enumerate() {
        write(&mut program, row, place, first == First::Classic);
        compare(&mut program, ROWS + PER_ROW * idx, row.words, place);
    }
    program.push(Insn::mov64_imm(R3, 0));
    program.store(KEPT, R3);
    program.end();
    Ok(program)
}

fn compare(program: &mut Assembly, counters: usize, words: usize, (raw, record): (usize, usize)) {
    let mut mismatches = Vec::new();
    for word in 0..words {
        program.load(R3, raw + word);
        program.load(R4, record + word);
        mismatches.push(program.push(Insn::jump_reg(Compare::Ne, R3, R4, 0)));
    }
    program.count(counters);
    let same = program.push(Insn::jump(0));
    mismatches.into_iter().for_each(|jump| program.land(jump));
    // An interrupt's event has been kept meanwhile, and this program did not run there.
    program.load(R3, LAST);
    let interrupted = program.push(Insn::jump_reg(Compare::Ne, R3, R9, 0));
    program.count(counters + 1);
    program.land(interrupted);
    program.land(same);
    // Did the record's own first word change?
    program.load(R4, record);
    program.load(R3, counters + 3);
    let known = program.push(Insn::jump_imm(Compare::Ne, R3, 0, 0));
    program.store(counters + 2, R4);
    program.count(counters + 3);
    program.land(known);
    program.load(R3, counters + 2);
    let unchanged = program.push(Insn::jump_reg(Compare::Eq, R3, R4, 0));
    program.push(Insn::mov64_imm(R3, 1));
    program.store(counters + 4, R3);
    program.land(unchanged);
}

/// Puts the program in the place of the one that was linked, with its map.
fn fill(object: &mut Object, index: usize, assembly: Assembly) -> Result<()> {
    let program: &mut Program = object.programs.get_mut(index).context("a program")?;
    let hist = program.own(Role::Hist).context("a map of entries")?;
    let line = |insn| ProgramLine { insn, hole: None, note: String::new() };
    program.lines = assembly.insns.into_iter().map(line).collect();
    let name = format!(".rodata.c{index}");
    let map = |slot| Reference { slot, target: Target::Map(hist) };
    let data =
        |(slot, offset)| Reference { slot, target: Target::Data { section: name.clone(), offset } };
    program.references = assembly.maps.into_iter().map(map).collect();
    program.references.extend(assembly.data_uses.into_iter().map(data));
    program.references.sort_by_key(|reference| reference.slot);
    program.data.retain(|section| section.name != name);
    if !assembly.data.is_empty() {
        program.data.push(DataSection { name, bytes: assembly.data, symbols: Vec::new() });
    }
    for def in program.maps.iter_mut().filter(|def| def.id == hist) {
        def.map_type = PERCPU_ARRAY;
        (def.key_size, def.value_size, def.max_entries) = (4, (WORDS * 8) as u32, 1);
    }
    Ok(())
}
