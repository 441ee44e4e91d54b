//! The [`State`] of the live view, how new tables, keys and sizes change it, and which keys ask for
//! more than it can do itself.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::pane;
use super::sheet::Sheet;
use super::tab::Tab;
use super::text::wrap;
use crate::snapshot::KeyBytes;

/// Below that many columns nothing is shown but that there are too few.
pub(super) const MIN_WIDTH: u16 = 40;
/// The same for lines.
pub(super) const MIN_HEIGHT: u16 = 8;
/// Lines that are not rows: triggers, trigger, totals, head, keys.
pub(super) const FRAME: u16 = 5;

/// All that the screen shows.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// One for each trigger; none until the first tables come.
    pub tabs: Vec<Tab>,
    /// The one that is shown.
    pub current: usize,
    /// What keys are for.
    pub mode: Mode,
    /// What has just been done, until the next key.
    pub notice: Option<String>,
    /// Columns and lines of the screen.
    pub size: (u16, u16),
}

/// What keys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The table.
    Table,
    /// The text of the filter, which is being typed.
    Filter,
    /// What lies over the table.
    Pane {
        /// The raw key of the row whose details it has; none for the help.
        row: Option<KeyBytes>,
        /// Its first line on the screen.
        top: usize,
    },
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The end.
    Quit,
    /// That the current trigger counts no more, or again.
    Pause(bool),
    /// That the current trigger's table be empty.
    Clear,
    /// The shell.
    Suspend,
    /// A screen that shows nothing that others have written there.
    Redraw,
}

impl Default for State {
    /// What there is before the first table.
    fn default() -> Self {
        let (tabs, notice) = (Vec::new(), None);
        Self { tabs, current: 0, mode: Mode::Table, notice, size: (0, 0) }
    }
}

impl State {
    /// The tab that is shown.
    #[must_use]
    pub fn tab(&self) -> Option<&Tab> {
        self.tabs.get(self.current)
    }

    /// Rows that the screen has place for.
    #[must_use]
    pub fn page(&self) -> usize {
        self.size.1.saturating_sub(FRAME).max(1).into()
    }

    /// The screen is too small to show anything.
    #[must_use]
    pub const fn is_too_small(&self) -> bool {
        self.size.0 < MIN_WIDTH || self.size.1 < MIN_HEIGHT
    }

    /// The lines of what lies over the table.
    #[must_use]
    pub fn pane(&self) -> Option<Vec<String>> {
        let Mode::Pane { row, .. } = &self.mode else { return None };
        let lines = match row {
            None => pane::HELP.iter().map(|&line| line.to_owned()).collect(),
            Some(id) => {
                let tab = self.tab()?;
                let lines = tab.sheet.row(id).map(|row| pane::details(tab, row));
                lines.unwrap_or_else(|| vec!["This row has been cleared.".to_owned()])
            }
        };
        let width = self.size.0.max(MIN_WIDTH).into();
        Some(lines.iter().flat_map(|line| wrap(line, width)).collect())
    }

    /// Takes newer sheets, one for each trigger.
    pub fn refresh(&mut self, sheets: Vec<Sheet>) {
        let mut tabs = std::mem::take(&mut self.tabs).into_iter();
        self.tabs = sheets
            .into_iter()
            .map(|sheet| match tabs.next() {
                Some(mut tab) => {
                    tab.refresh(sheet);
                    tab
                }
                None => Tab::new(sheet),
            })
            .collect();
        self.current = self.current.min(self.tabs.len().saturating_sub(1));
        self.settle();
    }

    /// Takes the size of the screen.
    pub fn resize(&mut self, size: (u16, u16)) {
        if self.size != size {
            self.size = size;
            self.settle();
        }
    }

    /// Does what a key means.
    pub fn press(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.notice = None;
        let action = if key.modifiers.contains(KeyModifiers::CONTROL) {
            control(key.code)
        } else {
            match self.mode {
                Mode::Table => self.press_table(key.code),
                Mode::Filter => {
                    self.press_filter(key.code);
                    None
                }
                Mode::Pane { .. } => self.press_pane(key.code),
            }
        };
        self.settle();
        action
    }

