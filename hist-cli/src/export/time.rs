//! Writes and reads times as RFC 3339 text in UTC, with nanoseconds.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Such as `2026-03-01T12:00:00.000000000Z`.
#[must_use]
pub fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}

pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_nanos(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_rfc3339(&text)
        .map_err(|error| de::Error::custom(format!("`{text}` is no time in UTC: {error}")))
}
