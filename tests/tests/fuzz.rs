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

const DOCUMENTS: [&str; 3] = [
    include_str!("../golden/export/keys.json"),
    include_str!("../golden/export/merged.json"),
    include_str!("../golden/export/offsets.json"),
];

/// What documents are made of, and what they should not be.
fn json_words() -> Vec<&'static str> {
    let numbers = ["-1", "0", "65", "18446744073709551615", "1e3", "-9223372036854775808"];
    let words =
        ["{", "}", "[", "]", ",", ":", "null", "true", "\"raw\":", "\"text\":", "\"\\u001b\""];
    let shows =
        ["\"log2\"", "\"buckets\"", "\"sym\"", "\"string\"", "\"s8\"", "\"none\"", "\"=1\""];
    [&numbers[..], &words, &shows].concat()
}

fn soup() -> impl Strategy<Value = String> {
    vec(select(words()), 0..30).prop_map(|words| words.concat())
}

/// One of `texts` with some words put in, or in place of something.
fn changed(
    texts: &'static [&'static str],
    words: Vec<&'static str>,
) -> impl Strategy<Value = String> {
    let change = (any::<Index>(), 0_usize..6, select(words));
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
    fn any_trigger(text in prop_oneof![any::<String>(), soup(), changed(&TRIGGERS, words())]) {
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
        3 => changed(&FORMATS, words()),
    ]) {
        fuzz::format(&text);
    }

    #[test]
    fn any_document(text in prop_oneof![
        1 => any::<String>(),
        1 => vec(select(json_words()), 0..30).prop_map(|words| words.concat()),
        3 => changed(&DOCUMENTS, json_words()),
    ]) {
        fuzz::document(text.as_bytes());
    }
}

#[test]
fn what_is_right_is_read() {
    TRIGGERS.iter().for_each(|text| fuzz::trigger(text));
    FORMATS.iter().for_each(|text| fuzz::format(text));
    DOCUMENTS.iter().for_each(|text| fuzz::document(text.as_bytes()));
}
