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
        fuzz::trigger(format!("hist:keys={text}"));
    }

    #[test]
    fn any_filter(text in prop_oneof![any::<String>(), soup()]) {
        fuzz::filter(&text);
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..80)) {
        fuzz::trigger(&bytes);
        fuzz::trigger([b"hist:keys=", &bytes[..]].concat());
        fuzz::filter(&bytes);
        fuzz::filter([b"prev_comm ~ \"", &bytes[..], b"\""].concat());
    }

    #[test]
    fn any_format_file(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&FORMATS),
    ]) {
        fuzz::format(&text);
    }
}

#[test]
fn what_is_right_is_read() {
    TRIGGERS.iter().for_each(fuzz::trigger);
    FORMATS.iter().for_each(|text| fuzz::format(text));
}
