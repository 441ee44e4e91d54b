//! Takes hist-ebpf's source. Gives the template objects under `hist-ebpf/prebuilt/`, which are
//! committed so that nobody who only uses them needs this toolchain.
//!
//! The bytes depend on the versions named below and on nothing else: not on the checkout's path,
//! on Cargo's home, or on where the standard library's source comes from.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{Apt, Status, succeed, target_dir, workspace};

/// The compiler that the committed objects come from. Its own LLVM links them, too.
const RUSTC: &str = "1.95.0";
/// The version of bpf-linker that links them, and its feature for that compiler's LLVM.
const BPF_LINKER: &str = "0.13.0";
const LLVM_FEATURE: &str = "llvm-22";
/// How the compiler's LLVM library is called, but for what follows.
const LLVM_LIBRARY: &str = "libLLVM.so.22.";
/// Where Debian keeps rust-src of recent compilers.
const SUITE: &str = "trixie-backports";
/// What templates are compiled for.
const TARGET: &str = "bpfel-unknown-none";

/// What to do with the templates.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build, and fail if the committed objects are other bytes
    #[arg(long)]
    check: bool,
    /// Only bring the toolchain (rust-src, bpf-linker) into the target directory
    #[arg(long, conflicts_with = "check")]
    setup: bool,
}

/// An object: its name, the binary that it comes from, and the cargo features that make it.
struct Template {
    object: &'static str,
    binary: &'static str,
    features: &'static [&'static str],
}

const TEMPLATES: [Template; 9] = [
    Template { object: "focus.bpf.o", binary: "focus", features: &[] },
    Template { object: "hist.bpf.o", binary: "hist", features: &[] },
    Template { object: "hist_array.bpf.o", binary: "hist", features: &["array"] },
    Template { object: "hist_large.bpf.o", binary: "hist", features: &["large"] },
    Template { object: "hist_large_spill.bpf.o", binary: "hist", features: &["large", "spill"] },
    Template { object: "hist_log.bpf.o", binary: "hist", features: &["log"] },
    Template { object: "hist_spill.bpf.o", binary: "hist", features: &["spill"] },
    Template { object: "sentinel.bpf.o", binary: "sentinel", features: &[] },
    Template { object: "stub.bpf.o", binary: "stub", features: &[] },
];

/// Builds, checks or sets up.
///
/// # Errors
/// When the toolchain cannot be had, the build fails, or `--check` finds other bytes.
pub(crate) fn run(args: &Args) -> Result<()> {
    let toolchain = Toolchain::set_up()?;
    if args.setup {
        println!("rust-src    {}", toolchain.rust_src.display());
        println!("bpf-linker  {}", toolchain.bpf_linker.display());
        return Ok(());
    }
    let mut stale = Vec::new();
    for template in &TEMPLATES {
        let path = prebuilt().join(template.object);
        let bytes = build(&toolchain, template)?;
        if fs::read(&path).is_ok_and(|committed| committed == bytes) {
            println!("{} is what the source gives", template.object);
        } else if args.check {
            stale.push(template.object);
        } else {
            fs::create_dir_all(prebuilt())?;
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
            println!("{} rebuilt", template.object);
        }
    }
    ensure!(
        stale.is_empty(),
        "the source gives other bytes for {}: run `cargo xtask ebpf` and commit hist-ebpf/prebuilt",
        stale.join(", ")
    );
    Ok(())
}

/// Where the committed objects are.
fn prebuilt() -> PathBuf {
    workspace().join("hist-ebpf/prebuilt")
}

/// Compiles one template.
fn build(toolchain: &Toolchain, template: &Template) -> Result<Vec<u8>> {
    let target_dir = absolute_target_dir()?.join("ebpf");
    let mut cargo = cargo();
    cargo.current_dir(workspace().join("hist-ebpf")).args(["build", "--locked", "--release"]);
    cargo.args(["-Zbuild-std=core", "--target", TARGET]).arg("--target-dir").arg(&target_dir);
    cargo.args(["--bin", template.binary, "--features"]).arg(template.features.join(","));
    let linker = toolchain.bpf_linker.display();
    // build-std is unstable, and looks for the source under the sysroot unless told otherwise.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", &toolchain.rust_src);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", format!("-Clinker={linker}"));
    succeed(&mut cargo).context("compiling hist-ebpf")?;
    let bytes = fs::read(target_dir.join(TARGET).join("release").join(template.binary))?;
    ensure_no_path(&bytes, template.object)?;
    Ok(bytes)
}

