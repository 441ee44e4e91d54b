//! Takes a compiled trigger. Gives what it would count and what that would cost, in plain words.

use std::fmt::Write as _;

use super::examples;
use super::words;
use crate::codegen::insn::helper;
use crate::link::Program;
use crate::plan::{Attach, Plan, size_text};
use crate::resolve::hist::KeySource;

/// A line's first word takes that many columns.
const HEAD: usize = 9;

/// The explanation, ending in a newline. `program` is what `plan` was linked to.
#[must_use]
pub fn explain(plan: &Plan, program: &Program) -> String {
    let mut text = String::new();
    let mut line = |head: &str, rest: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{head:HEAD$}{rest}");
    };
    let hist = &plan.hist;
    line("counts", &format!("{}, {}", plan.event_name(), which(plan)));
    heads("per", hist.keys.iter().map(|key| words::key(key, hist)), &mut line);
    let hitcount = (!hist.nohitcount).then(|| "hitcount: the number of events".to_owned());
    let values = hist.values.iter().map(|value| words::value(value, hist));
    heads("adds up", hitcount.into_iter().chain(values), &mut line);
    line("order", &format!("by {}", words::order(&hist.sort, hist)));
    heads("table", table(plan).into_iter(), &mut line);
    heads("state", states(plan).into_iter(), &mut line);
    line("attach", &plan.attach.to_string());
    heads("", plan.why.iter().cloned(), &mut line);
    let cost = Cost::of(plan, program);
    line("cost", cost.class());
    line("", &cost.reasons());
    line("in full", &hist.to_string());
    text + &others(plan)
}

/// One line each; `head` before the first.
fn heads(head: &str, items: impl Iterator<Item = String>, line: &mut impl FnMut(&str, &str)) {
    for (idx, item) in items.enumerate() {
        line(if idx == 0 { head } else { "" }, &item);
    }
}

fn which(plan: &Plan) -> String {
    match &plan.hist.filter {
        Some(filter) => format!("only where {}", words::condition(&filter.tree)),
        None => "every one".to_owned(),
    }
}

fn table(plan: &Plan) -> [String; 2] {
    let map = &plan.map;
    let shared = match &plan.hist.name {
        Some(name) => format!(", shared by all triggers named `{name}`"),
        None => String::new(),
    };
    let key: u32 = plan.keys.iter().map(|slot| slot.size).sum();
    let (memory, cpus) = (size_text(map.bytes(plan.cpus)), plan.cpus);
    let s = if cpus == 1 { "" } else { "s" };
    [
        format!("{} entries{shared}; what finds no room is dropped, and told", plan.hist.size),
        format!("{key} bytes of key; {memory} on {cpus} CPU{s}, as {map}"),
    ]
}

fn states(plan: &Plan) -> Vec<String> {
    let paused = plan.hist.paused.then(|| "paused: counts nothing until continued".to_owned());
    let clock = plan.hist.clock.map(|clock| format!("time is taken from the clock `{clock}`"));
    paused.into_iter().chain(clock).collect()
}

fn others(plan: &Plan) -> String {
    let examples = examples::of(&plan.hist.system, &plan.hist.event);
    if examples.is_empty() {
        return String::new();
    }
    let mut text = format!("\nexamples for {}:\n", plan.event_name());
    for example in examples {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}\n      {}", example.trigger, example.says);
    }
    text
}

/// What one event may take. Known before anything runs, so the class is a rule of thumb: what was
/// measured is in the README and differs by kernel and machine.
struct Cost {
    classic: bool,
    stack: bool,
    text: bool,
    loops: bool,
    helpers: usize,
    insns: usize,
}

impl Cost {
    fn of(plan: &Plan, program: &Program) -> Self {
        let insns = || program.lines.iter().map(|line| line.insn);
        let holes = || program.lines.iter().filter(|line| line.hole.is_some());
        let reads_text = |number| {
            matches!(
                number,
                helper::PROBE_READ_KERNEL_STR
                    | helper::PROBE_READ_USER_STR
                    | helper::GET_CURRENT_COMM
            )
        };
        let calls = || insns().filter(|insn| insn.is_call() && insn.src == 0);
        Self {
            classic: matches!(plan.attach, Attach::Tracepoint { .. }),
            stack: plan.keys.iter().any(|key| key.source == KeySource::Stack),
            text: calls().any(|insn| reads_text(insn.imm)),
            loops: holes().any(|line| line.insn.is_jump() && line.insn.off < 0),
            helpers: calls().count(),
            insns: program.lines.len(),
        }
    }

    const fn class(&self) -> &'static str {
        match self {
            Self { stack: true, .. } | Self { loops: true, .. } => "high",
            Self { classic: true, .. } | Self { text: true, .. } => "medium",
            _ => "low",
        }
    }

    fn reasons(&self) -> String {
        let attach = match self.classic {
            true => "the classic tracepoint builds a record for each event",
            false => "the raw tracepoint builds no record",
        };
        let parts = [
            self.stack.then_some("; a stack is walked"),
            self.loops.then_some("; text is searched byte by byte"),
            self.text.then_some("; text is copied"),
        ];
        let parts: String = parts.into_iter().flatten().collect();
        format!(
            "from: {attach}{parts}; {} helper calls in {} instructions, of which an event takes a part",
            self.helpers, self.insns
        )
    }
}
