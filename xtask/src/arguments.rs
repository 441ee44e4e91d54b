//! Takes the table of what fields are copies of. Gives for each row how often copy and record were
//! the same on live events, here or in virtual machines; and proposals for more rows.
//!
//! A row is proven on a kernel by no difference over at least 1,000 events that really occurred.
//! One whose record had 0 each time proves nothing, since memory that cannot be read has 0, too.
//! `--record` writes the kernel behind each row that it has proven; a person reviews that.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::qemu::{self, Machine};
use crate::setup::{succeed, workspace};
use crate::vm::{Bootable, MachineArgs, build_guest, machines, tagged_lines};

/// Events that prove a row.
const PROOF: u64 = 1000;

/// Size of a machine's disk, in bytes; little of it is ever written.
const DISK: u64 = 512 << 20;

/// The table, in the repository.
pub(crate) const TABLE: &str = "hist-cli/src/plan/access/arguments/arguments.txt";

/// What is compared, and where.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Only that event or system; may be repeated
    #[arg(long, value_name = "SYSTEM[:EVENT]")]
    event: Vec<String>,
    /// Compare what might be in the table, by name and type, instead of what is
    #[arg(long)]
    propose: bool,
    /// Only rows that no kernel has proven yet
    #[arg(long, conflicts_with = "propose")]
    unproven: bool,
    /// Write into the table which kernel has proven which rows
    #[arg(long, conflicts_with = "propose")]
    record: bool,
    /// How long events happen for each 40 of them, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Tell of every row
    #[arg(short, long)]
    verbose: bool,
}

/// Runs `cargo xtask arguments`: on this machine, or in virtual ones if kernels are named.
///
/// # Errors
/// When something cannot be run, or a copy differs from its record.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut different = 0;
    for report in reports(args)? {
        print!("{}", report.text(args));
        different += report.of(Class::Different).count();
        if args.record {
            record(&report)?;
        }
    }
    // A proposal that differs is none; a row of the table that does is an error.
    if different > 0 && !args.propose {
        bail!("{different} rows of the table are wrong");
    }
    Ok(())
}

fn reports(args: &Args) -> Result<Vec<Report>> {
    let words = words(args);
    if args.machine.is_named() {
        let words = [words, vec!["--disk".to_owned()]].concat();
        let run = |bootable: &Bootable| {
            let disk = Some(disk(&bootable.machine.dir)?);
            let outcome = qemu::boot(&Machine { disk, ..bootable.machine.clone() })?;
            Report::parse(&outcome.results).context(bootable.kernel.name.clone())
        };
        return machines(&args.machine, &words)?.iter().map(run).collect();
    }
    ensure!(rustix::process::geteuid().is_root(), "loading programs needs root");
    let results = succeed(Command::new(build_guest()?).args(&words))?;
    Ok(vec![Report::parse(&results)?])
}

/// A disk in `dir` with an empty file system that has a journal.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn disk(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let path = dir.join("disk.img");
    File::create(&path)?.set_len(DISK)?;
    succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&path))
        .context("e2fsprogs has mkfs.ext4")?;
    Ok(path)
}

fn words(args: &Args) -> Vec<String> {
    let mut words = vec!["arguments".to_owned(), format!("--seconds={}", args.seconds)];
    words.extend(args.event.iter().map(|event| format!("--event={event}")));
    words.extend(args.unproven.then(|| "--unproven".to_owned()));
    words.extend(args.propose.then(|| "--propose".to_owned()));
    words
}

/// How a row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Proven,
    /// As that, but the record had one value only.
    Constant,
    /// It had 0 only.
    Zero,
    Seldom,
    Never,
    Different,
    /// It means nothing on that kernel, or the kernel refuses it.
    Refused,
}

/// A row and how it went.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    event: String,
    /// Field and expression, or field and reason.
    text: String,
    same: u64,
    different: u64,
    class: Class,
}

/// What one machine reported.
#[derive(Debug, Default)]
struct Report {
    kernel: String,
    rows: Vec<Row>,
}

impl Report {
    fn parse(results: &str) -> Result<Self> {
        let (kernel, lines) = tagged_lines(results)?;
        let mut report = Self { kernel, ..Self::default() };
        for (tag, rest) in lines {
            match tag {
                "ROW" => report.rows.push(row(rest).context(rest.to_owned())?),
                "NONE" => {
                    let (event, text) = rest.split_once(' ').context(rest.to_owned())?;
                    report.rows.push(Row {
                        event: event.to_owned(),
                        text: text.to_owned(),
                        same: 0,
                        different: 0,
                        class: Class::Refused,
                    });
                }
                _ => {}
            }
        }
        ensure!(!report.rows.is_empty(), "nothing was compared");
        Ok(report)
    }

    fn of(&self, class: Class) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.class == class)
    }

    fn text(&self, args: &Args) -> String {
        let count = |class| self.of(class).count();
        let mut text = format!(
            "{}: {} rows proven over at least {PROOF} events, {} more with one value only; \
             {} with 0 only, {} on fewer events, {} never; {} differ, {} are not for this kernel\n",
            self.kernel,
            count(Class::Proven),
            count(Class::Constant),
            count(Class::Zero),
            count(Class::Seldom),
            count(Class::Never),
            count(Class::Different),
            count(Class::Refused)
        );
        let is_told = |row: &&Row| args.verbose || row.class == Class::Different;
        if args.propose {
            self.of(Class::Proven).for_each(|row| text += &row.as_proposal());
        }
        self.rows.iter().filter(is_told).for_each(|row| text += &row.line());
        text
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { event, text, same, different, class } = self;
        format!("  {class:?} {event} {text} ({same} the same, {different} different)\n")
    }

    /// For the table, with the event in front.
    fn as_proposal(&self) -> String {
        format!("{}    {}  # {} events\n", self.event, self.text, self.same)
    }
}

