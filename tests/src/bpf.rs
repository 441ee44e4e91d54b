//! The engine under test: hist-bpf's own pipeline, through the same library calls as the command.

use anyhow::{Context as _, Result};
use hist_cli::kernel::EventName;
use hist_cli::kernel::Facts;
use hist_cli::kernel::symbols::Symbols;
use hist_cli::kernel::tracefs::{Tracefs, find_or_mount};
use hist_cli::load::{Attached, attach};
use hist_cli::pipeline::{self, Built, Segment};
use hist_cli::plan::{AttachWish, Proof, Wishes};
use hist_cli::snapshot::sort::{Ties, sort};
use hist_cli::snapshot::stack;
use hist_cli::{load, print, read};

use crate::engine::{Engine, Request};
use crate::version::Version;

/// The engine under test.
pub struct Bpf {
    tracefs: Tracefs,
    facts: Facts,
    wishes: Wishes,
    /// How the running kernel orders entries that compare equal.
    ties: Ties,
    /// How many frames of a stack it keeps.
    depth: usize,
    attached: Option<Attached>,
    /// For each request its place among the attached triggers, or why it is not there.
    places: Vec<Result<usize>>,
}

impl Bpf {
    /// An engine that counts nothing yet, to be compared with a kernel of `version`. Its programs
    /// are attached as wished.
    ///
    /// # Errors
    /// If there is no tracefs.
    pub fn new(version: Version, attach: AttachWish) -> Result<Self> {
        let ties = if version < Version(6, 12) { Ties::Linux6_1 } else { Ties::Linux6_12 };
        let depth = if version < Version(7, 0) { 16 } else { stack::DEPTH };
        Ok(Self {
            tracefs: find_or_mount()?,
            facts: Facts::read()?,
            wishes: Wishes { attach, ..Wishes::default() },
            ties,
            depth,
            attached: None,
            places: Vec::new(),
        })
    }

    /// The same, with losses proven that the kernel does not count.
    #[must_use]
    pub fn proving(self, proof: Proof) -> Self {
        Self { wishes: Wishes { proof, ..self.wishes }, ..self }
    }

    fn compile(&self, request: &Request) -> Result<Segment> {
        let format = self.tracefs.event(&EventName::new(&request.system, &request.event))?;
        let context = self.facts.context_with(pipeline::needs(&request.trigger));
        let wishes = self.wishes.clone();
        Ok(Segment::new(pipeline::plan(&request.trigger, &format, &context, wishes)?)?)
    }

    fn text(&self, place: usize, symbols: &Symbols) -> Result<String> {
        let attached = self.attached.as_ref().context("nothing is attached")?;
        let mut snapshot = read::snapshot(&attached.triggers[place])?;
        stack::settle(&mut snapshot, symbols, &load::stack_cut(self.depth));
        sort(&mut snapshot, self.ties);
        // What is missed counts before the filter, so most of it is other processes' events: then
        // the texts are the same. If they are not, this says why.
        let losses = snapshot.losses;
        if losses.busy + losses.missed > 0 {
            println!("NOTE {}: {losses:?}", attached.triggers[place].plan.hist);
        }
        Ok(String::from_utf8(print::hist(&snapshot, symbols))?)
    }
}

impl Engine for Bpf {
    fn start(&mut self, requests: &[Request]) -> Result<()> {
        let mut segments = Vec::new();
        self.places.clear();
        for request in requests {
            let place = self.compile(request).map(|one| {
                segments.push(one);
                segments.len() - 1
            });
            self.places.push(place);
        }
        self.attached = Some(attach(Built::new(segments)?)?);
        Ok(())
    }

    fn stop(&mut self) -> Vec<Result<String>> {
        let places = std::mem::take(&mut self.places);
        let symbols = Symbols::new();
        let texts = places.into_iter().map(|place| self.text(place?, &symbols)).collect();
        self.attached = None;
        texts
    }
}
