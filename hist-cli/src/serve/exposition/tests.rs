//! The text of both formats, and that any label and number can be read back from it.

use super::*;
use proptest::prelude::*;

fn counter<'a>(labels: Labels<'a>, value: u64) -> Family<'a> {
    let points = Points::Numbers(vec![Point { labels, value: Number::Unsigned(value) }]);
    Family { name: "c", help: "a \"b\"\\\nc".into(), unit: None, kind: Kind::Counter, points }
}

#[test]
fn both_formats() {
    let histogram = Histogram { buckets: vec![(1.0, 2), (1048576.0, 3)], count: 4, sum: Some(9) };
    let families = [
        counter(vec![("l", "x\"y\\z\nü")], u64::MAX),
        Family {
            name: "h_bytes",
            help: "h".into(),
            unit: Some("bytes"),
            kind: Kind::Histogram,
            points: Points::Histograms(vec![Point { labels: vec![("a", "")], value: histogram }]),
        },
        Family {
            name: "i",
            help: "i".into(),
            unit: None,
            kind: Kind::Info,
            points: Points::Numbers(vec![Point {
                labels: vec![("version", "1")],
                value: Number::Unsigned(1),
            }]),
        },
    ];
    assert_eq!(
        write(&families, Exposition::OpenMetrics),
        "# HELP c a \\\"b\\\"\\\\\\nc\n# TYPE c counter\nc_total{l=\"x\\\"y\\\\z\\nü\"} 18446744073709551615\n\
         # HELP h_bytes h\n# TYPE h_bytes histogram\n# UNIT h_bytes bytes\n\
         h_bytes_bucket{a=\"\",le=\"1.0\"} 2\nh_bytes_bucket{a=\"\",le=\"1.048576e+06\"} 3\n\
         h_bytes_bucket{a=\"\",le=\"+Inf\"} 4\nh_bytes_count{a=\"\"} 4\nh_bytes_sum{a=\"\"} 9\n\
         # HELP i i\n# TYPE i info\ni_info{version=\"1\"} 1\n# EOF\n"
    );
    assert_eq!(
        write(&families, Exposition::Text),
        "# HELP c_total a \"b\"\\\\\\nc\n# TYPE c_total counter\nc_total{l=\"x\\\"y\\\\z\\nü\"} 18446744073709551615\n\
         # HELP h_bytes h\n# TYPE h_bytes histogram\n\
         h_bytes_bucket{a=\"\",le=\"1\"} 2\nh_bytes_bucket{a=\"\",le=\"1.048576e+06\"} 3\n\
         h_bytes_bucket{a=\"\",le=\"+Inf\"} 4\nh_bytes_count{a=\"\"} 4\nh_bytes_sum{a=\"\"} 9\n\
         # HELP i_info i\n# TYPE i_info gauge\ni_info{version=\"1\"} 1\n"
    );
}

#[test]
fn floating_point_numbers_are_written_as_go_writes_them() {
    // From Go's strconv tests, and by its documentation.
    for (number, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (-7.0, "-7"),
        (200_000.0, "200000"),
        (1_048_576.0, "1.048576e+06"),
        (18_446_744_073_709_551_616.0, "1.8446744073709552e+19"),
        (0.000_484_303, "0.000484303"),
        (0.000_01, "1e-05"),
        (123_456.7, "123456.7"),
        (1e300, "1e+300"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(float(number), text);
    }
}

/// What a reader makes of a label's value.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(c)) => out.push(c),
            (c, _) => out.push(c),
        }
    }
    out
}

proptest! {
    #[test]
    fn labels_survive(value in "(\\PC|[\\x00-\\x1f\"\\\\]){0,20}") {
        let text = write(&[counter(vec![("l", &value)], 1)], Exposition::OpenMetrics);
        let line = text.split('\n').nth(2).expect("a sample");
        let inner = line.strip_prefix("c_total{l=\"").and_then(|rest| rest.strip_suffix("\"} 1"));
        prop_assert_eq!(unescaped(inner.expect("a label")), value);
    }

    #[test]
    fn numbers_survive(number: f64) {
        let text = float(number);
        let read: f64 = text.parse().expect("a number");
        prop_assert!(read == number || read.is_nan() && number.is_nan(), "{}", text);
    }
}
