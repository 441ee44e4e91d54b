//! Takes a row, or nothing. Gives the lines of what lies over the table: a row's details, the help.

use super::sheet::{Column, SheetRow, rate_text};
use super::tab::Tab;

/// What the keys do.
pub(super) const HELP: &[&str] = &[
    "Left Right      sort by the column beside; 1 to 9: by that column",
    "r               sort the other way round",
    "Up Down j k     select a row; PgUp PgDn Home End: further",
    "Enter           all of the selected row, stacks frame by frame",
    "/               show only rows with a key like the text that follows;",
    "                Enter keeps it, Esc drops it; capitals match themselves",
    "Tab Shift-Tab   the next trigger, the one before",
    "p               stop counting for this trigger, or go on",
    "c               forget what this trigger has counted",
    "Ctrl-Z          back to the shell; `fg` returns",
    "Ctrl-L          draw the screen anew",
    "?               this; Esc leaves",
    "q Ctrl-C        end, and print the tables",
    "",
    "Rates are per second, since the table before. They and the bars are about",
    "the number that was sorted by last. LOST: hits that are in no table.",
    "A table that takes long to read is read less often than -i says.",
];

/// Everything about a row.
pub(super) fn details(tab: &Tab, row: &SheetRow) -> Vec<String> {
    let mut lines = Vec::new();
    for heading in &tab.sheet.columns {
        let text = tab.sheet.cell(row, heading.column, tab.measure);
        match heading.column {
            Column::Key(index) => key_lines(&mut lines, &heading.label, row, index),
            Column::Hits | Column::Value(_) => lines.push(format!("{}: {text}", heading.label)),
            Column::Rate => {
                let (label, rate) = (tab.sheet.measure_label(tab.measure), rate(tab, row));
                lines.push(format!("{label}/s: {rate}"));
            }
        }
    }
    lines
}

fn rate(tab: &Tab, row: &SheetRow) -> String {
    rate_text(tab.sheet.rate(row, tab.measure))
}

fn key_lines(lines: &mut Vec<String>, label: &str, row: &SheetRow, index: usize) {
    let key = &row.keys[index];
    match &key.lines[..] {
        [] => lines.push(format!("{label}: {}", key.text)),
        [line] => lines.push(format!("{label}: {line}")),
        frames => {
            lines.push(format!("{label}:"));
            lines.extend(frames.iter().map(|frame| format!("  {frame}")));
        }
    }
}
