//! Checks the names of metrics, labels and units, and makes names of other texts that Prometheus
//! takes.
//!
//! The grammars are those of the OpenMetrics 1.0 specification, section "ABNF".

/// Endings that the exposition adds itself, or that mean something else.
const RESERVED: [&str; 7] = ["_total", "_bucket", "_count", "_sum", "_created", "_gcount", "_gsum"];

/// What is wrong with the name of a metric, in one sentence.
#[must_use]
pub fn wrong_metric(name: &str) -> Option<String> {
    let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    if !is_name(name, is_first) {
        return Some("a name has letters, digits, `_` and `:`, and no digit first".to_owned());
    }
    if let Some(ending) = RESERVED.iter().chain(&["_info"]).find(|ending| name.ends_with(*ending)) {
        return Some(format!("leave `{ending}` out: such endings are added, or mean another type"));
    }
    let is_own = ["hist_bpf_", "process_", "scrape_"].iter().find(|own| name.starts_with(*own));
    if let Some(own) = is_own {
        return Some(format!("names that begin with `{own}` are taken by the exporter itself"));
    }
    (name == "up").then(|| "`up` is Prometheus's own".to_owned())
}

/// What is wrong with the name of a label, in one sentence.
#[must_use]
pub fn wrong_label(name: &str) -> Option<&'static str> {
    if !is_name(name, |c| c.is_ascii_alphabetic() || c == '_') {
        return Some("a label has letters, digits and `_`, and no digit first");
    }
    name.starts_with("__").then_some("labels that begin with `__` are Prometheus's own")
}

/// What is wrong with a unit, in one sentence.
#[must_use]
pub fn wrong_unit(unit: &str) -> Option<&'static str> {
    (!is_name(unit, |c| c.is_ascii_alphabetic()))
        .then_some("a unit has letters, digits and `_`, such as `bytes` or `seconds`")
}

fn is_name(name: &str, is_first: impl Fn(char) -> bool) -> bool {
    let mut chars = name.chars();
    let is_rest = |c: char| is_first(c) || c.is_ascii_alphanumeric() || c == '_';
    chars.next().is_some_and(&is_first) && chars.all(is_rest)
}

/// A name like `text`, with `_` for all that no name has; `key` for nothing.
#[must_use]
pub fn sanitized(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(plain).collect();
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "key".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        Some(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for good in ["a", "kmalloc_bytes", "ns:a9", "_a", "counts"] {
            assert_eq!(wrong_metric(good), None, "{good}");
        }
        for (bad, part) in [
            ("", "letters"),
            ("9a", "letters"),
            ("a-b", "letters"),
            ("ä", "letters"),
            ("a b", "letters"),
            ("a_total", "`_total`"),
            ("a_sum", "`_sum`"),
            ("hist_bpf_x", "exporter"),
            ("up", "Prometheus"),
        ] {
            assert!(wrong_metric(bad).is_some_and(|wrong| wrong.contains(part)), "{bad}");
        }
        for (bad, part) in [("", "letters"), ("a:b", "letters"), ("__a", "own")] {
            assert!(wrong_label(bad).is_some_and(|wrong| wrong.contains(part)), "{bad}");
        }
        assert_eq!(wrong_label("le"), None);
        assert_eq!((wrong_unit("bytes"), wrong_unit("m/s").is_some()), (None, true));
    }

    #[test]
    fn sanitized_names_stay_recognizable() {
        for (text, name) in
            [("bytes_req", "bytes_req"), ("a-b", "a_b"), ("", "key"), ("3", "_3"), ("$x.y", "x_y")]
        {
            assert_eq!(sanitized(text), name);
        }
    }

    proptest! {
        #[test]
        fn what_is_sanitized_is_a_label(text in ".{0,20}") {
            prop_assert_eq!(wrong_label(&sanitized(&text)), None);
        }
    }
}
