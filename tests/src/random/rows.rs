//! Compares two texts of one histogram without some of its columns.

use std::collections::BTreeMap;

use hist_cli::modifier::{Share, Show};
use hist_cli::resolve::hist::Hist;
use hist_test_support::table::Table;

/// Columns that may differ: one for each key, one for each value besides the hitcount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    pub(super) keys: Vec<bool>,
    pub(super) values: Vec<bool>,
}

impl Mask {
    /// No column may differ.
    pub(super) fn is_empty(&self) -> bool {
        !self.keys.contains(&true) && !self.values.contains(&true)
    }

    /// What either lets differ.
    pub(super) fn or(&self, other: &Self) -> Self {
        let either = |left: &[bool], right: &[bool]| {
            left.iter().zip(right).map(|(left, right)| left | right).collect()
        };
        Self { keys: either(&self.keys, &other.keys), values: either(&self.values, &other.values) }
    }
}

/// What entries of the same visible keys have together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Together {
    entries: usize,
    /// Sums, the hitcount first if it is shown.
    sums: Vec<u64>,
    /// What cannot be added: parts and bars.
    parts: Vec<String>,
}

/// A histogram without the columns that may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Visible {
    rows: BTreeMap<Vec<String>, Together>,
    hits: u64,
    dropped: u64,
}

/// The two texts are the same but for columns of `mask`. Entries whose keys differ there alone are
/// added up. If the table was too small for one of them, which entries found room depends on those
/// columns: then as many events must have come.
pub(super) fn same_but_for(mask: &Mask, kernel: &str, ours: &str, hist: &Hist) -> bool {
    let (Some(kernel), Some(ours)) = (visible(kernel, hist, mask), visible(ours, hist, mask))
    else {
        return false;
    };
    let masks_keys = mask.keys.contains(&true);
    if masks_keys && kernel.dropped + ours.dropped > 0 {
        return kernel.hits + kernel.dropped == ours.hits + ours.dropped;
    }
    let without_number = |rows: BTreeMap<Vec<String>, Together>| {
        let one = |(key, row)| (key, Together { entries: 0, ..row });
        rows.into_iter().map(one).collect::<BTreeMap<_, _>>()
    };
    kernel.hits == ours.hits
        && kernel.dropped == ours.dropped
        && match masks_keys {
            true => without_number(kernel.rows) == without_number(ours.rows),
            false => kernel.rows == ours.rows,
        }
}

/// The kernel has entries whose keys read the same, and ours has one for them with their sums.
pub(super) fn same_once_joined(kernel: &str, ours: &str, hist: &Hist) -> bool {
    let mask = Mask { keys: vec![false; hist.keys.len()], values: vec![false; hist.values.len()] };
    let (Some(kernel), Some(ours)) = (visible(kernel, hist, &mask), visible(ours, hist, &mask))
    else {
        return false;
    };
    let sums = |rows: &BTreeMap<Vec<String>, Together>| {
        rows.iter().map(|(key, row)| (key.clone(), row.sums.clone())).collect::<Vec<_>>()
    };
    let repeats = |visible: &Visible| visible.rows.values().any(|row| row.entries > 1);
    repeats(&kernel)
        && !repeats(&ours)
        && kernel.hits == ours.hits
        && sums(&kernel.rows) == sums(&ours.rows)
}

fn visible(text: &str, hist: &Hist, mask: &Mask) -> Option<Visible> {
    let Table { entries, hits, dropped, .. } = Table::parse(text).ok()?;
    let mut visible = Visible { hits, dropped, rows: BTreeMap::new() };
    for entry in entries {
        let keys = keys_of(&entry.keys, hist)?;
        let keys = keys.iter().zip(&mask.keys).filter(|(_, is_masked)| !**is_masked);
        let keys = keys.map(|(key, _)| unnamed(key.trim()).to_owned()).collect();
        let (sums, parts) = values_of(&entry.values, hist, mask)?;
        let row = visible.rows.entry(keys).or_default();
        row.entries += 1;
        row.sums.resize(sums.len(), 0);
        row.sums.iter_mut().zip(&sums).for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
        // Where entries are put together, parts are no longer theirs.
        row.parts = if mask.keys.contains(&true) { Vec::new() } else { parts };
    }
    Some(visible)
}

/// What stands behind each key's name.
fn keys_of<'a>(text: &'a str, hist: &Hist) -> Option<Vec<&'a str>> {
    let mut rest = text;
    let mut keys = Vec::new();
    for (index, key) in hist.keys.iter().enumerate() {
        rest = rest.strip_prefix(&key.label)?.strip_prefix(':')?;
        let next = hist.keys.get(index + 1).map(|key| format!(", {}:", key.label));
        let end = match next {
            Some(next) => rest.find(&next)?,
            None => rest.len(),
        };
        keys.push(&rest[..end]);
        rest = rest.get(end + 2..).unwrap_or("");
    }
    Some(keys)
}

