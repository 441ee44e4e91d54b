//! The samples that metrics show of made-up tables, and that no count is lost when tables change.

use std::collections::BTreeMap;

use super::*;
use crate::kernel::Context;
use crate::kernel::Facts;
use crate::kernel::Needs;
use crate::kernel::tracefs::Tracefs;
use crate::plan::Wishes;
use crate::serve::config;
use crate::serve::exposition::{Exposition, write};
use crate::session::{Backend as _, Live};
use crate::{parse, plan, read, resolve};

/// A metric of one of the golden events, and an empty snapshot of it.
fn metric(event: &str, lines: &str) -> (Metric, Snapshot) {
    let formats = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/formats");
    let live = Live::new(Tracefs::at(formats), Facts::read().expect("CPUs"), Wishes::default());
    let text = format!("[[metric]]\nname = 'm'\nhelp = 'h'\nevent = '{event}'\n{lines}\n");
    let config = config::read(&text, Some(&live))
        .unwrap_or_else(|problems| panic!("{}", problems.render("", &text)));
    let config = config.metrics.into_iter().next().expect("one");
    let format = live.event(&config.event).expect("golden");
    let trigger = parse::trigger(&config.trigger).expect("checked");
    let hist = resolve::hist(&trigger, &format, &live.context(Needs::default())).expect("checked");
    let plan = plan::plan(hist, Wishes::default(), &Context::default()).expect("checked");
    let shape = Shape::new(&plan.hist, &config).expect("checked");
    (Metric::new(config, shape), read::empty(&plan, false))
}

fn row(words: &[u64], hitcount: u64, sums: &[u64]) -> Row {
    Row::of_words(words, hitcount, sums).of_task(b"a\"b\\\n\xff")
}

fn text(metric: &Metric) -> String {
    write(&metric.families(), Exposition::Text)
}

fn kallsyms() -> Symbols {
    Symbols::from_kallsyms(
        "ffffffff81000000 T _stext\nffffffff81000001 T first\nffffffff81000100 T second\n\
         ffffffff81000200 T third\nffffffff81000300 T _end\n",
    )
}

#[test]
fn a_histogram_with_its_sum() {
    let (mut metric, mut snapshot) =
        metric("kmem:kmalloc", "trigger = 'hist:keys=bytes_req.log2:vals=bytes_req,bytes_alloc'");
    let symbols = Symbols::from_kallsyms("");
    metric.update(&snapshot, &symbols);
    // There before anything is counted.
    assert!(text(&metric).contains("m_bucket{le=\"+Inf\"} 0\nm_count 0\nm_sum 0\n"));
    snapshot.rows = vec![row(&[4], 2, &[25, 32]), row(&[0], 3, &[2, 24]), row(&[6], 1, &[64, 64])];
    metric.update(&snapshot, &symbols);
    assert_eq!(
        text(&metric),
        "# HELP m h\n# TYPE m histogram\n\
         m_bucket{le=\"1\"} 3\nm_bucket{le=\"8\"} 3\nm_bucket{le=\"16\"} 5\nm_bucket{le=\"32\"} 5\n\
         m_bucket{le=\"64\"} 6\nm_bucket{le=\"+Inf\"} 6\nm_count 6\nm_sum 91\n\
         # HELP m_bytes_alloc_total h: sum of bytes_alloc\n# TYPE m_bytes_alloc_total counter\n\
         m_bytes_alloc_total 120\n"
    );
}

#[test]
fn given_bounds_and_no_sum() {
    let lines = "trigger = 'hist:keys=bytes_req.buckets=10'\nmax = 30";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    snapshot.rows = vec![row(&[0], 1, &[]), row(&[20], 2, &[]), row(&[500], 4, &[])];
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    let new = write(&metric.families(), Exposition::OpenMetrics);
    assert_eq!(
        new,
        "# HELP m h\n# TYPE m histogram\nm_bucket{le=\"9.0\"} 1\nm_bucket{le=\"19.0\"} 1\n\
         m_bucket{le=\"29.0\"} 3\nm_bucket{le=\"+Inf\"} 7\n# EOF\n"
    );
    assert!(text(&metric).ends_with("m_bucket{le=\"+Inf\"} 7\nm_count 7\n"));
}

