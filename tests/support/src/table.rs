//! Reads histograms back from their text: from ftrace's `hist` files and from what `hist-bpf` prints
//! with `-f ftrace`, which is the same.

use anyhow::{Context as _, Result, ensure};

/// How each histogram begins.
const HEADER: &str = "# event histogram\n";

/// What a histogram says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The trigger with all that the kernel adds, then its state.
    pub trigger: String,
    /// In their order.
    pub entries: Vec<Entry>,
    /// Events.
    pub hits: u64,
    /// How many entries there are, by the text itself.
    pub n_entries: u64,
    /// Events that found no room.
    pub dropped: u64,
}

/// One entry, `{ pid:          7 } hitcount:          2  len:         10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `pid:          7`. A stack has a line for each frame.
    pub keys: String,
    /// ` hitcount:          2  len:         10`
    pub values: String,
}

impl Entry {
    /// What stands after a key's name, up to the next key. Not for texts that have a comma in them.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys
            .split(", ")
            .find_map(|part| Some(part.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// What stands after a value's name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.values.split_once(&format!(" {name}:"))?;
        rest.split_whitespace().next()
    }

    /// How often it was hit.
    ///
    /// # Errors
    /// If that is not shown, or is no number.
    pub fn hitcount(&self) -> Result<u64> {
        let text = self.value("hitcount").with_context(|| format!("no hitcount in {self:?}"))?;
        text.parse().with_context(|| format!("a hitcount of `{text}`"))
    }
}

impl Table {
    /// Reads the text of one.
    ///
    /// # Errors
    /// If it has not the kernel's form.
    pub fn parse(text: &str) -> Result<Self> {
        let read = || {
            let rest = text.strip_prefix(HEADER).context("no header")?;
            let rest = rest.strip_prefix("#\n# trigger info: ").context("no trigger line")?;
            let (trigger, rest) = rest.split_once("\n#\n\n").context("no end of the header")?;
            let (body, totals) = rest.split_once("\nTotals:\n").context("no totals")?;
            let mut totals = totals.lines();
            let mut total = |name: &str| {
                let line = totals.next().with_context(|| format!("no {name}"))?;
                number(line, name).with_context(|| format!("`{line}` for {name}"))
            };
            let (hits, n_entries, dropped) = (total("Hits")?, total("Entries")?, total("Dropped")?);
            ensure!(totals.all(str::is_empty), "more after the totals");
            let entries = entries(body)?;
            Ok(Self { trigger: trigger.to_owned(), entries, hits, n_entries, dropped })
        };
        let table: Result<Self> = read();
        table.with_context(|| text.to_owned())
    }

