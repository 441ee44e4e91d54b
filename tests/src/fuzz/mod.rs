//! The bodies of the fuzz targets in `tests/fuzz/`; proptest calls them, too. Each takes any bytes,
//! and panics where something is wrong: whatever a user or a kernel hands over must give a value or
//! an error, and what has been read must survive being written and read again.
//!
//! The bodies of the fuzz targets in `tests/fuzz/`; proptest calls them, too.

mod kernel;

pub use kernel::{btf, kallsyms, mountinfo, offset_of, status, with_names};

use std::rc::Rc;
use std::sync::LazyLock;

use hist_cli::diag::{Caret, Logged, Rejection};
use hist_cli::escape::Charset;
use hist_cli::export::{self, Document, Exporter, Format};
use hist_cli::kernel::Context;
use hist_cli::kernel::Facts;
use hist_cli::kernel::format::{self, EventFormat};
use hist_cli::kernel::tracefs::Tracefs;
use hist_cli::parse::{self, Quote, ast::Trigger};
use hist_cli::pipeline::{self, CompileError};
use hist_cli::plan::Wishes;
use hist_cli::resolve;
use hist_cli::serve::exposition::Exposition;
use hist_cli::serve::{self, config};
use hist_cli::session::Live;

/// The events that triggers are resolved on: numbers, strings, pointers, arrays.
static EVENTS: LazyLock<[EventFormat; 3]> = LazyLock::new(|| {
    [
        event("sched", include_str!("../../golden/formats/events/sched/sched_switch/format")),
        event("kmem", include_str!("../../golden/formats/events/kmem/kmalloc/format")),
        event(
            "raw_syscalls",
            include_str!("../../golden/formats/events/raw_syscalls/sys_enter/format"),
        ),
    ]
});

fn event(system: &str, text: &str) -> EventFormat {
    format::parse(system, text).unwrap_or_else(|error| panic!("{system}: {error}"))
}

/// A trigger, as one write to a `trigger` file has it.
///
/// # Panics
/// When something is wrong with it.
pub fn trigger(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    match parse::trigger(text) {
        Err(error) => check_rejection(&error.into(), text),
        Ok(trigger) => {
            assert!(!trigger.listing().is_empty());
            match trigger.first_error() {
                Some(error) => check_rejection(&error.into(), text),
                None => round_trip(&trigger),
            }
        }
    }
    for event in EVENTS.iter() {
        compile(text, event);
    }
}

/// What follows ` if `.
///
/// # Panics
/// When something is wrong with it.
pub fn filter(text: impl AsRef<[u8]>) {
    trigger([b"hist:keys=common_pid if ", text.as_ref()].concat());
}

/// An event's `format` file.
///
/// # Panics
/// When something is wrong with it.
pub fn format(text: &str) {
    let event = match format::parse("system", text) {
        Ok(event) => event,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for field in &event.fields {
        assert!(field.offset + field.size <= event.record_size());
        compile(format!("hist:keys={}", field.name), &event);
        compile(format!("hist:keys=common_pid:vals={0} if {0} == 1", field.name), &event);
        compile(format!("hist:keys=common_pid if {0} == \"a\"", field.name), &event);
    }
}

/// What `hist-bpf merge` reads; also as the rows, or as the keys, of a document that is right else.
///
/// # Panics
/// When something is wrong with it.
pub fn document(text: &[u8]) {
    documents(text);
    let parts = include_str!("../../golden/export/keys.json").split_once("\"rows\":");
    let (head, rest) = parts.expect("a document");
    let (rows, totals) = rest.split_once(",\"totals\":").expect("its totals");
    let (start, keys) = head.split_once("\"keys\":").expect("its keys");
    let (_, end) = keys.split_once(",\"values\":").expect("its values");
    let whole = |parts: [&[u8]; 3]| documents(&parts.concat());
    whole([head.as_bytes(), b"\"rows\":[", &[text, b"],\"totals\":", totals.as_bytes()].concat()]);
    let end = format!("],\"values\":{end}\"rows\":{rows},\"totals\":{totals}");
    whole([&[start.as_bytes(), b"\"keys\":["].concat(), text, end.as_bytes()]);
}

fn documents(text: &[u8]) {
    match export::read(text) {
        Err(error) => {
            let message = error.to_string();
            assert!((1..4096).contains(&message.len()) && !message.contains(char::is_control));
        }
        Ok(documents) => documents.into_iter().for_each(check_document),
    }
}

/// It is read again as it is written, has a sum with itself and with that of another machine, and
/// gives a terminal nothing to obey.
fn check_document(one: Document) {
    let json = |document: &Document| written(Format::Json, document).expect("any document");
    assert_eq!(export::read(&json(&one)).expect("our own"), std::slice::from_ref(&one));
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Json) {
        let Some(text) = written(format, &one) else { continue };
        let exporter = Exporter::new(format, None, 80).on_terminal(Some(Charset::Utf8));
        let shown = exporter.clone().write(&one).expect("as before");
        let shown = String::from_utf8(shown).expect("no other bytes");
        let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\r';
        assert!(!shown.contains(is_obeyed), "{format:?} of {text:?}");
    }
    let mut other = one.clone();
    other.meta.sources.iter_mut().for_each(|source| source.boot.push('2'));
    for documents in [vec![one.clone(), one.clone()], vec![one, other]] {
        if let Ok(sum) = export::merge(documents) {
            assert_eq!(export::read(&json(&sum)).expect("our own"), [sum]);
        }
    }
}

fn written(format: Format, document: &Document) -> Option<Vec<u8>> {
    Exporter::new(format, None, 80).write(document).ok()
}

