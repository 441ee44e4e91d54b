//! Runs the fuzz targets of `tests/fuzz/`, each for a while, two at a time.
//!
//! Coverage comes from passes of LLVM that stable Rust can name; no sanitizer is used, since that
//! would need nightly Rust with the source of its standard library, and the code under test has nothing unsafe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{HOST, cargo, target_dir, workspace};
use crate::command::succeed;
use crate::parallel;

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

/// What libFuzzer needs of the compiler: counters for edges, the program counters that they belong
/// to, comparisons, and the stack's depth, as cargo-fuzz 0.13 has them; `fuzzing` is its `cfg`, too.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Cdebug-assertions --cfg fuzzing";

/// Runs `cargo xtask fuzz`.
///
/// # Errors
/// When a target does not compile or finds something.
pub(crate) fn run(args: &Args) -> Result<()> {
    let all = TARGETS.map(str::to_owned);
    let targets = if args.target.is_empty() { &all[..] } else { &args.target };
    if let Some(unknown) = targets.iter().find(|target| !all.contains(target)) {
        bail!("no fuzz target `{unknown}`: there are {}", TARGETS.join(", "));
    }
    let (programs, dictionary) = (build()?, write_dictionary()?);
    let results: Vec<Result<()>> = parallel::map(parallel::JOBS, targets, |target| {
        let inputs = fuzz((&programs, &dictionary), target, args.seconds)?;
        println!("{target}: nothing in {inputs} inputs, {} s", args.seconds);
        Ok(())
    });
    let problems: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    problems.iter().for_each(|problem| println!("\n{problem:#}"));
    ensure!(problems.is_empty(), "{} of {} targets failed", problems.len(), targets.len());
    Ok(())
}

/// Builds all targets at once, and gives their folder.
fn build() -> Result<PathBuf> {
    let dir = target_dir().join("fuzz/build");
    let mut build = cargo("build");
    // With a target named, the flags are not for what runs while building.
    build.env("RUSTFLAGS", FLAGS).args(["--quiet", "--target", HOST]);
    build.arg("--manifest-path").arg(workspace().join("tests/fuzz/Cargo.toml"));
    succeed(build.args(["--bins", "--target-dir"]).arg(&dir))?;
    Ok(dir.join(HOST).join("debug"))
}

/// Runs a target, and gives the number of inputs that it has tried.
fn fuzz((programs, dictionary): (&Path, &Path), target: &str, seconds: u32) -> Result<u64> {
    let home = target_dir().join("fuzz");
    let corpus = home.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let program = programs.join(target);
    let mut fuzz = Command::new(&program);
    fuzz.arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_LENGTH}"))
        .arg(format!("-dict={}", dictionary.display()))
        .arg(format!("-artifact_prefix={}/{target}-", home.display()))
        .args(["-timeout=10", "-print_final_stats=1"]);
    let output = fuzz.output().with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{target} found something: its input is kept, and `{} FILE` tries it again\n{}",
        program.display(),
        tail(&said)
    );
    inputs(&said).with_context(|| format!("{target} says nothing of its inputs:\n{}", tail(&said)))
}

/// What libFuzzer says at the end of how many inputs it has tried.
fn inputs(said: &str) -> Option<u64> {
    let mut lines = said.lines();
    let count = lines.find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    count.trim().parse().ok()
}

/// The end of what a target said: the panic, libFuzzer's report and the input's file.
fn tail(said: &str) -> String {
    const LINES: usize = 80;
    let lines: Vec<_> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted() {
        let said = "Done 12 runs in 1 second(s)\nstat::number_of_executed_units: 4711\n\
                    stat::average_exec_per_sec:     2355\n";
        assert_eq!(inputs(said), Some(4711));
        assert_eq!(inputs("stat::other: 1\n"), None);
    }

    #[test]
    fn every_target_has_a_program() {
        let manifest = fs::read_to_string(workspace().join("tests/fuzz/Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let programs = manifest["bin"].as_array().unwrap().iter();
        let mut programs: Vec<_> = programs.map(|bin| bin["name"].as_str().unwrap()).collect();
        let mut targets = TARGETS.to_vec();
        programs.sort_unstable();
        targets.sort_unstable();
        assert_eq!(programs, targets);
    }

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
