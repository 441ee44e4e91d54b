//! Chooses the format of an answer by the `Accept` header.

use super::exposition::Exposition;

/// The format that the header likes best; the older one for those who do not name OpenMetrics, and
/// for those who accept neither, as other exporters do.
#[must_use]
pub fn negotiate(accept: &str) -> Exposition {
    let mut best = (0.0, Exposition::Text);
    for (quality, format) in accept.split(',').filter_map(range) {
        // Of two that are liked as much, the newer one wins.
        let is_newer = format == Exposition::OpenMetrics && best.1 == Exposition::Text;
        if quality > best.0 || quality == best.0 && quality > 0.0 && is_newer {
            best = (quality, format);
        }
    }
    best.1
}

/// A media range (RFC 9110, section 12.5.1) that means one of the formats, and how much it is
/// liked.
fn range(range: &str) -> Option<(f64, Exposition)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let (mut quality, mut version) = (1.0, None);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => quality = value.parse().unwrap_or(0.0),
            "version" => version = Some(value.to_owned()),
            _ => {}
        }
    }
    let format = match (media.as_str(), version.as_deref()) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Exposition::OpenMetrics,
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => Exposition::Text,
        _ => return None,
    };
    Some((quality, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_accepted() {
        let (new, old) = (Exposition::OpenMetrics, Exposition::Text);
        for (accept, want) in [
            ("", old),
            ("*/*", old),
            ("text/html,application/xhtml+xml,*/*;q=0.8", old),
            ("application/openmetrics-text", new),
            ("Application/OpenMetrics-Text; version=\"1.0.0\"", new),
            // What Prometheus 2.42 and 3 send.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                new,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                new,
            ),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.1", old),
            ("text/plain,application/openmetrics-text", new),
            ("application/openmetrics-text,text/plain", new),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", old),
            // An unknown version.
            ("application/openmetrics-text;version=2.0.0", old),
            ("application/json", old),
            (";;,=,q=", old),
        ] {
            assert_eq!(negotiate(accept), want, "{accept}");
        }
    }
}
