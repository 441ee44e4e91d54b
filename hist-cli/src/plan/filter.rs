//! Simplifies a filter: parts whose answer is known when it is planned are not tested.

use crate::resolve::hist::{
    COMM_SIZE, Condition, GlobPart, Pattern, Room, TextField, TextSource, TextTest,
};

/// What is left to test once all that is known is: nothing if all hits count, and
/// [`Condition::Always`] only if none does.
pub(super) fn simplify(condition: &Condition) -> Option<Condition> {
    match fold(condition) {
        Condition::Always(true) => None,
        other => Some(other),
    }
}

/// The same with [`Condition::Always`] at most on its own: code that nothing can reach is refused
/// by the verifier.
fn fold(condition: &Condition) -> Condition {
    match condition {
        Condition::Any(parts) => join(parts, true, Condition::Any),
        Condition::All(parts) => join(parts, false, Condition::All),
        Condition::Not(inner) => match fold(inner) {
            Condition::Always(answer) => Condition::Always(!answer),
            other => Condition::Not(Box::new(other)),
        },
        Condition::Text(test) if is_too_long(test) => Condition::Always(test.negated),
        other => other.clone(),
    }
}

/// `decides` is the answer of a part that needs no others.
fn join(parts: &[Condition], decides: bool, node: fn(Vec<Condition>) -> Condition) -> Condition {
    let mut open = Vec::new();
    for part in parts.iter().map(fold) {
        match part {
            Condition::Always(answer) if answer == decides => return part,
            Condition::Always(_) => {}
            part => open.push(part),
        }
    }
    match open.len() {
        0 => Condition::Always(!decides),
        1 => open.remove(0),
        _ => node(open),
    }
}

/// The pattern needs more bytes than the string has room for.
fn is_too_long(test: &TextTest) -> bool {
    let room = match test.source {
        TextSource::Field(TextField { room: Room::Array(size), .. }) => size,
        TextSource::Comm => COMM_SIZE,
        TextSource::Field(_) | TextSource::Pointer { .. } => return false,
    };
    (room as usize)
        < match &test.pattern {
            Pattern::Exact(text)
            | Pattern::Prefix(text)
            | Pattern::Suffix(text)
            | Pattern::Contains(text) => text.len(),
            Pattern::Glob(parts) => parts.iter().filter(|part| **part != GlobPart::Any).count(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: TextSource, pattern: Pattern, negated: bool) -> Condition {
        Condition::Text(TextTest { label: "a ~ b".into(), source, pattern, negated })
    }

    #[test]
    fn what_is_known_disappears() {
        let always = Condition::Always;
        let open = text(TextSource::Comm, Pattern::Exact(b"a".to_vec()), false);
        let check = |condition: Condition, expect: Option<&Condition>| {
            assert_eq!(simplify(&condition).as_ref(), expect, "{condition}");
        };
        check(Condition::Any(vec![always(true), open.clone()]), None);
        check(Condition::Any(vec![always(false), open.clone()]), Some(&open));
        check(Condition::All(vec![always(true), open.clone()]), Some(&open));
        check(Condition::All(vec![open.clone(), always(false)]), Some(&always(false)));
        check(Condition::Not(Box::new(always(false))), None);
        check(Condition::All(vec![always(true), always(true)]), None);
        let long = Pattern::Exact(vec![b'a'; 17]);
        check(text(TextSource::Comm, long.clone(), false), Some(&always(false)));
        check(text(TextSource::Comm, long, true), None);
    }
}
