//! Takes a time. Gives a verdict: every fuzz target of `tests/fuzz/` runs for that long and finds
//! nothing.
//!
//! Coverage comes from passes of LLVM that stable Rust can name; no sanitizer is used, since that
//! would need nightly Rust with the source of its standard library, and the code under test has nothing unsafe.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{succeed, target_dir, workspace};

/// How long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Time for each target
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
    /// Only this target; may be repeated
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
}

const TARGETS: [&str; 11] = [
    "trigger",
    "filter",
    "format",
    "btf",
    "kallsyms",
    "mountinfo",
    "status",
    "document",
    "metrics",
    "request",
    "accept",
];

/// The longest text that is tried, in bytes; a trigger has 4095.
const MAX_LENGTH: u32 = 4200;

/// The version of cargo-fuzz that is installed if there is none.
const CARGO_FUZZ: &str = "0.13.1";

/// Runs `cargo xtask fuzz`.
///
/// # Errors
/// When something is missing that cannot be got, or a target finds something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cargo_fuzz = cargo_fuzz()?;
    let all = TARGETS.map(str::to_owned);
    let targets = if args.target.is_empty() { &all[..] } else { &args.target };
    let dictionary = write_dictionary()?;
    for target in targets {
        let corpus = target_dir().join("fuzz/corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
        let mut fuzz = Command::new(&cargo_fuzz);
        fuzz.current_dir(workspace())
            .args([
                "run",
                "--fuzz-dir",
                "tests/fuzz",
                "--dev",
                "--sanitizer",
                "none",
                "--target-dir",
            ])
            .arg(target_dir().join("fuzz/build"))
            .arg(target)
            .arg(&corpus)
            .arg("--")
            .arg(format!("-max_total_time={}", args.seconds))
            .arg(format!("-max_len={MAX_LENGTH}"))
            .arg(format!("-dict={}", dictionary.display()))
            .arg(format!("-artifact_prefix={}/", target_dir().join("fuzz").display()))
            .args(["-timeout=10", "-print_final_stats=1"]);
        let status = fuzz.status().with_context(|| cargo_fuzz.display().to_string())?;
        if !status.success() {
            bail!("{target} found something, see above: its input is kept in target/fuzz/");
        }
        println!("{target}: nothing in {} s", args.seconds);
    }
    Ok(())
}

/// Writes the words that libFuzzer puts in: those of the language, and the modifiers.
fn write_dictionary() -> Result<PathBuf> {
    let read = |name: &str| {
        let path = workspace().join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let words = read("tests/fuzz/words.dict")? + &modifiers(&read("docs/modifiers.md")?);
    let path = target_dir().join("fuzz/words.dict");
    fs::create_dir_all(target_dir().join("fuzz"))?;
    fs::write(&path, words).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// The modifiers that the documentation lists, quoted, one a line; up to an argument. A test of
/// hist-cli holds that it lists all.
fn modifiers(page: &str) -> String {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `.")?.split('`').next());
    rows.map(|word| format!("\".{}\"\n", word.trim_end_matches('N'))).collect()
}

/// The installed cargo-fuzz, or one installed below `target/` now.
fn cargo_fuzz() -> Result<PathBuf> {
    let root = target_dir().join("tools");
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        eprintln!("installing cargo-fuzz {CARGO_FUZZ}");
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ]);
        succeed(install.arg("--root").arg(root))?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_has_the_modifiers_of_the_documentation() {
        let words = modifiers(include_str!("../../docs/modifiers.md"));
        for word in ["\".hex\"\n", "\".sym-offset\"\n", "\".buckets=\"\n", "\".stacktrace\"\n"] {
            assert!(words.contains(word), "{words}");
        }
        assert!(
            words.lines().all(|line| line.starts_with("\".") && line.ends_with('"')),
            "{words}"
        );
    }
}
