//! Takes options with `--emit`. Gives the listing of one stage.

use std::fmt::Write as _;

use super::args::Stage;
use super::focus::Target;
use super::options::{Options, Pair};
use super::run::context;
use crate::kernel::Context;
use crate::kernel::Facts;
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
    let context = context(&facts, options.tracefs.as_deref());
    let wishes =
        options.wishes(Target::new(&options.focus, options.command.is_some(), &facts)?.focus);
    if stage == Stage::Asm {
        return asm(&options.pairs, &formats, (&context, wishes));
    }
    let mut text = String::new();
    for (idx, (pair, format)) in options.pairs.iter().zip(&formats).enumerate() {
        let separator = if idx > 0 { "\n" } else { "" };
        write!(text, "{separator}{}", one(pair, format, (&context, wishes.clone()), stage)?)?;
    }
    Ok(text)
}

fn trigger(pair: &Pair) -> anyhow::Result<String> {
    let text = &pair.trigger;
    let fail = |error| CompileError::Trigger { error, source_text: text.clone() };
    let trigger = parse::trigger(text).map_err(fail)?;
    match trigger.first_error() {
        Some(error) => Err(fail(error.clone()).into()),
        None => Ok(trigger.listing()),
    }
}

fn one(
    pair: &Pair,
    format: &EventFormat,
    (context, wishes): (&Context<'_>, Wishes),
    stage: Stage,
) -> anyhow::Result<String> {
    let compiled = pipeline::compile(&pair.trigger, format, context, wishes)?;
    Ok(match stage {
        Stage::Hist => compiled.plan.hist.listing(),
        Stage::Plan => compiled.plan.to_string(),
        _ => compiled.code.to_string(),
    })
}

fn asm(
    pairs: &[Pair],
    formats: &[EventFormat],
    (context, wishes): (&Context<'_>, Wishes),
) -> anyhow::Result<String> {
    let compiled = pairs
        .iter()
        .zip(formats)
        .map(|(pair, format)| pipeline::compile(&pair.trigger, format, context, wishes.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(pipeline::link(&compiled)?.to_string())
}
