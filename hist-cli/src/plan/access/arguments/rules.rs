//! Rows for system calls' own events, which follow from a rule: the call's registers hold its
//! arguments.

use super::{NeedsRecord, UsableRow};
use crate::kernel::format::{CALL_WORDS, EventFormat, FieldFormat};
use crate::kernel::syscalls;
use crate::resolve::hist::Hist;

/// The registers that hold a system call's arguments (x86-64).
const REGISTERS: [&str; 6] = ["di", "si", "dx", "r10", "r8", "r9"];

/// The event is one system call's own.
pub(in crate::plan) fn is_system_call(hist: &Hist) -> bool {
    hist.event.system == "syscalls"
}

/// The rows of a system call's own event.
pub(in crate::plan) fn rows(hist: &Hist) -> Result<Vec<UsableRow>, NeedsRecord> {
    let number = system_call_number(&hist.event.name)?;
    let rows = system_call_rows(&hist.event.name, number, &hist.fields);
    let usable = |(field, expression)| UsableRow { field, expression, is_usable: true };
    Ok(rows.into_iter().map(usable).collect())
}

/// Rows for a system call's own event: field and expression. None if the call's number is not known.
#[must_use]
pub fn rows_of_system_call(event: &EventFormat) -> Vec<(String, String)> {
    let number = system_call_number(&event.name.name);
    number.map_or_else(
        |_| Vec::new(),
        |number| system_call_rows(&event.name.name, number, &event.fields),
    )
}

fn system_call_rows(event: &str, number: u32, fields: &[FieldFormat]) -> Vec<(String, String)> {
    let own = fields.iter().filter(|field| !field.common);
    let row = |field: &FieldFormat| {
        let position = field.offset.checked_sub(CALL_WORDS).map(|offset| offset / 8);
        let expression = match (field.name.as_str(), position) {
            ("__syscall_nr", None) => number.to_string(),
            ("ret", Some(0)) if event.starts_with("sys_exit_") => "ret".to_owned(),
            (_, Some(idx)) if field.size == 8 => {
                format!("regs->{}", REGISTERS.get(idx as usize)?)
            }
            _ => return None,
        };
        Some((field.name.clone(), expression))
    };
    own.filter_map(row).collect()
}

/// The number of the call that `event`, such as `sys_enter_openat`, is about.
pub(in crate::plan::access) fn system_call_number(event: &str) -> Result<u32, NeedsRecord> {
    let (_, name) = event.split_once("sys_").unwrap_or_default();
    let name = name.strip_prefix("enter_").or_else(|| name.strip_prefix("exit_")).unwrap_or(name);
    syscalls::number(name).ok_or_else(|| {
        NeedsRecord::because(format!("the number of the system call `{name}` is not known"))
    })
}
