//! Writes a document as one JSON object a line: each entry, then the totals. Every line says by
//! itself what it is about, so that lines can be filtered, shipped and stored one by one.

use std::time::SystemTime;

use serde::Serialize;

use super::document::Document;
use super::json::{LossesOut, RowOut, Totals, line};
use super::time;

/// The lines.
pub(super) fn ndjson(document: &Document) -> Vec<u8> {
    let rows = document.rows.iter().map(|row| Content::Row(RowOut::new(document, row)));
    let totals =
        Content::Totals { totals: Totals::new(document), losses: LossesOut::new(document) };
    let lines = rows.chain([totals]).map(|content| line(&Line::new(document, content)));
    lines.flatten().collect()
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(with = "time")]
    since: SystemTime,
    #[serde(with = "time")]
    time: SystemTime,
    hosts: Vec<&'a str>,
    event: &'a str,
    trigger: &'a str,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Content<'a> {
    Row(RowOut<'a>),
    Totals {
        #[serde(flatten)]
        totals: Totals,
        losses: LossesOut,
    },
}

impl<'a> Line<'a> {
    fn new(document: &'a Document, content: Content<'a>) -> Self {
        let meta = &document.meta;
        let hosts = meta.sources.iter().map(|source| &*source.host).collect();
        let (event, trigger) = (&meta.event, &document.trigger);
        Self { since: meta.since, time: meta.time, hosts, event, trigger, content }
    }
}
