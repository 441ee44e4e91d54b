//! Builds what is handed out, in `target/dist`, and tries each out: a static program, an archive of it
//! with everything that belongs to it, and a Debian package.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{HOST, cargo, target_dir, workspace};
use crate::command::{on_path, succeed};
use crate::man;

/// For which machine.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Target of the program; another one than this machine's needs rustc's library and a linker
    /// for it
    #[arg(long, value_name = "TRIPLE", default_value = HOST)]
    target: String,
    /// Also try `cargo install` into a folder of its own
    #[arg(long)]
    install: bool,
}

/// What `cargo xtask dist` needs to know of its own version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs `cargo xtask dist`.
///
/// # Errors
/// When a step fails, or what it made is not what it should be.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dist = target_dir().join("dist");
    let is_native = args.target.starts_with(std::env::consts::ARCH);
    let program = build(&args.target)?;
    check_static(&program)?;
    if is_native {
        check_runs(&program)?;
    }
    let root = dist.join(format!("hist-bpf-{VERSION}-{}", args.target));
    stage(&root, &program)?;
    open_folders(&root)?;
    let archive = archive(&root)?;
    println!("{}", archive.display());
    if on_path("dpkg-deb") {
        println!("{}", package(&dist, &root, &args.target, is_native)?.display());
    } else {
        eprintln!("dpkg-deb is not installed: no Debian package");
    }
    if args.install {
        install(&dist)?;
    }
    Ok(())
}

/// The release program, position-independent and without any shared library.
fn build(target: &str) -> Result<PathBuf> {
    let mut cargo = cargo("build");
    cargo.args(["--quiet", "--release", "--package", "hist-cli", "--target", target]);
    // Flags for the target alone, so that what runs while building is linked as usual.
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    succeed(cargo.env(variable, "-C target-feature=+crt-static -C relocation-model=pie"))?;
    Ok(target_dir().join(target).join("release/hist-bpf"))
}

fn check_static(program: &Path) -> Result<()> {
    let headers = succeed(Command::new("readelf").args(["-lW"]).arg(program))?;
    ensure!(!headers.contains("INTERP"), "{} needs a dynamic linker", program.display());
    ensure!(headers.contains("DYN ("), "{} is not position-independent", program.display());
    let dynamic = succeed(Command::new("readelf").args(["-dW"]).arg(program))?;
    ensure!(!dynamic.contains("(NEEDED)"), "{} needs libraries", program.display());
    let sections = succeed(Command::new("readelf").args(["-SW"]).arg(program))?;
    ensure!(!sections.contains(".symtab"), "{} is not stripped", program.display());
    Ok(())
}

fn check_runs(program: &Path) -> Result<()> {
    let said = succeed(Command::new(program).arg("-V"))?;
    ensure!(said == format!("hist-bpf {VERSION}\n"), "{} says {said}", program.display());
    Ok(())
}

/// Where things go below a prefix, as the file hierarchy standard has it.
const BASH: &str = "share/bash-completion/completions/hist-bpf";
const ZSH: &str = "share/zsh/vendor-completions/_hist-bpf";
const FISH: &str = "share/fish/vendor_completions.d/hist-bpf.fish";
const DOC: &str = "share/doc/hist-bpf";

/// Everything, as it lies below a prefix such as `/usr`.
fn stage(root: &Path, program: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| root.display().to_string())?;
    }
    copy(program, &root.join("bin/hist-bpf"), 0o755)?;
    for page in man::write(&target_dir().join("man"))? {
        let name = page.file_name().context("a page without name")?;
        copy(&page, &root.join("share/man/man1").join(name), 0o644)?;
    }
    let scripts = workspace().join("hist-cli/src/cli/completions");
    for (shell, to) in [("bash", BASH), ("zsh", ZSH), ("fish", FISH)] {
        copy(&scripts.join(format!("hist-bpf.{shell}")), &root.join(to), 0o644)?;
    }
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "docs", "contrib"] {
        let from = workspace().join(name);
        if from.exists() {
            copy_all(&from, &root.join(DOC).join(name))?;
        }
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        return copy(from, to, 0o644);
    }
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// The archive of the staged tree, the same for the same contents.
fn archive(root: &Path) -> Result<PathBuf> {
    let archive = PathBuf::from(format!("{}.tar.gz", root.display()));
    let (folder, name) = (root.parent(), root.file_name());
    let (folder, name) = folder.zip(name).context("the archive has no name")?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar.env("GZIP", "-n").args(["-czf"]).arg(&archive).arg("-C").arg(folder).arg(name);
    succeed(&mut tar)?;
    Ok(archive)
}

