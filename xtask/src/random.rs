//! Boots kernels with the guest program, which writes random triggers to the kernel and to hist-bpf,
//! and gathers where they differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::guest::Guest;
use crate::qemu::{self, Outcome};
use crate::vm::{MachineArgs, machines, option_of};

/// Which triggers.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// What the triggers are made from [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// How many triggers each kernel gets, rounded up to whole batches
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// Only this batch; the triggers of a batch meet each other
    #[arg(long, conflicts_with = "count")]
    batch: Option<u64>,
}

/// How many triggers a batch has, as in hist-tests.
const BATCH: u64 = 50;

/// Runs `cargo xtask vm random …`.
///
/// # Errors
/// When a machine fails, or something differs without a reason.
pub(crate) fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(from_time);
    println!("seed {seed}");
    let (first, batches) = match args.batch {
        Some(batch) => (batch, 1),
        None => (0, args.count.div_ceil(BATCH)),
    };
    let words = [
        "random".to_owned(),
        format!("--seed={seed}"),
        format!("--first={first}"),
        format!("--batches={batches}"),
    ];
    let mut failed = 0;
    for bootable in machines(&args.machine, Guest::Tests, &words)? {
        let start = Instant::now();
        let name = &bootable.kernel.name;
        let report = match qemu::boot(&bootable.machine) {
            Ok(outcome) => Report::parse(&outcome),
            Err(error) => Report { broken: Some(format!("{error:#}")), ..Report::default() },
        };
        print!("{}", report.text(name, seed));
        println!("  {:.0} s; in the machine {}", start.elapsed().as_secs_f32(), report.times);
        failed += report.failures.len() + usize::from(report.broken.is_some());
    }
    if failed > 0 {
        bail!("{failed} differ without a reason");
    }
    Ok(())
}

fn from_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What one machine reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    release: String,
    times: String,
    counted: usize,
    taken: usize,
    refused: usize,
    explained: BTreeMap<String, usize>,
    /// The trigger's number and what is wrong.
    failures: Vec<(u64, String)>,
    /// The machine or the guest program itself failed.
    broken: Option<String>,
}

impl Report {
    fn parse(outcome: &Outcome) -> Report {
        let mut report = Report::default();
        for line in outcome.results.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "KERNEL" => report.release = rest.to_owned(),
                "TIMES" => report.times = rest.to_owned(),
                "COUNTED" => report.counted += 1,
                "TAKEN" => report.taken += 1,
                "REFUSED" => report.refused += 1,
                "EXPLAINED" => *report.explained.entry(rest.to_owned()).or_default() += 1,
                "FAIL" => {
                    report.failures.push((rest.parse().unwrap_or(0), String::new()));
                }
                "ERROR" => report.broken = Some(rest.to_owned()),
                _ => {
                    if let Some((_, text)) = report.failures.last_mut() {
                        *text += line;
                        text.push('\n');
                    }
                }
            }
        }
        if outcome.status != 0 && report.failures.is_empty() && report.broken.is_none() {
            report.broken = Some(format!("exit status {}", outcome.status));
        }
        report
    }

    fn text(&self, kernel: &str, seed: u64) -> String {
        let mut text = String::new();
        for (index, what) in &self.failures {
            let option = option_of(kernel);
            let batch = index / BATCH;
            let _ = write!(
                text,
                "\n--- {kernel}: trigger {index}\n{what}  again: cargo xtask vm random {option} \
                 {kernel} --seed {seed} --batch {batch}\n"
            );
        }
        if let Some(broken) = &self.broken {
            let _ = writeln!(text, "\n--- {kernel}: the run itself\n{broken}");
        }
        let explained: usize = self.explained.values().sum();
        let _ = writeln!(
            text,
            "{kernel} ({}): {} taken ({} of them counted something, and the same), {} refused \
             alike, {explained} explained, {} failed",
            self.release,
            self.taken,
            self.counted,
            self.refused,
            self.failures.len()
        );
        for (reason, count) in &self.explained {
            let _ = writeln!(text, "  {count:4} {reason}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_by_reason() {
        let results = "KERNEL 7.3.4\nTAKEN 0\nCOUNTED 0\nREFUSED 1\nEXPLAINED a b\nEXPLAINED a b\n\
                       FAIL 57\n  x\n";
        let report = Report::parse(&Outcome { results: results.into(), status: 1 });
        assert_eq!((report.taken, report.counted, report.refused), (1, 1, 1));
        assert_eq!(report.explained["a b"], 2);
        assert_eq!(report.failures, [(57, "  x\n".to_owned())]);
        let text = report.text("7.3", 9);
        assert!(text.contains("vm random --kernel 7.3 --seed 9 --batch 1\n"), "{text}");
    }

    #[test]
    fn a_bad_exit_status_is_a_failure() {
        let report = Report::parse(&Outcome { results: String::new(), status: 2 });
        assert!(report.broken.is_some());
    }
}
