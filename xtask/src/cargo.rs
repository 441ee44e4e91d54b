//! Cargo as every task calls it, and where things are in the source tree.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::succeed;

/// The platform that everything runs on, virtual machines included.
pub(crate) const HOST: &str = "x86_64-unknown-linux-gnu";

/// The folders that have a lock file, below the root of the source tree.
const LOCKED: [&str; 3] = ["", "hist-ebpf", "tests/fuzz"];

/// `cargo SUBCOMMAND` at the root of the source tree, for what resolves no dependencies.
pub(crate) fn cargo_without_lock(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).arg(subcommand);
    cargo
}

/// `cargo SUBCOMMAND --locked` at the root of the source tree: no build changes a lock file.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = cargo_without_lock(subcommand);
    cargo.arg("--locked");
    cargo
}

/// Builds the command and the program that writes its manual pages, and gives their folder.
///
/// Of the whole workspace, as tests are built: with the package selected alone, its dependencies
/// would have other features, and some thirty of them would be compiled once more.
///
/// # Errors
/// When it does not compile.
pub(crate) fn build_for_tests() -> Result<PathBuf> {
    let mut build = cargo("build");
    build.args(["--quiet", "--workspace", "--bin", "hist-bpf", "--example", "man"]);
    succeed(&mut build)?;
    Ok(target_dir().join("debug"))
}

/// Checks that every lock file is what its manifests ask for.
///
/// # Errors
/// When one is not, with the command that mends it, or cargo cannot tell.
pub(crate) fn check_locks() -> Result<()> {
    LOCKED.into_iter().try_for_each(|folder| check_lock(&workspace().join(folder)))
}

/// The same for one folder.
fn check_lock(folder: &Path) -> Result<()> {
    let manifest = folder.join("Cargo.toml");
    let mut metadata = cargo("metadata");
    metadata.args(["--quiet", "--format-version=1", "--filter-platform", HOST]);
    let Err(error) = succeed(metadata.arg("--manifest-path").arg(&manifest)) else {
        return Ok(());
    };
    let (lock, manifest) = (folder.join("Cargo.lock"), manifest.display());
    if format!("{error:#}").contains("--locked was passed") {
        bail!(
            "{} is stale: `cargo update --workspace --manifest-path {manifest}` mends it",
            lock.display()
        );
    }
    Err(error).with_context(|| lock.display().to_string())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A build changed it, and nobody was told.
    #[test]
    fn a_stale_lock_file_is_an_error_that_says_what_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        write("src/lib.rs", "");
        let manifest = "[package]\nname = \"a\"\nversion = \"0.1.0\"\n[workspace]\n";
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\n";
        write("Cargo.toml", manifest);
        write("Cargo.lock", lock);
        check_lock(folder.path()).unwrap();
        write("Cargo.toml", &manifest.replace("0.1.0", "0.2.0"));
        let error = check_lock(folder.path()).unwrap_err().to_string();
        let path = folder.path().display();
        assert_eq!(
            error,
            format!(
                "{path}/Cargo.lock is stale: `cargo update --workspace --manifest-path \
                 {path}/Cargo.toml` mends it"
            )
        );
        assert_eq!(fs::read_to_string(folder.path().join("Cargo.lock")).unwrap(), lock);
    }

    #[test]
    fn every_lock_file_of_the_tree_is_checked() {
        let listed =
            succeed(Command::new("git").args(["ls-files", "*Cargo.lock"]).current_dir(workspace()));
        // Sources without git's folder, such as an archive, cannot be asked.
        let Ok(listed) = listed else { return };
        let mut known =
            LOCKED.map(|folder| Path::new(folder).join("Cargo.lock").display().to_string());
        known.sort();
        assert_eq!(listed.lines().collect::<Vec<_>>(), known);
    }
}
