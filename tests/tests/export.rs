//! Takes fixed snapshots, and tests/golden/export. Gives a diff where a format now writes
//! something else, and a verdict on every JSON document by the published schema. `BLESS=1`
//! rewrites the expectations.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use boon::{Compiler, SchemaIndex, Schemas};
use hist_cli::export::{self, Document, Exporter, Format, Meta, Source};
use hist_cli::kernel::symbols::Symbols;
use hist_cli::resolve::hist::{Sort, SortBy};
use hist_cli::snapshot::sort;
use hist_cli::snapshot::{
    Counts, Fold, IntType, KeyColumn, KeyOrder, KeyShow, Losses, Row, Snapshot, ValueColumn,
    ValueShow,
};
use serde_json::Value;
use similar::TextDiff;

const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81001000 T vfs_read
ffffffff81002000 T ksys_read
ffffffff81003000 T do_syscall_64
ffffffff81004000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
";

const READ: u64 = 0xffff_ffff_8100_1020;
const KSYS: u64 = 0xffff_ffff_8100_2044;
const SYSCALL: u64 = 0xffff_ffff_8100_3008;
const OPEN: u64 = 0xffff_ffff_c000_0010;

/// How far functions are moved on the second machine.
const MOVED: u64 = 0x1000_0000;

/// Keys of a snapshot in the making: one behind the other.
#[derive(Default)]
struct Columns(Vec<KeyColumn>);

impl Columns {
    fn with(mut self, label: &str, size: usize, show: KeyShow, order: KeyOrder) -> Self {
        let offset = self.0.last().map_or(0, |last| last.offset + last.size);
        let (signed, bits) = match order {
            KeyOrder::Signed(bytes) => (true, 8 * bytes),
            KeyOrder::Unsigned(bytes) => (false, 8 * bytes),
            KeyOrder::Text | KeyOrder::None => (false, 64),
        };
        let number = IntType { signed, bits };
        self.0.push(KeyColumn { label: label.into(), offset, size, show, order, number });
        self
    }

    fn number(self, label: &str, show: KeyShow) -> Self {
        self.with(label, 8, show, KeyOrder::Unsigned(8))
    }
}

fn row(parts: &[&[u8]], hitcount: u64, sums: &[u64], name: &[u8]) -> Row {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    Row { key: parts.concat().into(), counts: Counts::new(hitcount, sums), comm }
}

fn word(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    bytes.resize(16, 0);
    bytes
}

fn snapshot(
    trigger: &str,
    keys: Columns,
    values: &[(&str, ValueShow, IntType)],
    rows: Vec<Row>,
) -> Snapshot {
    let value = |&(label, show, number): &(&str, _, _)| {
        let label = label.to_owned();
        ValueColumn { label, show, hidden: false, fold: Fold::Sum, number }
    };
    Snapshot {
        trigger: format!("{trigger}:sort=hitcount:size=2048 [active]").into(),
        keys: keys.0,
        values: values.iter().map(value).collect(),
        show_hitcount: true,
        sort: vec![Sort { by: SortBy::Hitcount, descending: false }],
        rows,
        losses: Losses { full: 3, busy: 0, missed: 9 },
    }
}

/// Every way to show a key, on two machines.
fn every_key(moved: u64) -> Snapshot {
    let keys = Columns::default()
        .with("ret", 8, KeyShow::Decimal, KeyOrder::Signed(8))
        .number("ret", KeyShow::Hex)
        .number("call_site", KeyShow::Sym)
        .number("ip", KeyShow::SymOffset)
        .with("common_pid", 8, KeyShow::Execname, KeyOrder::Signed(4))
        .with("id", 8, KeyShow::Syscall, KeyOrder::Signed(8))
        .with("name", 16, KeyShow::Text, KeyOrder::Text)
        .number("len", KeyShow::Log2)
        .with("off", 8, KeyShow::Buckets(10), KeyOrder::Signed(8));
    let minus = |number: i64| word(number.cast_unsigned());
    let one = |ret: i64, ip: u64, pid: u64, name: &[u8], hitcount, comm: &[u8]| {
        let ip = word(ip + moved);
        let ret = minus(ret);
        let parts =
            [&ret, &ret, &ip, &ip, &word(pid), &word(0), &text(name), &word(12), &minus(-20)];
        row(&parts.map(|part| &part[..]), hitcount, &[hitcount * 100, u64::MAX], comm)
    };
    let rows = vec![
        one(0, READ, 1, b"a \"quoted\", name", 2, b"systemd"),
        one(-5, KSYS, 0, b"two\r\nlines", 5, b""),
        one(7, 5, 77, b"no utf-8: \xff\xfe", 40, b"\xffbad"),
    ];
    let unsigned = IntType::U64;
    let values = [("bytes", ValueShow::Percent, unsigned), ("addr", ValueShow::Hex, unsigned)];
    snapshot(
        "hist:keys=ret,ret.hex,call_site.sym:vals=hitcount,bytes.percent,addr.hex",
        keys,
        &values,
        rows,
    )
}

