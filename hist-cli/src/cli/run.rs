//! Takes [`Options`]. Gives the exit code, after walking the pipeline from texts to tables.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::count;
use super::emit;
use super::options::{Options, Pair};
use super::output::Output;
use super::session::Session;
use crate::load::{self, Attached, AttachedTrigger, Facts, LoadError};
use crate::pipeline::{self, Compiled};
use crate::plan::Template;
use crate::tracefs::mount::{Tracefs, find_or_mount};

/// Does what the options say.
///
/// # Errors
/// Whatever keeps it from counting or printing.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(stage) = options.emit {
        let text = emit::emit(options, stage, || tracefs(options))?;
        Output::open(options.output.as_deref())?.write(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    check_privilege()?;
    let compiled = compile_all(options)?;
    // Before anything runs in the kernel, and after the mistakes that would leave a file empty.
    let output = Output::open(options.output.as_deref())?;
    let attached = attach(options, compiled)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let session = Session::new(attached, output);
    let code = runtime.block_on(count::count(options, session));
    // A table that is still being written to a pipe that nobody reads must not keep us.
    runtime.shutdown_background();
    code
}

/// Tells what is missing before anything is touched.
fn check_privilege() -> anyhow::Result<()> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    match load::missing_capabilities(&status) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(LoadError::Capabilities(missing).into()),
    }
}

fn tracefs(options: &Options) -> anyhow::Result<Tracefs> {
    if let Some(root) = &options.tracefs {
        return Ok(Tracefs::at(root));
    }
    let tracefs = find_or_mount()?;
    if tracefs.newly_mounted && !options.quiet {
        eprintln!("mounted tracefs at {}", tracefs.root.display());
    }
    Ok(tracefs)
}

fn compile_all(options: &Options) -> anyhow::Result<Vec<Compiled>> {
    let tracefs = tracefs(options)?;
    let template = if options.verbose >= 2 { Template::HistLog } else { Template::Hist };
    let facts = Facts::read()?;
    options.pairs.iter().map(|pair| compile(pair, &tracefs, &facts, template)).collect()
}

fn attach(options: &Options, compiled: Vec<Compiled>) -> anyhow::Result<Attached> {
    let object = pipeline::link(&compiled)?;
    let plans = compiled.into_iter().map(|one| one.plan).collect();
    let attached = load::attach(&object, plans)?;
    if options.verbose > 0 {
        attached.triggers.iter().for_each(describe);
    }
    Ok(attached)
}

fn compile(
    pair: &Pair,
    tracefs: &Tracefs,
    facts: &Facts,
    template: Template,
) -> anyhow::Result<Compiled> {
    let format = tracefs.event(&pair.system, &pair.event)?;
    let dynamic_events = dynamic_events(&tracefs.root)?;
    if let Some(reason) = load::refuse_unattachable(&pair.system, &pair.event, &dynamic_events) {
        let event = format!("{}:{}", pair.system, pair.event);
        return Err(LoadError::Unattachable { event, reason }.into());
    }
    Ok(pipeline::compile(&pair.trigger, &format, &facts.context(), template)?)
}

/// The kernel's list of dynamic events; empty on kernels without any such feature.
fn dynamic_events(root: &Path) -> anyhow::Result<String> {
    let path = root.join("dynamic_events");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        result => result.with_context(|| format!("cannot read {}", path.display())),
    }
}

fn describe(trigger: &AttachedTrigger) {
    let AttachedTrigger { plan, cpus, .. } = trigger;
    let map = &plan.map;
    let per_entry = u64::from(map.key_size) + u64::from(map.value_size) * *cpus as u64;
    eprintln!("{}: {}", plan.attach, plan.hist);
    eprintln!(
        "  {} entries of {} bytes key and {} bytes value on each of {cpus} CPUs: {} KiB",
        map.max_entries,
        map.key_size,
        map.value_size,
        u64::from(map.max_entries) * per_entry / 1024
    );
}