/// Cargo, with nothing in the environment that would change what it builds.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in env::vars_os() {
        let key = key.to_string_lossy();
        let changes = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_UNSTABLE_"];
        if changes.iter().any(|prefix| key.starts_with(prefix)) {
            cargo.env_remove(&*key);
        }
    }
    for key in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_INCREMENTAL"] {
        cargo.env_remove(key);
    }
    cargo
}

/// An object that names a directory of this machine would differ on the next one.
fn ensure_no_path(bytes: &[u8], object: &str) -> Result<()> {
    let home = env::var("HOME").unwrap_or_default();
    let here = workspace().display().to_string();
    let places = [home, here, "/lib/rustlib/".to_owned(), "/registry/src/".to_owned()];
    for place in places.iter().filter(|place| place.len() > 1) {
        let found = bytes.windows(place.len()).any(|window| window == place.as_bytes());
        ensure!(!found, "{object} contains the path {place}, so its bytes are not reproducible");
    }
    Ok(())
}

/// What it takes besides rustc.
struct Toolchain {
    /// The standard library's source, the folder `library`.
    rust_src: PathBuf,
    /// The program.
    bpf_linker: PathBuf,
}

impl Toolchain {
    /// Finds it, or brings what is missing into the target directory.
    fn set_up() -> Result<Toolchain> {
        let found = rustc(&["--version"])?;
        ensure!(
            found.starts_with(&format!("rustc {RUSTC} ")),
            "the templates are built with rustc {RUSTC}, this is {}; with rustup: \
             `rustup toolchain install {RUSTC} && cargo +{RUSTC} xtask ebpf`",
            found.trim()
        );
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        Ok(Toolchain { rust_src: rust_src(&sysroot)?, bpf_linker: bpf_linker(&sysroot)? })
    }
}

fn rustc(args: &[&str]) -> Result<String> {
    succeed(Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).args(args))
}

/// The folder of this compiler version's tools.
fn toolchain_dir() -> Result<PathBuf> {
    Ok(absolute_target_dir()?.join("ebpf-toolchain").join(RUSTC))
}

/// Commands run in other directories, so a relative CARGO_TARGET_DIR must not reach them.
fn absolute_target_dir() -> Result<PathBuf> {
    Ok(std::path::absolute(target_dir())?)
}

/// The standard library's source: rustup's component if it is installed, else Debian's package
/// in a folder of ours, else the component, which rustup puts into the toolchain.
fn rust_src(sysroot: &Path) -> Result<PathBuf> {
    let component = sysroot.join("lib/rustlib/src/rust/library");
    let ours = toolchain_dir()?.join("library");
    for place in [&component, &ours] {
        if place.join("Cargo.lock").is_file() {
            return Ok(place.clone());
        }
    }
    let Err(debian) = unpack_rust_src(&ours) else { return Ok(ours) };
    eprintln!("no rust-src from Debian ({debian:#}); trying rustup");
    succeed(Command::new("rustup").args(["component", "add", "rust-src"])).with_context(|| {
        format!(
            "rust-src {RUSTC} is missing and can be had neither from Debian ({debian:#}) nor from \
             rustup; put the folder `library` of its source at {}",
            ours.display()
        )
    })?;
    ensure!(component.join("Cargo.lock").is_file(), "rustup added no {}", component.display());
    Ok(component)
}

/// Debian's package, without installing it. Only a complete folder gets the name `library`.
fn unpack_rust_src(library: &Path) -> Result<()> {
    eprintln!("getting rust-src {RUSTC} from Debian's {SUITE}");
    let scratch = toolchain_dir()?.join("unpack");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    let apt = Apt::open(SUITE, Status::Empty)?;
    let records = succeed(apt.command("apt-cache").args(["show", "rust-src"]))?;
    let package = format!("rust-src={}", debian_version(&records)?);
    succeed(apt.command("apt-get").args(["-q", "download", &package]).current_dir(&scratch))?;
    unpack(&only_entry(&scratch)?, &scratch)?;
    fs::rename(scratch.join("library"), library)?;
    Ok(fs::remove_dir_all(scratch)?)
}

