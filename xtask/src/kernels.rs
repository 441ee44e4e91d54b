//! Finds bootable images of kernel versions such as `6.12`: Debian's kernels for virtual machines, kept
//! under `target/kernels/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, Status, field, only_entry};
use crate::cargo::target_dir;
use crate::command::succeed;

/// A kernel to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// What to call it in reports: the version asked for, or the image's path.
    pub name: String,
    /// The compressed kernel.
    pub image: PathBuf,
}

/// A version and the suite of Debian that has it.
struct Source {
    version: &'static str,
    suite: &'static str,
}

/// The kernels that the suite runs on, newest first.
const SOURCES: [Source; 3] = [
    Source { version: "7.3", suite: "trixie-backports" },
    Source { version: "6.12", suite: "bookworm-backports" },
    Source { version: "6.1", suite: "bookworm" },
];

/// Package names, in order of preference. From 7.1 on `linux-image-*` carries no image any more.
const PREFIXES: [&str; 2] = ["linux-binary-unsigned-", "linux-image-"];

/// Kernels built for virtual machines: small, and with all that the suite needs built in.
const FLAVOUR: &str = "-cloud-amd64";

/// All versions that [`find`] knows.
pub(crate) fn versions() -> Vec<String> {
    SOURCES.iter().map(|source| source.version.to_owned()).collect()
}

/// The kernel of that version, from the cache or else from Debian.
///
/// # Errors
/// When the version is unknown, or not cached and not to be had.
pub(crate) fn find(version: &str) -> Result<Kernel> {
    let Some(source) = SOURCES.iter().find(|source| source.version == version) else {
        bail!(
            "no kernel {version}: known are {}; --image PATH boots any other",
            versions().join(", ")
        );
    };
    let cache = target_dir().join("kernels").join(version);
    let image = match cached(&cache)? {
        Some(image) => image,
        None => download(source, &cache)
            .with_context(|| format!("getting kernel {version} from Debian's {}", source.suite))?,
    };
    Ok(Kernel { name: version.to_owned(), image })
}

/// The cached image. Only complete ones are there: [`download`] moves them in at the end.
fn cached(cache: &Path) -> Result<Option<PathBuf>> {
    if !cache.is_dir() {
        return Ok(None);
    }
    for entry in fs::read_dir(cache)? {
        let image = entry?.path().join("vmlinuz");
        if image.is_file() {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// The newest package's image, moved into the cache whole.
fn download(source: &Source, cache: &Path) -> Result<PathBuf> {
    eprintln!("downloading kernel {} from Debian's {}", source.version, source.suite);
    let apt = Apt::open(source.suite, Status::Empty)?;
    let names = succeed(apt.command("apt-cache").args(["pkgnames", "linux-"]))?;
    let package = newest(&names, source.version)
        .with_context(|| format!("no package linux-image-{}.*{FLAVOUR}", source.version))?;
    let record = apt.show(package)?;

    fs::create_dir_all(cache)?;
    let scratch = tempfile::tempdir_in(cache)?;
    let tree = apt.unpack(package, scratch.path())?;
    let image = image_in(&tree)?.with_context(|| format!("{package} has no kernel image"))?;

    let id = format!("{}_{}", field(&record, "Version")?, field(&record, "SHA256")?);
    let ready = tempfile::tempdir_in(cache)?.keep();
    fs::rename(image, ready.join("vmlinuz"))?;
    let home = cache.join(id);
    fs::rename(ready, &home)?;
    Ok(home.join("vmlinuz"))
}

/// The newest package of `version` among `names`, one a line.
fn newest<'a>(names: &'a str, version: &str) -> Option<&'a str> {
    let of = |prefix: &str| {
        let start = format!("{prefix}{version}.");
        let ours = |name: &&str| name.starts_with(&start) && name.ends_with(FLAVOUR);
        names.lines().filter(ours).max_by_key(|name| numbers(name))
    };
    PREFIXES.into_iter().find_map(of)
}

/// All numbers in a name: `6.12.95+deb12` is newer than `6.12.9+deb12`.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// `boot/vmlinuz-V`, or from 7.1 on `usr/lib/modules/V/vmlinuz.unsigned`.
fn image_in(tree: &Path) -> Result<Option<PathBuf>> {
    let mut dirs = vec![tree.join("boot")];
    let modules = tree.join("usr/lib/modules");
    if modules.is_dir() {
        dirs.push(only_entry(&modules)?);
    }
    for dir in dirs.iter().filter(|dir| dir.is_dir()) {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("vmlinuz") {
                return Ok(Some(entry.path()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "linux-image-6.12.9+deb12-cloud-amd64\n\
        linux-image-6.12.95+deb12-cloud-amd64\n\
        linux-image-6.12.95+deb12-amd64\n\
        linux-image-6.1.0-50-cloud-amd64\n\
        linux-image-6.1.0-9-cloud-amd64\n\
        linux-image-7.3.4+deb13-cloud-amd64\n\
        linux-binary-unsigned-7.3.4+deb13-cloud-amd64\n\
        linux-image-cloud-amd64\n";

    #[test]
    fn newest_counts_numbers_not_letters() {
        assert_eq!(newest(NAMES, "6.12"), Some("linux-image-6.12.95+deb12-cloud-amd64"));
        assert_eq!(newest(NAMES, "6.1"), Some("linux-image-6.1.0-50-cloud-amd64"));
    }

    #[test]
    fn newest_takes_the_package_with_the_image() {
        assert_eq!(newest(NAMES, "7.3"), Some("linux-binary-unsigned-7.3.4+deb13-cloud-amd64"));
        assert_eq!(newest(NAMES, "5.10"), None);
    }
}