/// Writes the kernel behind the rows that it has proven.
fn record(report: &Report) -> Result<()> {
    let path = workspace().join(TABLE);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, recorded(&text, report)?).with_context(|| path.display().to_string())
}

/// The table with the report's proofs.
fn recorded(table: &str, report: &Report) -> Result<String> {
    let kernel = version_of(&report.kernel)?;
    let is_proof = |row: &&Row| matches!(row.class, Class::Proven | Class::Constant);
    let proven: BTreeSet<_> = report
        .rows
        .iter()
        .filter(is_proof)
        .map(|row| (row.event.as_str(), row.text.as_str()))
        .collect();
    let (mut event, mut text) = ("", String::new());
    for line in table.lines() {
        let (row, proofs) = line.split_once('@').unwrap_or((line, ""));
        match row.trim().split_once(' ').unwrap_or((row.trim(), row.trim())) {
            (field, expression)
                if row.starts_with("    ")
                    && proven.contains(&(event, &*format!("{field}  {}", expression.trim()))) =>
            {
                text += &format!("{}  @{}", row.trim_end(), with(proofs, &kernel));
            }
            _ => {
                let name = row.split_whitespace().next().unwrap_or(row);
                event = if row.starts_with(' ') { event } else { name };
                text += line;
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// `7.3` of `7.3.4+deb13-cloud-amd64`.
///
/// # Errors
/// When it has no two numbers.
pub(crate) fn version_of(release: &str) -> Result<String> {
    let mut words = release.split(['.', '-']);
    let version = words.next().zip(words.next()).map(|(major, minor)| format!("{major}.{minor}"));
    version.with_context(|| format!("the kernel `{release}` has no version"))
}

/// A list of kernels with one more, from the oldest on.
pub(crate) fn with(proofs: &str, kernel: &str) -> String {
    let number = |name: &str| -> Vec<u32> { name.split('.').flat_map(str::parse).collect() };
    let mut kernels: Vec<_> = proofs.split_whitespace().chain([kernel]).collect();
    kernels.sort_by_key(|name| number(name));
    kernels.dedup();
    kernels.join(" ")
}

/// `event field same different many|one|zero expression`
fn row(text: &str) -> Option<Row> {
    let mut words = text.splitn(6, ' ');
    let (event, field) = (words.next()?, words.next()?);
    let (same, different) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (values, expression) = (words.next()?, words.next()?);
    let class = match (same, different) {
        (_, 1..) => Class::Different,
        (0, _) => Class::Never,
        (1..PROOF, _) => Class::Seldom,
        _ => match values {
            "many" => Class::Proven,
            "one" => Class::Constant,
            "zero" => Class::Zero,
            _ => return None,
        },
    };
    let text = format!("{field}  {expression}");
    Some(Row { event: event.to_owned(), text, same, different, class })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_classed_by_what_they_prove() {
        let class = |text: &str| row(text).map(|row| row.class);
        assert_eq!(class("a:b x 1000 0 many y->z"), Some(Class::Proven));
        assert_eq!(class("a:b x 1000 0 one y"), Some(Class::Constant));
        assert_eq!(class("a:b x 1000 0 zero y"), Some(Class::Zero));
        assert_eq!(class("a:b x 999 0 many y"), Some(Class::Seldom));
        assert_eq!(class("a:b x 0 0 one y"), Some(Class::Never));
        assert_eq!(class("a:b x 99999 1 many y << 1 | z"), Some(Class::Different));
        assert_eq!(class("a:b x"), None);
    }

    #[test]
    fn proofs_are_written_behind_their_rows() {
        let results = "KERNEL 6.12.9-cloud\nROW a:b x 1000 0 many y->z\nROW a:b len 2000 0 one len\n\
                       ROW a:c x 2000 0 zero x\nROW a:c len 999 0 many len\n";
        let table = "# x\n\na:b  preemption-off @7.3\n    len  @6.1 7.3\n    x    y\n    x    y->z  @6.12\n\n\
                     a:c\n    len\n    x  @6.1\n";
        let wanted = "# x\n\na:b  preemption-off @7.3\n    len  @6.1 6.12 7.3\n    x    y\n    x    y->z  @6.12\n\n\
                      a:c\n    len\n    x  @6.1\n";
        let report = Report::parse(results).unwrap();
        assert_eq!(recorded(table, &report).unwrap(), wanted);
    }

    #[test]
    fn an_error_of_the_guest_is_an_error() {
        assert!(Report::parse("KERNEL 6.1\nERROR no tracefs\n").is_err());
        assert!(Report::parse("KERNEL 6.1\n").is_err());
        let report = Report::parse("KERNEL 6.1\nNONE a:b x y: reason\n").unwrap();
        assert_eq!(report.of(Class::Refused).count(), 1);
    }
}
