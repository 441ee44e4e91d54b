//! `hist-bpf explain`: what a trigger would count, in plain words.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::args::{self, AttachName, FocusArgs};
use super::focus::Target;
use super::options::{self, Pair};
use super::output;
use super::run;
use crate::discover::explain::explain;
use crate::kernel::Facts;
use crate::kernel::attachable::refuse_unattachable;
use crate::load::LoadError;
use crate::parse::is_blank;
use crate::pipeline;
use crate::plan::Wishes;

/// The words of `hist-bpf explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is attached, so no root is needed beyond reading tracefs. The cost is a class, not\n\
                        a measurement: high if a stack is walked or text searched, medium on a classic\n\
                        tracepoint or if text is copied, else low."
)]
pub(super) struct ExplainArgs {
    /// The trigger
    #[arg(value_name = "TRIGGER")]
    pub trigger: OsString,

    /// The event that it is for
    #[arg(value_name = "SYSTEM:EVENT")]
    pub event: String,

    /// As if these were given when counting
    #[command(flatten)]
    pub focus: FocusArgs,

    /// How programs are attached
    #[arg(long, value_name = "WAY", default_value = "auto", hide_short_help = true)]
    pub attach: AttachName,

    /// The most that the histogram may take in the kernel: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", value_parser = args::bytes, hide_short_help = true)]
    pub memory: Option<u64>,

    /// Read the events below this directory instead of the mounted tracefs
    #[arg(long, value_name = "DIR")]
    pub tracefs: Option<PathBuf>,
}

/// Explains the trigger.
///
/// # Errors
/// As counting it would give, up to the point where programs are loaded.
pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let wrong = |message: &str| {
        let error = options::usage_of(Some("explain"), ErrorKind::ValueValidation, message);
        Ok(super::usage(&error))
    };
    let Pair { trigger, event } = match options::pair(&args.trigger, OsStr::new(&args.event)) {
        Ok(pair) => pair,
        Err(message) => return wrong(&message),
    };
    if is_blank(&trigger) {
        return wrong("the trigger is empty");
    }
    let tracefs = run::tracefs(args.tracefs.as_deref(), false)?;
    let format = tracefs.event(&event)?;
    let facts = Facts::read()?;
    let context = run::context(&facts, pipeline::needs(&trigger), args.tracefs.as_deref());
    let target = Target::new(&args.focus.clone().into(), false, &facts)?;
    let (attach, memory) = (args.attach.into(), args.memory);
    let wishes = Wishes { attach, memory, focus: target.focus, ..Wishes::default() };
    let built = pipeline::build_text(&trigger, &format, &context, wishes)?;
    if let Some(reason) = refuse_unattachable(&event, &tracefs.dynamic_events()?) {
        return Err(LoadError::Unattachable { event: args.event.clone(), reason }.into());
    }
    output::print(&explain(&built))?;
    Ok(ExitCode::SUCCESS)
}
