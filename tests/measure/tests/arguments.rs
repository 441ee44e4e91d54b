//! Rows of `arguments.txt` hold on live events of this kernel.
//!
//! Skipped without root.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use hist_test_support::needs;

/// Events of this machine's own making, both ways; `cargo xtask arguments` does all of the table.
#[test]
fn arguments_are_what_records_have() -> Result<()> {
    if !needs::root() {
        return Ok(());
    }
    let events = [
        "kmem:kmalloc",
        "kmem:kmem_cache_free",
        "raw_syscalls:sys_exit",
        "sched:sched_switch",
        "sched:sched_process_fork",
        "net:netif_receive_skb",
        "irq:softirq_entry",
        "timer:hrtimer_start",
        "signal:signal_generate",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_hist-measure"));
    command.args(["arguments", "--seconds=2"]);
    let output = command.args(events.map(|event| format!("--event={event}"))).output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for event in events {
        let rows = text.lines().filter_map(|line| line.strip_prefix(&format!("ROW {event} ")));
        let mut compared = 0;
        for row in rows {
            let mut words = row.split(' ').skip(1).map(str::parse::<u64>);
            let (same, different) =
                (words.next().context("same")??, words.next().context("different")??);
            // Another process may watch the same event; then a few are compared with others that
            // interrupt them (`pair.rs`).
            assert!(different <= same / 10_000, "{event} {row}");
            assert!(same > 0, "{event} {row}");
            compared += 1;
        }
        assert!(compared > 0, "{event} has rows: {text}");
    }
    Ok(())
}
