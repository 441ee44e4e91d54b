//! Holds the layout of `hist-cli/src`: which module may import which, and what only some may do. It
//! reads the sources, without what is compiled for tests alone.

mod circles;
mod house;
mod names;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use circles::circles;
use house::{Arrow, House};

/// The modules of the crate from the ground floor up. Each imports only from those before it.
const LAYERS: [&str; 23] = [
    "escape", "bpf", "sys", "diag", "modifier", "kernel", "parse", "resolve", "snapshot", "print",
    "export", "plan", "codegen", "link", "optimize", "pipeline", "load", "read", "session",
    "discover", "live", "serve", "cli",
];

/// From text to program: these do no I/O.
const COMPILING: [&str; 7] =
    ["parse", "resolve", "plan", "codegen", "link", "optimize", "pipeline"];

/// From counts to text: these do no I/O either, and write to a `Write` of the caller's. But the symbols
/// that they are given are [`LAZY`].
const SHOWING: [&str; 3] = ["snapshot", "print", "export"];

/// What reads its file by itself, at the first question: few tables have addresses, and the list of
/// symbols is large. Compiling takes what has been read.
const LAZY: &str = "crate::kernel::symbols::Symbols::";

/// The files of `kernel` that the pure stages may name: values, and [`LAZY`].
const PURE_KERNEL: [&str; 7] = [
    "kernel/mod.rs",
    "kernel/btf/",
    "kernel/event.rs",
    "kernel/format.rs",
    "kernel/preemption.rs",
    "kernel/symbols.rs",
    "kernel/syscalls.rs",
];

/// What the pure stages do not name: files, processes, the environment, the clock, system calls.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime::now",
    "rustix",
    "libc",
    "tokio",
    "aya",
    "crate::sys",
];

/// What of `std::io` is a matter of the caller's writer.
const WRITING: [&str; 4] = ["Error", "ErrorKind", "Result", "Write"];

static HOUSE: LazyLock<House> = LazyLock::new(|| House::at(&sources()));

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The floor of a file's module, from the ground up; `None` for the crate's root.
fn layer(file: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == top(file))
}

/// The top-level module of a file.
fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The top-level module of this crate that is named.
fn named(arrow: &Arrow) -> Option<&str> {
    (arrow.name[0] == "crate").then(|| arrow.name.get(1).map(String::as_str))?
}

/// Imports from a floor above, one a line.
fn up(house: &House) -> Vec<String> {
    let is_up = |arrow: &Arrow| {
        let above = LAYERS.iter().position(|layer| named(arrow) == Some(layer))?;
        Some(layer(&arrow.from)? < above)
    };
    let up = house.arrows().into_iter().filter(|arrow| is_up(arrow) == Some(true));
    up.map(|arrow| {
        format!(
            "{}: `{}` stands above `{}`",
            place(&arrow),
            arrow.name.join("::"),
            top(&arrow.from)
        )
    })
    .collect()
}

/// Modules that have no layer, and layers that have no module.
fn unlisted(house: &House) -> Vec<String> {
    let modules: BTreeSet<&str> =
        house.files().filter_map(|(_, path)| path.first()).map(String::as_str).collect();
    let layers = BTreeSet::from(LAYERS);
    let unknown = modules.difference(&layers).map(|module| format!("{module}: not in LAYERS"));
    let gone = layers.difference(&modules).map(|layer| format!("{layer}: in LAYERS alone"));
    unknown.chain(gone).collect()
}

/// What the pure stages name and must not.
fn impure(house: &House) -> Vec<String> {
    let arrows = house.arrows().into_iter().filter(|arrow| match top(&arrow.from) {
        stage if COMPILING.contains(&stage) => is_impure(arrow) || path(arrow).starts_with(LAZY),
        stage => SHOWING.contains(&stage) && is_impure(arrow),
    });
    arrows.map(|arrow| format!("{}: `{}`", place(&arrow), arrow.name.join("::"))).collect()
}

fn is_impure(arrow: &Arrow) -> bool {
    let path = path(arrow);
    match &arrow.to {
        Some(file) if top(file) == "kernel" => !is_pure_kernel(file),
        _ => is_reading(&path) || IMPURE.iter().any(|part| path.starts_with(&format!("{part}::"))),
    }
}

fn is_pure_kernel(file: &str) -> bool {
    PURE_KERNEL.iter().any(|part| file.starts_with(part))
}

/// It is part of `std::io`, and no matter of writing.
fn is_reading(path: &str) -> bool {
    let part = path.strip_prefix("std::io::").and_then(|rest| rest.split("::").next());
    part.is_some_and(|part| !part.is_empty() && !WRITING.contains(&part))
}