#[test]
fn functions_are_added_up_and_the_rest_is_other() {
    let lines = "trigger = 'hist:keys=call_site.sym:vals=bytes_req'\nmax_series = 1\n\
                 labels = { call_site = 'function' }\nvalues = { bytes_req = 'asked_bytes' }";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    let at = |offset: u64| 0xffff_ffff_8100_0000 + offset;
    snapshot.rows =
        vec![row(&[at(0x10)], 3, &[30]), row(&[at(0x20)], 4, &[40]), row(&[at(0x110)], 6, &[1])];
    metric.update(&snapshot, &kallsyms());
    let want = |first: (u64, u64), other: (u64, u64)| {
        format!(
            "# HELP m_total h\n# TYPE m_total counter\nm_total{{function=\"first\"}} {}\n\
             m_total{{function=\"other\"}} {}\n# HELP asked_bytes_total h: sum of bytes_req\n\
             # TYPE asked_bytes_total counter\nasked_bytes_total{{function=\"first\"}} {}\n\
             asked_bytes_total{{function=\"other\"}} {}\n",
            first.0, other.0, first.1, other.1
        )
    };
    assert_eq!(text(&metric), want((7, 70), (6, 1)));
    assert_eq!((metric.n_series(), metric.n_others()), (1, 1));
    // Now another one has the most, and the symbols are gone.
    snapshot.rows.push(row(&[at(0x210)], 1000, &[9]));
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    assert_eq!(text(&metric), want((7, 70), (1006, 10)));
}

#[test]
fn labels_hold_any_text() {
    let lines = "trigger = 'hist:keys=common_pid.execname'\nlabels = { common_pid = 'task' }";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    // Threads of the same name are one.
    snapshot.rows = vec![row(&[7], 1, &[]), row(&[8], 2, &[]), row(&[0], 5, &[])];
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    assert_eq!(
        text(&metric),
        "# HELP m_total h\n# TYPE m_total counter\nm_total{task=\"<idle>\"} 5\n\
         m_total{task=\"a\\\"b\\\\\\n\\\\xff\"} 3\n"
    );
}

#[test]
fn sums_that_may_fall_are_gauges() {
    let (mut metric, mut snapshot) =
        metric("kmem:kmalloc", "trigger = 'hist:keys=bytes_req:vals=node:nohitcount'");
    snapshot.rows = vec![row(&[1], 2, &[u64::MAX])];
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    assert_eq!(
        text(&metric),
        "# HELP m_node h: sum of node\n# TYPE m_node gauge\nm_node{bytes_req=\"1\"} -1\n"
    );
    let (mut metric, mut snapshot) =
        self::metric("kmem:kmalloc", "trigger = 'hist:keys=node.log2:vals=node'");
    snapshot.rows = vec![row(&[64], 2, &[(-2_i64).cast_unsigned()]), row(&[3], 1, &[8])];
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    let new = write(&metric.families(), Exposition::OpenMetrics);
    assert!(new.contains("m_bucket{le=\"-1.0\"} 2\nm_bucket{le=\"4.0\"} 2\n"), "{new}");
    assert!(!new.contains("m_sum") && !new.contains("m_count"), "{new}");
}

/// They were labels such as 18446744073709551615.
#[test]
fn labels_of_negative_keys_had_no_sign() {
    for (trigger, label) in [("node", "-1"), ("node.hex", "ffffffff")] {
        let (mut metric, mut snapshot) =
            metric("kmem:kmalloc", &format!("trigger = 'hist:keys={trigger}'"));
        snapshot.rows = vec![row(&[u64::MAX], 2, &[])];
        metric.update(&snapshot, &Symbols::from_kallsyms(""));
        let text = text(&metric);
        assert!(text.contains(&format!("m_total{{node=\"{label}\"}} 2")), "{text}");
    }
}