/// The package version of our compiler, from `apt-cache show`.
fn debian_version(records: &str) -> Result<&str> {
    let mut versions = records.lines().filter_map(|line| line.strip_prefix("Version: "));
    let ours = versions.clone().find(|version| version.starts_with(&format!("{RUSTC}+")));
    ours.with_context(|| {
        let all = versions.by_ref().collect::<Vec<_>>().join(", ");
        format!("{SUITE} has rust-src {all}, but not {RUSTC}")
    })
}

fn only_entry(dir: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(dir)?.next().with_context(|| format!("{} is empty", dir.display()))?;
    Ok(entry?.path())
}

/// Takes `library` out of the package. Without `vendor`: Debian's copies are not what the lock
/// file beside them names, and core needs none.
fn unpack(deb: &Path, into: &Path) -> Result<()> {
    let library = format!("./usr/src/rustc-{RUSTC}/library");
    let mut dpkg_deb = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting dpkg-deb")?;
    let Some(archive) = dpkg_deb.stdout.take() else { bail!("dpkg-deb has no stdout") };
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=4", "--exclude=*/library/vendor"]);
    let unpacked = succeed(tar.arg("--directory").arg(into).arg(&library).stdin(archive));
    let status = dpkg_deb.wait()?;
    unpacked.with_context(|| format!("unpacking {library} of {}", deb.display()))?;
    ensure!(status.success(), "dpkg-deb ended with {status}");
    Ok(())
}

/// bpf-linker on the compiler's own LLVM, which it must understand the bitcode of.
fn bpf_linker(sysroot: &Path) -> Result<PathBuf> {
    let root = toolchain_dir()?;
    let program = root.join("bin/bpf-linker");
    // Running it also shows that its LLVM library is still there.
    let wanted = format!("bpf-linker {BPF_LINKER}");
    let version = succeed(Command::new(&program).arg("--version"));
    if version.is_ok_and(|version| version.trim() == wanted) {
        return Ok(program);
    }
    eprintln!("building bpf-linker {BPF_LINKER}");
    let llvm = llvm_prefix(sysroot)?;
    let scratch = root.join("build");
    let mut cargo = cargo();
    cargo.args(["install", "bpf-linker", "--locked", "--force", "--no-default-features"]);
    cargo.args(["--version", BPF_LINKER, "--features", LLVM_FEATURE]);
    cargo.arg("--root").arg(&root).arg("--target-dir").arg(&scratch);
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", sysroot.join("lib").display());
    cargo.env("LLVM_PREFIX", llvm).env("CARGO_ENCODED_RUSTFLAGS", rpath);
    succeed(&mut cargo).with_context(|| format!("building bpf-linker {BPF_LINKER}"))?;
    fs::remove_dir_all(&scratch)?;
    Ok(program)
}

/// A folder in which `lib/libLLVM.so` is the compiler's LLVM: how bpf-linker's build finds it.
fn llvm_prefix(sysroot: &Path) -> Result<PathBuf> {
    let lib = sysroot.join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("reading {}", lib.display()))?;
    let library = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(is_llvm))
        .with_context(|| {
            format!("no {LLVM_LIBRARY}* in {}: this needs rustup's rustc {RUSTC}", lib.display())
        })?;
    let prefix = toolchain_dir()?.join("llvm");
    let link = prefix.join("lib/libLLVM.so");
    fs::create_dir_all(prefix.join("lib"))?;
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    std::os::unix::fs::symlink(library, link)?;
    Ok(prefix)
}

fn is_llvm(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with(LLVM_LIBRARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_our_compiler_is_chosen() {
        let records = "Package: rust-src\nVersion: 1.96.1+dfsg1-2~bpo13+1\n\n\
                       Package: rust-src\nVersion: 1.95.0+dfsg1-2~bpo13+1\n";
        assert_eq!(debian_version(records).unwrap(), "1.95.0+dfsg1-2~bpo13+1");
    }

    #[test]
    fn a_suite_without_it_is_told_what_it_has() {
        let records = "Version: 1.96.1+dfsg1-2\nVersion: 1.95.01+x\n";
        let error = debian_version(records).unwrap_err().to_string();
        assert!(error.contains("1.96.1+dfsg1-2, 1.95.01+x, but not 1.95.0"), "{error}");
    }

    #[test]
    fn paths_of_this_machine_are_found_in_an_object() {
        assert!(ensure_no_path(b"src/hist.rs", "x.o").is_ok());
        assert!(ensure_no_path(b"..x/registry/src/index/a.rs", "x.o").is_err());
    }
}
