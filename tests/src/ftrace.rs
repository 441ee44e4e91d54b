//! Counts with this kernel's own hist triggers, to compare others with them.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use hist_test_support::table::blocks;

use crate::engine::{Engine, Request};

/// Where tracefs is.
pub const TRACEFS: &str = "/sys/kernel/tracing";

/// Tracefs or an instance in it, and the triggers placed there.
#[derive(Debug)]
pub struct Ftrace {
    root: PathBuf,
    /// The event directory of each placed trigger, or why it could not be placed.
    placed: Vec<Result<PathBuf>>,
}

/// Why a trigger was not placed.
#[derive(Debug)]
pub enum Refusal {
    /// The event has one that the kernel takes to be the same.
    Exists,
    /// Anything else.
    Other(Error),
}

impl Ftrace {
    /// The one at the root of tracefs.
    pub fn root() -> Ftrace {
        Ftrace { root: TRACEFS.into(), placed: Vec::new() }
    }

    /// An instance of that name, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn instance(name: &str) -> Result<Ftrace> {
        let root = Path::new(TRACEFS).join("instances").join(name);
        fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
        Ok(Ftrace { root, placed: Vec::new() })
    }

    /// Places a trigger.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn place(&mut self, request: &Request) -> Result<(), Refusal> {
        let dir = self.root.join("events").join(&request.system).join(&request.event);
        match append(&dir.join("trigger"), &request.trigger) {
            Ok(()) => {
                self.placed.push(Ok(dir));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Refusal::Exists),
            Err(error) => Err(Refusal::Other(self.explain(request, error))),
        }
    }

    /// The kernel's own words are in its error log.
    fn explain(&self, request: &Request, error: std::io::Error) -> Error {
        let log = fs::read_to_string(self.root.join("error_log")).unwrap_or_default();
        let Request { system, event, trigger } = request;
        anyhow!("the kernel refuses `{trigger}` on {system}:{event}: {error}\n{log}")
    }

    /// The histogram of each placed trigger, in order. They count on.
    pub fn texts(&self) -> Vec<Result<String>> {
        let mut files = Files::default();
        let text = |dir: &Result<PathBuf>| match dir {
            Ok(dir) => files.next_of(dir),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        self.placed.iter().map(text).collect()
    }

    /// The histogram of each placed trigger, in order. All triggers are removed.
    pub fn take(&mut self) -> Vec<Result<String>> {
        let placed = std::mem::take(&mut self.placed);
        let mut files = Files::default();
        let texts = placed.into_iter().map(|dir| files.next_of(&dir?)).collect();
        // Opening with truncation removes all hist triggers of the event.
        for dir in files.0.keys() {
            if let Err(error) = File::create(dir.join("trigger")) {
                return vec![Err(error).with_context(|| format!("clearing {}", dir.display()))];
            }
        }
        texts
    }
}

/// The `hist` files read so far: for each event directory the histograms not yet handed out. They
/// stand in the order in which their triggers were placed.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, VecDeque<String>>);

impl Files {
    fn next_of(&mut self, dir: &Path) -> Result<String> {
        if !self.0.contains_key(dir) {
            let path = dir.join("hist");
            let text = fs::read_to_string(&path);
            // Known even if it cannot be read, so that its triggers are removed.
            let unread = self.0.entry(dir.to_owned()).or_default();
            unread.extend(blocks(&text.with_context(|| path.display().to_string())?));
        }
        let unread = self.0.get_mut(dir).and_then(VecDeque::pop_front);
        unread.with_context(|| format!("{} has fewer histograms than triggers", dir.display()))
    }
}

impl Engine for Ftrace {
    fn start(&mut self, requests: &[Request]) -> Result<()> {
        for request in requests {
            let refusal = match self.place(request) {
                Ok(()) => continue,
                Err(Refusal::Exists) => anyhow!("the event has such a trigger"),
                Err(Refusal::Other(error)) => error,
            };
            self.placed.push(Err(refusal));
        }
        Ok(())
    }

    fn stop(&mut self) -> Vec<Result<String>> {
        self.take()
    }
}

/// One `write`, since the kernel takes each for a command.
fn append(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())
}
