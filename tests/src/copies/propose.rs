//! Takes the events of this kernel. Gives what their fields might be copies of, by name and type:
//! an argument of the field's name, or a member of that name in what an argument points to.

use anyhow::Result;
use hist_cli::kernel::EventName;
use hist_cli::kernel::btf::{Btf, Tracepoint, Type};
use hist_cli::kernel::format::{EventFormat, FieldFormat};
use hist_cli::kernel::tracefs::Tracefs;
use hist_cli::plan::access::arguments::{check, rows};

use super::Subject;

/// Every event that has fields without a row and something to propose for them.
pub(super) fn subjects(
    tracefs: &Tracefs,
    btf: &Btf,
    is_wanted: &dyn Fn(&EventName) -> bool,
) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for event in tracefs.event_names()? {
        if !is_wanted(&event) || event.system == "syscalls" {
            continue;
        }
        // `ftrace` has folders without a format.
        let Ok(format) = tracefs.event(&event) else { continue };
        let Some(tracepoint) = btf.tracepoint(&event.name)? else { continue };
        let rows = proposals(btf, &tracepoint, &format)?;
        if !rows.is_empty() {
            subjects.push(Subject { format, rows });
        }
    }
    Ok(subjects)
}

fn proposals(
    btf: &Btf,
    tracepoint: &Tracepoint,
    format: &EventFormat,
) -> Result<Vec<(String, String)>> {
    let known = rows::rows(&format.name);
    let is_open =
        |field: &&FieldFormat| !field.common && !known.iter().any(|row| row.field == field.name);
    let mut proposals = Vec::new();
    for field in format.fields.iter().filter(is_open) {
        for expression in candidates(btf, tracepoint, &field.name)? {
            if check(btf, tracepoint, &expression, field).is_ok() {
                proposals.push((field.name.clone(), expression));
            }
        }
    }
    Ok(proposals)
}

fn candidates(btf: &Btf, tracepoint: &Tracepoint, field: &str) -> Result<Vec<String>> {
    let mut candidates = Vec::new();
    for parameter in &tracepoint.parameters {
        let name = &parameter.name;
        if name == field {
            candidates.push(name.clone());
        }
        if let Type::Pointer(target) = btf.resolve(parameter.type_id)?
            && let Type::Compound { id, .. } = btf.resolve(target)?
        {
            let members = btf.member_names(id)?;
            // Structs such as task_struct or sock have members with a prefix of their own.
            let is_it = |member: &&String| {
                *member == field || member.split_once('_').is_some_and(|(_, rest)| rest == field)
            };
            candidates.extend(members.iter().filter(is_it).map(|it| format!("{name}->{it}")));
        }
    }
    Ok(candidates)
}