    /// Keeps what is on the screen within what there is.
    fn settle(&mut self) {
        let page = self.page();
        if let Some(tab) = self.tabs.get_mut(self.current) {
            tab.scroll(page);
        }
        let n_lines = self.pane().map_or(0, |lines| lines.len());
        if let Mode::Pane { top, .. } = &mut self.mode {
            *top = (*top).min(n_lines.saturating_sub(page));
        }
    }

    fn press_table(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
                self.mode = Mode::Pane { row: None, top: 0 };
            }
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(-1),
            KeyCode::Char('/') if !self.tabs.is_empty() => self.mode = Mode::Filter,
            KeyCode::Char('p') => return Some(Action::Pause(!self.tab()?.sheet.paused)),
            KeyCode::Char('c') => return self.tab().map(|_| Action::Clear),
            KeyCode::Enter => self.open_details(),
            code => self.press_rows(code),
        }
        None
    }

    /// The keys that sort and select.
    fn press_rows(&mut self, code: KeyCode) {
        let page = self.page();
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        match code {
            KeyCode::Left | KeyCode::Right => {
                let column = tab.neighbour(if code == KeyCode::Left { -1 } else { 1 });
                if column != tab.sort {
                    tab.sort_by(column);
                }
            }
            KeyCode::Char(digit @ '1'..='9') => {
                let index = usize::from(digit as u8 - b'1');
                if let Some(column) = tab.sheet.columns.get(index).map(|heading| heading.column) {
                    tab.sort_by(column);
                }
            }
            KeyCode::Char('r') => tab.sort_by(tab.sort),
            KeyCode::Esc => tab.set_filter(String::new()),
            code => {
                let last = tab.shown.len().saturating_sub(1);
                tab.select(moved(code, tab.selected, page, last), page);
            }
        }
    }

    fn press_filter(&mut self, code: KeyCode) {
        let Some(tab) = self.tabs.get_mut(self.current) else { return };
        let mut filter = tab.filter.clone();
        match code {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                filter.clear();
                self.mode = Mode::Table;
            }
            KeyCode::Backspace => drop(filter.pop()),
            KeyCode::Char(c) => filter.push(c),
            _ => {}
        }
        if filter != tab.filter {
            tab.set_filter(filter);
        }
    }

    fn press_pane(&mut self, code: KeyCode) -> Option<Action> {
        let (page, n_lines) = (self.page(), self.pane().map_or(0, |lines| lines.len()));
        match (code, &mut self.mode) {
            (KeyCode::Char('q'), _) => return Some(Action::Quit),
            (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'h'), mode) => *mode = Mode::Table,
            (code, Mode::Pane { top, .. }) => {
                *top = moved(code, *top, page, n_lines.saturating_sub(page));
            }
            _ => {}
        }
        None
    }

    /// Shows a tab beside the current one; the last is beside the first.
    fn turn(&mut self, steps: isize) {
        let n_tabs = self.tabs.len().max(1);
        self.current = (self.current + n_tabs).saturating_add_signed(steps) % n_tabs;
    }

    fn open_details(&mut self) {
        if let Some(row) = self.tab().and_then(Tab::selected_row) {
            self.mode = Mode::Pane { row: Some(row.id.clone()), top: 0 };
        }
    }
}

/// What keys ask for together with Ctrl, whatever the mode.
fn control(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Char('c') => Some(Action::Quit),
        KeyCode::Char('z') => Some(Action::Suspend),
        KeyCode::Char('l') => Some(Action::Redraw),
        _ => None,
    }
}

/// Where a key moves to from a place, at most to `last`.
fn moved(code: KeyCode, from: usize, page: usize, last: usize) -> usize {
    let to = match code {
        KeyCode::Up | KeyCode::Char('k') => from.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => from + 1,
        KeyCode::PageUp => from.saturating_sub(page),
        KeyCode::PageDown => from + page,
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => from,
    };
    to.min(last)
}
