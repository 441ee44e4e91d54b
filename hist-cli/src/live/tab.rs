//! Takes a [`Sheet`], and what the user wants to see of it. Gives which of its rows are shown, in
//! which order, and which one is selected.

use std::cmp::Ordering;

use super::sheet::{Column, Key, Measure, Sheet, SheetRow};

/// A trigger's table as it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Tab {
    /// Its contents; they stay as they are until the next ones come.
    pub sheet: Sheet,
    /// What orders the rows.
    pub sort: Column,
    /// The largest come first.
    pub descending: bool,
    /// What rates and bars are about: the number that was sorted by last.
    pub measure: Measure,
    /// Rows have a key with this text in it.
    pub filter: String,
    /// The rows that pass the filter, in order: indices of [`Sheet::rows`].
    pub shown: Vec<usize>,
    /// Index of `shown`; 0 if that is empty.
    pub selected: usize,
    /// The first row on the screen; index of `shown`.
    pub top: usize,
}

impl Tab {
    /// A tab that shows all of the table, in the order of its trigger.
    #[must_use]
    pub fn new(sheet: Sheet) -> Self {
        let has_hits = sheet.columns.iter().any(|heading| heading.column == Column::Hits);
        let measure = match sheet.sort.0 {
            Column::Value(index) => Measure::Value(index),
            _ if !has_hits && !sheet.values.is_empty() => Measure::Value(0),
            _ => Measure::Hits,
        };
        let (sort, descending) = sheet.sort;
        let (filter, shown) = (String::new(), Vec::new());
        let mut tab = Self { sheet, sort, descending, measure, filter, shown, selected: 0, top: 0 };
        tab.arrange();
        tab
    }

    /// Takes newer contents of the same table.
    pub fn refresh(&mut self, sheet: Sheet) {
        self.sheet = sheet;
        self.arrange();
    }

    /// The selected row, if there is any.
    #[must_use]
    pub fn selected_row(&self) -> Option<&SheetRow> {
        self.shown.get(self.selected).map(|&index| &self.sheet.rows[index])
    }

    /// The rows on a screen that has place for `page` of them.
    pub fn visible(&self, page: usize) -> impl Iterator<Item = &SheetRow> {
        self.shown.iter().skip(self.top).take(page).map(|&index| &self.sheet.rows[index])
    }

    /// Sorts by that column; if it does already, the other way round.
    pub fn sort_by(&mut self, column: Column) {
        if self.sort == column {
            self.descending = !self.descending;
        } else {
            // One looks for the largest number, and for a name from A on.
            self.descending = !matches!(column, Column::Key(_));
        }
        self.sort = column;
        match column {
            Column::Hits => self.measure = Measure::Hits,
            Column::Value(index) => self.measure = Measure::Value(index),
            Column::Key(_) | Column::Rate => {}
        }
        self.arrange();
    }

    /// The column that is `steps` to the right of the one that is sorted by, or to the left.
    #[must_use]
    pub fn neighbour(&self, steps: isize) -> Column {
        let columns = &self.sheet.columns;
        let here = columns.iter().position(|heading| heading.column == self.sort).unwrap_or(0);
        let there = here.saturating_add_signed(steps).min(columns.len() - 1);
        columns[there].column
    }

    /// Shows only rows with that text.
    pub fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// Selects another row, and scrolls a screen of `page` rows there.
    pub fn select(&mut self, row: usize, page: usize) {
        self.selected = row.min(self.shown.len().saturating_sub(1));
        self.scroll(page);
    }

    /// Scrolls a screen of `page` rows so that the selected one is on it, and no line is left
    /// empty while there are rows for it.
    pub fn scroll(&mut self, page: usize) {
        let first = (self.selected + 1).saturating_sub(page);
        let last = self.selected.min(self.shown.len().saturating_sub(page));
        self.top = self.top.min(last).max(first);
    }

    /// Filters and sorts anew.
    pub fn arrange(&mut self) {
        let rows = &self.sheet.rows;
        let needle = Needle::new(&self.filter);
        let mut shown: Vec<_> =
            (0..rows.len()).filter(|&row| rows[row].keys.iter().any(|k| needle.is_in(k))).collect();
        shown.sort_unstable_by(|&a, &b| {
            let order = self.compare(&rows[a], &rows[b]);
            let order = if self.descending { order.reverse() } else { order };
            // Rows that compare equal must not dance.
            order.then_with(|| rows[a].id.cmp(&rows[b].id))
        });
        self.shown = shown;
        self.selected = self.selected.min(self.shown.len().saturating_sub(1));
    }

    fn compare(&self, a: &SheetRow, b: &SheetRow) -> Ordering {
        match self.sort {
            Column::Key(index) => a.keys[index].rank().cmp(&b.keys[index].rank()),
            Column::Hits => a.counts.hits.cmp(&b.counts.hits),
            Column::Value(index) => {
                let rank =
                    |row: &SheetRow| self.rank(Measure::Value(index), row.counts.values[index]);
                rank(a).cmp(&rank(b))
            }
            // All have grown in the same time.
            Column::Rate => {
                let rank = |row: &SheetRow| self.rank(self.measure, self.measure.of(&row.more));
                rank(a).cmp(&rank(b))
            }
        }
    }

    fn rank(&self, measure: Measure, number: u64) -> u64 {
        self.sheet.number(measure).rank(number)
    }
}

/// A text that is looked for: in any case, unless it has a capital letter itself.
struct Needle {
    text: String,
    exact: bool,
}

impl Needle {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), exact: text.chars().any(char::is_uppercase) }
    }

    fn is_in(&self, key: &Key) -> bool {
        if self.exact || self.text.is_empty() {
            key.text.contains(&self.text)
        } else {
            key.text.to_lowercase().contains(&self.text)
        }
    }
}