    /// Fails if the totals are not those of the entries.
    ///
    /// # Errors
    /// If so.
    pub fn check_sums(&self) -> Result<()> {
        let hits = self.entries.iter().map(Entry::hitcount).sum::<Result<u64>>()?;
        ensure!(self.n_entries == self.entries.len() as u64, "{} entries", self.entries.len());
        ensure!(self.hits == hits, "{hits} hits in entries of {}", self.hits);
        Ok(())
    }
}

/// Each entry ends in the line that has its values.
fn entries(body: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut keys: Option<String> = None;
    for line in body.lines() {
        let keys_so_far = match keys.take() {
            Some(keys) => keys + "\n" + line,
            None => {
                line.strip_prefix("{ ").with_context(|| format!("no entry: `{line}`"))?.to_owned()
            }
        };
        match keys_so_far.rsplit_once('}') {
            Some((keys, values)) if is_values(values) => {
                let (keys, values) = (keys.trim_end().to_owned(), values.to_owned());
                entries.push(Entry { keys, values });
            }
            _ => keys = Some(keys_so_far),
        }
    }
    ensure!(keys.is_none(), "an entry without an end: {keys:?}");
    Ok(entries)
}

/// Keys may have braces, too: names of tasks may have anything. With `nohitcount` there may be no
/// value.
fn is_values(text: &str) -> bool {
    text.is_empty() || text.starts_with(' ') && text.contains(':')
}

/// The histograms in a text, one after the other, without the empty lines between them.
#[must_use]
pub fn blocks(text: &str) -> Vec<String> {
    let bodies = text.split(HEADER).skip(1);
    bodies.map(|body| format!("{HEADER}{}\n", body.trim_end_matches('\n'))).collect()
}

/// All of them, read.
///
/// # Errors
/// If one has not the kernel's form.
pub fn tables(text: &str) -> Result<Vec<Table>> {
    blocks(text).iter().map(|block| Table::parse(block)).collect()
}

/// The number called `Hits`, `Entries` or `Dropped` of every histogram in a text.
#[must_use]
pub fn totals(text: &str, name: &str) -> Vec<u64> {
    text.lines().filter_map(|line| number(line, name)).collect()
}

/// That number of the last one.
///
/// # Errors
/// If there is none.
pub fn total(text: &str, name: &str) -> Result<u64> {
    let number = text.lines().rev().find_map(|line| number(line, name));
    number.with_context(|| format!("no `{name}:` with a number in\n{text}"))
}

/// `    Hits: 12`
fn number(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix("    ")?.strip_prefix(name)?.strip_prefix(": ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entries: &str, hits: u64, n_entries: u64) -> String {
        format!(
            "# event histogram\n#\n# trigger info: hist:keys=a [active]\n#\n\n{entries}\nTotals:\n    \
             Hits: {hits}\n    Entries: {n_entries}\n    Dropped: 4\n"
        )
    }

    #[test]
    fn entries_have_keys_and_values() {
        let entries = "{ pid:          7, id: sys_read                      [  0] } hitcount:          2  n:         10\n\
                       { pid:          8, id: sys_write                     [  1] } hitcount:          3  n:          0\n";
        let table = Table::parse(&text(entries, 5, 2)).unwrap();
        assert_eq!((table.hits, table.n_entries, table.dropped), (5, 2, 4));
        assert_eq!(table.trigger, "hist:keys=a [active]");
        assert_eq!(table.entries[0].key("pid"), Some("7"));
        assert_eq!(table.entries[1].key("id"), Some("sys_write                     [  1]"));
        assert_eq!((table.entries[0].value("n"), table.entries[0].value("m")), (Some("10"), None));
        assert_eq!(table.entries[1].hitcount().unwrap(), 3);
        table.check_sums().unwrap();
        assert!(Table::parse(&text(entries, 6, 2)).unwrap().check_sums().is_err());
        assert!(Table::parse(&text(entries, 5, 3)).unwrap().check_sums().is_err());
    }

    #[test]
    fn a_stack_has_lines_and_a_text_may_have_braces() {
        let entries = "{ common_stacktrace:\n         a+1/2\n         b+3/4\n, comm: } x{ } hitcount:          1\n\
                       { common_stacktrace:\n} hitcount:          9\n";
        let table = Table::parse(&text(entries, 10, 2)).unwrap();
        let keys = "common_stacktrace:\n         a+1/2\n         b+3/4\n, comm: } x{";
        assert_eq!(table.entries[0].keys, keys);
        assert_eq!(table.entries[1].keys, "common_stacktrace:");
        table.check_sums().unwrap();
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = text("{ pid:          7 } hitcount:          2\n", 2, 1);
        for end in 0..whole.len() - 1 {
            assert!(Table::parse(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        Table::parse(&text("", 0, 0)).unwrap();
        assert!(Table::parse(&text("nonsense\n", 0, 0)).is_err());
        assert!(Table::parse(&(whole + "more\n")).is_err());
    }

    #[test]
    fn blocks_are_separated() {
        let (one, two) = (text("", 1, 2), text("", 3, 4).replace("keys=a", "keys=b"));
        let both = format!("{one}\n\n{two}");
        assert_eq!(blocks(&both), [one.clone(), two]);
        assert!(blocks("").is_empty());
        assert_eq!(totals(&both, "Hits"), [1, 3]);
        assert_eq!(tables(&both).unwrap().len(), 2);
        assert_eq!((total(&both, "Hits").unwrap(), total(&one, "Entries").unwrap()), (3, 2));
        assert!(total(&both, "Missed").is_err());
    }
}
