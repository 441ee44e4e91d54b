//! Takes every event that this machine's tracefs offers, and every field of it. Gives a verdict:
//! counting by that field compiles, passes the verifier and attaches, or is refused for a reason
//! that the kernel's own rules or the limits of BPF explain.
//!
//! Needs root and says so when it is not. Ends with the totals per reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use hist_cli::diag::Kind;
use hist_cli::kernel;
use hist_cli::kernel::EventName;
use hist_cli::kernel::format::{EventFormat, FieldClass, FieldFormat};
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, LoadError};
use hist_cli::pipeline::{self, Built, CompileError, Segment};
use hist_cli::plan::Wishes;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Why a trigger is not attached.
enum Refusal {
    /// No program ever is, on that event.
    Event(&'static str),
    Compile(CompileError),
    Load(LoadError),
}

/// A reason that is in order.
struct Allowed {
    /// For the totals.
    name: &'static str,
    /// This refusal of a trigger on that field has it.
    explains: fn(&FieldFormat, &Refusal) -> bool,
}

/// All reasons that are in order, each with what makes it so.
const ALLOWED: [Allowed; 5] = [
    // They lie in the first 8 bytes of the record, where BPF programs find a pointer instead
    // (tp_prog_is_valid_access() in kernel/trace/bpf_trace.c), and no helper tells them.
    Allowed {
        name: "common_flags and common_preempt_count: hidden from BPF",
        explains: |field, refusal| {
            matches!(field.name.as_str(), "common_flags" | "common_preempt_count")
                && kind(refusal) == Some(Kind::NotSupported)
        },
    },
    // The kernel's own triggers refuse them, too: ENOMEM.
    Allowed {
        name: "an array that is no string, of none of the sizes 1, 2, 4, 8",
        explains: |field, refusal| {
            field.class() == FieldClass::Other && kind(refusal) == Some(Kind::FieldSize)
        },
    },
    // The kernel's own triggers refuse it, too: a key has 504 bytes at most.
    Allowed {
        name: "a string that is larger than the kernel's keys",
        explains: |field, refusal| {
            field.class() == FieldClass::StaticString
                && field.size > 504
                && kind(refusal) == Some(Kind::KeyTooLarge)
        },
    },
    // From 7.x on, system calls' records have a copy of what their arguments point to. It is
    // written behind the record that programs see.
    Allowed {
        name: "a copy of user memory: behind what BPF programs see of a system call",
        explains: |field, refusal| {
            field.class() == FieldClass::DynamicString
                && field.name.ends_with("_val")
                && kind(refusal) == Some(Kind::NotSupported)
        },
    },
    // Measured: perf refuses them (EINVAL), or never runs the program.
    Allowed {
        name: "an event of ftrace's own tracers, or a synthetic or dynamic one",
        explains: |_, refusal| matches!(refusal, Refusal::Event(_)),
    },
];

fn kind(refusal: &Refusal) -> Option<Kind> {
    match refusal {
        Refusal::Compile(CompileError::Trigger { rejection, .. }) => Some(rejection.error.kind),
        _ => None,
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(reason) => f.write_str(reason),
            Self::Compile(error) => write!(f, "{error}"),
            Self::Load(error) => write!(f, "{error}"),
        }
    }
}

/// What became of all triggers.
#[derive(Default)]
struct Tally {
    events: usize,
    fields: usize,
    attached: usize,
    /// By the name of the reason.
    refused: BTreeMap<&'static str, usize>,
    unexplained: Vec<String>,
}

impl Tally {
    fn refuse(&mut self, trial: &Trial<'_>, refusal: &Refusal) {
        let reason = ALLOWED.iter().find(|allowed| (allowed.explains)(trial.field, refusal));
        match reason {
            Some(allowed) => *self.refused.entry(allowed.name).or_default() += 1,
            None => {
                let field = trial.field;
                self.unexplained.push(format!("{} on {field:?}: {refusal}", trial.trigger));
            }
        }
    }

    fn add(&mut self, other: Tally) {
        self.events += other.events;
        self.fields += other.fields;
        self.attached += other.attached;
        for (name, count) in other.refused {
            *self.refused.entry(name).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
    }

    fn print(&self) {
        println!("{} events, {} fields, {} triggers:", self.events, self.fields, self.triggers());
        println!("  attached {}", self.attached);
        for (name, count) in &self.refused {
            println!("  refused {count}: {name}");
        }
        println!("  unexplained {}", self.unexplained.len());
    }

    fn triggers(&self) -> usize {
        self.attached + self.refused.values().sum::<usize>() + self.unexplained.len()
    }
}

/// One trigger that is tried.
struct Trial<'a> {
    field: &'a FieldFormat,
    trigger: String,
}

