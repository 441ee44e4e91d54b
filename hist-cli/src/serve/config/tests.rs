//! What is read of files of metrics, and the messages about what is wrong in them.

use super::*;
use crate::kernel::Facts;
use crate::kernel::tracefs::Tracefs;
use crate::session::Live;
use proptest::prelude::*;

/// A kernel whose events are those of the golden files.
fn kernel() -> Live {
    let formats = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/formats");
    Live::new(Tracefs::at(formats), Facts::read().expect("CPUs"), Wishes::default())
}

fn problems(text: &str) -> String {
    match read(text, Some(&kernel())) {
        Ok(config) => panic!("nothing is wrong with {config:?}"),
        Err(problems) => problems.render("m.toml", text),
    }
}

/// A metric with `lines` behind what all have.
fn metric(lines: &str) -> String {
    format!("[[metric]]\nname = \"m\"\nhelp = \"h\"\nevent = \"kmem:kmalloc\"\n{lines}\n")
}

#[track_caller]
fn check_problem(lines: &str, want: &str) {
    assert_eq!(problems(&metric(lines)), want);
}

#[test]
fn a_whole_metric() {
    let text = metric(
        "trigger = 'hist:keys=call_site.sym,bytes_req.log2:vals=bytes_alloc if bytes_req > 1'\n\
         labels = { call_site = 'function' }\nvalues = { bytes_alloc = 'allocated_bytes' }\n\
         max_series = 7\nmax = 0x1000",
    );
    let config = read(&text, Some(&kernel())).expect("nothing is wrong");
    let [metric] = &config.metrics[..] else { panic!("{config:?}") };
    assert_eq!((metric.name.as_str(), metric.event.to_string().as_str()), ("m", "kmem:kmalloc"));
    assert_eq!((metric.max_series, metric.max), (7, Some(4096)));
    assert_eq!(metric.labels["call_site"], "function");
    // Without a kernel the same.
    assert_eq!(read(&text, None::<&Live>), Ok(config));
}

#[test]
fn a_trigger_has_its_caret_in_the_file() {
    check_problem(
        "trigger = \"hist:keys=call_sit\"",
        "m.toml:5:22: Couldn't find field\n  trigger = \"hist:keys=call_sit\"\n                       ^^^^^^^^\n  \
         help: kmem:kmalloc has no field `call_sit`; did you mean `call_site`?\n  help: its fields: \
         common_type, common_flags, common_preempt_count, common_pid, call_site, ptr, bytes_req, \
         bytes_alloc, gfp_flags, node\n",
    );
    // What stands there with escapes is shown once more as it is.
    let said = problems(&metric("trigger = \"hist:keys=call\\u005fsit\""));
    assert!(
        said.starts_with(
            "m.toml:5:11: Couldn't find field\n  trigger = \"hist:keys=call\\u005fsit\"\n            \
             ^^^^^^^^^^^^^^^^^^^^^^^^^\n  which is the trigger\n  hist:keys=call_sit\n            \
             ^^^^^^^^\n"
        ),
        "{said}"
    );
    // A text of several lines.
    let said = problems(&metric("trigger = '''\n hist:keys=nothing'''"));
    assert!(said.starts_with("m.toml:6:12: Couldn't find field\n"), "{said}");
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = "\
metrics = 1
[[metric]]
name = \"9a\"
help = \"\"
event = \"kmalloc\"
trigger = \"hist:keys=\"
[[metric]]
name = \"b_bytes\"
help = \"h\"
event = \"kmem:kmaloc\"
trigger = \"hist:keys=ptr:pause\"
triger = 1
unit = \"seconds\"
max_series = 0
labels = { ptr = 7, x = \"__y\" }
[[metric]]
help = 'h'
event = 'kmem:kmalloc'
trigger = '!hist:keys=ptr'
";
    let said = problems(text);
    let heads: Vec<_> = said.lines().filter(|line| line.starts_with("m.toml:")).collect();
    assert_eq!(
        heads,
        [
            "m.toml:1:1: nothing is called `metrics` here",
            "m.toml:3:8: `9a`: a name has letters, digits, `_` and `:`, and no digit first",
            "m.toml:4:8: `help` is empty",
            "m.toml:5:9: `kmalloc` is not an event: write SYSTEM:EVENT, such as kmem:kmalloc",
            "m.toml:6:17: Empty assignment",
            "m.toml:10:9: there is no event `kmem:kmaloc`; did you mean kmem:kmalloc?",
            "m.toml:11:11: a metric counts all the time: leave `pause`, `cont` and `clear` out",
            "m.toml:12:1: nothing is called `triger` here",
            "m.toml:13:8: the name must end in `_seconds`",
            "m.toml:14:14: `max_series` must be a whole number of at least 1",
            "m.toml:15:18: `ptr` must be a string",
            "m.toml:15:25: `__y`: labels that begin with `__` are Prometheus's own",
            "m.toml:16:1: this metric has no `name`",
            "m.toml:19:11: a metric's trigger counts; `!` removes one",
        ],
        "{said}"
    );
}

#[test]
fn syntax_errors_are_all_told() {
    let said = problems("[[metric]]\nname = \nhelp = \"x\nevent = = 1\n");
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("m.toml:")).collect();
    assert!(lines.len() >= 3 && lines[0].starts_with("m.toml:2:"), "{said}");
}

