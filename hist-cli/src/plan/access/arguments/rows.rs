//! The table `arguments.txt`: which argument of its tracepoint each field of an event is a copy of.
//!
//! The table is found by searching, so that nothing but the event's own rows is ever looked at.

use crate::kernel::EventName;
use memchr::memmem;

/// The table: events, each followed by its fields, indented, and what they are copies of.
const TABLE: &str = include_str!("arguments.txt");

/// What stands before the kernels that have proven a row.
const PROVEN: char = '@';

/// What stands behind an event's name if preemption is off wherever the kernel causes it.
const PREEMPTION_OFF: &str = "preemption-off";

/// What a field is known to be a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The field's name.
    pub field: &'static str,
    /// An expression over the tracepoint's arguments.
    pub expression: &'static str,
    /// The kernels on which live events have proven it, such as `6.1 6.12`.
    pub proven: &'static str,
}

impl Row {
    /// Some kernel's live events have proven it.
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        !self.proven.is_empty()
    }
}

/// The event's rows; none if the table does not have it. A field may have several: the first that
/// the kernel's types agree with counts.
#[must_use]
pub fn rows(event: &EventName) -> Vec<Row> {
    rows_in(TABLE, event)
}

/// Whether preemption is known to be off wherever the kernel causes the event. Kernels with
/// `PREEMPT_RT` leave it on in many of these places.
#[must_use]
pub fn has_preemption_off(event: &EventName) -> bool {
    find(TABLE, event).is_some_and(|entry| entry.is_off)
}

/// Every event in the table, with its rows.
pub fn all() -> impl Iterator<Item = (EventName, Vec<Row>)> {
    heads(TABLE).map(|head| (rows(&head.event), head.event)).map(|(rows, event)| (event, rows))
}

/// Every event that has preemption off wherever the kernel causes it.
pub fn with_preemption_off() -> impl Iterator<Item = EventName> {
    heads(TABLE).filter(|head| head.is_off).map(|head| head.event)
}

/// What an event's own line says.
struct Head {
    event: EventName,
    /// Preemption is off wherever the kernel causes it, as some kernel's live events have proven.
    is_off: bool,
}

fn heads(table: &'static str) -> impl Iterator<Item = Head> {
    table.lines().filter_map(head)
}

/// `system:event`, and perhaps `preemption-off @kernels` behind it.
fn head(line: &'static str) -> Option<Head> {
    if !line.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let (name, note) = line.split_once(' ').unwrap_or((line, ""));
    let (system, event) = name.split_once(':')?;
    let proof = note.trim().strip_prefix(PREEMPTION_OFF).unwrap_or_default();
    let event = EventName::new(system, event);
    Some(Head { event, is_off: proof.trim_start().starts_with(PROVEN) })
}

/// An event's own line, and all that follows in the table.
struct Section {
    is_off: bool,
    rest: &'static str,
}

fn find(table: &'static str, event: &EventName) -> Option<Section> {
    let name = format!("\n{event}");
    let mut places = memmem::find_iter(table.as_bytes(), name.as_bytes());
    places.find_map(|place| {
        let (line, rest) = table[place + 1..].split_once('\n')?;
        let head = head(line)?;
        (head.event == *event).then_some(Section { is_off: head.is_off, rest })
    })
}

fn rows_in(table: &'static str, event: &EventName) -> Vec<Row> {
    let Some(entry) = find(table, event) else { return Vec::new() };
    entry.rest.lines().take_while(|line| line.starts_with(' ')).filter_map(row).collect()
}

/// `field expression @kernels`; a field without an expression is the argument of that name, a row
/// without kernels is not proven.
fn row(line: &'static str) -> Option<Row> {
    let (text, proven) = line.split_once(PROVEN).unwrap_or((line, ""));
    let text = text.trim();
    let (field, expression) = text.split_once(' ').unwrap_or((text, text));
    let (expression, proven) = (expression.trim(), proven.trim());
    (!field.is_empty()).then_some(Row { field, expression, proven })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_rows_are_found() {
        let table =
            "# text\n\na:b\n    x    y->z  @6.1 7.3\n    len\n    z  @6.1\n\na:bc\n    x    y\n";
        let found = rows_in(table, &EventName::new("a", "b"));
        let shown: Vec<_> =
            found.iter().map(|row| (row.field, row.expression, row.proven)).collect();
        assert_eq!(shown, [("x", "y->z", "6.1 7.3"), ("len", "len", ""), ("z", "z", "6.1")]);
        let is_proven: Vec<_> = found.iter().map(Row::is_proven).collect();
        assert_eq!(is_proven, [true, false, true]);
        assert_eq!(rows_in(table, &EventName::new("a", "bc")).len(), 1);
        assert_eq!(rows_in(table, &EventName::new("a", "c")), []);
    }

    #[test]
    fn an_events_line_says_whether_preemption_is_off() {
        let table = "# x\n\na:b  preemption-off @7.3\n    x    y\n\na:bc\n    x    z\n\n\
                     a:d  preemption-off\n    x\n\na:e  preemption-off @7.3 8.0\n";
        let is_off = |event| find(table, &EventName::new("a", event)).map(|entry| entry.is_off);
        assert_eq!(
            ["b", "bc", "d", "e", "f"].map(is_off),
            [
                Some(true),
                Some(false),
                // Nothing has proven it.
                Some(false),
                Some(true),
                None
            ]
        );
        assert_eq!(rows_in(table, &EventName::new("a", "b"))[0].expression, "y");
        assert_eq!(rows_in(table, &EventName::new("a", "bc"))[0].expression, "z");
        assert_eq!(
            heads(table).map(|head| head.event.name).collect::<Vec<_>>(),
            ["b", "bc", "d", "e"]
        );
    }

    #[test]
    fn proofs_name_kernels_from_the_oldest_on() {
        for (event, rows) in all() {
            for row in rows.iter().filter(|row| row.is_proven()) {
                let number = |text: &str| {
                    text.split_once('.').map(|(major, minor)| {
                        (
                            major.parse::<u32>().expect("a number"),
                            minor.parse::<u32>().expect("one"),
                        )
                    })
                };
                let kernels: Vec<_> =
                    row.proven.split(' ').map(|name| number(name).expect("a kernel")).collect();
                assert!(kernels.is_sorted(), "{event} {}: {}", row.field, row.proven);
            }
        }
    }

    #[test]
    fn the_tables_lines_are_heads_rows_or_comments() {
        let mut heads = Vec::new();
        for line in TABLE.lines() {
            let head = line.split_once(':').filter(|_| !line.starts_with([' ', '#']));
            // A note that says nothing would be a fact that is not used.
            let is_plain = !line.contains(' ') || super::head(line).is_some_and(|it| it.is_off);
            assert!(head.is_none() || is_plain, "{line}");
            heads.extend(head.map(|_| line));
            let is_row = line.starts_with("    ") && row(line).is_some();
            assert!(line.is_empty() || line.starts_with('#') || is_row || head.is_some(), "{line}");
        }
        assert!(heads.is_sorted(), "events are in order");
        assert!(heads.windows(2).all(|pair| pair[0] != pair[1]), "no event is there twice");
    }
}
