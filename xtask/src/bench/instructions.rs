//! Counts the guest instructions that each tracer adds to one event, in a virtual machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::guest::{Figures, KINDS};
use super::kept::Kept;
use super::table::{self, NONE, Table, cell};
use crate::cargo::target_dir;
use crate::guest::Guest;
use crate::kernels;
use crate::parallel;
use crate::qemu::{self, Accel, Machine};

/// The most that hist-bpf may add in relation to the kernel's own trigger: kernel, kind of program
/// and case, ratio.
const LIMITS: [(&str, &str, f64); 5] = [
    ("6.12", "tracepoint: keys=id:vals=id", 0.55),
    ("6.12", "raw: keys=id:vals=id", 0.33),
    ("6.12", "raw: keys=id.log2", 0.25),
    ("6.12", "tracepoint: keys=stacktrace", 1.3),
    ("6.12", "raw: keys=stacktrace", 1.3),
];

/// Wall-clock limit of a machine; it takes about two minutes.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Boots the kernels, several at a time, and has the guest program measure in each. What counts is
/// instructions, which do not depend on what else runs.
///
/// # Errors
/// When a machine cannot be booted or a tracer fails in it.
pub(super) fn measure(kernels: &[String]) -> Result<Vec<Figures>> {
    let initramfs = Guest::Measure.image()?;
    let machines = kernels.iter().map(|kernel| machine(kernel, &initramfs));
    let machines = machines.collect::<Result<Vec<_>>>()?;
    let figures = parallel::map(parallel::JOBS, &machines, |machine| {
        Figures::parse(&qemu::boot(machine)?.results)
    });
    let figures = figures.into_iter().zip(kernels);
    figures.map(|(figures, kernel)| figures.with_context(|| format!("kernel {kernel}"))).collect()
}

fn machine(kernel: &str, initramfs: &Path) -> Result<Machine> {
    Ok(Machine {
        kernel: kernels::find(kernel)?.image,
        initramfs: initramfs.to_owned(),
        args: ["bench", "instructions"].map(String::from).to_vec(),
        kernel_options: "",
        dir: target_dir().join("vm").join(format!("bench-{kernel}")),
        accel: Accel::Tcg,
        icount: true,
        disk: None,
        timeout: TIMEOUT,
    })
}

/// One row for each case: what everyone adds, side by side.
pub(super) fn table(kernel: &str, figures: &Figures, kept: &Kept) -> Table {
    let mut table = blank(&format!(", Linux {}", figures.release));
    table.rows.push(vec!["no tracer: the whole call".to_owned(), cell(Some(figures.base), 1)]);
    table.rows.extend(figures.cases().into_iter().map(|case| row(kernel, figures, kept, case)));
    table
}

/// The table without figures, and why.
pub(super) fn skipped(reason: &str) -> Table {
    let mut table = blank("");
    table.rows.push(vec!["all".to_owned(), format!("skipped: {reason}")]);
    table
}

fn blank(place: &str) -> Table {
    let title =
        format!("Guest instructions added to one event, by the kernel's trigger and ours{place}");
    let header = vec!["", "kernel", "tracepoint", "ratio", "raw", "ratio", "verdict"];
    Table { title, header, rows: Vec::new() }
}

/// The programs that do nothing stand where those do that count.
fn row(kernel: &str, figures: &Figures, kept: &Kept, case: &str) -> Vec<String> {
    let added = |tracer| figures.added(tracer, case).map(|added| added.median);
    let mut row = vec![case.to_owned(), cell(added("kernel"), 1)];
    for (kind, empty) in KINDS.into_iter().zip(["empty", "empty-raw"]) {
        row.push(cell(added(kind).or(added(empty)), 1));
        row.push(cell(figures.ratio(kind, case), 3));
    }
    row.push(verdicts(kernel, figures, kept, case));
    row
}

/// What is to be said of the ratios in a row.
fn verdicts(kernel: &str, figures: &Figures, kept: &Kept, case: &str) -> String {
    let said = KINDS.into_iter().filter_map(|kind| {
        let ratio = figures.ratio(kind, case)?;
        Some(verdict(kernel, kept, &format!("{kind}: {case}"), ratio))
    });
    let mut said: Vec<String> = said.collect();
    said.dedup();
    if said.is_empty() { NONE.to_owned() } else { said.join("; ") }
}

fn verdict(kernel: &str, kept: &Kept, name: &str, ratio: f64) -> String {
    let limit = LIMITS.iter().find(|(of, case, _)| *of == kernel && *case == name);
    let limit = limit.map(|(.., limit)| *limit);
    match (kept.complaint(name, ratio), limit) {
        (Some(complaint), _) => format!("WORSE: {complaint}"),
        (None, None) => "as kept".to_owned(),
        (None, Some(most)) => format!("{} {most:.2}", table::verdict(ratio, limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_side_by_side() {
        let text = "KERNEL 6.12.1\nBASE 336.2\nCOST empty 355.0 355.0 355.0 empty program\n\
            COST empty-raw 136.0 136.0 136.0 empty program\n\
            COST kernel 800.0 800.0 800.0 keys=id:vals=id\n\
            COST tracepoint 500.0 500.0 500.0 keys=id:vals=id\n\
            COST raw 200.0 200.0 200.0 keys=id:vals=id\n";
        let figures = Figures::parse(text).unwrap();
        let table = table("6.12", &figures, &Kept::default());
        assert_eq!(table.rows[1], ["empty program", "-", "355.0", "-", "136.0", "-", "-"]);
        let verdict = "WORSE: no ratio is kept";
        let cells = ["keys=id:vals=id", "800.0", "500.0", "0.625", "200.0", "0.250", verdict];
        assert_eq!(table.rows[2], cells);
    }

    #[test]
    fn a_limit_stands_beside_its_verdict() {
        let kept = Kept::from([("raw: keys=id:vals=id".to_owned(), 0.4)]);
        assert_eq!(verdict("6.12", &kept, "raw: keys=id:vals=id", 0.3), "ok 0.33");
        assert_eq!(verdict("6.12", &kept, "raw: keys=id:vals=id", 0.35), "OVER THE LIMIT 0.33");
        assert_eq!(verdict("7.3", &kept, "raw: keys=id:vals=id", 0.35), "as kept");
    }
}
