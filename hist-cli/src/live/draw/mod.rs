//! Draws a [`State`] into the cells of the screen.

mod columns;
mod rows;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::sheet::{Sheet, rate_text};
use super::state::{MIN_HEIGHT, MIN_WIDTH, Mode, State};
use super::tab::Tab;
use super::text::{Charset, fit, shown, width};
use crate::snapshot::Losses;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours, of the sixteen that every terminal has.
    pub color: bool,
    /// Which characters.
    pub charset: Charset,
}

impl Look {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// What must not be overlooked.
    fn alarm(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn bar(self) -> Style {
        self.fg(Color::Cyan)
    }
}

/// The keys that are needed most, those first that a narrow screen must have.
const KEYS: &str =
    "?:help q:quit p:pause c:clear /:filter r:reverse Arrows:sort,select Enter:details";

/// What stands out.
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is selected.
const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Fills the buffer.
pub fn draw(state: &State, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < MIN_WIDTH || area.height < MIN_HEIGHT {
        return too_small(buffer);
    }
    tabs(state, buffer, look);
    if let Some(tab) = state.tab() {
        put(buffer, 1, &fit(&tab.sheet.trigger, area.width.into(), look.charset), Style::new());
        totals(tab, buffer, look);
        let body = Rect { y: 3, height: area.height - 4, ..area };
        match state.pane() {
            Some(lines) => pane(state, &lines, buffer, body),
            None => rows::draw(tab, look, buffer, body),
        }
    }
    last_line(state, buffer, look);
}

fn too_small(buffer: &mut Buffer) {
    let Rect { width, height, .. } = buffer.area;
    let lines = [
        "terminal too small:".to_owned(),
        format!("{width}x{height}, needs {MIN_WIDTH}x{MIN_HEIGHT}"),
    ];
    for (y, line) in (0..height).zip(&lines) {
        put(buffer, y, line, HEAD);
    }
}

/// Writes a line; what does not fit is cut off.
fn put(buffer: &mut Buffer, y: u16, text: &str, style: Style) {
    let width = buffer.area.width;
    buffer.set_stringn(0, y, text, width.into(), style);
}

/// Writes pieces one after the other.
fn put_all(buffer: &mut Buffer, y: u16, pieces: &[(String, Style)]) {
    let (mut x, end) = (0, buffer.area.width);
    for (text, style) in pieces {
        (x, _) = buffer.set_stringn(x, y, text, usize::from(end - x), *style);
    }
}

/// The names of all triggers, as far as there is place, the current one among them.
fn tabs(state: &State, buffer: &mut Buffer, look: Look) {
    let names: Vec<_> = state.tabs.iter().enumerate().map(|(i, tab)| name(i, tab, look)).collect();
    let title = "hist-bpf ";
    let mut left = usize::from(buffer.area.width) - title.len();
    // From the current one to the left as far as it fits, then to the right.
    let mut first = state.current.min(names.len().saturating_sub(1));
    left = left.saturating_sub(names.get(first).map_or(0, |name| width(name)));
    while first > 0 && width(&names[first - 1]) <= left {
        first -= 1;
        left -= width(&names[first]);
    }
    let mut pieces = vec![(title.to_owned(), HEAD)];
    for (index, name) in names.into_iter().enumerate().skip(first) {
        pieces.push((name, if index == state.current { SELECTED } else { Style::new() }));
    }
    put_all(buffer, 0, &pieces);
}

fn name(index: usize, tab: &Tab, look: Look) -> String {
    let event = shown(tab.sheet.event.as_bytes(), look.charset);
    let paused = if tab.sheet.paused { " (paused)" } else { "" };
    let lost = if tab.sheet.losses.total() > 0 { " !" } else { "" };
    format!(" {} {event}{paused}{lost} ", index + 1)
}

/// What was lost comes first: it must be seen on a narrow screen, too.
fn totals(tab: &Tab, buffer: &mut Buffer, look: Look) {
    let sheet = &tab.sheet;
    let mut pieces = Vec::new();
    if sheet.paused {
        pieces.push(("PAUSED".to_owned(), look.fg(Color::Yellow).add_modifier(Modifier::BOLD)));
        pieces.push(("  ".to_owned(), Style::new()));
    }
    if let Some(text) = lost(sheet.losses) {
        pieces.push((text, look.alarm()));
        pieces.push(("  ".to_owned(), Style::new()));
    }
    pieces.push((sums(tab, sheet), Style::new()));
    put_all(buffer, 2, &pieces);
}

fn sums(tab: &Tab, sheet: &Sheet) -> String {
    let rate = rate_text(sheet.total_rate(tab.measure));
    let label = sheet.measure_label(tab.measure);
    let measured = if label == "hitcount" {
        String::new()
    } else {
        let total = sheet.number(tab.measure).decimal(tab.measure.of(&sheet.total));
        format!("  {label} {total}")
    };
    let entries = match (sheet.rows.len(), tab.shown.len()) {
        (all, shown) if shown < all => format!("{shown} of {all}"),
        (all, _) => all.to_string(),
    };
    format!("Hits {}{measured}  {rate}/s  Entries {entries}", sheet.total.hits)
}

fn lost(losses: Losses) -> Option<String> {
    let Losses { full, busy, missed } = losses;
    let reasons = [(full, "table full"), (busy, "map busy"), (missed, "missed")];
    let reasons = reasons.into_iter().filter(|(count, _)| *count > 0);
    let reasons: Vec<_> = reasons.map(|(count, reason)| format!("{count} {reason}")).collect();
    (losses.total() > 0).then(|| format!("LOST {} ({})", losses.total(), reasons.join(", ")))
}

fn pane(state: &State, lines: &[String], buffer: &mut Buffer, body: Rect) {
    let Mode::Pane { row, top } = &state.mode else { return };
    let title = if row.is_some() { "Details of one row" } else { "Keys" };
    let last = (top + state.page()).min(lines.len());
    put(buffer, body.y, &format!("{title}, lines {} to {last} of {}", top + 1, lines.len()), HEAD);
    for (y, line) in (body.y + 1..body.bottom()).zip(lines.iter().skip(*top)) {
        put(buffer, y, line, Style::new());
    }
}

/// The filter, what has just been done, or the most important keys.
fn last_line(state: &State, buffer: &mut Buffer, look: Look) {
    let y = buffer.area.height - 1;
    let filter = state.tab().map(|tab| shown(tab.filter.as_bytes(), look.charset));
    let filter = filter.unwrap_or_default();
    match (&state.mode, &state.notice) {
        (Mode::Filter, _) => put(buffer, y, &end_of(&format!("/{filter}_"), buffer.area), HEAD),
        (_, Some(notice)) => put(buffer, y, &shown(notice.as_bytes(), look.charset), HEAD),
        (Mode::Pane { .. }, None) => {
            put(buffer, y, "Esc back  Up Down PgUp PgDn  q quit", Style::new());
        }
        (Mode::Table, None) if state.tabs.is_empty() => put(buffer, y, "reading", Style::new()),
        (Mode::Table, None) => {
            let filter = if filter.is_empty() { filter } else { format!("/{filter}  ") };
            put_all(buffer, y, &[(filter, HEAD), (KEYS.to_owned(), Style::new())]);
        }
    }
}

/// As much of the end of a text as fits on a line.
fn end_of(text: &str, area: Rect) -> String {
    let mut rest = text;
    while width(rest) > area.width.into() {
        rest = rest.char_indices().nth(1).map_or("", |(next, _)| &rest[next..]);
    }
    rest.to_owned()
}
