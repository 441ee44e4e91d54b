//! Takes the table of what fields are copies of. Gives for each row how often copy and record were
//! the same on live events, here or in virtual machines; and proposals for more rows.
//!
//! A row is proven on a kernel by no difference over at least 1,000 events that really occurred.
//! One whose record never changed its value proves little and is listed apart, as are those whose
//! events occur more seldom: a person decides.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::qemu;
use crate::setup::succeed;
use crate::vm::{MachineArgs, build_guest, machines};

/// Events that prove a row.
const PROOF: u64 = 1000;

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
        let run = |bootable: &crate::vm::Bootable| {
            let outcome = qemu::boot(&bootable.machine)?;
            Report::parse(&outcome.results).context(bootable.kernel.name.clone())
        };
        return machines(&args.machine, &words)?.iter().map(run).collect();
    }
    ensure!(rustix::process::geteuid().is_root(), "loading programs needs root");
    let results = succeed(Command::new(build_guest()?).args(&words))?;
    Ok(vec![Report::parse(&results)?])
}

fn words(args: &Args) -> Vec<String> {
    let mut words = vec!["arguments".to_owned(), format!("--seconds={}", args.seconds)];
    words.extend(args.event.iter().map(|event| format!("--event={event}")));
    words.extend(args.propose.then(|| "--propose".to_owned()));
    words
}

/// How a row went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Proven,
    /// The record had one value only.
    Constant,
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
        let mut report = Self::default();
        for line in results.lines() {
            match line.split_once(' ') {
                Some(("KERNEL", release)) => report.kernel = release.to_owned(),
                Some(("ROW", rest)) => report.rows.push(row(rest).context(rest.to_owned())?),
                Some(("NONE", rest)) => {
                    let (event, text) = rest.split_once(' ').context(rest.to_owned())?;
                    report.rows.push(Row {
                        event: event.to_owned(),
                        text: text.to_owned(),
                        same: 0,
                        different: 0,
                        class: Class::Refused,
                    });
                }
                Some(("ERROR", rest)) => bail!("{rest}"),
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
             {} on fewer events, {} never; {} differ, {} are not for this kernel\n",
            self.kernel,
            count(Class::Proven),
            count(Class::Constant),
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

/// `event field same different varied|constant expression`
fn row(text: &str) -> Option<Row> {
    let mut words = text.splitn(6, ' ');
    let (event, field) = (words.next()?, words.next()?);
    let (same, different) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (varied, expression) = (words.next()? == "varied", words.next()?);
    let class = match (same, different) {
        (_, 1..) => Class::Different,
        (0, _) => Class::Never,
        (1..PROOF, _) => Class::Seldom,
        _ if varied => Class::Proven,
        _ => Class::Constant,
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
        assert_eq!(class("a:b x 1000 0 varied y->z"), Some(Class::Proven));
        assert_eq!(class("a:b x 1000 0 constant y"), Some(Class::Constant));
        assert_eq!(class("a:b x 999 0 varied y"), Some(Class::Seldom));
        assert_eq!(class("a:b x 0 0 constant y"), Some(Class::Never));
        assert_eq!(class("a:b x 99999 1 varied y << 1 | z"), Some(Class::Different));
        assert_eq!(class("a:b x"), None);
    }

    #[test]
    fn an_error_of_the_guest_is_an_error() {
        assert!(Report::parse("KERNEL 6.1\nERROR no tracefs\n").is_err());
        assert!(Report::parse("KERNEL 6.1\n").is_err());
        let report = Report::parse("KERNEL 6.1\nNONE a:b x y: reason\n").unwrap();
        assert_eq!(report.of(Class::Refused).count(), 1);
    }
}