#[test]
fn what_does_not_go_with_the_trigger() {
    for (lines, want) in [
        (
            "trigger = 'hist:keys=ptr.log2,bytes_req.log2'",
            "m.toml:5:11: a histogram has one key with `.log2` or `.buckets=N`, not several\n",
        ),
        (
            "trigger = 'hist:keys=ptr'\nlabels = { pt = 'a' }",
            "m.toml:6:17: the trigger has no key `pt`; it has ptr\n",
        ),
        (
            "trigger = 'hist:keys=ptr.log2,node'\nlabels = { node = 'le' }",
            "m.toml:6:19: `le` is the label of a histogram's buckets\n",
        ),
        (
            "trigger = 'hist:keys=ptr,node'\nlabels = { node = 'ptr' }",
            "m.toml:6:19: two keys have the label `ptr`\n",
        ),
        (
            "trigger = 'hist:keys=ptr'\nvalues = { ptr = 'a' }",
            "m.toml:6:18: the trigger has no value with a name of its own `ptr`\n",
        ),
        (
            "trigger = 'hist:keys=ptr'\nmax = 8",
            "m.toml:6:7: `max` is for histograms: no key has `.log2` or `.buckets=N`\n",
        ),
        (
            "trigger = 'hist:keys=ptr.buckets=2'\nmax = 4096",
            "m.toml:6:7: `max` gives no bucket, or more than 256 of that width\n",
        ),
        (
            "trigger = 'hist:name=a:keys=ptr'",
            "m.toml:5:11: each metric has a table of its own: leave `name=` out\n",
        ),
    ] {
        let said = problems(&metric(lines));
        assert!(said.starts_with(want), "{said}");
        assert_eq!(said.matches("m.toml:").count(), 1, "{said}");
    }
}

#[test]
fn names_are_there_once() {
    let one = metric("trigger = 'hist:keys=ptr:vals=bytes_req'");
    let said = problems(&(one.clone() + &one));
    assert!(said.starts_with("m.toml:7:8: there is a metric `m` already\n"), "{said}");
    // Names that only follow from the trigger.
    let other = one.replace("\"m\"", "\"m_bytes_req\"");
    let said = problems(&(one + &other));
    assert!(
        said.starts_with("m.toml:7:8: the metric `m` has a value `m_bytes_req` already\n"),
        "{said}"
    );
}

#[test]
fn files_without_metrics() {
    for (text, want) in [
        ("", "m.toml:1:1: metrics are described by tables called [[metric]]\n"),
        ("metric = []", "m.toml:1:1: there is no metric\n"),
        ("metric = 3", "m.toml:1:10: metrics are described by tables called [[metric]]\n"),
        ("metric = [3]", "m.toml:1:11: a metric is a table\n"),
        ("[metric]\nname='a'", "m.toml:1:1: metrics are described by tables called [[metric]]\n"),
    ] {
        let said = problems(text);
        assert!(said.starts_with(want), "{said}");
    }
}

proptest! {
    /// Whatever a file is cut or garbled into, it is read or refused with a place in it.
    #[test]
    fn no_file_is_too_broken(
        cut in 0..400usize, at in 0..400usize, junk in "[\\x00-\\x7f\u{e9}\u{4e16}]{0,6}",
    ) {
        let whole = metric("trigger = \"hist:keys=call_site.sym,bytes_req.log2:vals=bytes_req \
                            if bytes_req > 1\"\nlabels = { call_site = \"function\" }\nmax = 64");
        let mut text: String = whole.chars().take(cut).collect();
        let at = text.char_indices().map(|(index, _)| index).nth(at).unwrap_or(text.len());
        text.insert_str(at, &junk);
        if let Err(problems) = read(&text, Some(&kernel())) {
            prop_assert!(!problems.problems.is_empty());
            for problem in &problems.problems {
                let (line, column) = problem.position(&text);
                prop_assert!(line >= 1 && line <= text.lines().count() + 1 && column >= 1);
            }
            prop_assert!(problems.render("m.toml", &text).contains("m.toml:"));
        }
    }
}
