//! Binds a name to what it stands for: a field of the event, or what every event has.

use bstr::ByteSlice as _;

use super::hist::{KeySource, NumberField, Order, Room, Source, TextField};
use super::{Scope, not_supported};
use crate::diag::{Kind, Span, TriggerError, nearest};
use crate::kernel::format::{EventFormat, FieldClass, FieldFormat, FieldId};
use crate::modifier::Suits;
use crate::parse::ast::Field;

/// A name bound to its source.
pub(super) struct Bound {
    /// What entries call it: the name as typed.
    pub label: String,
    /// What the trigger line calls it.
    pub canonical: String,
    /// Where it comes from.
    pub source: KeySource,
    /// How sorting compares it.
    pub order: Order,
}

impl Bound {
    fn built_in(label: &str, canonical: &str, source: KeySource, order: Order) -> Self {
        Self { label: label.to_owned(), canonical: canonical.to_owned(), source, order }
    }

    fn number(label: &str, canonical: &str, source: Source) -> Self {
        Self::built_in(label, canonical, KeySource::Number(source), Order::Unsigned(8))
    }
}

/// Looks a name up in the kernel's order: built-in names, fields, other names of built-in ones.
pub(super) fn bind(field: &Field, scope: &Scope<'_>) -> Result<Bound, TriggerError> {
    let name = &*field.name.node.to_str_lossy();
    if let Some(bound) = built_in(name, scope) {
        return Ok(bound);
    }
    let span = field.name.span;
    if let Some(field) = scope.event.find(name) {
        return bind_format(field, scope.event, span);
    }
    match name {
        "cpu" | "CPU" => Ok(Bound::number(name, "common_cpu", Source::Cpu)),
        "stacktrace" | "STACKTRACE" => Ok(stack()),
        "comm" | "COMM" => Ok(Bound::built_in(name, "common_comm", KeySource::Comm, Order::Text)),
        _ => Err(not_found(Kind::FieldNotFound, name, span, scope.event)),
    }
}

/// What the kernel refuses of a modifier before it looks at the name that it is behind; `help` says
/// what would be accepted.
pub(super) fn check_modifier(field: &Field, help: &str) -> Result<(), TriggerError> {
    let modifier = match &field.modifier {
        None => return Ok(()),
        Some(Err(text)) => {
            return Err(TriggerError::new(Kind::BadFieldModifier, text.span).help(help));
        }
        Some(Ok(modifier)) => modifier,
    };
    match modifier.node.row().suits {
        Suits::Only(name) if field.name.node != name => {
            Err(TriggerError::new(Kind::BadFieldModifier, modifier.span)
                .help(format!("`.{}` is for {name} alone", modifier.node)))
        }
        _ => Ok(()),
    }
}

fn built_in(name: &str, scope: &Scope<'_>) -> Option<Bound> {
    Some(match name {
        "common_timestamp" => {
            let source = Source::Timestamp { clock: scope.clock, usecs: scope.usecs };
            Bound::number(name, name, source)
        }
        "common_stacktrace" => stack(),
        "common_cpu" => Bound::number(name, name, Source::Cpu),
        // Unlike under its other names it is not compared at all.
        "common_comm" => Bound::built_in(name, name, KeySource::Comm, Order::None),
        // The kernel's own column is found under this name first; as a field it is always 1.
        "hitcount" => Bound::number(name, name, Source::Constant(1)),
        _ => return None,
    })
}

fn stack() -> Bound {
    let name = "common_stacktrace";
    Bound::built_in(name, name, KeySource::Stack, Order::None)
}

