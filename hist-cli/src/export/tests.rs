//! Documents made of random snapshots keep what they say in every format, and fixed ones are
//! written as expected.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::kernel::symbols::Symbols;
use crate::modifier::{BucketWidth, Naming, Share};
use crate::print;
use crate::print::cell::Cell;
use crate::resolve::hist::{Sort, SortBy};
use crate::snapshot::{Fold, IntType, KeyOrder, Losses, Row, Show, Snapshot};

const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81001000 T vfs_read
ffffffff81002000 T vfs_write
ffffffff81003000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
";

/// The same functions elsewhere, as after another boot.
const ELSEWHERE: &str = "\
ffffffffa1000000 T _stext
ffffffffa1001000 T vfs_read
ffffffffa1002000 T vfs_write
ffffffffa1003000 T _etext
ffffffffc0000000 t ext4_open\t[ext4]
";

const STACK: usize = 16;

/// A number with a sign, a function, a stack of two frames, a string and a task.
fn columns() -> Snapshot {
    Snapshot::named("hist:keys=ret:vals=hitcount:sort=hitcount:size=2048 if ret > 1 [active]")
        .with_key("ret", 8, Show::DECIMAL, KeyOrder::Signed(8))
        .with_key("ip", 8, Show::Name(Naming::Symbol), KeyOrder::Unsigned(8))
        .with_key("stack", STACK, Show::Stack, KeyOrder::None)
        .with_key("name", 8, Show::Text, KeyOrder::Text)
        .with_key("common_pid", 8, Show::Name(Naming::Task), KeyOrder::Signed(4))
}

fn snapshot(rows: Vec<Row>, sort: Vec<Sort>) -> Snapshot {
    let columns = columns().with_value("len", Show::Share(Share::Percent), IntType::S64);
    let mut snapshot = columns.with_value("len", Show::DECIMAL, IntType::S64);
    snapshot.values[1].hidden = true;
    Snapshot { sort, rows, losses: Losses { full: 1, busy: 0, missed: 2 }, ..snapshot }
}

/// The machine of that number: its meta data, and where its functions are.
fn machine(number: u8) -> (Meta, Symbols) {
    let sources = vec![Source {
        host: format!("host{number}"),
        kernel: "6.12.0".into(),
        boot: format!("boot{number}"),
    }];
    let since = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
    let time = since + Duration::from_secs(u64::from(number) + 1);
    let symbols = Symbols::from_kallsyms(if number == 0 { KALLSYMS } else { ELSEWHERE });
    (Meta { event: "a:b".into(), sources, since, time }, symbols)
}

fn document(snapshot: &Snapshot, number: u8) -> Document {
    let (meta, symbols) = machine(number);
    Document::new(snapshot, 0..snapshot.rows.len(), &symbols, meta)
}

/// An address in one of three functions of the machine, or none.
fn any_address(number: u8) -> impl Strategy<Value = u64> {
    let base = if number == 0 { 0xffff_ffff_8100_0000 } else { 0xffff_ffff_a100_0000 };
    prop_oneof![
        (0..3_u64, 0..2_u64).prop_map(move |(function, offset)| base + 0x1000 * function + offset),
        Just(0xffff_ffff_c000_0000),
        Just(5_u64),
    ]
}

fn any_row(number: u8) -> impl Strategy<Value = Row> {
    let texts = prop::sample::select(vec![&b"sda"[..], b"a,\"b\"", b"\xff\xfe", b"two\nrows", b""]);
    let key = (
        prop::sample::select(vec![-5_i64, 0, 7, i64::MIN]),
        any_address(number),
        any_address(number),
        texts,
        0..3_u64,
    );
    (key, any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(key, hitcount, sum, other)| {
        let (ret, ip, frame, text, pid) = key;
        let mut name = text.to_vec();
        name.resize(8, 0);
        let words = [
            ret.cast_unsigned(),
            ip,
            frame,
            0,
            u64::from_le_bytes(name.try_into().expect("8")),
            pid,
        ];
        Row::of_words(&words, hitcount, &[sum, other]).of_task(b"\xfcb")
    })
}