/// With given bounds it was 18446744073709551614.
#[test]
fn the_sum_of_negative_numbers_had_no_sign() {
    let lines = "trigger = 'hist:keys=node.buckets=10:vals=node'\nmax = 30";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    snapshot.rows = vec![row(&[(-6_i64).cast_unsigned()], 2, &[(-2_i64).cast_unsigned()])];
    metric.update(&snapshot, &Symbols::from_kallsyms(""));
    let new = write(&metric.families(), Exposition::OpenMetrics);
    assert!(!new.contains("m_sum") && new.contains("m_bucket{le=\"9.0\"} 2\n"), "{new}");
}

#[test]
fn another_file_may_rename_and_keeps_the_series() {
    let lines = "trigger = 'hist:keys=ptr'\nmax_series = 1";
    let (mut one, mut snapshot) = metric("kmem:kmalloc", lines);
    snapshot.rows = vec![row(&[1], 1, &[])];
    let symbols = Symbols::from_kallsyms("");
    one.update(&snapshot, &symbols);
    snapshot.rows.push(row(&[2], 9, &[]));
    let (other, _) = metric("kmem:kmalloc", &format!("{lines}\nlabels = {{ ptr = 'p' }}"));
    let mut renamed = one.clone().renamed(other.config.clone(), other.shape.clone());
    renamed.update(&snapshot, &symbols);
    assert!(text(&renamed).contains("{p=\"1\"} 1\nm_total{p=\"other\"} 9\n"), "{}", text(&renamed));
    // Another cap chooses anew.
    let config = MetricConfig { max_series: 5, ..other.config.clone() };
    let mut anew = one.renamed(config, other.shape);
    anew.update(&snapshot, &symbols);
    assert!(text(&anew).contains("{p=\"2\"} 9\nm_total{p=\"1\"} 1\n"), "{}", text(&anew));
}

/// For that many cases; one that fails is kept for the next runs, as the macro does.
fn kept(cases: u32) -> proptest::test_runner::Config {
    use proptest::test_runner::Config;
    Config { source_file: Some(file!()), ..Config::with_cases(cases) }
}

/// Buckets are cumulative and never fall, whatever is counted and however little room there is.
#[test]
fn histograms_never_go_down() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    let (metric, snapshot) =
        metric("kmem:kmalloc", "trigger = 'hist:keys=ptr,bytes_req.log2'\nmax_series = 2");
    let steps = proptest::collection::vec(
        proptest::collection::vec((0..4u64, 0..=64u64, 1..9u64), 1..8),
        1..6,
    );
    let check = |steps: Vec<Vec<(u64, u64, u64)>>| {
        let (mut metric, mut snapshot) = (metric.clone(), snapshot.clone());
        let mut counts: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut before: BTreeMap<String, u64> = BTreeMap::new();
        for step in steps {
            step.iter().for_each(|(p, b, more)| *counts.entry((*p, *b)).or_default() += more);
            snapshot.rows = counts.iter().map(|((p, b), n)| row(&[*p, *b], *n, &[])).collect();
            metric.update(&snapshot, &Symbols::from_kallsyms(""));
            let text = text(&metric);
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let now: BTreeMap<String, u64> = lines
                .map(|line| line.rsplit_once(' ').expect("a value"))
                .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
                .collect();
            let total: u64 =
                now.iter().filter(|(name, _)| name.contains("_count")).map(|(_, n)| n).sum();
            prop_assert_eq!(total, counts.values().sum::<u64>());
            for (name, value) in &before {
                prop_assert!(now.get(name) >= Some(value), "{}", name);
            }
            for point in metric.points(|total| metric.histogram(total)) {
                let counts: Vec<_> = point.value.buckets.iter().map(|(_, count)| *count).collect();
                prop_assert!(counts.is_sorted() && counts.last() <= Some(&point.value.count));
            }
            before = now;
        }
        Ok(())
    };
    TestRunner::new(kept(64)).run(&steps, check).expect("it holds");
}

