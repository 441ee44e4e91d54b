//! Takes random texts, and texts that were right once. Gives a verdict: none of them makes the
//! bodies of the fuzz targets panic. What libFuzzer finds out by feedback is tried here at random,
//! on stable Rust.

use hist_tests::fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The words that libFuzzer puts in.
fn words() -> Vec<&'static str> {
    let lines = include_str!("../fuzz/words.dict").lines();
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.chain([":", ",", ".", "=", " ", "(", ")", "+", "-", "*", "/", "1", "a", "\n"]).collect()
}

const FORMATS: [&str; 3] = [
    include_str!("../golden/formats/events/sched/sched_switch/format"),
    include_str!("../golden/formats/events/kmem/kmalloc/format"),
    include_str!("../golden/formats/events/raw_syscalls/sys_enter/format"),
];

const TRIGGERS: [&str; 6] = [
    "hist:keys=prev_comm,next_pid.hex:vals=prev_prio,next_prio:sort=next_pid.descending:size=4096",
    "hist:keys=bytes_req.buckets=10:vals=bytes_alloc.percent:nohitcount if bytes_req > 0x10",
    "hist:keys=stacktrace,common_pid.execname:sort=hitcount if prev_comm ~ \"a*b?\" || !(prev_pid < 3)",
    "hist:name=a b:keys=id.syscall,common_timestamp.usecs:clock=mono:pause if id & 7 && cpu == 1",
    "!hist:key=call_site.sym-offset:val=bytes_req*2+bytes_alloc/3",
    "hist:keys=-(next_pid+prev_pid),7:vals=hitcount,next_prio.hex if next_comm == 'x' && cpu == CPUS{0-1}",
];

const METRICS: [&str; 2] = [
    include_str!("../../contrib/serve.toml"),
    "[[metric]]\nname = \"a_bytes\"\nhelp = \"h\"\nevent = \"kmem:kmalloc\"\nunit = \"bytes\"\nmax = 64\n\
     trigger = 'hist:keys=call_site.sym,bytes_req.log2:vals=bytes_req,bytes_alloc'\nmax_series = 0x10\n\
     labels = { \"call_site\" = \"function\" }\nvalues.bytes_alloc = 'got_bytes'\n",
];

const REQUESTS: [&str; 3] = [
    "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.5, */*\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHEAD / HTTP/1.1\r\n\r\n",
];

const ACCEPTS: [&str; 2] = [
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Application/OpenMetrics-Text; version=\"1.0.0\", text/html",
];

fn soup() -> impl Strategy<Value = String> {
    vec(select(words()), 0..30).prop_map(|words| words.concat())
}

/// One of `texts` with some words put in, or in place of something.
fn changed(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let change = (any::<Index>(), 0_usize..6, select(words()));
    (select(texts), vec(change, 0..5)).prop_map(|(text, changes)| {
        let mut text = text.to_owned();
        for (at, length, word) in changes {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, word);
        }
        text
    })
}

proptest! {
    #[test]
    fn any_trigger(text in prop_oneof![any::<String>(), soup(), changed(&TRIGGERS)]) {
        fuzz::trigger(&text);
        fuzz::trigger(&format!("hist:keys={text}"));
    }

    #[test]
    fn any_filter(text in prop_oneof![any::<String>(), soup()]) {
        fuzz::filter(&text);
    }

    #[test]
    fn any_format_file(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&FORMATS),
    ]) {
        fuzz::format(&text);
    }

    #[test]
    fn any_file_of_metrics(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&METRICS),
    ]) {
        fuzz::metrics(&text);
    }

    #[test]
    fn any_request(bytes in vec(any::<u8>(), 0..200), text in changed(&REQUESTS)) {
        fuzz::request(&bytes);
        fuzz::request(text.as_bytes());
        fuzz::request(&[text.as_bytes(), &bytes].concat());
    }

    #[test]
    fn any_accept_header(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&ACCEPTS),
    ]) {
        fuzz::accept(&text);
    }
}

#[test]
fn what_is_right_is_read() {
    TRIGGERS.iter().for_each(|text| fuzz::trigger(text));
    FORMATS.iter().for_each(|text| fuzz::format(text));
    METRICS.iter().for_each(|text| fuzz::metrics(text));
    REQUESTS.iter().for_each(|text| fuzz::request(text.as_bytes()));
    ACCEPTS.iter().for_each(|text| fuzz::accept(text));
}
