//! Debian's packages: installed by the system's apt, or looked up and unpacked by one with a
//! directory of its own, which leaves the system alone.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::target_dir;
use crate::command::{on_path, succeed};

/// Names a mirror of Debian's archive where the system's own configuration has none.
const MIRROR_VARIABLE: &str = "DEBIAN_MIRROR";

/// The keys that Debian's archive is signed with, from the package of that name.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whether the system's apt may install packages.
pub(crate) fn can_install() -> bool {
    rustix::process::geteuid().is_root() && on_path("apt-get")
}

/// Installs packages by `apt_get`, with more options if need be, and removes none.
///
/// # Errors
/// When apt cannot.
pub(crate) fn install(mut apt_get: Command, packages: &[&str]) -> Result<()> {
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get.args(["-q", "install", "--yes", "--no-remove", "--no-install-recommends"]);
    succeed(apt_get.args(packages))?;
    Ok(())
}

/// Fetches the system's package lists.
///
/// # Errors
/// When no mirror can be reached.
pub(crate) fn update() -> Result<()> {
    succeed(Command::new("apt-get").args(["-q", "update"]))?;
    Ok(())
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

    /// Downloads a package, `NAME` or `NAME=VERSION`, checked against the archive's signed hashes,
    /// into `dir`, where nothing else may be.
    ///
    /// # Errors
    /// When the mirror does not have it, or it is not what was signed.
    pub(crate) fn download(&self, package: &str, dir: &Path) -> Result<PathBuf> {
        succeed(self.command("apt-get").args(["-q", "download", package]).current_dir(dir))?;
        only_entry(dir)
    }

    /// The same, with its files unpacked in a folder of `dir`, which is returned.
    ///
    /// # Errors
    /// As [`Apt::download`].
    pub(crate) fn unpack(&self, package: &str, dir: &Path) -> Result<PathBuf> {
        let deb = self.download(package, dir)?;
        let tree = dir.join("tree");
        succeed(Command::new("dpkg-deb").arg("--extract").args([&deb, &tree]))?;
        Ok(tree)
    }

    /// What apt knows of a package.
    ///
    /// # Errors
    /// When the suite has none of that name.
    pub(crate) fn show(&self, package: &str) -> Result<String> {
        succeed(self.command("apt-cache").args(["show", package]))
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

/// The one file or folder in `dir`.
///
/// # Errors
/// When it is empty or cannot be read.
pub(crate) fn only_entry(dir: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(dir)?.next().with_context(|| format!("{} is empty", dir.display()))?;
    Ok(entry?.path())
}

/// The value of `key` in the first of apt's records.
///
/// # Errors
/// When it has none.
pub(crate) fn field<'a>(record: &'a str, key: &str) -> Result<&'a str> {
    record
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .with_context(|| format!("apt's record has no {key}:\n{record}"))
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
    fn backports_come_with_their_release_when_installing() {
        let lines = source_list("M", "bookworm-backports", Status::System);
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.contains(" M bookworm main"));
        assert_eq!(source_list("M", "bookworm-backports", Status::Empty).lines().count(), 1);
    }

    #[test]
    fn field_reads_the_first_record() {
        let record = "Package: a\nVersion: 1-2\n\nPackage: a\nVersion: 0-1\n";
        assert_eq!(field(record, "Version").unwrap(), "1-2");
        assert!(field(record, "SHA256").is_err());
    }
}
