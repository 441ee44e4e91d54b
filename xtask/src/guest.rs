//! Builds the programs that are the first process of a virtual machine, and puts each into the
//! initramfs that the machine boots.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::cargo::{HOST, cargo, target_dir, workspace};
use crate::command::succeed;
use crate::initramfs::Initramfs;

/// Such a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Tests: the package hist-tests.
    Tests,
    /// Measures: the package hist-measure.
    Measure,
}

impl Guest {
    /// Its file's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Tests => "vm-guest",
            Self::Measure => "hist-measure",
        }
    }

    /// Builds it.
    ///
    /// Static, since the machine has no libraries; in a directory of its own, since other flags would
    /// have cargo build everything else again. Both programs are always built, so that what they
    /// share is compiled once: which features it has depends on the packages that are selected.
    ///
    /// # Errors
    /// When it does not compile.
    pub(crate) fn build(self) -> Result<PathBuf> {
        let dir = target_dir().join("guest");
        let mut build = cargo("build");
        build.env("RUSTFLAGS", "-C target-feature=+crt-static");
        build.args(["--quiet", "--package", "hist-tests", "--package", "hist-measure"]);
        for guest in [Self::Tests, Self::Measure] {
            build.args(["--bin", guest.name()]);
        }
        build.args(["--profile", "guest", "--target", HOST, "--target-dir"]);
        succeed(build.arg(&dir))?;
        Ok(dir.join(HOST).join("guest").join(self.name()))
    }

    /// Builds it and writes an initramfs that has it as `/init`, and the suite.
    ///
    /// # Errors
    /// When it does not compile or a file cannot be read or written.
    pub(crate) fn image(self) -> Result<PathBuf> {
        let program = self.build()?;
        let mut image = Initramfs::new();
        for dir in ["proc", "sys", "tmp", "suite", "suite/sessions"] {
            image.directory(dir);
        }
        image.file("init", &fs::read(&program).with_context(|| program.display().to_string())?);
        for dir in ["suite", "suite/sessions"] {
            add_files(&mut image, dir)?;
        }
        let dir = target_dir().join("vm");
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.cpio", self.name()));
        fs::write(&path, image.finish())?;
        Ok(path)
    }
}

/// Adds the files in a directory of the tests, at the same place below the root.
fn add_files(image: &mut Initramfs, dir: &str) -> Result<()> {
    for entry in fs::read_dir(workspace().join("tests").join(dir))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = format!("{dir}/{}", entry.file_name().display());
            image.file(&name, &fs::read(entry.path())?);
        }
    }
    Ok(())
}