fn stacks() -> Snapshot {
    let keys = Columns::default().with("common_comm", 16, KeyShow::Text, KeyOrder::Text).with(
        "common_stacktrace",
        32,
        KeyShow::Stack,
        KeyOrder::None,
    );
    let stack = |comm: &[u8], frames: [u64; 4], hitcount| {
        let frames: Vec<u8> = frames.iter().flat_map(|frame| frame.to_le_bytes()).collect();
        row(&[&text(comm), &frames], hitcount, &[hitcount * 4096], b"")
    };
    let rows = vec![
        stack(b"sh", [OPEN, SYSCALL, 0, 0], 1),
        stack(b"cat", [READ, KSYS, SYSCALL, 0], 8),
        // Another line of the same function.
        stack(b"cat", [READ, KSYS + 1, SYSCALL, 0], 34),
    ];
    let values = [("bytes", ValueShow::Decimal, IntType::U64)];
    snapshot("hist:keys=common_comm,common_stacktrace:vals=hitcount,bytes", keys, &values, rows)
}

fn latencies() -> Snapshot {
    let keys = Columns::default().number("usecs", KeyShow::Log2).with(
        "dev",
        16,
        KeyShow::Text,
        KeyOrder::Text,
    );
    let bar =
        |exponent, dev: &[u8], hitcount| row(&[&word(exponent), &text(dev)], hitcount, &[], b"");
    let rows = vec![
        bar(0, b"sda", 1),
        bar(12, b"sdb", 2),
        bar(6, b"sda", 70),
        bar(3, b"sda", 200),
        bar(4, b"sda", 400),
    ];
    snapshot("hist:keys=usecs.log2,dev:vals=hitcount", keys, &[], rows)
}

fn offsets() -> Snapshot {
    let keys = Columns::default().with("off", 8, KeyShow::Buckets(10), KeyOrder::Signed(8));
    let bar = |low: i64, hitcount| row(&[&word(low.cast_unsigned())], hitcount, &[], b"");
    let rows = vec![bar(0, 3), bar(-16, 4), bar(990, 5), bar(30, 60)];
    snapshot("hist:keys=off.buckets=10:vals=hitcount", keys, &[], rows)
}

/// What system calls have returned: errors, nothing, bytes.
fn returns() -> Snapshot {
    let keys = Columns::default().with("ret", 8, KeyShow::Log2, KeyOrder::Signed(8)).with(
        "dfd",
        8,
        KeyShow::Hex,
        KeyOrder::Signed(4),
    );
    let image = |number: i64| number.cast_unsigned();
    let call = |exponent, dfd: i64, hitcount, sum: i64| {
        row(&[&word(exponent), &word(image(dfd))], hitcount, &[image(sum)], b"")
    };
    let rows = vec![
        call(64, -100, 10, -90),
        call(0, -100, 3, 2),
        call(12, -100, 7, 28672),
        call(64, 3, 1, -2),
    ];
    let values = [("ret", ValueShow::Decimal, IntType::S64)];
    let trigger = "hist:keys=ret.log2,dfd.hex:vals=hitcount,ret";
    let mut snapshot = snapshot(trigger, keys, &values, rows);
    snapshot.sort = vec![Sort { by: SortBy::Value(0), descending: true }];
    sort::sort(&mut snapshot, sort::Ties::default());
    sort::sort_as_shown(&mut snapshot);
    snapshot
}

fn document(snapshot: &Snapshot, machine: u64) -> Document {
    let symbols = match machine {
        1 => Symbols::from_kallsyms(KALLSYMS),
        _ => Symbols::from_kallsyms(
            &KALLSYMS.replace("ffffffff81", "ffffffff91").replace("ffffffffc0", "ffffffffd0"),
        ),
    };
    let since = SystemTime::UNIX_EPOCH + Duration::new(1_767_225_600, 0);
    let meta = Meta {
        event: "sched:example".into(),
        sources: vec![Source {
            host: format!("host{machine}"),
            kernel: "7.3.0".into(),
            boot: format!("9f0c3c9a-0000-4000-8000-00000000000{machine}"),
        }],
        since,
        time: since + Duration::from_millis(1500 * machine),
    };
    Document::new(snapshot, 0..snapshot.rows.len(), &symbols, meta)
}

fn merged() -> Document {
    let documents = [document(&every_key(0), 1), document(&every_key(MOVED), 2)];
    export::merge(documents.into()).expect("one trigger")
}