fn any_sort() -> impl Strategy<Value = Sort> {
    let by = prop::sample::select(vec![
        SortBy::Hitcount,
        SortBy::Value(1),
        SortBy::Key(0),
        SortBy::Key(1),
        SortBy::Key(3),
    ]);
    (by, any::<bool>()).prop_map(|(by, descending)| Sort { by, descending })
}

fn any_snapshot(number: u8, sort: Vec<Sort>) -> impl Strategy<Value = Snapshot> {
    prop::collection::vec(any_row(number), 0..12).prop_map(move |mut rows| {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.dedup_by(|a, b| a.key == b.key);
        snapshot(rows, sort.clone())
    })
}

/// Documents of one trigger, of one or two machines.
fn any_documents(count: usize) -> impl Strategy<Value = Vec<Document>> {
    prop::collection::vec(any_sort(), 0..3).prop_flat_map(move |sort| {
        let one = (0..2_u8).prop_flat_map(move |number| {
            any_snapshot(number, sort.clone()).prop_map(move |snapshot| document(&snapshot, number))
        });
        prop::collection::vec(one, count)
    })
}

fn json(document: &Document) -> Vec<u8> {
    Exporter::new(Format::Json, None, 80).write(document).expect("any document")
}

/// Everything that is counted, without the order.
fn counts(document: &Document) -> BTreeMap<Vec<Cell<'static>>, (u64, Vec<u64>)> {
    let rows = document.rows.iter();
    rows.map(|row| (row.cells.clone(), (row.counts.hits, row.counts.values.to_vec()))).collect()
}

proptest! {
    #[test]
    fn a_document_survives_json(documents in any_documents(3)) {
        let text: Vec<u8> = documents.iter().flat_map(json).collect();
        prop_assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
        prop_assert_eq!(read(&text).expect("our own"), documents.clone());
        // The sum is one as well, without addresses where there are two boots.
        let sum = merge(documents.clone()).expect("one trigger");
        prop_assert_eq!(read(&json(&sum)).expect("our own"), [sum]);
    }

    #[test]
    fn a_documents_text_is_that_of_its_snapshot(snapshot in any_snapshot(0, Vec::new())) {
        let (_, symbols) = machine(0);
        let text = Exporter::new(Format::Ftrace, None, 80).write(&document(&snapshot, 0));
        prop_assert_eq!(text.expect("any document"), print::hist(&snapshot, &symbols));
    }

    #[test]
    fn the_order_of_a_sum_does_not_matter(documents in any_documents(3)) {
        let [a, b, c] = &documents[..] else { unreachable!("three") };
        let sum = |parts: &[&Document]| {
            merge(parts.iter().map(|part| (*part).clone()).collect()).expect("one trigger")
        };
        let all = sum(&[a, b, c]);
        prop_assert_eq!(&sum(&[c, a, b]), &all);
        prop_assert_eq!(&sum(&[&sum(&[a, b]), c]), &all);
        prop_assert_eq!(&sum(&[a, &sum(&[b, c])]), &all);
        let hits = documents.iter().fold(0_u64, |hits, part| hits.wrapping_add(part.hits));
        prop_assert_eq!((all.hits, all.losses.full), (hits, 3));
    }

    #[test]
    fn a_document_and_itself_are_twice_that(documents in any_documents(1)) {
        let one = &documents[0];
        let twice = merge(vec![one.clone(), one.clone()]).expect("one trigger");
        let double = |(hits, sums): &(u64, Vec<u64>)| {
            (hits.wrapping_mul(2), sums.iter().map(|sum| sum.wrapping_mul(2)).collect())
        };
        let want: BTreeMap<_, _> =
            counts(one).iter().map(|(key, count)| (key.clone(), double(count))).collect();
        prop_assert_eq!(counts(&twice), want);
        prop_assert_eq!(&twice.meta, &one.meta);
        prop_assert_eq!(twice.losses, Losses { full: 2, busy: 0, missed: 4 });
    }

    #[test]
    fn csv_has_every_row(documents in any_documents(1)) {
        let one = &documents[0];
        let mut exporter = Exporter::new(Format::Csv, None, 80);
        let first = exporter.write(one).expect("any document");
        let second = exporter.write(one).expect("any document");
        prop_assert!(first.ends_with(&second), "the header comes once");
        let mut reader = ::csv::Reader::from_reader(&first[..]);
        let header: Vec<_> = reader.headers().expect("UTF-8").iter().map(str::to_owned).collect();
        prop_assert_eq!(header, [
            "time", "ret", "ip", "ip.text", "stack", "stack.text", "name", "common_pid",
            "common_pid.text", "hitcount", "len",
        ]);
        let records: Vec<_> = reader.byte_records().map(|record| record.expect("a record")).collect();
        prop_assert_eq!(records.len(), one.rows.len());
        for (record, row) in records.iter().zip(&one.rows) {
            let [Cell::Number(ret), _, _, Cell::Text(name), _] = &row.cells[..] else {
                unreachable!("the columns")
            };
            prop_assert_eq!(record[1].to_vec(), ret.cast_signed().to_string().into_bytes());
            prop_assert_eq!(&record[6], &**name);
            prop_assert_eq!(record[9].to_vec(), row.counts.hits.to_string().into_bytes());
            let sum = row.counts.values[0].cast_signed();
            prop_assert_eq!(record[10].to_vec(), sum.to_string().into_bytes());
        }
    }
}

