//! What a built trigger would count and what that would cost, in plain words.

use std::fmt::Write as _;

use super::examples;
use super::words;
use crate::bpf::helper;
use crate::link::Program;
use crate::pipeline::Built;
use crate::plan::{MapKind, Plan, size_text};
use crate::resolve::hist::{Condition, KeySource};

/// A line's first word takes that many columns.
const HEAD: usize = 9;

/// The explanation, ending in a newline.
#[must_use]
pub fn explain(built: &Built) -> String {
    let (plan, program) = (built.plan(), built.program());
    let mut text = String::new();
    let mut line = |head: &str, rest: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{head:HEAD$}{rest}");
    };
    let hist = &plan.hist;
    line("counts", &format!("{}, {}", plan.hist.event, which(plan)));
    heads("focus", words::focus(&plan.focus).into_iter(), &mut line);
    heads("per", hist.keys.iter().map(|key| words::key(key, hist)), &mut line);
    let hitcount = (!hist.nohitcount).then(|| "hitcount, the number of events".to_owned());
    let values = hist.values.iter().map(|value| words::value(value, hist));
    heads("shows", hitcount.into_iter().chain(values), &mut line);
    line("order", &format!("by {}", words::order(&hist.sort, hist)));
    heads("table", table(plan).into_iter(), &mut line);
    heads("state", states(plan).into_iter(), &mut line);
    heads("attach", attach(plan).into_iter(), &mut line);
    heads("cost", Cost::of(plan, program).words().into_iter(), &mut line);
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
    match plan.hist.filter.as_ref().map(|filter| &filter.tree) {
        None => "every one".to_owned(),
        Some(Condition::Always(true)) => "every one: the filter always holds".to_owned(),
        Some(Condition::Always(false)) => "none at all: the filter never holds".to_owned(),
        Some(condition) => format!("only where {}", words::condition(condition)),
    }
}

fn table(plan: &Plan) -> [String; 2] {
    let (map, cpus) = (&plan.map, plan.cpus);
    let shared = match &plan.hist.name {
        Some(name) => format!(", shared by all triggers named `{name}`"),
        None => String::new(),
    };
    let memory = size_text(map.bytes(cpus));
    let has = if map.kind == MapKind::Hash { "shared by" } else { "on" };
    let s = if cpus == 1 { "" } else { "s" };
    [
        format!(
            "up to {} entries{shared}; an event that needs one more is dropped",
            plan.hist.size
        ),
        format!(
            "{memory} in the kernel: a {} {has} {cpus} CPU{s}, {} bytes of key and {} of value in \
             an entry",
            map.kind,
            key_bytes(plan),
            map.value_size
        ),
    ]
}

/// Of the key that is looked up; an array's place stands for that.
fn key_bytes(plan: &Plan) -> u32 {
    plan.keys.iter().map(|slot| slot.size).sum()
}

/// To what, and why: whence each field is taken, or what stands against the raw tracepoint.
fn attach(plan: &Plan) -> Vec<String> {
    let reasons = match plan.has_record() {
        _ if plan.why.is_empty() => "",
        true if plan.system_call.is_none() => "; why not to the raw one:",
        false if !plan.access.is_empty() => "; every field is taken from its arguments:",
        _ => ":",
    };
    let head = format!("to {}{reasons}", plan.attach.place());
    let why = plan.why.iter().map(|why| format!("  {why}"));
    std::iter::once(head).chain(why).collect()
}

fn states(plan: &Plan) -> Vec<String> {
    let paused =
        plan.hist.paused.then(|| "paused: counts nothing until it is continued".to_owned());
    let clock = plan.hist.clock.map(|clock| format!("timestamps are those of the clock `{clock}`"));
    paused.into_iter().chain(clock).collect()
}

fn others(plan: &Plan) -> String {
    let examples = examples::of(&plan.hist.event);
    if examples.is_empty() {
        return String::new();
    }
    let mut text = format!("\nexamples for {}:\n", plan.hist.event);
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
    /// The program runs at every system call, and one of them counts.
    all_calls: bool,
    stack: bool,
    text: bool,
    loops: bool,
    helpers: usize,
    insns: usize,
    /// What an event out of focus takes, and what following processes does.
    focus: [Option<String>; 2],
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
            classic: plan.has_record(),
            all_calls: plan.system_call.is_some(),
            stack: plan.keys.iter().any(|key| key.source == KeySource::Stack),
            text: calls().any(|insn| reads_text(insn.imm)),
            loops: holes().any(|line| line.insn.is_jump() && line.insn.off < 0),
            helpers: calls().count(),
            insns: program.lines.len(),
            focus: [words::focus_cost(&plan.focus), words::follow_cost(&plan.focus)],
        }
    }

    const fn class(&self) -> &'static str {
        match self {
            Self { stack: true, .. } | Self { loops: true, .. } => "high",
            Self { classic: true, .. } | Self { text: true, .. } => "medium",
            _ => "low",
        }
    }

    /// The class and what makes it so; and the program's size.
    fn words(&self) -> Vec<String> {
        let parts = [
            self.stack.then_some("the stack is walked"),
            self.loops.then_some("text is searched byte by byte"),
            self.text.then_some("text is copied"),
            self.classic.then_some(match self.all_calls {
                true => "the kernel builds a record of every system call, of which one counts",
                false => "the kernel builds a record of each event",
            }),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let parts = if parts.is_empty() { NO_RECORD.to_owned() } else { parts.join(", ") };
        let s = if self.helpers == 1 { "" } else { "s" };
        let mut lines = vec![
            format!("{}: {parts}", self.class()),
            format!(
                "the program has {} instructions and {} helper call{s}; no event takes all of them",
                self.insns, self.helpers
            ),
        ];
        lines.extend(self.focus.iter().flatten().cloned());
        lines
    }
}

/// What is cheap about a raw tracepoint.
const NO_RECORD: &str = "the kernel builds no record of the event";
