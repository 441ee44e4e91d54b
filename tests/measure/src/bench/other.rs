//! Runs other people's tracers that count what `hist:keys=id:vals=id` counts.

use std::env;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A tracer and its program. Both keep a sum for each system call, and no hit count beside it.
pub(super) struct Script {
    /// The tracer's command.
    pub program: &'static str,
    arguments: &'static [&'static str],
    /// What its line for getppid(2) begins with.
    line: &'static str,
}

/// <https://github.com/bpftrace/bpftrace>
pub(super) const BPFTRACE: Script = Script {
    program: "bpftrace",
    arguments: &["-e", "tracepoint:raw_syscalls:sys_enter { @[args->id] = sum(args->id); }"],
    line: "@[110]: ",
};

/// <https://github.com/iovisor/ply>
pub(super) const PLY: Script = Script {
    program: "ply",
    arguments: &["tracepoint:raw_syscalls/sys_enter { @[data->id] = sum(data->id); }"],
    line: "{ 110 }: ",
};

/// getppid(2) on x86-64.
const GETPPID: u64 = 110;

/// How long it takes at most until one counts. They do not tell when they have attached; that they
/// did in time shows in what they have counted.
const START: Duration = Duration::from_secs(2);

/// One that counts.
pub(super) struct Other {
    child: Child,
    line: &'static str,
}

impl Script {
    /// Whether the command is on the path.
    pub(super) fn is_installed(&self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).any(|directory| directory.join(self.program).is_file())
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<Other> {
        let mut command = Command::new(self.program);
        command.args(self.arguments).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| self.program.to_owned())?;
        let other = Other { child, line: self.line };
        thread::sleep(START);
        Ok(other)
    }
}

impl Other {
    /// Ends it as its users do. Gives how often getppid(2) was called.
    pub(super) fn stop(mut self) -> Result<u64> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        let mut text = String::new();
        self.child.stdout.take().context("its stdout")?.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}:\n{text}");
        hits(&text, self.line).with_context(|| format!("no `{}` in\n{text}", self.line))
    }
}

/// One that was not stopped must not go on counting.
impl Drop for Other {
    fn drop(&mut self) {
        // It fails if the process was waited for, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hits(text: &str, line: &str) -> Option<u64> {
    let sum = text.lines().find_map(|text| text.trim().strip_prefix(line))?;
    Some(sum.trim().parse::<u64>().ok()? / GETPPID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_what_the_sum_is_made_of() {
        let text = "Attaching 1 probe...\n\n@[1]: 7\n@[110]: 330\n@[1101]: 5\n";
        assert_eq!(hits(text, BPFTRACE.line), Some(3));
        assert_eq!(hits("\n@:\n{   1 }: 5\n{ 110 }: 220\n", PLY.line), Some(2));
        assert_eq!(hits("", PLY.line), None);
    }
}
