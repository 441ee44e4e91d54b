//! `--emit`: the listing of one stage of the pipeline, for what the same command would run.

use super::args::Stage;
use super::options::{Options, Pair};
use super::setup::context;
use super::wishes::wanted;
use crate::diag::TriggerError;
use crate::kernel::Context;
use crate::kernel::Facts;
use crate::kernel::Needs;
use crate::kernel::format::EventFormat;
use crate::kernel::tracefs::Tracefs;
use crate::parse;
use crate::pipeline::{self, CompileError};
use crate::plan::Wishes;

/// The listing for every pair, one after the other.
///
/// # Errors
/// As the real run, up to the stage.
pub(super) fn emit(
    options: &Options,
    stage: Stage,
    tracefs: impl FnOnce() -> anyhow::Result<Tracefs>,
) -> anyhow::Result<String> {
    if stage == Stage::Trigger {
        return options.pairs.iter().map(trigger).collect();
    }
    let (tracefs, facts) = (tracefs()?, Facts::read()?);
    let formats = options.pairs.iter().map(|pair| Ok(tracefs.event(&pair.event)?));
    let formats: Vec<EventFormat> = formats.collect::<anyhow::Result<_>>()?;
    let symbols = options.pairs.iter().any(|pair| pipeline::needs(&pair.trigger).symbols);
    let needs = Needs { symbols, types: true };
    let context = context(&facts, needs, options.tracefs.as_deref());
    let (_, wishes) = wanted(options, &facts)?;
    let each = options.pairs.iter().zip(&formats);
    let texts = each.map(|(pair, format)| one(pair, format, (&context, wishes.clone()), stage));
    Ok(texts.collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
}

fn trigger(pair: &Pair) -> anyhow::Result<String> {
    let text = &pair.trigger;
    let fail = |error: TriggerError| CompileError::trigger(error, text);
    let trigger = parse::trigger(text).map_err(fail)?;
    match trigger.first_error() {
        Some(error) => Err(fail(error).into()),
        None => Ok(trigger.listing()),
    }
}

fn one(
    pair: &Pair,
    format: &EventFormat,
    (context, wishes): (&Context<'_>, Wishes),
    stage: Stage,
) -> anyhow::Result<String> {
    let text = &pair.trigger;
    let build = |wishes| pipeline::build_text(text, format, context, wishes);
    Ok(match stage {
        Stage::Trigger => trigger(pair)?,
        Stage::Hist => pipeline::plan(text, format, context, wishes)?.hist.listing(),
        Stage::Plan => pipeline::plan(text, format, context, wishes)?.to_string(),
        Stage::Code => build(wishes)?.segments[0].code.to_string(),
        Stage::Asm => build(wishes)?.to_string(),
    })
}

#[cfg(test)]
mod tests;
