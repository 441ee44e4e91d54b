//! Takes a parsed filter and the event's format. Gives a [`Filter`]: every field bound, every
//! constant in the field's own range.

use super::field::{not_found, number as source};
use super::hist::{Compare, Condition, Filter, Source};
use super::not_supported;
use crate::diag::{Kind, TriggerError};
use crate::parse::ast::{self, CompareOp, FilterExpr, Operand, Predicate, Spanned};
use crate::tracefs::format::{EventFormat, FieldClass};

/// Binds a whole filter.
pub(super) fn filter(filter: &ast::Filter, event: &EventFormat) -> Result<Filter, TriggerError> {
    let tree = filter.tree.as_ref().map_err(Clone::clone)?;
    Ok(Filter { text: filter.text.node.clone(), tree: condition(tree, event)? })
}

fn condition(tree: &FilterExpr, event: &EventFormat) -> Result<Condition, TriggerError> {
    let all = |parts: &[FilterExpr]| -> Result<Vec<_>, _> {
        parts.iter().map(|part| condition(part, event)).collect()
    };
    Ok(match tree {
        FilterExpr::Or(parts) => Condition::Any(all(parts)?),
        FilterExpr::And(parts) => Condition::All(all(parts)?),
        FilterExpr::Not(inner) => Condition::Not(Box::new(condition(inner, event)?)),
        FilterExpr::Predicate(predicate) => self::predicate(predicate, event)?,
        FilterExpr::BadPredicate(bad) => {
            check_name(&bad.field, event)?;
            return Err(bad.error.clone());
        }
        FilterExpr::Bad(error) => return Err(error.clone()),
    })
}

/// A number that a filter can compare.
struct Number {
    source: Source,
    /// In bytes.
    width: u32,
    signed: bool,
    /// It is the CPU's number, which the kernel compares as an `int`.
    cpu: bool,
}

fn predicate(predicate: &Predicate, event: &EventFormat) -> Result<Condition, TriggerError> {
    let number = number(predicate, event)?;
    if predicate.ustring || predicate.function {
        return Err(not_supported("`.ustring` and `.function`", predicate.field.span));
    }
    let operand = &predicate.operand;
    let text = match &operand.node {
        Operand::Number(text) => text,
        Operand::Text(_) => {
            return Err(TriggerError::new(Kind::FilterExpectNumber, operand.span)
                .help(format!("`{}` is a number: leave out the quotes", predicate.field.node)));
        }
        Operand::Cpus(_) => return Err(not_supported("`CPUS{}`", operand.span)),
        Operand::Symbol(_) => return Err(not_supported("`.function`", operand.span)),
    };
    if predicate.op.node == CompareOp::Glob {
        return Err(TriggerError::new(Kind::FilterIllegalOperation, operand.span)
            .help("`~` compares strings; numbers take == != < <= > >= &"));
    }
    if let Some(error) = &predicate.error {
        return Err(error.clone());
    }
    let constant = constant(text, &number, operand)?;
    Ok(compare(predicate, number, constant))
}

fn compare(predicate: &Predicate, number: Number, constant: u64) -> Condition {
    // filter_pred_cpu() knows no `&` with a number.
    if number.cpu && predicate.op.node == CompareOp::And {
        return Condition::Always(false);
    }
    Condition::Compare(Compare {
        label: predicate.field.node.clone(),
        source: number.source,
        signed: number.signed || number.cpu,
        op: predicate.op.node,
        constant,
    })
}

/// The names that filters know besides the event's fields.
const BUILT_IN: [&str; 7] =
    ["cpu", "CPU", "common_cpu", "comm", "COMM", "stacktrace", "STACKTRACE"];

fn check_name(field: &Spanned<String>, event: &EventFormat) -> Result<(), TriggerError> {
    let name = field.node.as_str();
    if event.field(name).is_some() || BUILT_IN.contains(&name) {
        return Ok(());
    }
    Err(not_found(Kind::FilterFieldNotFound, name, field.span, event))
}