/// The samples of a text, by name and labels.
fn samples(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parts = lines.map(|line| line.rsplit_once(' ').expect("a value"));
    parts.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// It was blinded for good: whoever came first had the only places.
#[test]
fn series_that_came_first_give_way_to_those_that_are_hit() {
    let lines = "trigger = 'hist:keys=ptr:vals=bytes_req'\nmax_series = 2";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    let symbols = Symbols::from_kallsyms("");
    snapshot.rows = vec![row(&[1], 1, &[10]), row(&[2], 900, &[20])];
    metric.update(&snapshot, &symbols);
    metric.rank(&snapshot, &symbols, Duration::from_secs(10));
    snapshot.rows.extend([row(&[3], 500, &[30]), row(&[4], 1, &[40])]);
    metric.update(&snapshot, &symbols);
    let before = samples(&text(&metric));
    assert_eq!(before["m_total{ptr=\"other\"}"], 501);
    metric.rank(&snapshot, &symbols, Duration::from_secs(10));
    metric.update(&snapshot, &symbols);
    // It begins at 0, for what it had is among the others, and stays there.
    let want = "# HELP m_total h\n# TYPE m_total counter\nm_total{ptr=\"2\"} 900\n\
        m_total{ptr=\"3\"} 0\nm_total{ptr=\"other\"} 502\n\
        # HELP m_bytes_req_total h: sum of bytes_req\n# TYPE m_bytes_req_total counter\n\
        m_bytes_req_total{ptr=\"2\"} 20\nm_bytes_req_total{ptr=\"3\"} 0\n\
        m_bytes_req_total{ptr=\"other\"} 80\n";
    assert_eq!(text(&metric), want);
    assert_eq!(metric.evicted(), 1);
    snapshot.rows[2] = row(&[3], 507, &[37]);
    metric.update(&snapshot, &symbols);
    assert!(text(&metric).contains("m_total{ptr=\"3\"} 7\n"), "{}", text(&metric));
    // Nobody is hit much more than they are: all stay.
    metric.rank(&snapshot, &symbols, Duration::from_secs(10));
    metric.update(&snapshot, &symbols);
    assert_eq!(metric.evicted(), 1);
}

#[test]
fn a_table_that_is_renewed_loses_no_count() {
    let lines = "trigger = 'hist:keys=ptr,bytes_req.log2:vals=bytes_req'\nmax_series = 1";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    let symbols = Symbols::from_kallsyms("");
    snapshot.rows = vec![row(&[1, 4], 6, &[90]), row(&[2, 3], 5, &[40])];
    metric.update(&snapshot, &symbols);
    let seeds = metric.seeds(&snapshot, &symbols, 9);
    assert_eq!(seeds, [row(&[1, 4], 6, &[90])], "the others begin anew");
    snapshot.rows.push(row(&[3, 2], 2, &[8]));
    metric.renew(&snapshot, &symbols, &seeds);
    snapshot.rows = vec![row(&[1, 4], 0, &[0])];
    metric.update(&snapshot, &symbols);
    let before = samples(&text(&metric));
    assert_eq!(before["m_count{ptr=\"1\"}"] + before["m_count{ptr=\"other\"}"], 13);
    assert_eq!(before["m_sum{ptr=\"1\"}"] + before["m_sum{ptr=\"other\"}"], 138);
    assert_eq!(before["m_bucket{ptr=\"other\",le=\"4\"}"], 2);
    snapshot.rows = vec![row(&[1, 4], 3, &[30]), row(&[2, 3], 1, &[5])];
    metric.update(&snapshot, &symbols);
    let after = samples(&text(&metric));
    assert!(before.iter().all(|(name, value)| after[name] >= *value), "{before:?} {after:?}");
    assert_eq!((after["m_count{ptr=\"1\"}"], after["m_count{ptr=\"other\"}"]), (9, 8));
}

/// Hits that found no room in the table were in no sample.
#[test]
fn hits_that_found_no_room_are_among_the_others() {
    let symbols = Symbols::from_kallsyms("");
    let lines = "trigger = 'hist:keys=ptr,bytes_req.log2:vals=bytes_req'";
    let (mut metric, mut snapshot) = metric("kmem:kmalloc", lines);
    snapshot.rows = vec![row(&[1, 3], 1, &[8])];
    metric.update(&snapshot, &symbols);
    let mut rest = snapshot.clone();
    rest.keys = vec![snapshot.keys[1].clone()];
    rest.keys[0].offset = 0;
    rest.rows = vec![row(&[3], 4, &[30]), row(&[5], 2, &[60]), row(&[6], 0, &[0])];
    metric.add_rest(&rest);
    let found = samples(&text(&metric));
    let of = |end: &str| found[&format!("m_{end}")];
    assert_eq!((of("count{ptr=\"1\"}"), of("count{ptr=\"other\"}")), (1, 6));
    assert_eq!((of("sum{ptr=\"1\"}"), of("sum{ptr=\"other\"}")), (8, 90));
    assert_eq!(of("bucket{ptr=\"other\",le=\"8\"}"), 4);
    assert_eq!(of("bucket{ptr=\"other\",le=\"32\"}"), 6);
    // Without labels there is one series for all.
    let (mut metric, snapshot) =
        self::metric("kmem:kmalloc", "trigger = 'hist:keys=bytes_req.buckets=1'");
    metric.update(&snapshot, &symbols);
    let rows = vec![row(&[7], 41, &[])];
    metric.add_rest(&Snapshot { rows, ..snapshot });
    assert!(text(&metric).ends_with("m_bucket{le=\"+Inf\"} 41\nm_count 41\n"));
}

/// What happens to a metric: hits by pointer and bucket, then another table or another ranking.
type Step = (Vec<(u64, u64, u64)>, bool, bool);

/// Whatever changes places, the sum is that of all hits, the others never go down, and a series does
/// so only when it begins anew.
#[test]
fn no_count_is_lost_whatever_takes_places() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    let lines = "trigger = 'hist:keys=ptr,bytes_req.log2:vals=bytes_alloc'\nmax_series = 2";
    let (metric, snapshot) = metric("kmem:kmalloc", lines);
    let hits = proptest::collection::vec((0..9u64, 0..=4u64, 1..99u64), 1..8);
    let steps = proptest::collection::vec((hits, any::<bool>(), any::<bool>()), 1..9);
    let symbols = Symbols::from_kallsyms("");
    let check = |steps: Vec<Step>| {
        let (mut metric, mut snapshot) = (metric.clone(), snapshot.clone());
        let mut table: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let (mut all, mut before) = (0, BTreeMap::<String, u64>::new());
        for (hits, renew, rank) in steps {
            for (ptr, bucket, more) in hits {
                *table.entry((ptr, bucket)).or_default() += more;
                all += more;
            }
            let rows = |table: &BTreeMap<(u64, u64), u64>| -> Vec<Row> {
                table.iter().map(|((p, b), n)| row(&[*p, *b], *n, &[2 * n])).collect()
            };
            snapshot.rows = rows(&table);
            metric.update(&snapshot, &symbols);
            let evicted = metric.evicted();
            if rank {
                metric.rank(&snapshot, &symbols, Duration::from_secs(20));
            }
            if renew {
                let seeds = metric.seeds(&snapshot, &symbols, 2);
                metric.renew(&snapshot, &symbols, &seeds);
                let key = |row: &Row| (row.word(0), row.word(8));
                table = seeds.iter().map(|row| (key(row), 0)).collect();
                snapshot.rows = rows(&table);
            }
            metric.update(&snapshot, &symbols);
            let now = samples(&text(&metric));
            let sum = |start: &str| -> u64 {
                now.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, n)| n).sum()
            };
            prop_assert_eq!(sum("m_count"), all);
            prop_assert_eq!(sum("m_bytes_alloc_total"), 2 * all);
            prop_assert!(metric.n_series() <= 2);
            for (name, value) in &before {
                let is_gone = rank && !name.contains("other");
                prop_assert!(is_gone || now.get(name) >= Some(value), "{}", name);
            }
            prop_assert!(rank || metric.evicted() == evicted);
            for point in metric.points(|total| metric.histogram(total)) {
                let counts: Vec<_> = point.value.buckets.iter().map(|(_, count)| *count).collect();
                prop_assert!(counts.is_sorted() && counts.last() <= Some(&point.value.count));
            }
            before = now;
        }
        Ok(())
    };
    TestRunner::new(kept(128)).run(&steps, check).expect("it holds");
}