fn row(ret: i64, ip: u64, hitcount: u64) -> Row {
    let words = [ret.cast_unsigned(), ip, ip + 1, 0, 0, 7];
    Row::of_words(&words, hitcount, &[hitcount, 0]).of_task(b"task")
}

const READ: u64 = 0xffff_ffff_8100_1000;
const READ_ELSEWHERE: u64 = 0xffff_ffff_a100_1000;

#[test]
fn between_boots_functions_are_the_same_by_name() {
    let here = document(&snapshot(vec![row(1, READ, 3)], Vec::new()), 0);
    let there = document(&snapshot(vec![row(1, READ_ELSEWHERE, 4)], Vec::new()), 1);
    let sum = merge(vec![here.clone(), there]).expect("one trigger");
    assert_eq!(sum.rows.len(), 1);
    let [_, Cell::Named(ip), Cell::Stack(frames), ..] = &sum.rows[0].cells[..] else {
        panic!("{:?}", sum.rows[0])
    };
    assert_eq!((&*ip.name, ip.number), (&b"vfs_read"[..], None));
    assert_eq!((&*frames[0].name, frames[0].number), (&b"vfs_read+0x1/0x1000"[..], None));
    assert_eq!((sum.rows[0].counts.hits, sum.meta.sources.len()), (7, 2));
    // Within one, they are the same by address.
    let again = document(&snapshot(vec![row(1, READ + 2, 4)], Vec::new()), 0);
    let sum = merge(vec![here, again]).expect("one trigger");
    assert_eq!(sum.rows.len(), 2);
}

#[test]
fn different_triggers_are_told_apart_by_their_parts() {
    let one = document(&snapshot(Vec::new(), Vec::new()), 0);
    let different = |trigger: &str, event: &str| {
        let mut other = one.clone();
        other.trigger = trigger.to_owned();
        other.meta.event = event.to_owned();
        merge(vec![one.clone(), other]).expect_err("another trigger").to_string()
    };
    assert_eq!(
        different("hist:keys=ret:vals=hitcount:sort=hitcount:size=4096", "a:c"),
        "they are of different triggers: event `a:b` and `a:c`; filter `ret > 1` and none; \
         size `2048` and `4096`"
    );
    let mut other = one.clone();
    other.keys[0].number.signed = false;
    let error = merge(vec![one.clone(), other]).expect_err("other columns").to_string();
    assert!(error.contains("other columns"), "{error}");
    assert_eq!(merge(Vec::new()), Err(MergeError::Nothing));
}

