//! Writes the manual pages, and has the programs that format them check each.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{build_for_tests, target_dir};
use crate::command::succeed;
use crate::setup::has;

/// Where to.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the pages go instead of target/man
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs `cargo xtask man`.
///
/// # Errors
/// When a page cannot be written, or a formatter warns of it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = args.output.clone().unwrap_or_else(|| target_dir().join("man"));
    for page in write(&folder)? {
        println!("{}", page.display());
    }
    Ok(())
}

/// Writes the pages, checks them, and gives their paths.
///
/// # Errors
/// As [`run`].
pub(crate) fn write(folder: &Path) -> Result<Vec<PathBuf>> {
    let program = build_for_tests()?.join("examples/man");
    succeed(Command::new(program).arg(folder))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("1")) {
            check(&path)?;
            pages.push(path);
        }
    }
    ensure!(!pages.is_empty(), "no manual page in {}", folder.display());
    pages.sort();
    Ok(pages)
}

/// What mandoc may say. Pages have the release instead of a date, which would change with every
/// build; and clap_mangen breaks lines around possible values twice.
const HARMLESS: [&str; 3] = [
    "missing date",
    "skipping paragraph macro: br before sp",
    "skipping paragraph macro: br after sp",
];

/// groff tells of what it does not understand, mandoc also of bad style.
fn check(page: &Path) -> Result<()> {
    for (program, options) in
        [("groff", &["-man", "-ww", "-z", "-Tutf8"][..]), ("mandoc", &["-Tlint", "-Wwarning"][..])]
    {
        if !has(program)? {
            continue;
        }
        let output = Command::new(program).args(options).arg(page).output().context(program)?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let is_harmless = |line: &str| HARMLESS.iter().any(|part| line.contains(part));
        let warns = |line: &&str| !line.trim().is_empty() && !is_harmless(line);
        let said: Vec<_> = said.lines().filter(warns).collect();
        ensure!(said.is_empty(), "{program} warns:\n{}", said.join("\n"));
    }
    Ok(())
}
