//! Runs the bodies of the fuzz targets on random texts, and on texts that were right once: none of
//! them panics. What libFuzzer finds out by feedback is tried here at random, on stable Rust.

use hist_cli::kernel::btf::Btf;
use hist_cli::kernel::symbols::Symbols;
use hist_cli::kernel::tracefs;
use hist_cli::modifier::TABLE;
use hist_tests::fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The words that libFuzzer puts in.
fn words() -> Vec<&'static str> {
    let lines = include_str!("../fuzz/words.dict").lines();
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let quoted = quoted.chain(TABLE.iter().map(|row| row.word));
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

/// Offsets beyond what an instruction reaches were an internal error; sizes, arrays and kinds of fields
/// may be anything, too.
#[test]
fn no_field_of_a_format_file_is_an_internal_error() {
    let kinds = [
        "u8 f",
        "u64 f",
        "bool f",
        "char * f",
        "const char *f",
        "char f[N]",
        "u8 f[N]",
        "unsigned long f[]",
        "__data_loc char[] f",
        "__rel_loc char[] f",
        "__data_loc cpumask_t f",
        "__rel_loc cpumask_t f",
        "cpumask_t f",
        "struct x f",
    ];
    for kind in kinds {
        for offset in [8, 9, 4095, 32760, 32764, 32767, 32768, 65528, u32::MAX] {
            for size in [0, 1, 2, 3, 4, 7, 8, 16, 255, 256, 257, 513, 4096, 32752, 65536, u32::MAX]
            {
                let kind = kind.replace('N', &size.to_string());
                fuzz::format(&format!(
                    "name: e\nID: 1\nformat:\n\
                     \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
                     \tfield:{kind};\toffset:{offset};\tsize:{size};\tsigned:{};\n\n\
                     print fmt: \"\"\n",
                    offset % 2
                ));
            }
        }
    }
}

/// The types that a tracepoint needs, in words; the numbers are those of `BTF_KIND_*`.
fn right_types() -> Vec<u32> {
    use hist_tests::fuzz::offset_of;
    let kind = |kind: u32, count: u32| kind << 24 | count;
    [
        &[0, kind(1, 0), 4, 1 << 24 | 32][..],       // 1 int
        &[offset_of("task_struct"), kind(4, 3), 64], // 2
        &[offset_of("thread_info"), 7, 0, offset_of("pid"), 1, 64, 0, 8, 128],
        &[0, kind(2, 0), 2],                          // 3 pointer
        &[0, kind(2, 0), 0],                          // 4 void *
        &[0, kind(13, 4), 0, 0, 4, 0, 1, 0, 3, 0, 3], // 5
        &[0, kind(2, 0), 5],                          // 6
        &[offset_of("thread_info"), kind(4, 1), 8, offset_of("status"), 1, 0], // 7
        &[0, kind(4, 1), 16, offset_of("comm"), 9, 0], // 8
        &[0, kind(3, 0), 0, 10, 1, 16],               // 9 char[16]
        &[0, kind(1, 0), 1, 1 << 24 | 8],             // 10 char
        &[offset_of("btf_trace_sched_switch"), kind(8, 0), 6], // 11
        &[0, kind(13, 4), 0],                         // 12
        &[offset_of("__data"), 4, offset_of("preempt"), 1],
        &[offset_of("prev"), 3, offset_of("next"), 3],
        &[offset_of("__traceiter_sched_switch"), kind(12, 0), 12], // 13
    ]
    .concat()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Types that are nearly right.
fn types() -> impl Strategy<Value = Vec<u8>> {
    let right = right_types();
    let word =
        prop_oneof![0_u32..20, any::<u32>(), select(vec![u32::MAX, 0x8400_0001, 0x8400_ffff])];
    vec((any::<Index>(), word), 0..6).prop_map(move |changes| {
        let mut words = right.clone();
        changes.into_iter().for_each(|(at, word)| words[at.index(right.len())] = word);
        bytes(&words)
    })
}

const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81000010 t twin
ffffffff81002000 T _etext
ffffffff82000000 B _end
ffffffffc0000000 t init\t[module]
ffffffffc0001000 t bpf_prog_x\t[bpf]
ffffffffc0002000 t x\t[__builtin__ftrace]
";

const MOUNTINFO: &str = "\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
30 23 0:12 / /sys/kernel/tracing rw,nosuid shared:9 master:2 - tracefs tracefs rw
31 23 0:7 / /sys/kernel/de\\040bug rw - debugfs debugfs rw
32 23 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
";

const STATUS: [&str; 3] =
    ["Name:\tx\nCapEff:\t000001ffffffffff\nSeccomp:\t2\n", "0-1,8-15\n", "0-7:2/3"];

proptest! {
    #[test]
    fn any_types(bytes in prop_oneof![vec(any::<u8>(), 0..200), types()]) {
        fuzz::btf(&bytes);
    }

    #[test]
    fn any_list_of_symbols(text in prop_oneof![any::<String>(), soup(), changed(&[KALLSYMS], words())]) {
        fuzz::kallsyms(&text);
    }

    #[test]
    fn any_list_of_mounts(text in prop_oneof![any::<String>(), soup(), changed(&[MOUNTINFO], words())]) {
        fuzz::mountinfo(&text);
    }

    #[test]
    fn any_status(text in prop_oneof![any::<String>(), "[-0-9,:/N all]{0,20}", changed(&STATUS, words())]) {
        fuzz::status(&text);
    }

    #[test]
    fn any_file_of_metrics(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&METRICS, words()),
    ]) {
        fuzz::metrics(&text);
    }

    #[test]
    fn any_request(bytes in vec(any::<u8>(), 0..200), text in changed(&REQUESTS, words())) {
        fuzz::request(&bytes);
        fuzz::request(text.as_bytes());
        fuzz::request(&[text.as_bytes(), &bytes].concat());
    }

    #[test]
    fn any_accept_header(text in prop_oneof![
        1 => any::<String>(),
        1 => soup(),
        3 => changed(&ACCEPTS, words()),
    ]) {
        fuzz::accept(&text);
    }
}

#[test]
fn what_is_right_is_read() {
    TRIGGERS.iter().for_each(fuzz::trigger);
    FORMATS.iter().for_each(|text| fuzz::format(text));
    DOCUMENTS.iter().for_each(|text| fuzz::document(text.as_bytes()));
    let btf = Btf::of_bytes(fuzz::with_names(&bytes(&right_types())));
    let tracepoint = btf.tracepoint("sched_switch").expect("whole").expect("it is there");
    let names: Vec<_> = tracepoint.parameters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["preempt", "prev", "next"]);
    for name in ["pid", "comm"] {
        assert!(btf.member(2, name).expect("whole").is_some(), "{name}");
    }
    assert!(Symbols::from_kallsyms(KALLSYMS).resolve(0xffff_ffff_8100_0011).is_some());
    assert_eq!(tracefs::find_cgroup2(MOUNTINFO).as_deref(), Some("/sys/fs/cgroup".as_ref()));
    METRICS.iter().for_each(|text| fuzz::metrics(text));
    REQUESTS.iter().for_each(|text| fuzz::request(text.as_bytes()));
    ACCEPTS.iter().for_each(|text| fuzz::accept(text));
}
