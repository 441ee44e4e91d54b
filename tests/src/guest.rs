//! Lets a program be the first process of a virtual machine: it mounts what tests need, writes its
//! report to the second serial port and powers the machine off. On another machine the same program
//! is an ordinary one, and its report goes to stdout.
//!
//! Such a program starts itself again to make events happen: its command line includes [`Work`].

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use hist_cli::kernel::EventName;
use rustix::mount::{MountFlags, mount};
use rustix::process::getpid;
use rustix::system::{RebootCommand, reboot, uname};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};

use crate::workload::Workload;
use crate::{differential, ftrace, traffic};

/// What such a program does when it starts itself again.
#[derive(Subcommand)]
pub enum Work {
    /// Make events of all kinds happen.
    Traffic {
        /// Which ones.
        part: traffic::Part,
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// Be the process whose events are counted.
    Workload {
        /// What it does.
        name: Workload,
    },
}

impl Work {
    /// Does it, and gives the exit code.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn run(self) -> Result<u8> {
        match self {
            Self::Traffic { part, millis } => traffic::run(part, Duration::from_millis(millis))?,
            Self::Workload { name } => differential::serve(name)?,
        }
        Ok(0)
    }
}

/// Whose events are looked at: everybody's, unless some are named.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ChosenEvents {
    /// Only that event or system.
    #[arg(long, value_name = "SYSTEM[:EVENT]")]
    event: Vec<String>,
}

impl ChosenEvents {
    /// Whether this event is among them.
    #[must_use]
    pub fn has(&self, event: &EventName) -> bool {
        let name = event.to_string();
        self.event.is_empty() || self.event.iter().any(|one| *one == name || *one == event.system)
    }

    /// Whether the system, or an event of it, is named.
    #[must_use]
    pub fn mentions(&self, system: &str) -> bool {
        self.event.iter().any(|name| name.split(':').next() == Some(system))
    }
}

/// Runs the program in whatever machine this is. An error is reported as a line `ERROR …`, and is
/// exit code 2.
pub fn main(run: impl FnOnce() -> Result<u8>) -> ExitCode {
    let first = getpid().is_init();
    if first && let Err(error) = prepare() {
        eprintln!("preparing the machine: {error:#}");
        return ExitCode::FAILURE;
    }
    let code = run().unwrap_or_else(|error| {
        println!("ERROR {error:#}");
        2
    });
    if first && let Err(error) = power_off(code) {
        eprintln!("ending the machine: {error:#}");
    }
    ExitCode::from(code)
}

/// The first line of every report, `KERNEL` with the kernel's release, which is returned.
pub fn report_kernel() -> String {
    let release = uname().release().to_string_lossy().into_owned();
    println!("KERNEL {release}");
    release
}

/// Puts the machine's disk where temporary files are. Its driver may still be looking for it.
///
/// # Errors
/// When there is no disk, or it has no ext4.
pub fn mount_disk() -> Result<()> {
    let disk = Path::new("/dev/nvme0n1");
    for _ in 0..100 {
        if disk.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    mount(disk, "/tmp", "ext4", MountFlags::empty(), None).context("mounting the disk on /tmp")
}

/// Mounts what the tests need and makes the second serial port stdout.
fn prepare() -> Result<()> {
    for (kind, target) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tracefs", ftrace::TRACEFS),
        ("tmpfs", "/tmp"),
    ] {
        mount(kind, Path::new(target), kind, MountFlags::empty(), None)
            .with_context(|| format!("mounting {kind} on {target}"))?;
    }
    let port = File::options().read(true).write(true).open("/dev/ttyS1").context("/dev/ttyS1")?;
    let mut settings = tcgetattr(&port)?;
    settings.make_raw();
    tcsetattr(&port, OptionalActions::Now, &settings)?;
    rustix::stdio::dup2_stdout(&port)?;
    Ok(())
}

/// The last line, and the end.
fn power_off(code: u8) -> Result<()> {
    println!("EXIT {code}");
    std::io::stdout().flush()?;
    tcdrain(std::io::stdout())?;
    reboot(RebootCommand::PowerOff)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_chosen_by_name_or_system() {
        let chosen = |names: &[&str]| {
            let event = names.iter().map(|name| (*name).to_owned()).collect();
            ChosenEvents { event }
        };
        assert!(chosen(&[]).has(&EventName::new("a", "b")));
        assert!(chosen(&["a"]).has(&EventName::new("a", "b")));
        assert!(chosen(&["a:c", "a:b"]).has(&EventName::new("a", "b")));
        assert!(!chosen(&["a:b"]).has(&EventName::new("a", "c")));
        assert!(!chosen(&["b"]).has(&EventName::new("a", "b")));
        assert!(!chosen(&[]).mentions("a"));
        assert!(chosen(&["b", "a:b"]).mentions("a"));
        assert!(!chosen(&["ab:b"]).mentions("a"));
    }
}
