//! Takes nothing. Gives what the chores share: paths, commands, and a private apt directory that
//! leaves the system's apt configuration alone.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

/// Where Debian's packages come from when the system's own configuration names no mirror.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// The keys that Debian's archive is signed with, from the package of that name.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whose package database apt consults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// An empty one: packages are looked up and downloaded, never installed.
    Empty,
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
        let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
        fs::write(apt.dir.join("sources.list"), source)?;
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

/// The mirror of Debian that the system's own apt configuration names, else the usual one.
fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    let output = succeed(command.args(["indextargets", "--format", "$(SITE)"]))?;
    let named = output.lines().map(str::trim).find(|site| site.ends_with("/debian"));
    Ok(named.unwrap_or(DEFAULT_MIRROR).to_owned())
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