fn number(predicate: &Predicate, event: &EventFormat) -> Result<Number, TriggerError> {
    let (name, span) = (predicate.field.node.as_str(), predicate.field.span);
    let Some(format) = event.field(name) else {
        return match name {
            "cpu" | "CPU" | "common_cpu" => {
                Ok(Number { source: Source::Cpu, width: 4, signed: false, cpu: true })
            }
            "comm" | "COMM" => Err(not_supported("task names", span)),
            "stacktrace" | "STACKTRACE" => Err(not_supported("stacks", span)),
            _ => Err(not_found(Kind::FilterFieldNotFound, name, span, event)),
        };
    };
    refuse_texts(predicate, format.class())?;
    let source = source(format, event, span)?;
    Ok(Number { source, width: format.size, signed: format.signed, cpu: false })
}

/// A number given to a string field is the user's mistake, a string is for later.
fn refuse_texts(predicate: &Predicate, class: FieldClass) -> Result<(), TriggerError> {
    let text = matches!(
        class,
        FieldClass::StaticString
            | FieldClass::DynamicString
            | FieldClass::RelativeString
            | FieldClass::CharPointer
    );
    match &predicate.operand.node {
        _ if !text => Ok(()),
        Operand::Number(_) => {
            Err(TriggerError::new(Kind::FilterExpectString, predicate.operand.span)
                .help(format!("`{}` is a string: compare it with \"text\"", predicate.field.node)))
        }
        _ => Err(not_supported("strings", predicate.field.span)),
    }
}

/// The operand as a u64 image: read in the field's 64-bit range, cut to its size, extended again.
fn constant(text: &str, number: &Number, operand: &Spanned<Operand>) -> Result<u64, TriggerError> {
    let value = if number.signed { parse_signed(text) } else { parse_unsigned(text) };
    let value = value.ok_or_else(|| {
        let range = if number.signed { "signed" } else { "unsigned" };
        TriggerError::new(Kind::FilterIllegalInteger, operand.span)
            .help(format!("a {range} 64-bit number is wanted: decimal, 0x… or 0…"))
    })?;
    Ok(extend(value, number.width, number.signed || number.cpu))
}

fn parse_signed(text: &str) -> Option<u64> {
    match text.strip_prefix('-') {
        Some(digits) => {
            let magnitude = parse_unsigned(digits)?;
            (magnitude <= 1 << 63).then(|| magnitude.wrapping_neg())
        }
        None => parse_unsigned(text).filter(|value| i64::try_from(*value).is_ok()),
    }
}

/// Base by prefix, as kstrtoull() with base 0.
fn parse_unsigned(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, base).ok()
}

/// Keeps the low `width` bytes and extends them to 64 bits.
fn extend(value: u64, width: u32, signed: bool) -> u64 {
    let spare = 64 - 8 * width.clamp(1, 8);
    let shifted = value << spare;
    if signed { (shifted.cast_signed() >> spare).cast_unsigned() } else { shifted >> spare }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_cut_to_the_field_and_extended() {
        assert_eq!(extend(255, 1, true), u64::MAX);
        assert_eq!(extend(0x1ff, 1, true), u64::MAX);
        assert_eq!(extend(200, 1, true), (-56i64).cast_unsigned());
        assert_eq!(extend(0x1ff, 1, false), 0xff);
        assert_eq!(extend(u64::MAX, 8, false), u64::MAX);
        assert_eq!(extend(1 << 32, 4, true), 0);
    }

    #[test]
    fn numbers_take_the_base_of_their_prefix() {
        for (text, value) in [
            ("10", Some(10)),
            ("0x1F", Some(31)),
            ("0X1f", Some(31)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("08", None),
            ("0x", None),
            ("9z", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(parse_unsigned(text), value, "{text}");
        }
        assert_eq!(parse_signed("-1"), Some(u64::MAX));
        assert_eq!(parse_signed("-9223372036854775808"), Some(1 << 63));
        assert_eq!(parse_signed("-9223372036854775809"), None);
        assert_eq!(parse_signed("9223372036854775808"), None);
    }
}
