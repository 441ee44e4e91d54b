//! `hist-bpf merge`: adds up snapshots from files.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail, ensure};

use clap::error::ErrorKind;

use super::args::MergeArgs;
use super::input;
use super::options;
use super::output::{self, Output, say};
use super::view;
use crate::escape::{excerpt, name_of};
use crate::export::{self, Document, Documents, Exporter, Format, Meta, ReadError, Source};
use crate::sys::rights::as_user;

/// Snapshots of one file, each of another histogram or time.
struct File {
    /// For messages.
    name: String,
    documents: Vec<Document>,
}

/// By which a histogram is known: its trigger and its event.
type Histogram<'a> = (&'a str, &'a str);

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
    check(&files)?;
    warn_of_twice(&files);
    let sums = sums(files)?;
    ensure!(
        format != Format::Csv || sums.len() == 1,
        "-f csv has one header, so it takes one trigger, and there are {}: use -f json",
        sums.len()
    );
    let terminal = output::terminal(args.output.as_deref());
    let mut exporter =
        Exporter::new(format, args.weight.clone(), view::columns()).on_terminal(terminal);
    let mut text = Vec::new();
    for (number, sum) in sums.into_iter().enumerate() {
        if number > 0 {
            text.extend(format.separator());
        }
        text.append(&mut exporter.write(&sum)?);
    }
    Output::open(args.output.as_deref())?.write(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<File> {
    let name = name_of(path);
    let text = match path.as_os_str() == "-" {
        true => read_stdin(),
        false => as_user(|| input::read(path)),
    };
    let text = text.with_context(|| format!("cannot read {name}"))?;
    let documents = last_ones(Documents::of(&text))
        .map_err(|error| anyhow!("{name}: {error}\n  help: merge reads what `-f json` writes"))?;
    ensure!(!documents.is_empty(), "{name}: there is no snapshot in it");
    Ok(File { name, documents })
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Without the snapshots that a later one includes: those of the same histogram since the same
/// moment.
fn last_ones(
    documents: impl Iterator<Item = Result<Document, ReadError>>,
) -> Result<Vec<Document>, ReadError> {
    let mut last: Vec<Document> = Vec::new();
    let mut places = HashMap::new();
    for document in documents {
        let document = document?;
        let Meta { event, sources, since, .. } = &document.meta;
        let id = (document.trigger.clone(), event.clone(), sources.clone(), *since);
        match places.entry(id) {
            Entry::Occupied(place) => last[*place.get()] = document,
            Entry::Vacant(place) => {
                place.insert(last.len());
                last.push(document);
            }
        }
    }
    Ok(last)
}

fn histogram(document: &Document) -> Histogram<'_> {
    (&document.trigger, &document.meta.event)
}

/// Whether all files have the same histograms, and all of their entries.
fn check(files: &[File]) -> anyhow::Result<()> {
    let Some((first, rest)) = files.split_first() else { bail!("no file to add up") };
    for other in rest {
        check_same(first, other)?;
        check_same(other, first)?;
    }
    for file in files {
        let mut documents = file.documents.iter();
        documents.try_for_each(export::check_whole).with_context(|| file.name.clone())?;
    }
    Ok(())
}

/// Fails if `one` has a histogram that `other` has not.
fn check_same(one: &File, other: &File) -> anyhow::Result<()> {
    let Some(alone) = not_in(one, other) else { return Ok(()) };
    let (here, there) = (&one.name, &other.name);
    match not_in(other, one) {
        Some(like) => export::check_same(alone, like)
            .map_err(|error| anyhow!("cannot add up {here} and {there}: {error}")),
        None => {
            let (trigger, event) = (excerpt(&alone.trigger), excerpt(&alone.meta.event));
            Err(anyhow!(
                "cannot add up: {there} has no snapshot of `{trigger}` for {event}, which {here} has"
            ))
        }
    }
}

/// The first snapshot of a histogram that `other` does not have.
fn not_in<'a>(one: &'a File, other: &File) -> Option<&'a Document> {
    let known: HashSet<_> = other.documents.iter().map(histogram).collect();
    one.documents.iter().find(|document| !known.contains(&histogram(document)))
}

/// Says which files have counted on the same machine at the same time: the same file named twice,
/// for instance.
fn warn_of_twice(files: &[File]) {
    for ((one, other), host) in counted_twice(files) {
        say(&format!(
            "{} and {} have counted on {} at the same time: what is in both is added up twice",
            files[one].name,
            files[other].name,
            excerpt(host)
        ));
    }
}

/// A time in which a file has counted, and where.
struct Counted<'a> {
    since: SystemTime,
    until: SystemTime,
    file: usize,
    host: &'a str,
}

/// Pairs of files that have counted the same on one machine at the same time, and where; of several
/// machines, the first by name. All times are gone through once, from the earliest on.
fn counted_twice(files: &[File]) -> BTreeMap<(usize, usize), &str> {
    let mut times: HashMap<(Histogram<'_>, &Source), Vec<Counted<'_>>> = HashMap::new();
    for (file, documents) in files.iter().map(|file| &file.documents).enumerate() {
        for document in documents {
            let Meta { sources, since, time, .. } = &document.meta;
            for source in sources {
                let counted = times.entry((histogram(document), source)).or_default();
                counted.push(Counted { since: *since, until: *time, file, host: &source.host });
            }
        }
    }
    let mut pairs = BTreeMap::new();
    for counted in times.values_mut() {
        counted.sort_unstable_by_key(|counted| (counted.since, counted.until));
        let mut ends: BTreeMap<usize, SystemTime> = BTreeMap::new();
        for now in counted {
            let others = ends.iter().filter(|(file, end)| **file != now.file && **end > now.since);
            for (file, _) in others {
                let pair = (*file.min(&now.file), *file.max(&now.file));
                let host = pairs.entry(pair).or_insert(now.host);
                *host = now.host.min(host);
            }
            let end = ends.entry(now.file).or_insert(now.until);
            *end = now.until.max(*end);
        }
    }
    pairs
}

/// A sum for each histogram, in the order of the first file.
fn sums(files: Vec<File>) -> anyhow::Result<Vec<Document>> {
    let names = files.iter().map(|file| file.name.clone()).collect::<Vec<_>>().join(", ");
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    let mut groups: Vec<Vec<Document>> = Vec::new();
    for document in files.into_iter().flat_map(|file| file.documents) {
        let id = (document.trigger.clone(), document.meta.event.clone());
        let place = *places.entry(id).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(document);
    }
    let sum = |group| export::merge(group).with_context(|| names.clone());
    groups.into_iter().map(sum).collect()
}
