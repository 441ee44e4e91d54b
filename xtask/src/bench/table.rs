//! Lays out rows of cells as text in columns.

use std::fmt;

/// Figures of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// What they are, and where they were measured.
    pub title: String,
    /// The columns' names; the first one is that of the rows' names.
    pub header: Vec<&'static str>,
    /// As many cells as the header has, or fewer.
    pub rows: Vec<Vec<String>>,
}

/// The first column is a name and the last one a remark, so both stand left; figures stand right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let header = self.header.iter().map(|name| (*name).to_owned()).collect();
        let widths: Vec<usize> = (0..self.header.len()).map(|idx| self.width(idx)).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            writeln!(f, "{}", line(row, &widths).trim_end())?;
        }
        Ok(())
    }
}

impl Table {
    /// That of the widest cell, in characters. A row of two cells is a name and a remark, which
    /// may go on over the other columns.
    fn width(&self, idx: usize) -> usize {
        let cells = self.rows.iter().filter(|row| idx == 0 || row.len() > 2);
        let cells = cells.filter_map(|row| row.get(idx)).map(|cell| cell.chars().count());
        cells.chain([self.header[idx].len()]).max().unwrap_or(0)
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::from(" ");
    for (idx, (cell, &width)) in row.iter().zip(widths).enumerate() {
        line += &match idx {
            0 => format!(" {cell:width$}"),
            _ if idx + 1 == row.len() => format!("  {cell}"),
            _ => format!("  {cell:>width$}"),
        };
    }
    line
}

/// All tables, an empty line between two.
pub(super) fn blocks(tables: &[Table]) -> String {
    let texts: Vec<_> = tables.iter().map(Table::to_string).collect();
    texts.join("\n")
}

/// A limit and whether it is met.
pub(super) fn verdict(figure: f64, limit: Option<f64>) -> &'static str {
    match limit {
        Some(limit) if figure <= limit => "ok",
        Some(_) => "OVER THE LIMIT",
        None => "",
    }
}

/// What stands where there is no figure.
pub(super) const NONE: &str = "-";

/// With `digits` behind the point.
pub(super) fn cell(figure: Option<f64>, digits: usize) -> String {
    figure.map_or(NONE.to_owned(), |figure| format!("{figure:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_figures_right() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let table = Table {
            title: "Times".to_owned(),
            header: vec!["what", "ms", "verdict"],
            rows: vec![row(&["start", "12.5", "ok"]), row(&["all", "skipped: not root"])],
        };
        assert_eq!(
            table.to_string(),
            "Times\n  what     ms  verdict\n  start  12.5  ok\n  all    skipped: not root\n"
        );
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict(0.6, Some(0.6)), "ok");
        assert_eq!(verdict(0.61, Some(0.6)), "OVER THE LIMIT");
        assert_eq!(verdict(0.61, None), "");
    }
}
