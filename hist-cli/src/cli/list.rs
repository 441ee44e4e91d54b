//! `hist-bpf list`: the events of this kernel that match a glob, and with `-v` what each is good
//! for.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::bail;

use super::args::ListArgs;
use super::{output, setup};
use crate::discover::list::{Listed, list, meant};
use crate::discover::suits::{self, Arguments, BUILT_IN};
use crate::discover::{Glob, examples};
use crate::kernel::Context;
use crate::kernel::Facts;
use crate::kernel::Needs;
use crate::kernel::format::EventFormat;
use crate::kernel::tracefs::Tracefs;
use crate::modifier::Role;

/// Lists the events.
///
/// # Errors
/// If tracefs cannot be read, or nothing matches.
pub(super) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let tracefs = setup::tracefs(args.tracefs.as_deref(), false)?;
    let glob = args.glob.as_deref().map(Glob::new);
    let events = list(&tracefs, glob.as_ref())?;
    if events.is_empty() {
        bail!("{}", no_match(&tracefs, args.glob.as_deref())?);
    }
    let text = match args.verbose {
        true => {
            let facts = Facts::read()?;
            let needs = Needs { symbols: false, types: true };
            let context = setup::context(&facts, needs, args.tracefs.as_deref());
            verbose(&tracefs, &events, &context)?
        }
        false => events.iter().map(|event| format!("{event}\n")).collect(),
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn no_match(tracefs: &Tracefs, glob: Option<&str>) -> anyhow::Result<String> {
    let Some(glob) = glob else { return Ok("this kernel has no events".to_owned()) };
    let name = glob.trim_end_matches([':', '/']);
    let wide = format!("*{name}*");
    let parts = list(tracefs, Some(&Glob::new(&wide)))?.len();
    let near = match meant(tracefs, glob)? {
        Some(near) if near == name => format!("; did you mean `{near}`?"),
        _ if parts > 0 && !glob.contains(['*', '?', '[', '!']) => {
            let s = if parts == 1 { "" } else { "s" };
            format!("; `{wide}` matches {parts} event{s}")
        }
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    Ok(format!("no event or system matches `{glob}`{near}"))
}

fn verbose(tracefs: &Tracefs, events: &[Listed], kernel: &Context<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut common = None;
    for event in events {
        writeln!(text, "{event}")?;
        if event.refusal.is_none() {
            let format = tracefs.event(&event.event)?;
            text += &fields(&format, kernel, |field| !field.starts_with("common_"));
            text += &examples_of(event);
            common.get_or_insert(format);
        }
        text.push('\n');
    }
    if let Some(format) = common {
        text += "every event\n";
        text += &fields(&format, kernel, |field| field.starts_with("common_"));
    } else {
        text.pop();
    }
    Ok(text)
}

/// The wanted ones of the event's names, one a line, in columns.
fn fields(format: &EventFormat, kernel: &Context<'_>, is_wanted: impl Fn(&str) -> bool) -> String {
    let own = format
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.type_name.as_str(), field.size.to_string()));
    let built_in = BUILT_IN.iter().map(|name| (*name, "", String::new()));
    let rows = own.chain(built_in).filter(|(name, ..)| is_wanted(name) && *name != "hitcount");
    let raw = Arguments::of(format, kernel);
    let row = |(name, kind, size): (&str, &str, String)| row(format, &raw, [name, kind, &size]);
    columns(&rows.map(row).collect::<Vec<_>>())
}

/// Cells of one name; the last may be of any width.
fn row(format: &EventFormat, raw: &Arguments<'_>, [name, kind, size]: [&str; 3]) -> [String; 6] {
    let cells = match suits::modifiers(format, name, Role::Key) {
        Err(reason) => [String::new(), format!("not countable: {reason}"), String::new()],
        Ok(key) => {
            let attach = if raw.gives(format, name) { "raw" } else { "classic" };
            let value =
                suits::modifiers(format, name, Role::Value).map(|value| suits::shown(&value));
            let value = value.map_or_else(|_| String::new(), |value| format!("value {value}"));
            [attach.to_owned(), format!("key {}", suits::shown(&key)), value]
        }
    };
    let [attach, key, value] = cells;
    [name.to_owned(), kind.to_owned(), size.to_owned(), attach, key, value]
}

fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let is_long = |cell: &String| cell.starts_with("not ");
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]).filter(|cell| !is_long(cell));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

fn examples_of(event: &Listed) -> String {
    let examples = examples::of(&event.event);
    let line = |example: examples::Example| format!("  try '{}'\n", example.trigger);
    examples.into_iter().map(line).collect()
}
