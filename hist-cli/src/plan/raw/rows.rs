//! Takes an event's name. Gives its rows of the table of copies, `arguments.txt`.
//!
//! The table is found by searching, so that nothing but the event's own rows is ever looked at.

use memchr::memmem;

/// The table: events, each followed by its fields, indented, and what they are copies of.
const TABLE: &str = include_str!("arguments.txt");

/// What a field is known to be a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The field's name.
    pub field: &'static str,
    /// An expression over the tracepoint's arguments.
    pub expression: &'static str,
}

/// The event's rows; none if the table does not have it. A field may have several: the first that
/// the kernel's types agree with counts.
#[must_use]
pub fn rows(system: &str, event: &str) -> Vec<Row> {
    rows_in(TABLE, system, event)
}

/// Every event in the table, with its rows.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str, Vec<Row>)> {
    let heads = TABLE.lines().filter_map(|line| {
        let is_head = line.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        is_head.then(|| line.split_once(':')).flatten()
    });
    heads.map(|(system, event)| (system, event, rows(system, event)))
}

fn rows_in(table: &'static str, system: &str, event: &str) -> Vec<Row> {
    let head = format!("\n{system}:{event}\n");
    let Some(start) = memmem::find(table.as_bytes(), head.as_bytes()) else { return Vec::new() };
    let lines = table[start + head.len()..].lines();
    lines.take_while(|line| line.starts_with(' ')).filter_map(row).collect()
}

/// `field expression`, or `field` alone for the argument of that name.
fn row(line: &'static str) -> Option<Row> {
    let line = line.trim();
    let (field, expression) = line.split_once(' ').unwrap_or((line, line));
    (!field.is_empty()).then(|| Row { field, expression: expression.trim() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_rows_are_found() {
        let table = "# text\n\na:b\n    x    y->z\n    len\n\na:bc\n    x    y\n";
        let found = rows_in(table, "a", "b");
        let shown: Vec<_> = found.iter().map(|row| (row.field, row.expression)).collect();
        assert_eq!(shown, [("x", "y->z"), ("len", "len")]);
        assert_eq!(rows_in(table, "a", "bc").len(), 1);
        assert_eq!(rows_in(table, "a", "c"), []);
    }

    #[test]
    fn the_tables_lines_are_heads_rows_or_comments() {
        let mut heads = Vec::new();
        for line in TABLE.lines() {
            let head = line.split_once(':').filter(|_| !line.starts_with([' ', '#']));
            heads.extend(head.map(|_| line));
            let is_row = line.starts_with("    ") && row(line).is_some();
            assert!(line.is_empty() || line.starts_with('#') || is_row || head.is_some(), "{line}");
        }
        assert!(heads.is_sorted(), "events are in order");
        assert!(heads.windows(2).all(|pair| pair[0] != pair[1]), "no event is there twice");
    }
}