/// A file of metrics for `hist-bpf serve`, without a kernel and with one.
///
/// # Panics
/// When something is wrong with it.
pub fn metrics(text: &str) {
    let formats = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/formats");
    let kernel = Live::new(Tracefs::at(formats), FACTS.with(Clone::clone), Wishes::default());
    for kernel in [None, Some(&kernel)] {
        match config::read(text, kernel) {
            Ok(found) => {
                assert!(found.metrics.iter().all(|metric| !metric.name.is_empty()), "{found:?}");
                assert_eq!(config::read(text, kernel), Ok(found), "of {text:?}");
            }
            Err(wrong) => {
                assert!(!wrong.problems.is_empty() && !wrong.render("file", text).is_empty());
                let mut starts = wrong.problems.iter().map(|problem| problem.at.start);
                assert!(starts.clone().is_sorted(), "{wrong:?}");
                assert!(starts.all(|start| start <= text.len()), "{wrong:?} of {text:?}");
            }
        }
    }
}

thread_local! {
    /// Without the types of this kernel, which others may not have.
    static FACTS: Rc<Facts> = Rc::new(Facts::read().expect("the list of CPUs").without_types());
}

/// What comes over a connection to `hist-bpf serve`.
///
/// # Panics
/// When something is wrong with it.
pub fn request(bytes: &[u8]) {
    let answer = serve::reply(bytes, ()).expect("a runtime");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{bytes:?}: {answer:?}");
}

/// An `Accept` header.
///
/// # Panics
/// When something is wrong with it.
pub fn accept(text: &str) {
    let is_named = text.to_ascii_lowercase().contains("application/openmetrics-text");
    let format = serve::negotiate(text);
    assert!(is_named || format == Exposition::Text, "{text:?} gives {format:?}");
}

/// A trigger becomes a program, or it is refused in words; the fault is never ours.
fn compile(text: impl AsRef<[u8]>, event: &EventFormat) {
    let text = text.as_ref();
    match pipeline::build_text(text, event, &Context::default(), Wishes::default()) {
        Ok(built) => assert!(!built.object.elf().expect("an ELF").is_empty()),
        Err(CompileError::Trigger { rejection, .. }) => check_rejection(&rejection, text),
        Err(
            error @ (CompileError::Codegen(_) | CompileError::Link(_) | CompileError::Optimize(_)),
        ) => {
            panic!("{text:?} on {event:?}: {error}")
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// It points into the text, and can be shown.
fn check_rejection(rejection: &Rejection, text: &[u8]) {
    let error = &rejection.error;
    assert!(error.render(parse::trim(text)).contains('^'), "{error:?} of {text:?}");
    assert!(rejection.errno > 0, "{rejection:?} of {text:?}");
    rejection.log.iter().for_each(|entry| check_caret(*entry, text));
}

/// The caret is where the kind's row in the table says: at the start of the command, or that far
/// from a place where the marked text stands.
fn check_caret(entry: Logged, text: &[u8]) {
    let Quote { command, column } = parse::quote(text, entry);
    let source = parse::trim(text).to_vec();
    let stands = |at: Option<usize>, source: &[u8]| {
        let rest = at.and_then(|at| command.get(at..));
        rest.is_some_and(|rest| rest.starts_with(entry.span.of(source)))
    };
    let length = entry.span.end - entry.span.start;
    let is_right = match entry.kind.caret() {
        Caret::Nowhere => column == 0,
        Caret::Text => column == 0 || stands(Some(column), &without_minus(source)),
        Caret::Start(right) => stands(column.checked_sub(right), &source),
        Caret::End(right) => stands(column.checked_sub(right + length), &source),
    };
    assert!(is_right, "column {column} of {command:?} for {entry:?} of {text:?}");
}

/// What the kernel looks for in the command, in the spelling that it gives to a modifier.
fn without_minus(mut text: Vec<u8>) -> Vec<u8> {
    const MODIFIER: &[u8] = b".sym-offset";
    while let Some(at) = text.windows(MODIFIER.len()).position(|part| part == MODIFIER) {
        text[at + ".sym".len()] = b'X';
    }
    text
}

/// What is written is read as the same, and means the same.
fn round_trip(trigger: &Trigger) {
    let text = trigger.to_string();
    // A canonical spelling can be longer than what it stands for, and too long; and it shows bytes
    // that are not UTF-8 as something else.
    if text.len() >= 4096 || text.contains(char::REPLACEMENT_CHARACTER) {
        return;
    }
    let again = match parse::trigger(&text) {
        Ok(again) => again,
        Err(error) => {
            panic!(
                "{:?} was written as {}",
                trigger.text,
                error.render(parse::trim(text.as_bytes()))
            )
        }
    };
    assert_eq!(again.to_string(), text, "of {:?}", trigger.text);
    for event in EVENTS.iter() {
        match (
            resolve::hist(trigger, event, &Context::default()),
            resolve::hist(&again, event, &Context::default()),
        ) {
            (Ok(hist), Ok(again)) => {
                assert_eq!((&hist.keys, &hist.values), (&again.keys, &again.values), "{text:?}");
                assert_eq!((&hist.sort, hist.size), (&again.sort, again.size), "{text:?}");
                let tree = |filter: Option<resolve::hist::Filter>| filter.map(|filter| filter.tree);
                assert_eq!(tree(hist.filter), tree(again.filter), "{text:?}");
            }
            (Err(one), Err(again)) => assert_eq!(one.error.kind, again.error.kind, "{text:?}"),
            (one, other) => panic!("{:?}: {one:?}, but {text:?}: {other:?}", trigger.text),
        }
    }
}
