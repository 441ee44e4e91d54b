//! Finds out in machines with other kernels where these could have been preempted when events
//! occurred, which is what the marks `preemption-off` in `arguments.txt` rest on.
//!
//! An event is proven on a kernel by at least 1,000 hits, each with preemption off. That is no proof of
//! call sites that have not been reached: a mark also states a fact about the kernel's source, so a
//! person writes it, and `--record` writes only behind it which kernel has proven it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::arguments::{TABLE, version_of, with};
use crate::cargo::workspace;
use crate::guest::Guest;
use crate::vm::{EventArgs, MachineArgs, machines, tagged_lines};

/// Hits that prove an event.
const PROOF: u64 = 1000;

/// What stands behind an event that the kernel never causes where it can be preempted.
const MARK: &str = "preemption-off";

/// Which kernels and events, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    events: EventArgs,
    /// Write behind the marks in the table which kernel has proven them
    #[arg(long)]
    record: bool,
    /// How long events happen, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// Runs `cargo xtask vm preemption`.
///
/// # Errors
/// When a machine fails, or a marked event had preemption on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let path = workspace().join(TABLE);
    let mut words = vec!["preemption".to_owned(), format!("--seconds={}", args.seconds)];
    words.push("--disk".to_owned());
    words.extend(args.events.words());
    let mut wrong = Vec::new();
    for bootable in machines(&args.machine, Guest::Tests, &words)? {
        let kernel = || bootable.kernel.name.clone();
        let outcome = bootable.boot_with_disk().with_context(kernel)?;
        let report = Report::parse(&outcome.results).with_context(kernel)?;
        print!("{}", report.text());
        let table = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        wrong.extend(report.wrong(&table));
        if args.record {
            fs::write(&path, report.recorded(&table)?)?;
        }
    }
    ensure!(wrong.is_empty(), "marked, but preemption was on: {}", wrong.join(", "));
    Ok(())
}

/// An event and where it occurred.
#[derive(Debug, PartialEq, Eq)]
struct Site {
    event: String,
    hits: u64,
    /// With preemption on.
    preemptible: u64,
    /// Flags and count of the call sites, with their hits.
    states: String,
}

impl Site {
    fn is_proof(&self) -> bool {
        self.hits >= PROOF && self.preemptible == 0
    }
}

/// What one machine reported.
#[derive(Debug, Default)]
struct Report {
    kernel: String,
    sites: Vec<Site>,
}

impl Report {
    fn parse(results: &str) -> Result<Self> {
        let (kernel, lines) = tagged_lines(results)?;
        let sites = lines.into_iter().filter(|(tag, _)| *tag == "SITES");
        let sites = sites.map(|(_, rest)| site(rest).context(rest.to_owned()));
        let sites = sites.collect::<Result<Vec<_>>>()?;
        ensure!(!sites.is_empty(), "nothing was watched");
        Ok(Self { kernel, sites })
    }

    /// Every event that occurred, the proven ones first.
    fn text(&self) -> String {
        let is_there = |site: &&Site| site.hits > 0;
        let count = |is: fn(&Site) -> bool| self.sites.iter().filter(|site| is(site)).count();
        let mut text = format!(
            "{}: preemption was off at each of at least {PROOF} hits of {} events, at fewer of {}; \
             on at some of {}; {} did not occur\n",
            self.kernel,
            count(Site::is_proof),
            count(|site| site.preemptible == 0 && (1..PROOF).contains(&site.hits)),
            count(|site| site.preemptible > 0),
            count(|site| site.hits == 0),
        );
        let mut sites: Vec<_> = self.sites.iter().filter(is_there).collect();
        sites.sort_by_key(|site| (!site.is_proof(), site.preemptible));
        for Site { event, hits, preemptible, states } in sites {
            text +=
                &format!("  {event}: {hits} hits, {preemptible} with preemption on ({states})\n");
        }
        text
    }

    /// The table's marked events that had preemption on.
    fn wrong(&self, table: &str) -> Vec<String> {
        let marked: BTreeSet<_> =
            table.lines().filter_map(marked).map(|(event, _)| event).collect();
        let is_wrong = |site: &&Site| site.preemptible > 0 && marked.contains(site.event.as_str());
        self.sites.iter().filter(is_wrong).map(|site| site.event.clone()).collect()
    }

    /// The table with the kernel behind the marks that it has proven.
    fn recorded(&self, table: &str) -> Result<String> {
        let kernel = version_of(&self.kernel)?;
        let proven: BTreeSet<_> = self
            .sites
            .iter()
            .filter(|site| site.is_proof())
            .map(|site| site.event.as_str())
            .collect();
        let mut text = String::new();
        for line in table.lines() {
            match marked(line) {
                Some((event, kernels)) if proven.contains(event) => {
                    text += &format!("{event}  {MARK} @{}\n", with(kernels, &kernel));
                }
                _ => text += &format!("{line}\n"),
            }
        }
        Ok(text)
    }
}

/// The event of a marked line, and the kernels that have proven it: `system:event  preemption-off @7.3`.
fn marked(line: &str) -> Option<(&str, &str)> {
    let is_head = !line.starts_with(['#', ' ']);
    let (event, rest) = line.split_once(' ').filter(|_| is_head)?;
    let (mark, kernels) = rest.split_once('@').unwrap_or((rest, ""));
    (mark.trim() == MARK).then_some((event, kernels))
}

/// `event hits preemptible state=hits…`
fn site(text: &str) -> Option<Site> {
    let mut words = text.splitn(4, ' ');
    let event = words.next()?.to_owned();
    let (hits, preemptible) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Site { event, hits, preemptible, states: words.next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULTS: &str = "KERNEL 7.3.4-cloud\nSITES a:b 1000 0 01/00=1000\nSITES a:c 999 0 01/01=999\n\
                           SITES a:d 5000 1 00/00=1 01/00=4999\nSITES a:e 0 0\n";

    #[test]
    fn proofs_are_written_behind_marks_only() {
        let report = Report::parse(RESULTS).unwrap();
        let table = "# a:b  preemption-off\n\na:b  preemption-off @7.0\n    x  preemption-off\n\n\
                     a:c  preemption-off\n    x\n\na:e\n    x\n";
        let wanted = table.replace("\na:b  preemption-off @7.0", "\na:b  preemption-off @7.0 7.3");
        assert_eq!(report.recorded(table).unwrap(), wanted);
        assert_eq!(report.recorded("a:b\n    x\n").unwrap(), "a:b\n    x\n");
        assert_eq!(report.wrong(table), Vec::<String>::new());
        assert_eq!(report.wrong("a:d  preemption-off @7.3\n"), ["a:d"]);
    }

    #[test]
    fn what_was_seen_is_told_in_classes() {
        let text = Report::parse(RESULTS).unwrap().text();
        let first = "7.3.4-cloud: preemption was off at each of at least 1000 hits of 1 events, at \
                     fewer of 1; on at some of 1; 1 did not occur\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.ends_with("  a:d: 5000 hits, 1 with preemption on (00/00=1 01/00=4999)\n"));
        assert!(Report::parse("KERNEL 7.3\nERROR no tracefs\n").is_err());
        assert!(Report::parse("KERNEL 7.3\n").is_err());
    }
}