/// How a field can be counted: by itself, and numbers also as a sum and by their magnitude.
fn trials(event: &EventFormat) -> Vec<Trial<'_>> {
    let mut trials = Vec::new();
    for field in &event.fields {
        let name = &field.name;
        let trial = |params: String| Trial { field, trigger: format!("hist:{params}:size=128") };
        trials.push(trial(format!("keys={name}")));
        let sums = matches!(
            field.class(),
            FieldClass::Number | FieldClass::Location | FieldClass::CharPointer
        );
        // The common fields are the same in all events: once is enough for the modifiers.
        if sums && !field.common {
            trials.push(trial(format!("keys={name}.log2:vals={name}")));
        }
    }
    trials
}

/// How many events are tried at the same time. Not for the CPUs' sake: each program that is detached
/// waits for the kernel (`synchronize_rcu_tasks_trace()`), and those waits can be shared.
const WORKERS: usize = 48;

/// How many programs are attached to an event at a time; the kernel takes 64
/// (`BPF_TRACE_MAX_PROGS` in kernel/trace/bpf_trace.c).
const TOGETHER: usize = 60;

fn sweep_event(event: &EventFormat, dynamic_events: &str) -> Tally {
    let trials = trials(event);
    let mut tally = Tally { events: 1, fields: event.fields.len(), ..Tally::default() };
    if let Some(reason) = kernel::attachable::refuse_unattachable(&event.name, dynamic_events) {
        for trial in &trials {
            tally.refuse(trial, &Refusal::Event(reason));
        }
        return tally;
    }
    let mut compiled = Vec::new();
    for trial in trials {
        let context = kernel::Context::default();
        let plan = pipeline::plan(&trial.trigger, event, &context, Wishes::default());
        match plan.and_then(Segment::new) {
            Ok(one) => compiled.push((trial, one)),
            Err(error) => tally.refuse(&trial, &Refusal::Compile(error)),
        }
    }
    for batch in compiled.chunks(TOGETHER) {
        let all: Vec<_> = batch.iter().map(|(_, one)| one.clone()).collect();
        match attach(&all) {
            Ok(()) => tally.attached += batch.len(),
            Err(_) => attach_each(batch, &mut tally),
        }
    }
    tally
}

/// Finds out which of a batch are refused.
fn attach_each(batch: &[(Trial<'_>, Segment)], tally: &mut Tally) {
    for (trial, one) in batch {
        match attach(std::slice::from_ref(one)) {
            Ok(()) => tally.attached += 1,
            Err(refusal) => tally.refuse(trial, &refusal),
        }
    }
}

fn attach(segments: &[Segment]) -> Result<(), Refusal> {
    let built = Built::new(segments.to_vec()).map_err(Refusal::Compile)?;
    load::attach(built).map(drop).map_err(Refusal::Load)
}

/// Allows as many open files as may be: each trigger has five.
fn allow_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// The folders in `path`, by name.
fn folders(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Every event that has a `format` file.
fn events(tracefs: &Tracefs) -> Result<Vec<EventFormat>> {
    let root = tracefs.root.join("events");
    let mut events = Vec::new();
    for system in folders(&root)? {
        for name in folders(&root.join(&system))? {
            if root.join(&system).join(&name).join("format").exists() {
                events.push(tracefs.event(&EventName::new(&system, &name))?);
            }
        }
    }
    Ok(events)
}

#[test]
fn every_field_of_every_event_attaches_or_is_refused_with_reason() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: loading programs needs root");
        return Ok(());
    }
    let start = Instant::now();
    allow_files()?;
    let tracefs = find_or_mount()?;
    let events = events(&tracefs)?;
    // Not there in kernels without dynamic events.
    let dynamic_events =
        fs::read_to_string(tracefs.root.join("dynamic_events")).unwrap_or_default();
    let queue = Mutex::new(events.iter());
    let total = Mutex::new(Tally::default());
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let next = queue.lock().expect("a worker died").next();
            let Some(event) = next else { break };
            tally.add(sweep_event(event, &dynamic_events));
        }
        total.lock().expect("a worker died").add(tally);
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(worker);
        }
    });
    let total = total.into_inner().expect("a worker died");
    total.print();
    println!("  {:.1} s", start.elapsed().as_secs_f32());
    assert!(total.events > 100 && total.attached > total.events, "too little was tried");
    assert!(total.unexplained.is_empty(), "{}", total.unexplained.join("\n"));
    Ok(())
}