/// The sums and the parts of the values that may not differ.
fn values_of(text: &str, hist: &Hist, mask: &Mask) -> Option<(Vec<u64>, Vec<String>)> {
    let hitcount = (!hist.nohitcount).then(|| (" hitcount:".to_owned(), Some(Show::DECIMAL)));
    let shown = hist.values.iter().zip(&mask.values).filter(|(value, _)| !value.hidden);
    let shown = shown.map(|(value, is_masked)| {
        let is_percent = value.show() == Show::Share(Share::Percent);
        let percent = if is_percent { " (%)" } else { "" };
        (format!(" {}{percent}:", value.label), (!is_masked).then(|| value.show()))
    });
    let columns: Vec<_> = hitcount.into_iter().chain(shown).collect();
    let (mut sums, mut parts, mut rest) = (Vec::new(), Vec::new(), text);
    for (index, (name, show)) in columns.iter().enumerate() {
        rest = &rest[rest.find(name)? + name.len()..];
        let next = columns.get(index + 1).and_then(|(next, _)| rest.find(next));
        let value = rest[..next.unwrap_or(rest.len())].trim();
        match show {
            None => {}
            Some(Show::Digits(digits)) => {
                sums.push(u64::from_str_radix(value, digits.radix()).ok()?)
            }
            Some(_) => parts.push(value.to_owned()),
        }
    }
    Some((sums, parts))
}

/// `worker-1 [ 365]` without the name, which is that of the event that made the entry.
fn unnamed(part: &str) -> &str {
    part.rfind('[').filter(|_| part.ends_with(']')).map_or(part, |start| &part[start..])
}

#[cfg(test)]
mod tests {
    use super::super::deviations::tests::hist;
    use super::*;

    fn text(entries: &[&str], hits: u64) -> String {
        let body: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        format!(
            "# event histogram\n#\n# trigger info: x\n#\n\n{body}\nTotals:\n    Hits: {hits}\n    \
             Entries: {}\n    Dropped: 0\n",
            entries.len()
        )
    }

    #[test]
    fn all_other_columns_must_agree() {
        let hist = hist("hist:keys=prev_pid,common_timestamp:vals=next_prio,next_pid.hex");
        let mask = Mask { keys: vec![false, true], values: vec![false, false] };
        let row = |pid: u32, time: u32, hits: u32, prio: u32| {
            format!(
                "{{ prev_pid: {pid:10}, common_timestamp: {time:10} }} hitcount: {hits:10}  \
                 next_prio: {prio:10}  next_pid: {:>10}",
                format!("{prio:x}")
            )
        };
        let kernel = text(&[&row(1, 5, 1, 10), &row(1, 6, 1, 20), &row(2, 7, 1, 30)], 3);
        let same = |rows: &[&str], hits| same_but_for(&mask, &kernel, &text(rows, hits), &hist);
        assert!(same(&[&row(2, 70, 1, 30), &row(1, 50, 2, 30)], 3));
        assert!(!same(&[&row(2, 70, 1, 30), &row(1, 50, 2, 31)], 3), "another sum");
        assert!(!same(&[&row(2, 70, 2, 30), &row(1, 50, 1, 30)], 3), "other hits");
        assert!(!same(&[&row(3, 70, 1, 30), &row(1, 50, 2, 30)], 3), "another key");
        assert!(!same(&[&row(1, 50, 2, 30)], 2), "an entry less");
    }

    #[test]
    fn stacks_and_names_of_tasks_are_parts_of_keys() {
        let hist = hist("hist:keys=common_stacktrace,common_pid.execname:vals=next_prio.percent");
        let entry = |name: &str, part: &str| {
            format!(
                "{{ common_stacktrace:\n         a+1/2\n         b+3/4\n, common_pid: {name:<16}[\
                 {:10}]}} hitcount: {:10}  next_prio (%): {part}",
                7, 3
            )
        };
        let kernel = text(&[&entry("a", "100.00")], 3);
        let mask = Mask { keys: vec![true, false], values: vec![false] };
        let same =
            |mask: &Mask, entry: &str| same_but_for(mask, &kernel, &text(&[entry], 3), &hist);
        assert!(same(&mask, &entry("b", "100.00").replace("a+1", "c+1")));
        let none = Mask { keys: vec![false, false], values: vec![false] };
        assert!(same(&none, &entry("b", "100.00")));
        assert!(!same(&none, &entry("a", "99.00")), "another part");
        assert!(!same(&none, &entry("a", "100.00").replace("a+1", "c+1")), "another stack");
    }
}
