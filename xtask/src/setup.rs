//! Takes nothing. Gives the tools that tests and the virtual machines need, installed if absent, and
//! a private apt directory that leaves the system's apt configuration alone.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Its package in Debian and Ubuntu.
const QEMU_PACKAGE: &str = "qemu-system-x86";

/// The oldest major version that runs the suite. Guests panic under 7.2, Debian 12's own, when the
/// kernel patches code that another CPU runs: `Oops: int3`.
const QEMU_OLDEST: u32 = 8;

/// Names a mirror of Debian's archive where the system's own configuration has none.
const MIRROR_VARIABLE: &str = "DEBIAN_MIRROR";

/// The keys that Debian's archive is signed with, from the package of that name.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
const NO_SKIP_VARIABLE: &str = "HIST_BPF_NO_SKIP";

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
    succeed(Command::new("apt-get").args(["-q", "update"]))?;
    succeed(install_command(&mut Command::new("apt-get"), &packages))?;
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

fn can_install() -> bool {
    rustix::process::geteuid().is_root() && on_path("apt-get")
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
    let mut update = Command::new("apt-get");
    succeed(update.args(["-q", "update"]))?;
    let plain = match candidate()? {
        Some(version) if version >= QEMU_OLDEST => {
            let plain = succeed(install_command(&mut Command::new("apt-get"), &[QEMU_PACKAGE]));
            let Err(plain) = plain else { return Ok(()) };
            format!("{plain:#}")
        }
        Some(version) => format!("they have version {version}"),
        None => "they have none".to_owned(),
    };
    let suite = format!("{}-backports", codename()?);
    let apt = Apt::open(&suite, Status::System)?;
    let mut apt_get = apt.command("apt-get");
    succeed(install_command(&mut apt_get, &[QEMU_PACKAGE]).args(["-t", &suite])).with_context(
        || format!("neither {suite} nor the system's own sources have it; of those: {plain}"),
    )?;
    Ok(())
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

fn install_command<'a>(apt_get: &'a mut Command, packages: &[&str]) -> &'a mut Command {
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get.args(["-q", "install", "--yes", "--no-remove", "--no-install-recommends"]);
    apt_get.args(packages)
}

/// The release's name, `bookworm`, as os-release(5) has it.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(line.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// Whether there is a program of that name.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Whose package database apt consults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// An empty one: packages are looked up and downloaded, never installed.
    Empty,
    /// The system's.
    System,
}

/// An apt that reads one Debian suite and keeps its lists in a directory of its own.
pub(crate) struct Apt {
    dir: PathBuf,
    status: Status,
}

impl Apt {
    /// Fetches the lists of `suite`.
    ///
    /// # Errors
    /// When apt is absent, the mirror cannot be reached or a signature is wrong.
    pub(crate) fn open(suite: &str, status: Status) -> Result<Apt> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing: install debian-archive-keyring"
        );
        let apt = Apt { dir: target_dir().join("apt").join(suite), status };
        for dir in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.dir.join(dir)).context("creating a private apt directory")?;
        }
        fs::write(apt.dir.join("status"), "")?;
        fs::write(apt.dir.join("sources.list"), source_list(&mirror()?, suite, status))?;
        succeed(apt.command("apt-get").args(["-q", "update"]))?;
        Ok(apt)
    }

    /// A call of one of apt's programs in this directory.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (key, value) in self.options() {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let here = |name: &str| self.dir.join(name).display().to_string();
        let mut options = vec![
            ("Dir::Etc::sourcelist", here("sources.list")),
            ("Dir::Etc::sourceparts", "/nonexistent".into()),
            ("Dir::State::lists", here("lists")),
            ("Dir::Cache", here("cache")),
            ("Acquire::Languages", "none".into()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
            ("APT::Sandbox::User", String::new()),
        ];
        if self.status == Status::Empty {
            options.extend([
                ("Dir::Etc::main", "/dev/null".into()),
                ("Dir::Etc::parts", "/nonexistent".into()),
                ("Dir::State", here("")),
                ("Dir::State::status", here("status")),
                ("APT::Architecture", "amd64".into()),
                ("APT::Architectures::", "amd64".into()),
                ("Debug::NoLocking", "1".into()),
            ]);
        }
        options
    }
}

/// With the system's own database, backports need the release below them.
fn source_list(mirror: &str, suite: &str, status: Status) -> String {
    let line = |suite: &str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    match (status, suite.strip_suffix("-backports")) {
        (Status::System, Some(release)) => line(release) + &line(suite),
        _ => line(suite),
    }
}

/// The mirror of Debian that the system's own apt configuration names, else the usual one.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    if let Ok(mirror) = env::var(MIRROR_VARIABLE) {
        return Ok(mirror);
    }
    let output = succeed(command.args(["indextargets", "--format", "$(SITE)"]))?;
    let mirror = debian_mirror(&output).map(str::to_owned);
    mirror.with_context(|| {
        format!("apt knows no mirror of Debian's archive; name one in {MIRROR_VARIABLE}")
    })
}

/// By convention Debian's archive ends its address with `/debian`; others, security updates among
/// them, do not.
fn debian_mirror(sites: &str) -> Option<&str> {
    sites.lines().map(str::trim).find(|site| site.trim_end_matches('/').ends_with("/debian"))
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => workspace().join("target"),
    }
}

/// The root of the source tree.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs a command and gives its stdout.
///
/// # Errors
/// When it cannot be started or fails; the message has the whole command and what it printed.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.join(OsStr::new(" ")).display().to_string();
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("starting `{line}`"))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        bail!("`{line}` ended with {status}:\n{stdout}{}", String::from_utf8_lossy(&stderr));
    }
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_debians_own_archive() {
        let sites =
            "http://a.example/debian-security\nhttp://b.example/debian\nhttps://c.example/node\n";
        assert_eq!(debian_mirror(sites), Some("http://b.example/debian"));
        assert_eq!(debian_mirror("https://c.example/node\n"), None);
    }

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

    #[test]
    fn backports_come_with_their_release_when_installing() {
        let lines = source_list("M", "bookworm-backports", Status::System);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(" M bookworm main"));
        assert_eq!(source_list("M", "bookworm-backports", Status::Empty).lines().count(), 1);
    }
}