fn bind_format(
    (id, format): (FieldId, &FieldFormat),
    event: &EventFormat,
    span: Span,
) -> Result<Bound, TriggerError> {
    check_copied(format, event, span)?;
    if format.class() == FieldClass::StaticString && format.size == 0 {
        let error = TriggerError::new(Kind::FieldSize, span);
        let FieldFormat { name, type_name, .. } = format;
        return Err(error.help(format!("`{name}` is a `{type_name}` of 0 bytes")));
    }
    let source = match text((id, format)) {
        Some(text) => KeySource::Text(text),
        None => KeySource::Number(number((id, format), event, span)?),
    };
    let order = match format.class() {
        FieldClass::StaticString | FieldClass::DynamicString | FieldClass::RelativeString => {
            Order::Text
        }
        // The kernel takes the pointer's own bytes for a string.
        FieldClass::CharPointer => Order::Text,
        _ if format.signed => Order::Signed(format.size),
        _ => Order::Unsigned(format.size),
    };
    Ok(Bound::built_in(&format.name, &format.name, source, order))
}

/// From 7.x on, records of system calls have copies of what their arguments point to. A program
/// sees the arguments alone: in the place of a copy it finds something else.
pub(super) fn check_copied(
    format: &FieldFormat,
    event: &EventFormat,
    span: Span,
) -> Result<(), TriggerError> {
    let by_location = matches!(
        format.class(),
        FieldClass::DynamicString
            | FieldClass::RelativeString
            | FieldClass::Location
            | FieldClass::StackArray
    );
    if event.name.system == "syscalls" && by_location {
        return Err(not_supported("copies of what a system call's arguments point to", span)
            .help("BPF programs see only the arguments themselves"));
    }
    Ok(())
}

/// A field as a string, if it is one.
pub(super) fn text((field, format): (FieldId, &FieldFormat)) -> Option<TextField> {
    let room = match format.class() {
        FieldClass::StaticString => Room::Array(format.size),
        FieldClass::DynamicString | FieldClass::RelativeString => Room::Varying,
        _ => return None,
    };
    Some(TextField { field, room })
}

/// Where a field's number comes from; common fields are not readable in a program's context.
pub(super) fn number(
    (field, format): (FieldId, &FieldFormat),
    event: &EventFormat,
    span: Span,
) -> Result<Source, TriggerError> {
    if format.common {
        return common(format, event, span);
    }
    check_copied(format, event, span)?;
    match format.class() {
        // Elsewhere the same type is a bitmask, whose location word the kernel counts.
        FieldClass::StackArray if event.name.system == "synthetic" => {
            Err(not_supported("stacks of synthetic events", span))
        }
        FieldClass::Number
        | FieldClass::CharPointer
        | FieldClass::Location
        | FieldClass::StackArray => {
            Ok(Source::Field(NumberField { field, size: format.size, signed: format.signed }))
        }
        FieldClass::StaticString | FieldClass::DynamicString | FieldClass::RelativeString => {
            Err(not_supported("sums of strings' addresses", span))
        }
        FieldClass::Other => Err(TriggerError::new(Kind::FieldSize, span).help(format!(
            "`{}` is a `{}` of {} bytes; only numbers of 1, 2, 4 or 8 bytes can be counted",
            format.name, format.type_name, format.size
        ))),
    }
}

fn common(format: &FieldFormat, event: &EventFormat, span: Span) -> Result<Source, TriggerError> {
    match format.name.as_str() {
        "common_pid" => Ok(Source::Pid),
        "common_type" => Ok(Source::Constant(u64::from(event.id))),
        name => Err(not_supported(&format!("`{name}`"), span)
            .help("BPF programs cannot read it: the kernel hides the record's first 8 bytes")),
    }
}

/// "Couldn't find field", with the nearest name and all that there are.
pub(super) fn not_found(kind: Kind, name: &str, span: Span, event: &EventFormat) -> TriggerError {
    let own: Vec<_> = event.fields.iter().map(|field| field.name.as_str()).collect();
    let built_in =
        ["common_cpu", "common_comm", "common_stacktrace", "common_timestamp", "hitcount"];
    let known = own.iter().copied().chain(built_in);
    let guess = match name {
        "common_comm" => "; filters know the task's name as `comm`".to_owned(),
        name if built_in.contains(&name) => "; it cannot be used here".to_owned(),
        name => {
            nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
        }
    };
    TriggerError::new(kind, span)
        .help(format!("{} has no field `{name}`{guess}", event.name))
        .help(format!("its fields: {}", own.join(", ")))
}
