//! Installs what tests, checks and virtual machines need and this system lacks.

use std::env;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::apt::{self, Apt, Status, can_install};
use crate::command::{on_path, succeed};

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Its package in Debian and Ubuntu.
const QEMU_PACKAGE: &str = "qemu-system-x86";

/// The oldest major version that runs the suite. Guests panic under 7.2, Debian 12's own, when the
/// kernel patches code that another CPU runs: `Oops: int3`.
const QEMU_OLDEST: u32 = 8;

/// Programs that tests and checks run if they are there, and their packages in Debian and Ubuntu.
const TOOLS: [(&str, &str); 7] = [
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("mandoc", "mandoc"),
    ("groff", "groff-base"),
    ("tmux", "tmux"),
    ("setcap", "libcap2-bin"),
    ("systemd-analyze", "systemd"),
];

/// If it is set, what a test or check needs and does not find is an error: nothing skips itself.
pub(crate) const NO_SKIP_VARIABLE: &str = "HIST_BPF_NO_SKIP";

/// Runs `cargo xtask setup`.
///
/// # Errors
/// As [`tools`].
pub(crate) fn run() -> Result<()> {
    tools()?;
    println!("nothing is missing: {}", TOOLS.map(|(program, _)| program).join(", "));
    Ok(())
}

/// Installs the programs that tests and checks would do without.
///
/// # Errors
/// When one is absent and cannot be installed: not root, no network, no apt.
fn tools() -> Result<()> {
    let missing = || TOOLS.into_iter().filter(|(program, _)| !on_path(program));
    let packages: Vec<_> = missing().map(|(_, package)| package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    ensure!(
        can_install(),
        "missing, and installing them needs root and apt-get; by hand: apt-get install {names}"
    );
    eprintln!("installing {names}");
    apt::update()?;
    apt::install(Command::new("apt-get"), &packages)?;
    match missing().next() {
        Some((program, package)) => bail!("{package} was installed, yet {program} is not found"),
        None => Ok(()),
    }
}

/// Whether `program` is there. Says so if not.
///
/// # Errors
/// If it is not, and nothing may be skipped.
pub(crate) fn has(program: &str) -> Result<bool> {
    if !on_path(program) {
        let message = format!("{program} is not installed, so its check");
        ensure!(env::var_os(NO_SKIP_VARIABLE).is_none(), "{message} fails: `cargo xtask setup`");
        eprintln!("{message} is skipped");
        return Ok(false);
    }
    Ok(true)
}

/// Installs QEMU unless one that is new enough is there.
///
/// # Errors
/// When it is absent or too old and cannot be installed: not root, no network, no apt.
pub(crate) fn qemu() -> Result<()> {
    let Some(problem) = qemu_problem()? else { return Ok(()) };
    ensure!(
        can_install(),
        "{problem}, and installing it needs root and apt-get; install QEMU for x86-64, version \
         {QEMU_OLDEST} or later, by hand"
    );
    eprintln!("{problem}; installing {QEMU_PACKAGE}");
    install_qemu().with_context(|| problem.clone())?;
    match qemu_problem()? {
        Some(problem) => bail!("{QEMU_PACKAGE} was installed, yet {problem}"),
        None => Ok(()),
    }
}

/// Why the QEMU on the PATH cannot be used, if so.
fn qemu_problem() -> Result<Option<String>> {
    if !on_path(QEMU) {
        return Ok(Some(format!("{QEMU} is not on the PATH")));
    }
    let text = succeed(Command::new(QEMU).arg("--version"))?;
    let version = qemu_version(&text)
        .with_context(|| format!("`{QEMU} --version` names no version:\n{text}"))?;
    let is_old = version < QEMU_OLDEST;
    Ok(is_old.then(|| format!("{QEMU} {version} is too old: guests panic before {QEMU_OLDEST}")))
}

/// The major version in `QEMU emulator version 10.0.2 (Debian …)`.
fn qemu_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version ")?;
    version.split_once('.')?.0.parse().ok()
}

/// The system's own sources if what they have is new enough, else backports. Neither may remove a
/// package. The system's can also fail, where another QEMU package comes from backports and forbids
/// an older sibling.
fn install_qemu() -> Result<()> {
    apt::update()?;
    let plain = match candidate()? {
        Some(version) if version >= QEMU_OLDEST => {
            let plain = apt::install(Command::new("apt-get"), &[QEMU_PACKAGE]);
            let Err(plain) = plain else { return Ok(()) };
            format!("{plain:#}")
        }
        Some(version) => format!("they have version {version}"),
        None => "they have none".to_owned(),
    };
    let suite = format!("{}-backports", codename()?);
    let apt = Apt::open(&suite, Status::System)?;
    let mut apt_get = apt.command("apt-get");
    apt_get.args(["-t", &suite]);
    apt::install(apt_get, &[QEMU_PACKAGE]).with_context(|| {
        format!("neither {suite} nor the system's own sources have it; of those: {plain}")
    })
}

/// The major version that apt would install from the system's own sources.
fn candidate() -> Result<Option<u32>> {
    let text = succeed(Command::new("apt-cache").args(["policy", QEMU_PACKAGE]))?;
    Ok(candidate_version(&text))
}

/// The number before the first dot of `Candidate: 1:7.2+dfsg-7`, without the epoch.
fn candidate_version(policy: &str) -> Option<u32> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    version.split('.').next()?.parse().ok()
}

/// The release's name, `bookworm`, as os-release(5) has it.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(line.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_under_which_guests_panic_is_too_old() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
        assert!(qemu_version(text).expect("a version") < QEMU_OLDEST);
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n";
        assert!(qemu_version(text).expect("a version") >= QEMU_OLDEST);
        assert_eq!(qemu_version("QEMU"), None);
    }

    #[test]
    fn what_apt_would_install_is_known_by_its_version() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n";
        assert_eq!(candidate_version(policy), Some(7));
        assert_eq!(candidate_version("  Candidate: 10.0.2\n"), Some(10));
        assert_eq!(candidate_version("  Candidate: (none)\n"), None);
    }
}