/// The Debian package, unpacked once to see what is in it, and run from there if it can be.
fn package(dist: &Path, staged: &Path, target: &str, is_native: bool) -> Result<PathBuf> {
    let architecture = match target.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => bail!("no name is known that Debian has for {target}"),
    };
    let root = dist.join("deb");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    copy_all(staged, &root.join("usr"))?;
    fs::set_permissions(root.join("usr/bin/hist-bpf"), fs::Permissions::from_mode(0o755))?;
    write(&root.join("usr").join(DOC).join("copyright"), COPYRIGHT)?;
    for page in fs::read_dir(root.join("usr/share/man/man1"))? {
        succeed(Command::new("gzip").arg("-9n").arg(page?.path()))?;
    }
    let control = control(architecture, size(&root)?);
    let sums = sums(&root)?;
    fs::create_dir_all(root.join("DEBIAN"))?;
    for (name, text) in [("control", control), ("md5sums", sums)] {
        write(&root.join("DEBIAN").join(name), &text)?;
    }
    open_folders(&root)?;
    let file = dist.join(format!("hist-bpf_{VERSION}_{architecture}.deb"));
    let mut build = Command::new("dpkg-deb");
    succeed(build.args(["--root-owner-group", "--build"]).arg(&root).arg(&file))?;
    check_package(&file, is_native)?;
    Ok(file)
}

/// Writes a file that everybody may read.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// What `dpkg --verify` compares files with.
fn sums(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    list(&root.join("usr"), &mut files)?;
    files.sort_unstable();
    let files = files.iter().map(|file| file.strip_prefix(root).context("it is below"));
    let files: Vec<_> = files.collect::<Result<_>>()?;
    succeed(Command::new("md5sum").args(files).current_dir(root))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Lets everybody look into all folders, whatever the umask of who builds.
fn open_folders(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

/// Bytes of all files below.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(sum)
}

fn control(architecture: &str, bytes: u64) -> String {
    format!(
        "Package: hist-bpf\nVersion: {VERSION}\nArchitecture: {architecture}\nSection: utils\n\
         Priority: optional\nInstalled-Size: {}\nMaintainer: hist-bpf developers <developers@hist-bpf.invalid>\n\
         Description: histograms of kernel events, counted by eBPF\n \
         Takes ftrace's hist triggers, compiles each to an eBPF program, and prints what the\n \
         kernel's own hist file would print. Needs neither LLVM nor kernel headers.\n",
        bytes.div_ceil(1024)
    )
}

const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
Upstream-Name: hist-bpf\n\n\
Files: *\n\
Copyright: 2026 The hist-bpf developers\n\
License: MIT or Apache-2.0\n \
The whole texts are in LICENSE-MIT and LICENSE-APACHE beside this file.\n";

fn check_package(file: &Path, is_native: bool) -> Result<()> {
    let contents = succeed(Command::new("dpkg-deb").arg("-c").arg(file))?;
    let pages = "share/man/man1/hist-bpf.1.gz";
    for path in ["bin/hist-bpf", pages, BASH, ZSH, FISH, "share/doc/hist-bpf/copyright"] {
        ensure!(contents.contains(&format!("./usr/{path}\n")), "no {path} in\n{contents}");
    }
    for line in contents.lines() {
        let is_program = line.ends_with("./usr/bin/hist-bpf");
        let mode = match line.starts_with('d') {
            true => "drwxr-xr-x root/root",
            false if is_program => "-rwxr-xr-x root/root",
            false => "-rw-r--r-- root/root",
        };
        ensure!(line.starts_with(mode), "not {mode}: {line}");
    }
    let folder = tempfile::tempdir()?;
    succeed(Command::new("dpkg-deb").arg("-x").arg(file).arg(folder.path()))?;
    if is_native {
        check_runs(&folder.path().join("usr/bin/hist-bpf"))?;
    }
    Ok(())
}

/// `cargo install` suffices for who has Rust.
fn install(dist: &Path) -> Result<()> {
    let root = dist.join("installed");
    let mut cargo = cargo("install");
    cargo.args(["--quiet", "--path", "hist-cli"]);
    succeed(cargo.arg("--root").arg(&root).arg("--target-dir").arg(target_dir()))?;
    check_runs(&root.join("bin/hist-bpf"))?;
    println!("cargo install: {}", root.join("bin/hist-bpf").display());
    Ok(())
}
