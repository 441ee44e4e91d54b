//! Draws the head of a tab's table, and the rows that the screen has place for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::columns::{Columns, Placed, columns};
use super::{HEAD, Look, SELECTED};
use crate::live::sheet::Column;
use crate::live::tab::Tab;
use crate::live::text::{Charset, fit, shown, width};

/// Fills the area.
pub(super) fn draw(tab: &Tab, look: Look, buffer: &mut Buffer, area: Rect) {
    let columns = columns(tab, area.width.into());
    head(tab, &columns, look, buffer, area.y);
    let page = usize::from(area.height) - 1;
    let largest = tab.measure.of(&tab.sheet.largest);
    for (index, (y, row)) in (area.y + 1..area.bottom()).zip(tab.visible(page)).enumerate() {
        let style = if tab.top + index == tab.selected { SELECTED } else { Style::new() };
        buffer.set_style(Rect { y, height: 1, ..area }, style);
        for placed in &columns.placed {
            let text = tab.sheet.cell(row, placed.column, tab.measure);
            cell(buffer, y, placed, &text, (look.charset, style));
        }
        if let Some((x, cells)) = columns.bar {
            let count = tab.sheet.number(tab.measure).magnitude(tab.measure.of(&row.counts));
            let text = bar(count, largest, cells, look.charset);
            buffer.set_stringn(column(x), y, text, cells, style.patch(look.bar()));
        }
    }
    if tab.shown.is_empty() {
        nothing(tab, look, buffer, area);
    }
}

fn head(tab: &Tab, columns: &Columns, look: Look, buffer: &mut Buffer, y: u16) {
    let style = HEAD.add_modifier(Modifier::UNDERLINED);
    buffer.set_style(Rect { y, height: 1, ..buffer.area }, style);
    for placed in &columns.placed {
        let is_sort = placed.column == tab.sort;
        let mark = mark(tab.descending, look.charset);
        let room = placed.width.saturating_sub(if is_sort { 2 } else { 0 });
        let label = fit(&placed.label, room, look.charset);
        let label = if is_sort { format!("{label} {mark}") } else { label };
        cell(buffer, y, placed, &label, (look.charset, style));
    }
    if let Some((x, cells)) = columns.bar {
        let label = match columns.hidden {
            0 => tab.sheet.measure_label(tab.measure).to_owned(),
            n => format!("({n} columns hidden)"),
        };
        buffer.set_stringn(column(x), y, fit(&label, cells, look.charset), cells, style);
    }
}

const fn mark(descending: bool, charset: Charset) -> char {
    match (descending, charset) {
        (true, Charset::Utf8) => '▼',
        (false, Charset::Utf8) => '▲',
        (true, Charset::Ascii) => 'v',
        (false, Charset::Ascii) => '^',
    }
}

/// Keys begin, numbers end at the side of their column.
fn cell(
    buffer: &mut Buffer,
    y: u16,
    placed: &Placed,
    text: &str,
    (charset, style): (Charset, Style),
) {
    let text = fit(text, placed.width, charset);
    let shift = match placed.column {
        Column::Key(_) => 0,
        _ => placed.width - width(&text),
    };
    buffer.set_stringn(column(placed.x + shift), y, text, placed.width, style);
}

/// A place on a screen, which has at most 65535 columns.
fn column(x: usize) -> u16 {
    u16::try_from(x).unwrap_or(u16::MAX)
}

/// A bar of at most `cells`, as long as `count` is of `largest`.
#[allow(clippy::cast_possible_truncation, reason = "at most 8 * cells")]
fn bar(count: u64, largest: u64, cells: usize, charset: Charset) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if largest == 0 {
        return String::new();
    }
    let eighths = (u128::from(count) * 8 * cells as u128 / u128::from(largest)) as usize;
    match charset {
        Charset::Utf8 => "█".repeat(eighths / 8) + EIGHTHS[eighths % 8],
        Charset::Ascii => "#".repeat(eighths / 8),
    }
}

fn nothing(tab: &Tab, look: Look, buffer: &mut Buffer, area: Rect) {
    let text = match tab.sheet.rows.len() {
        0 => "nothing counted yet".to_owned(),
        n => format!("none of {n} rows has `{}` in a key; Esc shows all", shown_filter(tab, look)),
    };
    buffer.set_stringn(0, area.y + 1, text, area.width.into(), Style::new());
}

fn shown_filter(tab: &Tab, look: Look) -> String {
    fit(&shown(tab.filter.as_bytes(), look.charset), 20, look.charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_eighths_where_they_can() {
        assert_eq!(bar(5, 10, 10, Charset::Utf8), "█████");
        assert_eq!(bar(1, 16, 2, Charset::Utf8), "▏");
        assert_eq!(bar(5, 10, 10, Charset::Ascii), "#####");
        assert_eq!(bar(u64::MAX, u64::MAX, 3, Charset::Utf8), "███");
        assert_eq!(bar(0, 0, 3, Charset::Utf8), "");
    }
}
