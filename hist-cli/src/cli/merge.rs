//! Takes files of snapshots. Gives their sum.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail, ensure};

use clap::error::ErrorKind;

use super::args::FormatName;
use super::input;
use super::options;
use super::output::{Output, say};
use super::view;
use crate::export::{self, Document, Exporter, Format};
use crate::load::rights::as_user;

/// The words of `hist-bpf merge`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counts are added up exactly. Within a file, of the snapshots that were taken since the\n\
                        same moment the last includes the others, and alone counts. Between boots functions\n\
                        are the same if they have the same name, and addresses are left out."
)]
pub(super) struct MergeArgs {
    /// Files that `-f json` has written, of the same triggers each; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Write the sum as ftrace, json, ndjson, csv, folded or plot
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub format: FormatName,

    /// Measure that value, not the hitcount (folded, plot)
    #[arg(long, value_name = "VALUE")]
    pub weight: Option<String>,

    /// Write the sum to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Snapshots of one file, each of another histogram or time.
struct File<'a> {
    path: &'a Path,
    documents: Vec<Document>,
}

/// Adds up the snapshots.
///
/// # Errors
/// If a file cannot be read or the snapshots do not fit together.
pub(super) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    let format = Format::from(args.format);
    if args.weight.is_some() && !matches!(format, Format::Folded | Format::Plot) {
        let message = "--weight is for -f folded and -f plot";
        let error = options::usage_of(Some("merge"), ErrorKind::ArgumentConflict, message);
        return Ok(super::usage(&error));
    }
    let files = args.files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let sums = sums(&files)?;
    warn_of_twice(&files);
    ensure!(
        format != Format::Csv || sums.len() == 1,
        "-f csv has one header, so it takes one trigger, and there are {}: use -f json",
        sums.len()
    );
    let mut exporter = Exporter::new(format, args.weight.clone(), view::columns());
    let texts = sums.iter().map(|sum| exporter.write(sum)).collect::<Result<Vec<_>, _>>()?;
    let text = texts.join(format.separator());
    Output::open(args.output.as_deref())?.write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<File<'_>> {
    let name = path.display();
    let text = match path.as_os_str() == "-" {
        true => read_stdin(),
        false => as_user(|| input::read(path)),
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let documents = export::read(&text)
        .map_err(|error| anyhow!("{name}: {error}\n  help: merge reads what `-f json` writes"))?;
    ensure!(!documents.is_empty(), "{name}: there is no snapshot in it");
    Ok(File { path, documents: last_ones(documents) })
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Without the snapshots that a later one includes: those of the same histogram since the same
/// moment.
fn last_ones(documents: Vec<Document>) -> Vec<Document> {
    let mut last: Vec<Document> = Vec::new();
    for document in documents {
        match last.iter_mut().find(|other| is_continued(other, &document)) {
            Some(before) => *before = document,
            None => last.push(document),
        }
    }
    last
}

fn is_continued(before: &Document, after: &Document) -> bool {
    is_same_histogram(before, after)
        && before.meta.since == after.meta.since
        && before.meta.sources == after.meta.sources
}

fn is_same_histogram(one: &Document, other: &Document) -> bool {
    one.trigger == other.trigger && one.meta.event == other.meta.event
}

/// A sum for each trigger, in the order of the first file.
fn sums(files: &[File<'_>]) -> anyhow::Result<Vec<Document>> {
    let Some((first, rest)) = files.split_first() else { bail!("no file to add up") };
    for other in rest {
        check_same(first, other)?;
        check_same(other, first)?;
    }
    let mut sums: Vec<Document> = Vec::new();
    for document in &first.documents {
        if !sums.iter().any(|sum| is_same_histogram(sum, document)) {
            sums.push(sum(files, document)?);
        }
    }
    Ok(sums)
}

/// Says which files have counted on the same machine at the same time: the same file named twice,
/// for instance.
fn warn_of_twice(files: &[File<'_>]) {
    for (index, one) in files.iter().enumerate() {
        for other in &files[index + 1..] {
            if let Some(host) = both(one, other) {
                say(&format!(
                    "{} and {} have counted on {host} at the same time: what is in both is added up twice",
                    one.path.display(),
                    other.path.display()
                ));
            }
        }
    }
}

/// A machine that both have counted the same on at the same time.
fn both<'a>(one: &'a File<'_>, other: &File<'_>) -> Option<&'a str> {
    let pairs = one.documents.iter().flat_map(|a| other.documents.iter().map(move |b| (a, b)));
    let same = pairs.filter(|(a, b)| {
        let meets = a.meta.since < b.meta.time && b.meta.since < a.meta.time;
        meets && is_same_histogram(a, b)
    });
    let mut sources = same
        .flat_map(|(a, b)| a.meta.sources.iter().filter(|source| b.meta.sources.contains(source)));
    sources.next().map(|source| source.host.as_str())
}

fn sum(files: &[File<'_>], like: &Document) -> anyhow::Result<Document> {
    let mut documents = Vec::new();
    for file in files {
        let same = || file.documents.iter().filter(|other| is_same_histogram(like, other));
        // Told by name before anything is said about files together.
        for document in same() {
            export::check_whole(document).with_context(|| file.path.display().to_string())?;
        }
        documents.extend(same().cloned());
    }
    let names: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
    export::merge(&documents).with_context(|| names.join(", "))
}

/// Fails if `one` has a trigger that `other` has not.
fn check_same(one: &File<'_>, other: &File<'_>) -> anyhow::Result<()> {
    let is_in = |file: &File<'_>, like: &Document| {
        file.documents.iter().any(|document| is_same_histogram(document, like))
    };
    let Some(alone) = one.documents.iter().find(|document| !is_in(other, document)) else {
        return Ok(());
    };
    let (here, there) = (one.path.display(), other.path.display());
    match other.documents.iter().find(|document| !is_in(one, document)) {
        Some(like) => match export::merge(&[alone.clone(), like.clone()]) {
            Err(error) => Err(anyhow!("cannot add up {here} and {there}: {error}")),
            Ok(_) => Ok(()),
        },
        None => {
            let (trigger, event) = (&alone.trigger, &alone.meta.event);
            Err(anyhow!(
                "cannot add up: {there} has no snapshot of `{trigger}` for {event}, which {here} has"
            ))
        }
    }
}
