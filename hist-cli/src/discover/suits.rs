//! Finds out what each field of an event is good for, by trying: a modifier suits
//! where a trigger with it resolves, and where it tells something. `.sym` of a size is allowed, but
//! of no use.

use crate::kernel::Context;
use crate::kernel::btf::{Btf, Tracepoint};
use crate::kernel::format::{EventFormat, FieldFormat};
use crate::modifier::{Role, Row, Suits, TABLE};
use crate::plan::access::arguments::{self, rows};
use crate::resolve;
use crate::{diag::TriggerError, parse};

/// Names that every event has besides its fields; `common_pid` is one of its fields.
pub const BUILT_IN: [&str; 5] =
    ["common_cpu", "common_comm", "common_stacktrace", "common_timestamp", "hitcount"];

/// The modifiers that suit `name` of `event`; or, if not even the name alone does, why.
///
/// # Errors
/// One sentence.
pub fn modifiers(event: &EventFormat, name: &str, role: Role) -> Result<Vec<&'static Row>, String> {
    resolves(event, name, role).map_err(|error| reason(&error))?;
    if self::resolves(event, name, Role::Value).is_err() {
        return Ok(Vec::new());
    }
    let suits = |row: &&'static Row| {
        let item = || format!("{name}.{}", row.example());
        tells(event, name, row, role) && resolves(event, &item(), role).is_ok()
    };
    Ok(TABLE.iter().filter(suits).collect())
}

/// Whether a number with the modifier says more than without.
fn tells(event: &EventFormat, name: &str, row: &Row, role: Role) -> bool {
    let field = event.field(name);
    let is_suited = match row.suits {
        Suits::Addresses => field.is_some_and(is_address),
        Suits::SystemCalls => {
            let is_system = matches!(event.name.system.as_str(), "syscalls" | "raw_syscalls");
            is_system && matches!(name, "id" | "nr" | "__syscall_nr")
        }
        Suits::Time => name == "common_timestamp",
        // Resolving refuses the rest.
        Suits::Anything | Suits::Numbers | Suits::Only(_) | Suits::SyntheticStacks => true,
    };
    is_suited && row.has_effect(role)
}

/// Whether the number may be the place of a function.
fn is_address(field: &FieldFormat) -> bool {
    field.size == 8 && !field.signed && field.type_name != "size_t"
}

fn resolves(event: &EventFormat, item: &str, role: Role) -> Result<(), TriggerError> {
    let text = match role {
        Role::Key => format!("hist:keys={item}"),
        Role::Value => format!("hist:keys=common_cpu:vals={item}"),
    };
    let trigger = parse::trigger(&text)?;
    resolve::hist(&trigger, event, &Context::default())
        .map(drop)
        .map_err(|rejection| rejection.error)
}

/// What is wrong, in the sentence that says most.
fn reason(error: &TriggerError) -> String {
    error.help.last().map_or_else(|| error.kind.text().to_owned(), Clone::clone)
}

/// What is known of the arguments of an event's tracepoint, from which counting costs less than from
/// its record.
pub struct Arguments<'a> {
    btf: Option<&'a Btf>,
    tracepoint: Option<Tracepoint>,
    rows: Vec<rows::Row>,
}

impl<'a> Arguments<'a> {
    /// Looks the tracepoint up among the kernel's types, which takes some milliseconds. System calls
    /// have none of their own. Without types nothing is known to be right, and where a program could
    /// be preempted it is not used.
    #[must_use]
    pub fn of(event: &EventFormat, kernel: &Context<'a>) -> Self {
        let loses = kernel.preemption.loses(rows::has_preemption_off(&event.name));
        let has_own = !loses && !matches!(event.name.system.as_str(), "syscalls" | "ftrace");
        let tracepoint = || kernel.btf?.tracepoint(&event.name.name).ok().flatten();
        let tracepoint = has_own.then(tracepoint).flatten();
        Self { btf: kernel.btf, tracepoint, rows: rows::rows(&event.name) }
    }

    /// Whether `name`, a field of `event` or what every event has, can be counted from them.
    #[must_use]
    pub fn gives(&self, event: &EventFormat, name: &str) -> bool {
        let (Some(btf), Some(tracepoint)) = (self.btf, &self.tracepoint) else { return false };
        let own = event.fields.iter().find(|field| field.name == name && !field.common);
        let Some(field) = own else { return true };
        let mut rows = self.rows.iter().filter(|row| row.field == name);
        let fits =
            |row: &&rows::Row| arguments::check(btf, tracepoint, row.expression, field).is_ok();
        rows.find(fits).is_some_and(rows::Row::is_proven)
    }
}

/// The modifiers as people write them: ` .hex .buckets=N`.
#[must_use]
pub fn shown(modifiers: &[&Row]) -> String {
    modifiers.iter().map(|row| row.usage()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::format;

    const EVENT: &str = "name: e\nID: 9\nformat:\n\
        \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:u64 n;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:char text[16];\toffset:16;\tsize:16;\tsigned:0;\n\
        \tfield:unsigned long args[6];\toffset:32;\tsize:48;\tsigned:0;\n\nprint fmt: \"\"\n";

    #[test]
    fn modifiers_suit_where_they_tell_something() {
        let event = format::parse("s", EVENT).expect("a format");
        let shown = |name: &str, role| match modifiers(&event, name, role) {
            Ok(modifiers) => shown(&modifiers),
            Err(reason) => reason,
        };
        // In the table's order, those that suit all numbers or are of that suit.
        let suiting = |role, suits: &[Suits]| {
            let suits = |suited| {
                matches!(suited, Suits::Anything | Suits::Numbers) || suits.contains(&suited)
            };
            let rows = TABLE.iter().filter(|row| row.has_effect(role) && suits(row.suits));
            super::shown(&rows.collect::<Vec<_>>())
        };
        let (pid, time) = (Suits::Only("common_pid"), Suits::Time);
        for (name, role, suits) in [
            ("n", Role::Key, &[Suits::Addresses][..]),
            ("n", Role::Value, &[]),
            ("common_pid", Role::Key, &[pid]),
            ("common_pid", Role::Value, &[]),
            ("common_timestamp", Role::Key, &[time]),
            ("common_timestamp", Role::Value, &[time]),
        ] {
            assert_eq!(shown(name, role), suiting(role, suits), "{name} {role:?}");
        }
        assert!(shown("n", Role::Value).ends_with(".percent .graph"));
        assert!(shown("n", Role::Key).ends_with(".sym .sym-offset .log2 .buckets=N"));
        assert_eq!(shown("text", Role::Key), "");
        assert!(modifiers(&event, "text", Role::Value).is_err());
        assert!(shown("args", Role::Key).contains("48 bytes"));
        assert!(shown("common_flags", Role::Key).contains("first 8 bytes"));
        assert_eq!(shown("common_stacktrace", Role::Key), "");
    }

    /// But for the one that suits only what programs never see.
    #[test]
    fn every_modifier_suits_some_name() {
        let text = EVENT.replace("u64 n;", "u64 id;");
        let event = format::parse("raw_syscalls", &text).expect("a format");
        let names = event.fields.iter().map(|field| field.name.as_str()).chain(BUILT_IN);
        let suiting = |name| {
            [Role::Key, Role::Value].map(|role| modifiers(&event, name, role).unwrap_or_default())
        };
        let listed: Vec<_> = names.flat_map(suiting).flatten().collect();
        for row in &TABLE {
            let is_seen = row.suits != Suits::SyntheticStacks;
            assert_eq!(listed.iter().any(|one| one.word == row.word), is_seen, "{}", row.word);
        }
    }
}
