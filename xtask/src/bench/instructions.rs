//! Takes a kernel version. Gives the guest instructions that each tracer adds to one event there.

use std::time::Duration;

use anyhow::{Context, Result};

use super::guest::Figures;
use super::kept::Kept;
use super::table::{self, NONE, Table, cell};
use crate::kernels;
use crate::qemu::{self, Accel, Machine};
use crate::setup::target_dir;
use crate::vm::guest_image;

/// The most that hist-bpf may add in relation to the kernel's own trigger: kernel, case, ratio.
const LIMITS: [(&str, &str, f64); 1] = [("6.12", "keys=id:vals=id", 0.60)];

/// Wall-clock limit of a machine; it takes about two minutes.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Boots the kernel and has the guest program measure.
///
/// # Errors
/// When the machine cannot be booted or a tracer fails in it.
pub(super) fn measure(kernel: &str) -> Result<Figures> {
    let machine = Machine {
        kernel: kernels::find(kernel)?.image,
        initramfs: guest_image(&target_dir().join("vm").join("bench-initramfs.cpio"))?,
        args: ["bench", "instructions"].map(String::from).to_vec(),
        dir: target_dir().join("vm").join(format!("bench-{kernel}")),
        accel: Accel::Tcg,
        icount: true,
        timeout: TIMEOUT,
    };
    let outcome = qemu::boot(&machine).with_context(|| format!("kernel {kernel}"))?;
    Figures::parse(&outcome.results).with_context(|| format!("kernel {kernel}"))
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
    Table {
        title: format!(
            "Guest instructions added to one event, raw_syscalls:sys_enter of getppid(2){place}"
        ),
        header: vec!["", "empty", "kernel", "hist-bpf", "ratio", "limit", "kept", "verdict"],
        rows: Vec::new(),
    }
}

fn row(kernel: &str, figures: &Figures, kept: &Kept, case: &str) -> Vec<String> {
    let added = |tracer| cell(figures.added(tracer, case).map(|added| added.median), 1);
    let ratio = figures.ratios().into_iter().find_map(|(of, ratio)| (of == case).then_some(ratio));
    let limit = LIMITS.iter().find(|(of, name, _)| *of == kernel && *name == case);
    let limit = limit.map(|(.., limit)| *limit);
    let mut row = vec![case.to_owned(), added("empty"), added("kernel"), added("hist-bpf")];
    row.extend([cell(ratio, 3), cell(limit, 2), cell(kept.ratio(case), 3)]);
    row.push(ratio.map_or(NONE.to_owned(), |ratio| verdict(ratio, limit, kept, case)));
    row
}

fn verdict(ratio: f64, limit: Option<f64>, kept: &Kept, case: &str) -> String {
    match kept.complaint(case, ratio) {
        Some(complaint) => format!("WORSE: {complaint}"),
        None => match table::verdict(ratio, limit) {
            "" => "as kept".to_owned(),
            verdict => verdict.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_side_by_side() {
        let text = "KERNEL 6.12.1\nBASE 336.2\nCOST empty 20.0 20.0 20.0 empty program\n\
            COST kernel 800.0 800.0 800.0 keys=id:vals=id\n\
            COST hist-bpf 500.0 500.0 500.0 keys=id:vals=id\n";
        let figures = Figures::parse(text).unwrap();
        let table = table("6.12", &figures, &Kept::default());
        assert_eq!(table.rows[1], ["empty program", "20.0", "-", "-", "-", "-", "-", "-"]);
        let verdict = "WORSE: no ratio is kept";
        let cells = ["keys=id:vals=id", "-", "800.0", "500.0", "0.625", "0.60", "-", verdict];
        assert_eq!(table.rows[2], cells);
    }
}
