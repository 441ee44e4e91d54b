//! Runs on a kernel that is locked down, and finds out whether what is said of that is true.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::lockdown::CONFIDENTIAL;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{self, LoadError};
use hist_cli::pipeline;
use hist_cli::plan::Wishes;
use hist_cli::session::{Live, Session, since_boot};
use rustix::mount::{MountFlags, mount};

use crate::ftrace::TRACEFS;

/// How the kernel is locked down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// It was booted so that it hides its trace events.
    Confidentiality,
    /// It was booted so that it protects itself from root.
    Integrity,
    /// It hides its trace events from now on.
    Late,
}

/// Where the kernel tells its mode, and takes a stricter one.
const MODES: &str = "/sys/kernel/security/lockdown";

/// Counts as a user would, and checks what comes of it.
///
/// # Errors
/// If it is not what the mode lets come.
pub fn run(mode: Mode) -> Result<()> {
    match mode {
        Mode::Confidentiality => {
            // Without securityfs, only the boot tells.
            check_refused(&count())?;
            mount_securityfs()?;
            check_refused(&count())
        }
        Mode::Integrity => {
            count()?;
            mount_securityfs()?;
            let modes = fs::read_to_string(MODES)?;
            ensure!(modes.contains("[integrity]"), "{modes}");
            count()?;
            understand_all()
        }
        Mode::Late => late(),
    }
}

/// The format of every event can be read.
fn understand_all() -> Result<()> {
    let tracefs = find_or_mount()?;
    let mut count = 0;
    for name in tracefs.event_names()? {
        // `ftrace` has some without.
        if tracefs.root.join("events").join(&name.system).join(&name.name).join("format").exists() {
            tracefs.event(&name)?;
            count += 1;
        }
    }
    println!("UNDERSTOOD {count}");
    ensure!(count > 500, "only {count} events");
    Ok(())
}

fn late() -> Result<()> {
    // A string of the record is copied by what the kernel will forbid.
    let event = Tracefs::at(TRACEFS).event(&EventName::new("sched", "sched_process_exec"))?;
    ensure!(load(&event)?.is_ok(), "it is not locked down yet");
    mount_securityfs()?;
    fs::write(MODES, "confidentiality").context(MODES)?;
    check_refused(&count())?;
    match load(&event)? {
        Err(error) => check_refused(&Err(error.into())),
        Ok(()) => bail!("a program that reads kernel memory was taken"),
    }
}

fn load(event: &EventFormat) -> Result<Result<(), LoadError>> {
    let facts = Facts::read()?;
    let text = "hist:keys=filename";
    let built = pipeline::build_text(text, event, &facts.context(), Wishes::default())?;
    Ok(load::attach(built).map(drop))
}

fn check_refused(result: &Result<()>) -> Result<()> {
    match result {
        Ok(()) => bail!("it counts"),
        Err(error) => {
            let said = format!("{error:#}");
            println!("SAYS {said}");
            ensure!(said.contains(CONFIDENTIAL), "another cause");
            Ok(())
        }
    }
}

/// A few system calls of this thread.
fn count() -> Result<()> {
    const CALLS: u64 = 100;
    let live = Live::new(find_or_mount()?, Facts::read()?, Wishes::default());
    let mut session = Session::held(live, Box::new(since_boot));
    let thread = rustix::thread::gettid();
    let trigger = format!("hist:keys=id if id=={} && common_pid=={thread}", libc::SYS_getppid);
    session.write(&EventName::new("raw_syscalls", "sys_enter"), trigger.as_bytes())?;
    session.release()?;
    for _ in 0..CALLS {
        std::hint::black_box(rustix::process::getppid());
    }
    let entry = session.triggers().first().context("a trigger")?;
    let hits: u64 = session.snapshot(entry)?.rows.iter().map(|row| row.counts.hits).sum();
    ensure!(hits == CALLS, "{hits} of {CALLS}");
    Ok(())
}

fn mount_securityfs() -> Result<()> {
    let place = Path::new("/sys/kernel/security");
    mount("securityfs", place, "securityfs", MountFlags::empty(), None).context("securityfs")
}
