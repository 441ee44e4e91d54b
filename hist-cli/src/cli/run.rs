//! Takes [`Options`]. Gives the exit code, after walking the pipeline from texts to tables.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use super::count;
use super::emit;
use super::options::{Options, Pair};
use super::output::{Output, say};
use super::printer::Printer;
use crate::load::{self, AttachedTrigger, Facts, LoadError};
use crate::plan::size_text;
use crate::session::{EventName, Live, Session, since_boot};
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
    let mut session = attach(options)?;
    // Before anything counts, and after the mistakes that would leave a file empty.
    let output = Output::open(options.output.as_deref())?;
    session.release()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot prepare to wait for signals")?;
    let code = runtime.block_on(count::count(options, Printer::new(session, output)));
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
        say(&format!("mounted tracefs at {}", tracefs.root.display()));
    }
    Ok(tracefs)
}

/// Carries out what was written for each event, and counts nothing yet.
fn attach(options: &Options) -> anyhow::Result<Session<Live>> {
    let live = Live::new(tracefs(options)?, Facts::read()?, options.wishes());
    let mut session = Session::held(live, Box::new(since_boot));
    for Pair { trigger, system, event } in &options.pairs {
        ensure!(!trigger.trim().is_empty(), "the trigger for {system}:{event} is empty");
        session.write(&EventName::new(system, event), trigger.as_bytes())?;
    }
    ensure!(!session.triggers().is_empty(), "no trigger is left to count");
    if options.verbose > 0 {
        session.triggers().iter().for_each(|entry| describe(session.attached(entry).trigger()));
    }
    Ok(session)
}

fn describe(trigger: &AttachedTrigger) {
    let plan = &trigger.plan;
    say(&format!("{}: {}", plan.attach, plan.hist));
    let (memory, cpus) = (size_text(plan.map.bytes(plan.cpus)), plan.cpus);
    let s = if cpus == 1 { "" } else { "s" };
    say(&format!("  {}: {memory} on {cpus} CPU{s}", plan.map));
}