/// What is named, with `::` after each part.
fn path(arrow: &Arrow) -> String {
    arrow.name.iter().flat_map(|part| [part.as_str(), "::"]).collect()
}

/// All sources in a folder and those below it, tests included.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    files.extend(folders.iter().flat_map(|folder| rust_files(folder)));
    files
}

/// Where a source has its first `unsafe`, if it has any.
fn unsafe_place(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).expect("a source");
    let line = text.contains("unsafe").then(|| names::line_of(&text, "unsafe"))??;
    let file = file.strip_prefix(sources()).expect("it is below");
    Some(format!("hist-cli/src/{}:{line}", file.display()))
}

fn place(arrow: &Arrow) -> String {
    format!("hist-cli/src/{}:{}", arrow.from, arrow.line)
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_point_down() {
    assert_none("imports that run up (move what is named down, or who names it up)", &up(&HOUSE));
}

#[test]
fn every_module_has_its_layer() {
    assert_none("modules and LAYERS differ", &unlisted(&HOUSE));
}

#[test]
fn no_files_of_a_module_import_each_other() {
    let is_inner = |arrow: &Arrow| arrow.to.as_ref().is_some_and(|to| top(to) == top(&arrow.from));
    let arrows = HOUSE.arrows().into_iter().filter(is_inner).collect();
    assert_none("circles of files (move what both need into a file below)", &circles(&arrows));
}

#[test]
fn pure_stages_do_no_io() {
    assert_none("names of what does I/O (take it as a value instead)", &impure(&HOUSE));
}

#[test]
fn only_sys_is_unsafe() {
    let places = rust_files(&sources()).into_iter().filter_map(|file| unsafe_place(&file));
    let (in_sys, outside): (Vec<_>, Vec<_>) =
        places.partition(|place| place.starts_with("hist-cli/src/sys/"));
    assert!(!in_sys.is_empty(), "`unsafe` is not even found in sys");
    assert_none("`unsafe` outside sys", &outside);
}

/// What the checks find in small houses that are wrong.
mod wrong_houses {
    use super::*;

    fn house(files: &[(&str, &str)]) -> House {
        House::of(|wanted| {
            let text = files.iter().find(|(file, _)| *file == wanted)?.1;
            Some(text.to_owned())
        })
    }

    fn two(plan: &str, load: &str) -> House {
        house(&[("lib.rs", "pub mod plan; pub mod load;"), ("plan.rs", plan), ("load.rs", load)])
    }

    #[test]
    fn an_import_that_runs_up_is_found_however_it_is_written() {
        for text in [
            "\nuse crate::load::Attached;",
            "\nuse crate::{load::{self, Attached as A}};",
            "\nuse super::load::*;",
            "\nfn f() { use crate::load; }",
            "\nfn f() { crate::load::attach() }",
            "\nfn f() { A { a: 1, ..crate::load::attach() } }",
            "\nfn f() { debug!(\"{}\", crate::load::attach()) }",
            "\nmod inner { use super::super::load; }",
        ] {
            let found = up(&two(text, "pub struct Attached; pub fn attach() {}"));
            assert!(!found.is_empty(), "{text}");
            assert!(found[0].starts_with("hist-cli/src/plan.rs:2: `crate::load"), "{found:?}");
        }
    }

    #[test]
    fn comments_texts_tests_and_imports_that_point_down_are_none() {
        for text in [
            "// use crate::load::Attached;",
            "//! [`crate::load::Attached`]",
            "const TEXT: &str = \"use crate::load;\";",
            "#[cfg(test)] use crate::load::{Attached};",
            "#[cfg(test)] mod tests { use crate::load; }",
            "#[cfg(test)] fn f<A, B>() { crate::load::attach() }",
            "fn f() { match x { #[cfg(test)] A => crate::load::attach(), B => {} } }",
        ] {
            assert_eq!(up(&two(text, "use crate::plan;")), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        let house = house(&[("lib.rs", "mod attic;"), ("attic/mod.rs", "")]);
        let found = unlisted(&house);
        assert_eq!(found[0], "attic: not in LAYERS");
        assert!(found.contains(&"plan: in LAYERS alone".to_owned()), "{found:?}");
    }

    #[test]
    fn a_circle_is_found_through_a_name_that_is_handed_on() {
        let files = [
            ("lib.rs", "pub mod link;"),
            (
                "link/mod.rs",
                "mod fill; mod template; pub use fill::Hole; pub(super) use template::*;",
            ),
            ("link/fill.rs", "use super::Template;\npub struct Hole;"),
            ("link/template.rs", "pub struct Template;\n\nfn f(hole: super::Hole) {}"),
        ];
        let found = circles(&house(&files).arrows());
        assert_eq!(
            found,
            ["hist-cli/src/link/fill.rs:1 -> link/template.rs (Template)\n  \
              hist-cli/src/link/template.rs:3 -> link/fill.rs (Hole)"]
        );
    }

    #[test]
    fn a_parent_calls_its_children_and_they_use_its_types() {
        let child = ("link/fill.rs", "use super::Shape; pub fn fill() {}");
        let parent = "mod fill; pub use fill::fill; pub struct Shape; fn f() { fill(Shape) }";
        let files = [("lib.rs", "pub mod link;"), ("link/mod.rs", parent), child];
        assert_eq!(circles(&house(&files).arrows()), [""; 0]);
    }

    #[test]
    fn for_files_outside_its_folder_a_parent_is_a_file_like_any_other() {
        let files = |code| {
            [
                ("lib.rs", "mod load;"),
                ("load/mod.rs", "mod source; mod sentinel;"),
                ("load/source/mod.rs", code),
                ("load/sentinel.rs", "use super::source::Kind;\npub struct Sentinel;"),
            ]
        };
        let found = circles(
            &house(&files("pub struct Kind; fn f() { super::sentinel::Sentinel }")).arrows(),
        );
        assert!(
            found.len() == 1 && found[0].contains("source/mod.rs:1 -> load/sentinel.rs"),
            "{found:?}"
        );
        let found = circles(&house(&files("pub struct Kind; mod sentinel {}")).arrows());
        assert_eq!(found, [""; 0]);
    }

    /// What is handed on may be used by its bare name as well.
    #[test]
    fn a_parent_that_only_hands_on_is_part_of_no_circle() {
        let files = |code| {
            [
                ("lib.rs", "mod load;"),
                ("load/mod.rs", "mod source; mod sentinel;"),
                ("load/source/mod.rs", code),
                ("load/source/perf.rs", "use crate::load::sentinel::Sentinel; pub struct Perf;"),
                ("load/sentinel.rs", "use super::source::Kind; pub struct Sentinel;"),
            ]
        };
        let found =
            circles(&house(&files("mod perf; pub use perf::Perf; pub struct Kind;")).arrows());
        assert_eq!(found, [""; 0]);
        for code in [
            "mod perf; pub use perf::Perf; pub struct Kind; fn f() -> Perf {}",
            "mod perf; pub use perf::Perf as One; pub struct Kind; fn f() -> One {}",
            "mod perf; use perf::Perf; pub struct Kind;",
            "mod perf; pub struct Kind; fn f() -> perf::Perf {}",
        ] {
            assert_eq!(circles(&house(&files(code)).arrows()).len(), 1, "{code}");
        }
    }

    #[test]
    fn io_in_a_pure_stage_is_found() {
        for (code, found) in [
            ("use std::fs;", "std::fs"),
            ("use std::{fmt, io::{self, Read}};", "std::io::Read"),
            ("use std::io; fn f() { io::stdin() }", "std::io::stdin"),
            (
                "use std::time::SystemTime; fn f() { SystemTime::now() }",
                "std::time::SystemTime::now",
            ),
            ("fn f() { crate::sys::bpf() }", "crate::sys::bpf"),
            ("use crate::kernel::Facts;", "crate::kernel::Facts"),
            ("use crate::kernel::symbols::Symbols;", "crate::kernel::symbols::Symbols"),
            ("use std::io::{self, Write}; fn f() -> io::Result<()> {}", ""),
            ("use std::time::SystemTime; use crate::kernel::Format;", ""),
        ] {
            let kernel =
                "mod facts; mod format; mod symbols; pub use facts::*; pub use format::Format;";
            let files = [
                ("lib.rs", "mod plan; mod kernel; mod sys;"),
                ("plan.rs", code),
                ("sys.rs", ""),
                ("kernel/mod.rs", kernel),
                ("kernel/facts.rs", "pub struct Facts;"),
                ("kernel/format.rs", "pub struct Format;"),
                ("kernel/symbols.rs", "pub struct Symbols;"),
            ];
            let lines = impure(&house(&files));
            let wanted = if found.is_empty() {
                vec![]
            } else {
                vec![format!("hist-cli/src/plan.rs:1: `{found}`")]
            };
            assert_eq!(lines, wanted, "{code}");
        }
    }
}
