//! Compares what each stage makes of the triggers in tests/golden/*.hist with what is written
//! there, and shows the difference as a diff. `BLESS=1` rewrites the expectations.
//!
//! A file has `trigger: …` and `event: …` lines, then sections headed `--- STAGE`; the stages are
//! those of `--emit`. A trigger that is refused has one section, `--- error`. Events' formats
//! are in tests/golden/formats.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hist_cli::kernel::Context;
use hist_cli::kernel::format::EventFormat;
use hist_cli::kernel::symbols::Symbols;
use hist_cli::kernel::tracefs::Tracefs;
use hist_cli::parse;
use hist_cli::pipeline::{self, Built};
use hist_cli::plan::Wishes;
use similar::TextDiff;

/// Every stage that has a text.
const STAGES: [&str; 5] = ["trigger", "hist", "plan", "code", "asm"];

/// The machine that triggers are compiled for: these functions, and four CPUs.
const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81001000 T vfs_read
ffffffff81001200 T vfs_write
ffffffff81002000 T _etext
";

struct Golden {
    /// Comments and settings, up to the first section.
    head: String,
    trigger: String,
    event: EventFormat,
    /// The sections' names.
    stages: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn setting(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no `{name}:` line")).to_owned()
}

fn read(text: &str) -> Golden {
    let (head, sections) = text.split_once("--- ").unwrap_or((text, ""));
    let event = setting(head, "event");
    Golden {
        head: head.to_owned(),
        trigger: setting(head, "trigger"),
        event: Tracefs::at(folder().join("formats"))
            .event(&event.parse().expect("an event's name"))
            .expect("its format"),
        stages: format!("--- {sections}")
            .lines()
            .filter_map(|line| line.strip_prefix("--- ").filter(|name| !name.is_empty()))
            .map(str::to_owned)
            .collect(),
    }
}

/// The whole file as the stages would have it now. A new file gets every stage.
fn render(golden: &Golden) -> String {
    let mut text = golden.head.clone();
    let symbols = Symbols::from_kallsyms(KALLSYMS);
    let context =
        Context { symbols: Some(symbols.table()), possible_cpus: Some(4), ..Context::default() };
    let wishes = Wishes::default();
    let built = match pipeline::build_text(&golden.trigger, &golden.event, &context, wishes) {
        Ok(built) => built,
        Err(error) => return format!("{text}--- error\n{}\n", error.to_string().trim_end()),
    };
    let known = golden.stages.iter().filter(|stage| STAGES.contains(&stage.as_str()));
    let mut stages: Vec<&str> = known.map(String::as_str).collect();
    if stages.is_empty() {
        stages.extend(STAGES);
    }
    for stage in stages {
        let body = listing(stage, &golden.trigger, &built);
        writeln!(text, "--- {stage}\n{}", body.trim_end()).expect("String");
    }
    text
}

fn listing(stage: &str, trigger: &str, built: &Built) -> String {
    match stage {
        "trigger" => parse::trigger(trigger).expect("it compiled").listing(),
        "hist" => built.plan().hist.listing(),
        "plan" => built.plan().to_string(),
        "code" => built.segments[0].code.to_string(),
        "asm" => built.to_string(),
        other => panic!("no stage is called `{other}`"),
    }
}

#[test]
fn every_stage_says_what_it_said_before() {
    let bless = std::env::var_os("BLESS").is_some();
    let entries = fs::read_dir(folder()).expect("tests/golden").map(|entry| entry.expect("entry"));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hist"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 10, "golden files are missing: {paths:?}");
    let mut failures = String::new();
    for path in &paths {
        let want = fs::read_to_string(path).expect("readable");
        let got = render(&read(&want));
        if bless && got != want {
            fs::write(path, &got).expect("writable");
        } else if got != want {
            let diff = TextDiff::from_lines(&want, &got);
            write!(failures, "{}\n{}", path.display(), diff.unified_diff()).expect("String");
        }
    }
    assert!(
        failures.is_empty(),
        "{failures}\nif that is as it should be: BLESS=1 cargo test golden"
    );
}
