//! Takes [`Options`]. Gives the exit code, after walking the pipeline from texts to tables.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tokio::runtime::{Builder, Runtime};

use super::command;
use super::count;
use super::emit;
use super::focus::{Focused, Target};
use super::options::{Options, Pair};
use super::output::{Output, say};
use super::printer::Printer;
use super::signals::Signals;
use super::view::View;
use super::watch::Watch;
use crate::live::Unfit;
use crate::load::{self, AttachedTrigger, Facts, LoadError};
use crate::parse::is_blank;
use crate::plan::size_text;
use crate::session::{EventName, Live, Session, since_boot};
use crate::tracefs::mount::{Tracefs, find_or_mount};

/// Does what the options say.
///
/// # Errors
/// Whatever keeps it from counting or printing.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if let Some(stage) = options.emit {
        let text =
            emit::emit(options, stage, || tracefs(options.tracefs.as_deref(), options.quiet))?;
        Output::open(options.output.as_deref())?.write(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = status()?;
    let runtime = runtime()?;
    // Before anything else: a signal that comes while triggers are attached must not be lost.
    let signals = {
        let _runtime = runtime.enter();
        Signals::listen(&status).context("cannot listen to signals")?
    };
    check_privilege(&status)?;
    let live = options.live && has_screen(options);
    if let Some(Err(error)) = options.command.as_deref().map(command::check) {
        say(&format!("error: {error}"));
        return Ok(error.exit_code());
    }
    let (mut session, focused) = attach(options)?;
    let mut view = View::new(options.look.clone())?;
    view.check(&session)?;
    session.release()?;
    // What counts is attached only now.
    focused.settle()?;
    view.begin();
    // Only now it is known what the kernel has against raw tracepoints.
    describe(options, &session);
    // After all that could go wrong and leave a file empty.
    let output = match live && options.quiet {
        true => Output::Nowhere,
        false => Output::open(options.output.as_deref())?,
    };
    let printer = Printer::new(session, view, output, options.verbose > 0);
    let code = runtime.block_on(async {
        let watch = live.then(|| Watch::new(&status)).transpose()?;
        count::count(options, signals, printer, &focused, watch).await
    });
    // A table that is still being written to a pipe that nobody reads must not keep us.
    runtime.shutdown_background();
    code
}

/// What the kernel says of this process.
pub(super) fn status() -> anyhow::Result<String> {
    let path = "/proc/self/status";
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Whether tables can be shown live; says why not.
fn has_screen(options: &Options) -> bool {
    let unfit = Unfit::check();
    if let Err(unfit) = &unfit
        && !options.quiet
    {
        say(&format!("--live: {unfit}; printing tables instead"));
    }
    unfit.is_ok()
}

/// More files than what waiting for signals and for a command takes.
const FILES: usize = 16;

/// What waits for signals, time and the command. It panics where it gets no files, so whether
/// there is room for them is tried before.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    let room: io::Result<Vec<File>> = (0..FILES).map(|_| File::open("/dev/null")).collect();
    room.context("cannot open the files that are needed (ulimit -n sets how many may be open)")?;
    Builder::new_current_thread().enable_all().build().context("cannot prepare to wait for signals")
}

/// Tells what is missing before anything is touched.
pub(super) fn check_privilege(status: &str) -> anyhow::Result<()> {
    match load::missing_capabilities(status) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(LoadError::Capabilities(missing).into()),
    }
}

/// The one at `root`, else the mounted one, else one mounted now, of which is told unless `quiet`.
pub(super) fn tracefs(root: Option<&Path>, quiet: bool) -> anyhow::Result<Tracefs> {
    if let Some(root) = root {
        return Ok(Tracefs::at(root));
    }
    let tracefs = find_or_mount()?;
    if tracefs.newly_mounted && !quiet {
        say(&format!("mounted tracefs at {}", tracefs.root.display()));
    }
    Ok(tracefs)
}

/// Carries out what was written for each event, and counts nothing yet.
fn attach(options: &Options) -> anyhow::Result<(Session<Live>, Focused)> {
    let (tracefs, facts) = (tracefs(options.tracefs.as_deref(), options.quiet)?, Facts::read()?);
    let target = Target::new(&options.focus, options.command.is_some(), &facts)?;
    if options.verbose > 0 && !target.focus.is_all() {
        say(&format!("focus: {}", target.focus));
    }
    let wishes = options.wishes(target.focus.clone());
    let focused = target.open(&facts)?;
    let live = Live::new(tracefs, facts, wishes).within(Some(focused.live.clone()));
    let mut session = Session::held(live, Box::new(since_boot));
    for Pair { trigger, system, event } in &options.pairs {
        ensure!(!is_blank(trigger), "the trigger for {system}:{event} is empty");
        session.write(&EventName::new(system, event), trigger)?;
    }
    ensure!(!session.triggers().is_empty(), "no trigger is left to count");
    Ok((session, focused))
}

/// On `-v` how each trigger runs; and, if it matters, what is not known of its losses.
fn describe(options: &Options, session: &Session<Live>) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    for entry in session.triggers() {
        let trigger = session.attached(entry).trigger();
        if options.verbose > 0 {
            describe_one(trigger);
        }
        let is_wanted = options.verbose > 0 || options.fail_on_loss && !options.quiet;
        if is_wanted && !load::counts_misses(&trigger.plan.attach, &release) {
            say(&format!(
                "{}: Linux {release} does not count the events that are missed while another BPF \
                 program runs on the CPU (6.7 and later do): they are not told",
                entry.event
            ));
        }
    }
}

fn describe_one(trigger: &AttachedTrigger) {
    let plan = &trigger.plan;
    say(&format!("{}: {}", plan.attach, plan.hist));
    plan.why.iter().for_each(|line| say(&format!("  {line}")));
    let (memory, cpus) = (size_text(plan.map.bytes(plan.cpus)), plan.cpus);
    let s = if cpus == 1 { "" } else { "s" };
    say(&format!("  {}: {memory} on {cpus} CPU{s}", plan.map));
}
