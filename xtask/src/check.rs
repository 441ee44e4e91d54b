//! Checks that must hold before a change lands, one step after the other, with a summary at the end.
//!
//! What a step prints goes to `target/check/STEP.log`; of a step that fails all is shown, of others
//! what counts.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{cargo, cargo_without_lock, check_locks, target_dir};
use crate::command::line;
use crate::setup::NO_SKIP_VARIABLE;

/// What is checked. Without options: lock files, format, clippy and tests, which is what to run
/// before pushing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// All that must hold before a change lands, which is what CI runs: besides those the heavy tests
    /// (every event of this kernel, storms), the templates, the fuzz targets, virtual machines, what
    /// counting costs, packages and Prometheus. Needs root, installs what is missing, skips nothing
    #[arg(long)]
    full: bool,
    /// Only this step of all; may be repeated
    #[arg(long, value_name = "STEP", conflicts_with = "full")]
    only: Vec<String>,
}

/// A step.
struct Step {
    name: &'static str,
    /// Whether a developer runs it before each push.
    is_quick: bool,
    tool: Tool,
    subcommand: &'static str,
    words: Words,
}

/// Who does a step.
enum Tool {
    /// Cargo without `--locked`, where nothing is resolved.
    Format,
    /// Cargo with the lock file kept.
    Cargo,
    /// This program.
    Xtask,
}

type Words = &'static [&'static str];

const fn quick(name: &'static str, tool: Tool, subcommand: &'static str, words: Words) -> Step {
    Step { name, is_quick: true, tool, subcommand, words }
}

const fn heavy(name: &'static str, tool: Tool, subcommand: &'static str, words: Words) -> Step {
    Step { name, is_quick: false, tool, subcommand, words }
}

/// All steps in their order; before them all, lock files are checked.
const STEPS: [Step; 12] = [
    heavy("setup", Tool::Xtask, "setup", &[]),
    quick("format", Tool::Format, "fmt", &["--all", "--check"]),
    quick(
        "clippy",
        Tool::Cargo,
        "clippy",
        &["--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
    ),
    quick("test", Tool::Cargo, "test", &["--workspace", "--no-fail-fast"]),
    // Those marked `#[ignore]`; without `--tests`, examples in documentation would be among them.
    heavy(
        "heavy",
        Tool::Cargo,
        "test",
        &["--workspace", "--tests", "--no-fail-fast", "--", "--ignored"],
    ),
    heavy("templates", Tool::Xtask, "ebpf", &["--check"]),
    heavy("fuzz", Tool::Xtask, "fuzz", &["--seconds", "10"]),
    heavy("vm", Tool::Xtask, "vm", &["test", "--retry", "--kernel", "7.3", "--kernel", "6.12"]),
    heavy("lockdown", Tool::Xtask, "vm", &["lockdown", "--kernel", "7.3", "--kernel", "6.12"]),
    heavy(
        "cost",
        Tool::Xtask,
        "bench",
        &["--only", "vm", "--check", "--kernel", "6.12", "--kernel", "7.3"],
    ),
    heavy("dist", Tool::Xtask, "dist", &[]),
    heavy("prometheus", Tool::Xtask, "prometheus", &[]),
];

/// Runs `cargo xtask check`.
///
/// # Errors
/// At once if a lock file is stale, else at the end if a step failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let steps = chosen(args)?;
    check_locks()?;
    // Its path is lost once a step has built another one in its place.
    let xtask = env::current_exe().context("this program")?;
    let logs = target_dir().join("check");
    fs::create_dir_all(&logs)?;
    let (mut summary, mut failed) = (String::new(), Vec::new());
    for step in steps {
        let start = Instant::now();
        let mut command = step.command(&xtask);
        println!("== {}: {}", step.name, line(&command));
        if args.full {
            command.env(NO_SKIP_VARIABLE, "1");
        }
        let is_well = done(&mut command, logs.join(format!("{}.log", step.name)))?;
        let seconds = start.elapsed().as_secs_f32();
        let verdict = if is_well { "ok" } else { "FAILED" };
        summary += &format!("{:10} {verdict:8} {seconds:4.0} s\n", step.name);
        failed.extend((!is_well).then_some(step.name));
    }
    print!("\n== summary\n{summary}");
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn chosen(args: &Args) -> Result<Vec<&'static Step>> {
    let known = |name: &String| STEPS.iter().any(|step| step.name == name);
    if let Some(unknown) = args.only.iter().find(|name| !known(name)) {
        bail!("no step `{unknown}`: there are {}", STEPS.map(|step| step.name).join(", "));
    }
    let is_chosen = |step: &&Step| match &args.only[..] {
        [] => args.full || step.is_quick,
        only => only.iter().any(|name| name == step.name),
    };
    Ok(STEPS.iter().filter(is_chosen).collect())
}

impl Step {
    fn command(&self, xtask: &Path) -> Command {
        let mut command = match self.tool {
            Tool::Cargo => cargo(self.subcommand),
            Tool::Format => cargo_without_lock(self.subcommand),
            Tool::Xtask => {
                let mut command = Command::new(xtask);
                command.arg(self.subcommand);
                command
            }
        };
        command.args(self.words);
        command
    }
}

/// Whether it succeeds. Says what counts.
fn done(command: &mut Command, log: PathBuf) -> Result<bool> {
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let status = command.stdout(file.try_clone()?).stderr(file).status();
    let is_well = status.with_context(|| line(command))?.success();
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    print!("{}", if is_well { telling(&said) } else { said });
    Ok(is_well)
}

/// Parts of the lines that say what a step has found.
const TELLING: [&str; 6] =
    ["test result", "passed, ", "skipped", "nothing in ", "nothing is missing", "as it should be"];

/// Those lines, or the last three if there are none.
fn telling(said: &str) -> String {
    let lines: Vec<_> = said.lines().collect();
    let mut shown: Vec<_> = lines.clone();
    shown.retain(|line| TELLING.iter().any(|part| line.contains(part)));
    if shown.is_empty() {
        shown = lines[lines.len().saturating_sub(3)..].to_vec();
    }
    shown.into_iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::workspace;

    fn args(full: bool, only: &[&str]) -> Args {
        Args { full, only: only.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn names(args: &Args) -> Vec<&'static str> {
        chosen(args).unwrap().into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_push_takes_the_quick_steps_and_ci_all() {
        assert_eq!(names(&args(false, &[])), ["format", "clippy", "test"]);
        assert_eq!(names(&args(true, &[])), STEPS.map(|step| step.name));
        assert_eq!(names(&args(false, &["vm", "format"])), ["format", "vm"]);
        let error = chosen(&args(false, &["tests"])).err().unwrap().to_string();
        assert!(error.starts_with("no step `tests`: there are setup, format,"), "{error}");
    }

    /// CI would hold another command than the one that users are given.
    #[test]
    fn tests_are_run_as_the_readme_says() {
        let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
        let step = STEPS.iter().find(|step| step.name == "test").unwrap();
        let Step { subcommand, words: [packages, ..], .. } = step else { panic!("no packages") };
        assert!(readme.contains(&format!("\n```\ncargo {subcommand} {packages}\n```\n")));
    }

    #[test]
    fn of_a_step_that_is_well_what_counts_is_shown() {
        let said = "Compiling x\nrunning 1 test\ntest result: ok. 1 passed\nbye\n";
        assert_eq!(telling(said), "test result: ok. 1 passed\n");
        assert_eq!(telling("a\nb\nc\nd\n"), "b\nc\nd\n");
        assert_eq!(telling(""), "");
    }
}