/// Name, what it is of, and what it is written as.
fn cases() -> Vec<(&'static str, Document, &'static [Format])> {
    use Format::{Csv, Folded, Ftrace, Json, Ndjson, Plot};
    let returns = Document { enough_size: Some(4096), ..document(&returns(), 1) };
    vec![
        ("keys", document(&every_key(0), 1), &[Ftrace, Json, Ndjson, Csv]),
        ("merged", merged(), &[Ftrace, Json, Ndjson, Csv]),
        ("stacks", document(&stacks(), 1), &[Ftrace, Json, Ndjson, Csv, Folded]),
        ("latencies", document(&latencies(), 1), &[Json, Csv, Plot]),
        ("offsets", document(&offsets(), 1), &[Json, Plot]),
        ("returns", returns, &[Ftrace, Json, Ndjson, Csv, Plot]),
    ]
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Ftrace => "ftrace",
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
        Format::Folded => "folded",
        Format::Plot => "plot",
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/export")
}

/// The difference of a file and what it should hold now, which `BLESS=1` writes.
fn difference(path: &Path, got: &[u8]) -> Option<String> {
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, got).expect("writable");
    }
    let want = fs::read(path).unwrap_or_default();
    let (want, got) = (want.escape_ascii().to_string(), got.escape_ascii().to_string());
    let lines = |text: &str| text.replace("\\n", "\n");
    let (want, got) = (lines(&want), lines(&got));
    let diff = || TextDiff::from_lines(&want, &got).unified_diff().to_string();
    (want != got).then(|| format!("{}\n{}", path.display(), diff()))
}

#[test]
fn every_format_writes_what_it_wrote_before() {
    let mut failures = Vec::new();
    for (name, document, formats) in cases() {
        for &format in formats {
            let got = Exporter::new(format, None, 72).write(&document).expect("it fits");
            let path = folder().join(format!("{name}.{}", extension(format)));
            failures.extend(difference(&path, &got));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nif that is as it should be: BLESS=1 cargo test --test export",
        failures.join("\n")
    );
}

/// The published schema, checked itself by that of its language.
fn schema() -> (Schemas, SchemaIndex) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/snapshot.schema.json");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let index = compiler.compile(path.to_str().expect("UTF-8"), &mut schemas);
    (schemas, index.expect("a schema"))
}

fn json(document: &Document) -> Value {
    let text = Exporter::new(Format::Json, None, 80).write(document).expect("any document");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn documents_are_as_the_schema_says() {
    let (schemas, index) = schema();
    for (name, document, _) in cases() {
        let document = json(&document);
        let verdict = schemas.validate(&document, index);
        assert!(verdict.is_ok(), "{name}: {:#}", verdict.expect_err("an error"));
    }
}

#[test]
fn the_schema_refuses_what_documents_are_not() {
    let (schemas, index) = schema();
    let good = json(&document(&every_key(0), 1));
    for (pointer, bad) in [
        ("/version", Value::from(2)),
        ("/time", Value::from("yesterday")),
        ("/state", Value::from("asleep")),
        ("/sources", Value::Array(Vec::new())),
        ("/keys/0/show", Value::from("roman")),
        ("/keys/8/width", Value::from(0)),
        ("/keys/0/show", Value::from("buckets")),
        ("/rows/0/hitcount", Value::from(-1)),
        ("/rows/0/hitcount", Value::from(1.5)),
        ("/rows/0/key/ret/raw", Value::from("0")),
        ("/rows/0/key/ret/text", Value::from(0)),
        ("/rows/2/key/name/bytes", Value::from("xy")),
        ("/rows/0/values/bytes", Value::Null),
        ("/totals", Value::Null),
        ("/sort/0/by", Value::from("key")),
        ("/keys/0/bits", Value::from(63)),
        ("/keys/0/order", Value::from("s63")),
        ("/values/0/signed", Value::from(1)),
        ("/losses/busy", Value::from(-1)),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = bad;
        assert!(schemas.validate(&document, index).is_err(), "{pointer}");
    }
    for part in good.as_object().expect("an object").keys() {
        let mut document = good.clone();
        document.as_object_mut().expect("an object").remove(part);
        assert!(schemas.validate(&document, index).is_err(), "without {part}");
    }
}

/// As a version wrote it that said nothing of the sign of sums, nor of the width and order of keys.
#[test]
fn a_document_of_an_earlier_version_is_read_as_before() {
    let golden = |name: &str| fs::read(folder().join(name)).expect("a golden file");
    let earlier = golden("earlier.json");
    let (schemas, index) = schema();
    let value = serde_json::from_slice(&earlier).expect("JSON");
    assert!(schemas.validate(&value, index).is_ok());
    let document = export::read(&earlier).expect("a document").remove(0);
    let write = |format, document: &Document| {
        Exporter::new(format, None, 72).write(document).expect("any document")
    };
    assert!(write(Format::Json, &document) == earlier);
    assert!(write(Format::Ftrace, &document) == golden("keys.ftrace"));
    assert!(write(Format::Csv, &document) == golden("keys.csv"));
    let now = self::document(&every_key(0), 1);
    let sum = export::merge(vec![document, now.clone()]).expect("one trigger");
    assert_eq!((sum.hits, &sum.keys), (2 * now.hits, &now.keys));
    assert_eq!(sum.values, now.values);
}