#[test]
fn a_document_without_all_rows_is_not_added_up() {
    let snapshot = snapshot(vec![row(1, READ, 3), row(2, READ, 4)], Vec::new());
    let (meta, symbols) = machine(0);
    let cut = Document::new(&snapshot, 1..2, &symbols, meta);
    assert_eq!((cut.hits, cut.entries, cut.rows.len()), (7, 2, 1));
    assert_eq!(merge(vec![cut.clone()]), Err(MergeError::Cut { rows: 1, entries: 2 }));
    assert_eq!(read(&json(&cut)).expect("our own"), [cut]);
}

#[track_caller]
fn check_misread(change: impl Fn(&str) -> String, want: &str) {
    let snapshot = snapshot(vec![row(-1, READ, 3), row(2, READ, 4)], Vec::new());
    let text = String::from_utf8(json(&document(&snapshot, 0))).expect("UTF-8");
    let changed = change(&text);
    assert_ne!(changed, text);
    let error = read(changed.as_bytes()).expect_err("a mistake").to_string();
    assert!(error.contains(want), "no `{want}` in `{error}`");
}

#[test]
fn mistakes_have_a_place() {
    let replace = |from: &'static str, to: &'static str| {
        move |text: &str| {
            assert!(text.contains(from), "no {from} in {text}");
            text.replacen(from, to, 1)
        }
    };
    check_misread(replace("\"version\":1", "\"version\":2"), "line 1: version 2 of the format");
    // It was told of what the other version calls otherwise.
    check_misread(
        |text| text.replace("\"version\":1", "\"version\":2").replace("\"totals\"", "\"sums\""),
        "line 1: version 2 of the format",
    );
    check_misread(
        |text| format!("{text}\n{text}").replace("\n{\"version\":1", "\n{\"version\":3"),
        "line 3: version 3",
    );
    check_misread(|text| text[..text.len() / 2].to_owned(), "line 1, column ");
    check_misread(|text| text[..text.len() / 2].to_owned(), "EOF while parsing");
    check_misread(|text| format!("{text}{{}}"), "line 2, column 2: missing field `version`");
    check_misread(|_| "no JSON".to_owned(), "line 1, column 2: expected ident");
    check_misread(replace("\"hitcount\":3", "\"hitcount\":-3"), "expected u64");
    check_misread(replace("\"hitcount\":3", "\"hitcount\":5"), "9 hits in the rows");
    check_misread(replace("\"entries\":2", "\"entries\":1"), "2 rows, and the totals say 1");
    check_misread(replace("\"raw\":-1", "\"raw\":1e3"), "expected a whole number below 2^64");
    check_misread(replace("\"raw\":-1", "\"raw\":[]"), "row 1: key `ret`: `raw` and `text`");
    check_misread(replace("{\"ret\":", "{\"rat\":"), "row 1: no key `ret`");
    check_misread(replace("\"show\":\"sym\"", "\"show\":\"map\""), "shown as `map`");
    check_misread(replace("\"show\":\"decimal\"", "\"show\":\"buckets\""), "has no width");
    check_misread(replace("\"since\":\"2023-11-14", "\"since\":\"2023-11-74"), "no time in UTC");
}

#[test]
fn what_a_later_version_adds_is_left_alone() {
    let one = document(&snapshot(vec![row(-1, READ, 3)], Vec::new()), 0);
    let text = String::from_utf8(json(&one)).expect("UTF-8");
    let text = text.replacen('{', "{\"later\":[1,{}],", 1);
    assert_eq!(read(text.as_bytes()).expect("the rest is whole"), [one]);
}

