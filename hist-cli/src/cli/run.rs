//! Does what the [`Options`] say: checks rights, attaches the triggers, counts, or prints one
//! stage.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use tokio::time;

use super::command::{self, Kept};
use super::count::{self, Means};
use super::emit;
use super::focus::Focused;
use super::options::{Options, Pair};
use super::output::{self, Output, say};
use super::printer::Printer;
use super::setup::{check_privilege, runtime, status, tracefs};
use super::signals::{Signals, Wish};
use super::view::View;
use super::watch::Watch;
use super::wishes::wanted;
use super::worker::Worker;
use crate::escape::name_of;
use crate::kernel::{self, Facts};
use crate::live::Unfit;
use crate::load::{AttachedTrigger, Barrier, INSIDE_PERF, Uncounted};
use crate::parse::is_blank;
use crate::plan::{Guard, SENTINEL, size_text};
use crate::session::{Live, Session, since_boot};

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
    let runtime = runtime()?;
    let runs = runtime.enter();
    // Before anything else: a signal that comes while triggers are attached must not be lost.
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    check_privilege(&status()?)?;
    let live = options.live && has_screen(options);
    let screen = live.then(screen).transpose()?;
    let worker = Worker::start().context("cannot start a thread (ulimit -u, pids.max)")?;
    drop(runs);
    if let Some(Err(error)) = options.command.as_deref().map(command::check) {
        say(&format!("error: {error}"));
        return Ok(error.exit_code());
    }
    let (mut session, focused) = attach(options)?;
    let mut view = View::new(options.look.clone(), output::terminal(options.output.as_deref()))?;
    view.check(&session)?;
    // Before anything counts, as this may take any time.
    let pipe = match &options.output {
        Some(path) if output::is_pipe(path) => {
            Some(runtime.block_on(wait_for_reader(path, &mut signals))?)
        }
        _ => None,
    };
    session.release()?;
    // What counts is attached only now.
    focused.settle()?;
    begin(&session, &focused)?;
    view.begin();
    // Only now it is known what the kernel has against raw tracepoints.
    describe(options, &session);
    // After all that could go wrong and leave a file empty.
    let output = match pipe {
        _ if live && options.quiet => Output::Nowhere,
        Some(pipe) => pipe,
        None => Output::open(options.output.as_deref())?,
    };
    let printer = Printer::new(session, view, output, options);
    let means = Means { signals, worker, screen };
    let code = runtime.block_on(count::count(options, means, printer, &focused));
    // A table that is still being written to a pipe that nobody reads must not keep us.
    runtime.shutdown_background();
    code
}

/// Has everything count from now on.
fn begin(session: &Session<Live>, focused: &Focused) -> anyhow::Result<()> {
    // What was missed before would not have been counted.
    if focused.live.has_valve() {
        let mut attached = session.triggers().iter().map(|entry| session.attached(entry).trigger());
        let forgotten = attached.try_for_each(AttachedTrigger::forget_misses);
        forgotten.context("cannot tell what was missed")?;
    }
    focused.live.let_count(true);
    Ok(())
}

/// What a live view takes.
fn screen() -> anyhow::Result<(Watch, Kept)> {
    let kept = Kept::new().context("cannot keep what the command writes")?;
    Ok((Watch::new()?, kept))
}

/// Opens a named pipe once somebody reads it. Opening it at once would wait in the kernel, where
/// signals are not heeded.
async fn wait_for_reader(path: &Path, signals: &mut Signals) -> anyhow::Result<Output> {
    if let Some(output) = Output::open_pipe(path)? {
        return Ok(output);
    }
    say(&output::no_reader(path));
    loop {
        tokio::select! {
            () = time::sleep(output::PIPE_PERIOD) => {
                if let Some(output) = Output::open_pipe(path)? {
                    return Ok(output);
                }
            }
            wish = signals.next() => if wish != Wish::Print {
                bail!("nobody has read {}; nothing was counted", name_of(path));
            }
        }
    }
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

/// Carries out what was written for each event, and counts nothing yet.
pub(super) fn attach(options: &Options) -> anyhow::Result<(Session<Live>, Focused)> {
    let (tracefs, facts) = (tracefs(options.tracefs.as_deref(), options.quiet)?, Facts::read()?);
    let (target, wishes) = wanted(options, &facts)?;
    if options.verbose > 0 && !target.focus.is_all() {
        say(&format!("focus: {}", target.focus));
    }
    let focused = target.open(&facts, &tracefs, options.pairs.iter().map(|pair| &pair.event))?;
    let live = Live::new(tracefs, facts, wishes).within(Some(focused.live.clone()));
    let live = live.with_barrier(Arc::new(Barrier::new()?));
    let mut session = Session::held(live, Box::new(since_boot));
    for Pair { trigger, event } in &options.pairs {
        ensure!(!is_blank(trigger), "the trigger for {event} is empty");
        session.write(event, trigger)?;
    }
    ensure!(!session.triggers().is_empty(), "no trigger is left to count");
    Ok((session, focused))
}

/// On `-v` how each trigger runs; and, if it matters, what is not known of its losses.
fn describe(options: &Options, session: &Session<Live>) {
    let release = kernel::facts::release();
    for entry in session.triggers() {
        let trigger = session.attached(entry).trigger();
        if options.verbose > 0 {
            describe_one(trigger);
        }
        // That they are counted is what everybody may rely on.
        let is_broken = trigger.plan.guard == Guard::Watched && trigger.unwatched().is_some();
        let is_wanted = options.verbose > 0 || options.fail_on_loss || is_broken && !options.quiet;
        let uncounted = if is_wanted { trigger.uncounted(&release) } else { Vec::new() };
        let unknown = uncounted.iter().map(unknown_loss);
        unknown.for_each(|line| say(&format!("{}: {line}", entry.event)));
    }
}

/// That some lost events of a trigger are not counted, and what can be done about it.
fn unknown_loss(uncounted: &Uncounted) -> String {
    match uncounted {
        Uncounted::Dropped => {
            format!("{INSIDE_PERF}; --fail-on-loss also counts and reports these")
        }
        other => other.to_string(),
    }
}

fn describe_one(trigger: &AttachedTrigger) {
    let plan = &trigger.plan;
    say(&format!("{}: {}", plan.attach, plan.hist));
    plan.why.iter().for_each(|line| say(&format!("  {line}")));
    let (memory, cpus) = (size_text(plan.map.bytes(plan.cpus)), plan.cpus);
    let s = if cpus == 1 { "" } else { "s" };
    say(&format!("  {}: {memory} on {cpus} CPU{s}", plan.map));
    if plan.guard == Guard::Watched && trigger.unwatched().is_none() {
        say(&format!("  {SENTINEL}"));
    }
}
