//! `hist-bpf explain`: what a trigger would count, in plain words.

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::args::ExplainArgs;
use super::focus::Target;
use super::options::{self, Pair};
use super::{output, setup};
use crate::discover::explain::explain;
use crate::kernel::Facts;
use crate::kernel::attachable::refuse_unattachable;
use crate::load::LoadError;
use crate::parse::is_blank;
use crate::pipeline;
use crate::plan::Wishes;

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
    let tracefs = setup::tracefs(args.tracefs.as_deref(), false)?;
    let format = tracefs.event(&event)?;
    let facts = Facts::read()?;
    let needs = pipeline::needs(&trigger);
    let context = setup::context(&facts, needs, args.tracefs.as_deref());
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