/// `frames WEIGHT`, parsed as the scripts that draw them do.
fn folded_lines(text: &[u8]) -> Vec<(Vec<String>, u64)> {
    let text = std::str::from_utf8(text).expect("UTF-8");
    let line = |line: &str| {
        let (frames, weight) = line.rsplit_once(' ').expect("a weight");
        (frames.split(';').map(str::to_owned).collect(), weight.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

#[test]
fn stacks_are_folded_from_the_outermost_frame() {
    let frames = [READ + 8, 0xffff_ffff_8100_2010];
    let mut one = row(1, READ, 3);
    for (number, frame) in frames.iter().enumerate() {
        one.key[16 + 8 * number..24 + 8 * number].copy_from_slice(&frame.to_le_bytes());
    }
    let mut other = one.clone();
    other.key[16..24].copy_from_slice(&(READ + 9).to_le_bytes());
    other.key[32..36].copy_from_slice(b"a;b\n");
    one.key[32..36].copy_from_slice(b"a;b\n");
    let document = document(&snapshot(vec![one, other], Vec::new()), 0);
    let fold = |weight: Option<&str>| {
        let mut exporter = Exporter::new(Format::Folded, weight.map(str::to_owned), 80);
        exporter.write(&document)
    };
    let frames = ["1", "vfs_read", "a:b ", "task", "vfs_write", "vfs_read"].map(str::to_owned);
    let want = [(frames.to_vec(), 6)];
    assert_eq!(folded_lines(&fold(None).expect("a stack")), want);
    assert_eq!(folded_lines(&fold(Some("len")).expect("a value")), want);
    // All are zero.
    assert_eq!(fold(Some("len_2")).expect("a value"), b"");
    let error = fold(Some("size")).expect_err("no such value").to_string();
    assert_eq!(error, "--weight size: the trigger sums up hitcount, len, len_2");
}

#[test]
fn formats_say_which_key_they_need() {
    let mut one = snapshot(Vec::new(), Vec::new());
    one.keys.retain(|key| key.show != Show::Stack);
    let check = |one: &Snapshot, format, want: &str| {
        let error = Exporter::new(format, None, 80).check(&document(one, 0)).expect_err("a key");
        assert!(error.to_string().contains(want), "{error}");
    };
    check(
        &one,
        Format::Folded,
        "this trigger's are ret, ip, name, common_pid: add common_stacktrace",
    );
    check(
        &one,
        Format::Plot,
        "this trigger's are ret, ip, name, common_pid: give one of them .log2",
    );
    one.keys[0].show = Show::Bucket(BucketWidth::Log2);
    one.keys[1].show = Show::Bucket(BucketWidth::Fixed(10));
    check(&one, Format::Plot, "draws one key in buckets, and this trigger has ret, ip");
}

/// Ten system calls of one task that have failed with EBADF, and one of another that has given 4096.
fn returned() -> Snapshot {
    let mut one = snapshot(vec![row(1, READ, 10), row(2, READ, 1)], Vec::new());
    one.values.remove(1);
    one.values[0].show = Show::DECIMAL;
    let sums = [(-90_i64).cast_unsigned(), 4096];
    for (row, sum) in one.rows.iter_mut().zip(sums) {
        row.counts.values = [sum].as_slice().into();
    }
    one
}

fn written(format: Format, document: &Document) -> String {
    let bytes = Exporter::new(format, Some("len".into()), 80).write(document).expect("it fits");
    String::from_utf8(bytes).expect("UTF-8")
}

/// They summed up to 18446744073709551526.
#[test]
fn sums_of_negative_numbers_had_no_sign() {
    let one = document(&returned(), 0);
    for (format, part) in [
        (Format::Json, "\"values\":{\"len\":-90}"),
        (Format::Ndjson, "\"values\":{\"len\":-90}"),
        (Format::Csv, ",10,-90\r\n"),
        (Format::Folded, "vfs_read -90\n"),
        // ftrace's own text has none.
        (Format::Ftrace, "  len: 18446744073709551526\n"),
    ] {
        let text = written(format, &one);
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let sum = merge(vec![one.clone(), one]).expect("one trigger");
    assert!(written(Format::Json, &sum).contains("\"values\":{\"len\":-180}"));
}

/// Negative sums stood above all others; the kernel's own text has them there.
#[test]
fn negative_sums_were_the_largest() {
    let (_, symbols) = machine(0);
    for descending in [false, true] {
        let mut one = returned();
        one.sort = vec![Sort { by: SortBy::Value(0), descending }];
        crate::snapshot::sort::sort(&mut one, crate::snapshot::sort::Ties::default());
        let kernels = print::hist(&one, &symbols);
        crate::snapshot::sort::sort_as_shown(&mut one);
        let document = document(&one, 0);
        let sums: Vec<_> =
            document.rows.iter().map(|row| row.counts.values[0].cast_signed()).collect();
        assert_eq!(sums, if descending { [4096, -90] } else { [-90, 4096] });
        assert_eq!(written(Format::Ftrace, &document).into_bytes(), kernels);
        let halves = merge(vec![document.clone(), document]).expect("one trigger");
        let sums: Vec<_> =
            halves.rows.iter().map(|row| row.counts.values[0].cast_signed()).collect();
        assert_eq!(sums, if descending { [8192, -180] } else { [-180, 8192] });
    }
}

/// The text without what earlier versions did not write.
fn as_before(text: &str) -> String {
    let sum = text.replace(":-90}", ":18446744073709551526}");
    let is_new = |part: &&str| !part.starts_with("\"bits\"") && !part.starts_with("\"order\"");
    let parts: Vec<_> = sum.split(',').collect();
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        let end = part.trim_start_matches(|c| c != '}' && c != ']');
        match kept.last_mut() {
            Some(last) if !is_new(&part) => last.push_str(end),
            _ => kept.push(part.to_owned()),
        }
    }
    kept.join(",").replace("\"hidden\":false,\"signed\":true", "\"hidden\":false")
}

#[test]
fn documents_of_earlier_versions_are_read_as_before() {
    let new = document(&returned(), 0);
    let old = as_before(&written(Format::Json, &new));
    assert!(!old.contains("order") && !old.contains("bits") && old.contains("\"signed\":true"));
    let old_document = read(old.as_bytes()).expect("an old one").remove(0);
    assert_eq!(old_document.values[0].signed, None);
    assert_eq!(written(Format::Json, &old_document), old);
    assert_eq!(written(Format::Ftrace, &old_document), written(Format::Ftrace, &new));
    // Beside a new one it is known what its numbers mean.
    let both = [vec![old_document.clone(), new.clone()], vec![new, old_document.clone()]];
    for documents in both {
        let sum = merge(documents).expect("one trigger");
        assert_eq!(
            (sum.values[0].signed, sum.rows[0].counts.values[0].cast_signed()),
            (Some(true), -180)
        );
        assert!(sum.keys.iter().all(|key| key.order.is_some()));
    }
    let sum = merge(vec![old_document.clone(), old_document]).expect("one trigger");
    assert_eq!(sum.values[0].signed, None);
}

/// A later version may have values that do not add up.
#[test]
fn a_value_that_is_put_together_in_an_unknown_way_was_added_up() {
    let one = document(&returned(), 0);
    let text = written(Format::Json, &one);
    let with = |fold: &str| {
        let new = format!("\"signed\":true,\"fold\":\"{fold}\"}}");
        let text = text.replacen("\"signed\":true}", &new, 1);
        assert!(text.contains(fold));
        read(text.as_bytes())
    };
    assert_eq!(with("sum").expect("a sum"), [one]);
    let error = with("smallest").expect_err("nothing here knows it").to_string();
    assert!(error.contains("a value cannot be put together as `smallest`"), "{error}");
}

/// Sorting them by the function panicked: there was no order that all of them agreed on.
#[test]
fn rows_of_which_some_have_an_address_had_no_order() {
    let rows = (0..40).map(|number| row(1, READ + 0x7_0000 * (number * 7 % 40), 1));
    let sort = vec![Sort { by: SortBy::Key(1), descending: false }];
    let mut one = document(&snapshot(rows.collect(), sort), 0);
    for (number, row) in one.rows.iter_mut().enumerate() {
        let Cell::Named(ip) = &mut row.cells[1] else { panic!("the columns") };
        ip.name = format!("f{}", (number * 13) % 40).into_bytes().into();
        ip.number = ip.number.filter(|_| number % 3 > 0);
    }
    let text = written(Format::Json, &one);
    let again = read(text.as_bytes()).expect("our own").remove(0);
    let sum = merge(vec![one, again]).expect("one trigger");
    let order = |row: &DocumentRow| match &row.cells[1] {
        Cell::Named(ip) => (ip.number.is_none(), ip.number, ip.name.clone()),
        _ => panic!("the columns"),
    };
    assert!(sum.rows.is_sorted_by_key(order));
    assert!(written(Format::Ftrace, &sum).contains("Entries: 40"));
}

/// What a task may call itself.
const HOSTILE: &[u8] = b"=\x1b[2J\nF\xc2\x9b";

fn hostile() -> Document {
    let mut one = returned();
    for row in &mut one.rows {
        row.key[32..40].copy_from_slice(&HOSTILE[..8]);
        row.comm[..HOSTILE.len()].copy_from_slice(HOSTILE);
        row.comm[HOSTILE.len()..].fill(0);
    }
    one.keys[0].show = Show::Bucket(BucketWidth::Log2);
    document(&one, 0)
}

/// A terminal obeyed them, and a newline made a line of its own.
#[test]
fn names_with_escapes_reached_the_terminal() {
    let one = hostile();
    for format in Format::ALL {
        for charset in [Charset::Utf8, Charset::Ascii] {
            let exporter = Exporter::new(format, None, 80).on_terminal(Some(charset));
            let text = exporter.clone().write(&one).expect("it fits");
            let text = String::from_utf8(text).expect("no other bytes");
            let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\r';
            assert!(!text.contains(is_obeyed), "{format:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with('F')), "{format:?}: {text}");
            if matches!(format, Format::Json) {
                let again = read(text.as_bytes()).expect("JSON");
                assert_eq!(again, std::slice::from_ref(&one));
            }
        }
        let plain = Exporter::new(format, None, 80).write(&one).expect("it fits");
        let is_there = plain.windows(4).any(|bytes| bytes == b"\x1b[2J");
        let is_left_alone = matches!(format, Format::Ftrace | Format::Csv | Format::Folded);
        assert_eq!(is_there, is_left_alone, "{format:?}");
    }
}

/// A spreadsheet ran what a task had called itself.
#[test]
fn names_became_formulas_in_a_spreadsheet() {
    let mut one = document(&returned(), 0);
    one.rows.truncate(1);
    let names: [&[u8]; 9] =
        [b"=1+1", b"+1", b"-1", b"@SUM(A1)", b"\t=1", b"\r=1", b"\n=1", b"'=1", b"a=1"];
    for name in names {
        one.rows[0].cells[3] = Cell::Text(name.to_vec().into());
        let text = Exporter::new(Format::Csv, None, 80).write(&one).expect("it fits");
        let mut reader = ::csv::Reader::from_reader(&text[..]);
        let record = reader.byte_records().next().expect("a row").expect("a record");
        let field = &record[6];
        assert!(!matches!(field[0], b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n'));
        // Nothing is lost.
        assert_eq!(field.strip_prefix(b"'").unwrap_or(field), name);
        // Numbers stay numbers.
        assert_eq!(&record[10], b"-90");
    }
}

/// Nobody said which size would do.
#[test]
fn a_full_table_says_what_would_have_been_enough() {
    let mut one = document(&returned(), 0);
    one.enough_size = Some(4096);
    assert!(written(Format::Json, &one).contains("\"missed\":2,\"enough_size\":4096}"));
    assert_eq!(read(written(Format::Json, &one).as_bytes()).expect("our own"), [one.clone()]);
    let other = Document { enough_size: Some(8192), ..one.clone() };
    let unknown = Document { enough_size: None, ..one.clone() };
    let of = |documents| merge(documents).expect("one trigger").enough_size;
    assert_eq!(of(vec![one.clone(), other]), Some(8192));
    assert_eq!(of(vec![one, unknown]), None);
}

#[test]
fn the_schema_lists_every_way_to_put_values_together() {
    let schema = include_str!("../../../docs/snapshot.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    let listed = &schema["properties"]["values"]["items"]["properties"]["fold"]["enum"];
    assert_eq!(*listed, serde_json::json!(Fold::ALL.map(Fold::name)), "docs/snapshot.schema.json");
}
