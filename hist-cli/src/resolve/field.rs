//! Takes a field's name and the event's format. Gives where the number comes from.

use super::hist::{RecordField, Source};
use super::not_supported;
use crate::diag::{Kind, Span, TriggerError, nearest};
use crate::parse::ast::Field;
use crate::tracefs::format::{EventFormat, FieldClass, FieldFormat};

/// A name bound to its source.
pub(super) struct Bound {
    /// What entries call it: the name as typed.
    pub label: String,
    /// What the trigger line calls it.
    pub canonical: String,
    /// Where it comes from.
    pub source: Source,
    /// The field's own size in bytes.
    pub width: u32,
    /// The field's own sign.
    pub signed: bool,
}

impl Bound {
    fn unsigned(name: &str, canonical: &str, source: Source) -> Self {
        let (label, canonical) = (name.to_owned(), canonical.to_owned());
        Self { label, canonical, source, width: 8, signed: false }
    }
}

/// Looks a name up in the kernel's order: built-in names, fields, old names of built-in ones.
pub(super) fn bind(field: &Field, event: &EventFormat) -> Result<Bound, TriggerError> {
    let name = field.name.node.as_str();
    let span = field.name.span;
    match name {
        "common_cpu" => return Ok(Bound::unsigned(name, name, Source::Cpu)),
        // The kernel's own column is found under this name first; as a field it is always 1.
        "hitcount" => return Ok(Bound::unsigned(name, name, Source::Constant(1))),
        "common_timestamp" => return Err(not_supported("timestamps", span)),
        "common_stacktrace" => return Err(not_supported("stacks", span)),
        "common_comm" => return Err(not_supported("task names", span)),
        _ => {}
    }
    if let Some(format) = event.field(name) {
        return bind_format(format, event, span);
    }
    match name {
        "cpu" | "CPU" => Ok(Bound::unsigned(name, "common_cpu", Source::Cpu)),
        "stacktrace" | "STACKTRACE" => Err(not_supported("stacks", span)),
        "comm" | "COMM" => Err(not_supported("task names", span)),
        _ => Err(not_found(Kind::FieldNotFound, name, span, event)),
    }
}

fn bind_format(
    format: &FieldFormat,
    event: &EventFormat,
    span: Span,
) -> Result<Bound, TriggerError> {
    Ok(Bound {
        label: format.name.clone(),
        canonical: format.name.clone(),
        source: source(format, event, span)?,
        width: format.size,
        signed: format.signed,
    })
}

/// Where a field's number comes from; common fields are not readable in a program's context.
pub(super) fn source(
    format: &FieldFormat,
    event: &EventFormat,
    span: Span,
) -> Result<Source, TriggerError> {
    if format.common {
        return common(format, event, span);
    }
    match format.class() {
        FieldClass::StaticString | FieldClass::DynamicString | FieldClass::RelativeString => {
            Err(not_supported("strings", span))
        }
        // Elsewhere the same type is a bitmask, whose location word the kernel counts.
        FieldClass::StackArray if event.system == "synthetic" => Err(not_supported("stacks", span)),
        FieldClass::Number
        | FieldClass::CharPointer
        | FieldClass::Location
        | FieldClass::StackArray => Ok(Source::Record(RecordField {
            offset: format.offset,
            size: format.size,
            signed: format.signed,
        })),
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
    let known = own.iter().copied().chain(["common_cpu", "hitcount"]);
    let guess =
        nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    TriggerError::new(kind, span)
        .help(format!("{}:{} has no field `{name}`{guess}", event.system, event.name))
        .help(format!("its fields: {}", own.join(", ")))
}
