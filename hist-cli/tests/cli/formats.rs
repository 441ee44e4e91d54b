//! Runs the real binary with the options of presentation, with each format and with `merge`, and
//! has independent parsers check what it writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

use super::support::*;

/// A program of its own name that writes a number of single bytes, so that its system calls can
/// be told from all others.
struct Workload {
    folder: TempDir,
    name: String,
}

impl Workload {
    /// `name` is at most 15 bytes, and no other test's.
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        symlink("/bin/dd", folder.path().join(name)).expect("a link");
        Self { folder, name: name.to_owned() }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A trigger for its calls of write.
    fn trigger(&self, keys: &str) -> String {
        format!("hist:keys={keys} if id == 1 && comm == \"{}\"", self.name)
    }

    /// Writes so many bytes, then the same again, with a rest in between.
    fn script(&self, times: usize, bytes: usize) -> String {
        let program = self.file(&self.name);
        format!(
            "for i in $(seq {times}); do {program} if=/dev/zero of=/dev/null bs=1 count={bytes} \
             status=none; sleep 0.1; done"
        )
    }

    /// Runs the script under hist-bpf. Gives stdout.
    #[track_caller]
    fn count(&self, options: &[&str], trigger: &str, script: &str) -> String {
        let counting = ["-q", trigger, ENTER, "--", "sh", "-c", script];
        let output = output(&[options, &counting].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).to_owned()
    }
}

const ENTER: &str = "raw_syscalls:sys_enter";

/// The documents of a text, one a line.
#[track_caller]
fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn number(value: &Value, pointer: &str) -> u64 {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number {pointer} in {value}"))
}

fn lost(document: &Value) -> u64 {
    ["full", "busy", "missed"].iter().map(|why| number(document, &format!("/losses/{why}"))).sum()
}

#[test]
fn options_that_contradict_each_other_are_usage_mistakes() {
    let check = |options: &[&str], part: &str| {
        let pair = ["hist:keys=id", ENTER];
        check_fails(&[options, &pair].concat(), 2, &[part]);
    };
    let formats = "ftrace, json, ndjson, csv, folded, plot";
    check(&["-f", "xml"], &format!("[possible values: {formats}]"));
    assert_eq!(formats.split(", ").count(), hist_cli::export::Format::ALL.len());
    check(&["--top", "0"], "--top");
    check(&["--top", "-1"], "--top");
    check(&["-f", "plot", "--top", "3"], "a plot shows every bucket");
    check(&["-f", "folded", "-i1"], "add --delta");
    check(&["-f", "folded", "--timestamp"], "--timestamp");
    check(&["-f", "json", "--clear-screen"], "--clear-screen is for");
    check(&["-o", "x", "--clear-screen"], "cannot be used with");
    check(&["-f", "json", "--weight", "hitcount"], "--weight is for");
    for option in ["--delta", "--timestamp", "--top=1", "-fjson", "--weight=x", "--clear-screen"] {
        check(&["--emit", "plan", option], "cannot be used with");
    }
    check_fails(&["merge"], 2, &["<FILE>..."]);
    check_fails(&["merge", "-f", "xml", "x"], 2, &["possible values"]);
    check_fails(&["-q", "merge"], 2, &["the subcommand `merge` must come first"]);
    check_fails(&["merg"], 2, &["no subcommand `merg`; did you mean `merge`?"]);
}

#[test]
fn help_shows_the_subcommands() {
    let output = output(&["--help"]);
    assert!(stdout(&output).contains("\n  merge  "), "{}", stdout(&output));
    let output = self::output(&["merge", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("hist-bpf merge [OPTIONS] <FILE>..."), "{}", stdout(&output));
}

#[test]
fn live_json_is_a_document_for_each_table_and_trigger() {
    if !needs::root() {
        return;
    }
    let arguments = ["-qfjson", "-i0.2", "-d0.9", "hist:keys=id.syscall:vals=id", ENTER];
    let output = output(&[&arguments[..], &["hist:keys=common_pid.execname", ENTER]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let documents = json(stdout(&output));
    assert!(documents.len() >= 4 && documents.len().is_multiple_of(2), "{}", documents.len());
    let uname = rustix::system::uname();
    for document in &documents {
        assert_eq!(document["event"], ENTER);
        assert_eq!(document["state"], "active");
        assert_eq!(document["sources"][0]["host"], *uname.nodename().to_string_lossy());
        assert_eq!(document["sources"][0]["kernel"], *uname.release().to_string_lossy());
        let rows = document["rows"].as_array().expect("rows");
        assert_eq!(rows.len() as u64, number(document, "/totals/entries"));
        let hits: u64 = rows.iter().map(|row| number(row, "/hitcount")).sum();
        assert_eq!(hits, number(document, "/totals/hits"));
        assert_eq!(document["since"], documents[0]["since"]);
    }
    let first = documents.iter().step_by(2).map(|document| number(document, "/totals/hits"));
    assert!(first.is_sorted());
    let row = &documents[0]["rows"][0];
    assert!(row["key"]["id"]["raw"].is_number(), "{row}");
    assert!(
        row["key"]["id"]["text"].as_str().is_some_and(|name| name.starts_with("sys_")),
        "{row}"
    );
    assert!(row["values"]["id"].is_number(), "{row}");
    assert!(documents[1]["rows"][0]["key"]["common_pid"]["text"].is_string());
    // It is what merge reads.
    let read = hist_cli::export::read(&output.stdout).expect("our own documents");
    assert_eq!(read.len(), documents.len());
}

#[test]
fn live_ndjson_lines_stand_for_themselves() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_ndjson");
    let script = workload.script(1, 50);
    let trigger = workload.trigger("id,common_pid");
    let text = workload.count(&["-fndjson", "-i0.05"], &trigger, &script);
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for line in json(&text) {
        assert_eq!(line["event"], ENTER);
        assert!(
            line["trigger"].as_str().is_some_and(|text| text.starts_with("hist:keys=id,")),
            "{line}"
        );
        let hits = rows.entry(line["time"].to_string()).or_default();
        match line["type"].as_str() {
            Some("row") => *hits += number(&line, "/hitcount"),
            Some("totals") => {
                assert_eq!(rows.remove(&line["time"].to_string()), Some(number(&line, "/hits")));
                assert_eq!(number(&line, "/losses/full"), number(&line, "/dropped"));
            }
            _ => panic!("{line}"),
        }
    }
    assert!(rows.is_empty(), "each table ends with its totals");
    let last = text.lines().last().expect("totals");
    assert!(last.contains("\"hits\":50,\"entries\":1,"), "{last}");
}

#[test]
fn live_csv_has_one_header() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_csv");
    let script = workload.script(3, 100);
    let text = workload.count(
        &["-fcsv", "-i0.05"],
        &workload.trigger("id.syscall,common_comm:vals=id"),
        &script,
    );
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header: Vec<_> = reader.headers().expect("UTF-8").iter().map(str::to_owned).collect();
    assert_eq!(header, ["time", "id", "id.text", "common_comm", "hitcount", "id_2"]);
    let records: Vec<_> = reader.records().map(|record| record.expect("a record")).collect();
    let last = records.last().expect("tables");
    let fields: Vec<_> = last.iter().skip(1).collect();
    assert_eq!(fields, ["1", "sys_write", "hist_csv", "300", "300"]);
    assert!(records.len() >= 3, "one for each table");
    let two = ["-fcsv", "hist:keys=id", ENTER, "hist:keys=ret", "raw_syscalls:sys_exit"];
    check_fails(&two, 1, &["-f csv has one header, so it takes one trigger, and there are 2"]);
}

#[test]
fn live_folded_stacks_end_in_the_event() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_folded");
    let trigger = workload.trigger("common_comm,common_stacktrace:vals=id");
    let text = workload.count(&["-ffolded", "--weight=id"], &trigger, &workload.script(3, 100));
    let mut total = 0;
    for line in text.lines() {
        let (frames, weight) = line.rsplit_once(' ').expect("frames and a weight");
        total += weight.parse::<u64>().expect("a number");
        let frames: Vec<_> = frames.split(';').collect();
        assert_eq!(frames[0], "hist_folded");
        // Outermost first, without offsets.
        assert!(frames[1].starts_with("entry_SYSCALL_64"), "{line}");
        assert!(!line.contains("+0x"), "{line}");
    }
    assert_eq!(total, 300, "{text}");
    let plain = ["-ffolded", "hist:keys=id", ENTER];
    check_fails(&plain, 1, &["-f folded needs a stack among the keys, and this trigger's are id"]);
    let weight = ["-ffolded", "--weight=bytes", "hist:keys=common_stacktrace", ENTER];
    check_fails(&weight, 1, &["--weight bytes: the trigger sums up the hitcount alone"]);
}

#[test]
fn live_plots_have_a_bar_for_each_bucket() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_plot");
    let trigger = workload.trigger("id.log2,common_comm");
    let text = workload.count(&["-fplot", "-i0"], &trigger, &workload.script(1, 100));
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("# raw_syscalls:sys_enter hist:keys=id.log2,common_comm:"),
        "{text}"
    );
    assert_eq!(lines[2], "common_comm: hist_plot");
    assert_eq!(lines[3], "  id hitcount");
    assert!(lines[4].starts_with("0..1      100 ####"), "{text}");
    assert!(lines[4].len() <= 80, "{text}");
    assert_eq!(lines[5], "p50 ~1  p90 ~1  p99 ~1  (estimated: interpolated within buckets)");
    let plain = ["-fplot", "hist:keys=id", ENTER];
    check_fails(&plain, 1, &["-f plot needs a key in buckets, and this trigger's are id"]);
}

#[test]
fn live_deltas_add_up_to_what_happened() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_delta");
    let script = workload.script(5, 400);
    let text = workload.count(&["-fjson", "--delta", "-i0.02"], &workload.trigger("id"), &script);
    let documents = json(&text);
    let hits: u64 = documents.iter().map(|document| number(document, "/totals/hits")).sum();
    assert_eq!(hits + documents.iter().map(lost).sum::<u64>(), 2000);
    let idle = documents.iter().filter(|document| document["rows"] == Value::Array(Vec::new()));
    assert!(idle.count() > 0, "nothing happens during the rests");
    let busy = documents.iter().filter(|document| number(document, "/totals/hits") > 0);
    assert!(busy.count() > 1, "{text}");
    // Each begins where the one before ended.
    for pair in documents.windows(2) {
        assert_eq!(pair[1]["since"], pair[0]["time"]);
    }
}

#[test]
fn live_top_shows_the_largest_and_counts_all() {
    if !needs::root() {
        return;
    }
    for sort in ["hitcount", "hitcount.descending"] {
        let trigger = format!("hist:keys=id:sort={sort}");
        let arguments = ["-q", "-i0", "-d0.4", "--top", "1", &trigger, ENTER];
        let (top, documents) =
            (output(&arguments), output(&[&["-fjson"], &arguments[..]].concat()));
        let text = stdout(&top);
        assert_eq!(text.lines().filter(|line| line.starts_with("{ ")).count(), 1, "{text}");
        assert!(totals(text, "Entries")[0] > 1, "{text}");
        let document = &json(stdout(&documents))[0];
        let hits = number(document, "/totals/hits");
        let row = number(document, "/rows/0/hitcount");
        let entries = number(document, "/totals/entries");
        assert_eq!(document["rows"].as_array().map(Vec::len), Some(1));
        assert!(entries > 1 && row < hits && row * entries >= hits, "{document}");
    }
}

#[test]
fn live_the_time_stands_before_each_table() {
    if !needs::root() {
        return;
    }
    let arguments = ["-q", "-i0.1", "-d0.35", "--timestamp", "hist:keys=id:pause", ENTER];
    let output = output(&arguments);
    let text = stdout(&output);
    let times: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# time: ")).collect();
    assert!(times.len() >= 2 && times.is_sorted(), "{text}");
    assert!(times.iter().all(|time| time.ends_with('Z') && time.len() == 30), "{text}");
    for (number, table) in text.split("\n\n\n# time: ").enumerate() {
        let (_, table) = table.split_once('\n').expect("a line");
        assert!(table.starts_with("# event histogram\n"), "{number}: {text}");
    }
}

/// A terminal, and the name of its other side.
fn terminal() -> (OwnedFd, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("it is ours");
    unlockpt(&terminal).expect("it is ours");
    let name = ptsname(&terminal, Vec::new()).expect("its name");
    (terminal, name.into_string().expect("ASCII"))
}

/// What hist-bpf writes to a terminal that is its stdout.
fn on_a_terminal(arguments: &[&str]) -> String {
    let (terminal, name) = terminal();
    let other = File::options().read(true).write(true).open(name).expect("its other side");
    let mut command = hist_bpf();
    command.args(arguments).env("LC_ALL", "C.UTF-8").stdout(other);
    let mut child = command.spawn().expect("the binary starts");
    drop(command);
    // It ends with an error once nobody has the other side any more.
    let mut text = Vec::new();
    let _ = File::from(terminal).read_to_end(&mut text);
    assert!(child.wait().expect("it ends").success());
    String::from_utf8(text).expect("UTF-8")
}

/// The same for stderr, of a command that fails.
fn told_on_a_terminal(arguments: &[&str]) -> String {
    let (terminal, name) = terminal();
    let other = File::options().read(true).write(true).open(name).expect("its other side");
    let mut command = hist_bpf();
    command.args(arguments).env("NO_COLOR", "1").stderr(other);
    let mut child = command.spawn().expect("the binary starts");
    drop(command);
    let mut text = Vec::new();
    let _ = File::from(terminal).read_to_end(&mut text);
    assert!(!child.wait().expect("it ends").success());
    String::from_utf8(text).expect("UTF-8")
}

/// The lines that a terminal shows, with all that it would obey.
fn obeyed(text: &str) -> Vec<char> {
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    lines.collect::<Vec<_>>().join("\n").chars().filter(|c| c.is_control() && *c != '\n').collect()
}

#[test]
fn live_the_screen_is_cleared_on_a_terminal_alone() {
    if !needs::root() {
        return;
    }
    let arguments = ["-q", "-i0.1", "-d0.35", "--clear-screen", "hist:keys=id:pause", ENTER];
    let text = on_a_terminal(&arguments);
    let tables = text.matches("# event histogram").count();
    assert!(tables >= 2, "{text}");
    assert_eq!(text.matches("\x1b[H\x1b[2J\x1b[3J# event histogram").count(), tables, "{text:?}");
    assert!(!stdout(&output(&arguments)).contains('\x1b'));
}

#[test]
fn live_snapshots_are_added_up() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_merge");
    let trigger = workload.trigger("id,common_comm:vals=id");
    let (a, b) = (workload.file("a.json"), workload.file("b.json"));
    // Several tables since the same moment: the last alone counts.
    workload.count(&["-fjson", "-i0.05", "-o", &a], &trigger, &workload.script(2, 100));
    workload.count(&["-fjson", "--delta", "-i0.05", "-o", &b], &trigger, &workload.script(2, 70));
    let merged = output(&["merge", &a, &b]);
    assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
    let sum = &json(stdout(&merged))[0];
    assert_eq!(number(sum, "/rows/0/hitcount") + lost(sum), 340);
    assert_eq!(sum["rows"][0]["values"]["id"], sum["rows"][0]["hitcount"]);
    assert_eq!(sum["sources"].as_array().map(Vec::len), Some(1));
    assert_eq!(stderr(&merged), "", "they have counted one after the other");
    let twice = output(&["merge", "-fftrace", &a, &a]);
    let said = stderr(&twice);
    assert!(said.contains("at the same time: what is in both is added up twice"), "{said}");
    let text = stdout(&twice);
    assert_eq!(totals(text, "Hits"), [400]);
    let line = format!(
        "{{ id:          1, common_comm: {:<50} }} hitcount:        400  id:        400",
        "hist_merge"
    );
    assert!(text.contains(&line), "{text}");
    // The output may be one of the inputs.
    let into = output(&["merge", "-o", &a, &a, &b]);
    assert_eq!((into.status.code(), stdout(&into)), (Some(0), ""));
    assert_eq!(fs::read_to_string(&a).expect("it is there"), stdout(&merged));
}

/// Machines were gone through in the order of a hash, which differs from run to run.
#[test]
fn another_machine_was_named_each_time_that_two_files_share_several() {
    let both = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/export/merged.json");
    for _ in 0..16 {
        let twice = output(&["merge", both, both]);
        let said = stderr(&twice);
        assert!(said.contains("have counted on host1 at the same time: "), "{said}");
    }
}

#[test]
fn live_one_document_is_the_text_that_was_printed() {
    if !needs::root() {
        return;
    }
    let keys = "common_stacktrace,common_pid.execname,id.syscall:vals=id.percent,id.graph";
    let workload = Workload::new("hist_convert");
    let (trigger, file) = (workload.trigger(keys), workload.file("one.json"));
    workload.count(&["-fjson", "-i0", "-o", &file], &trigger, &workload.script(2, 20));
    let converted = output(&["merge", "-fftrace", &file]);
    let text = stdout(&converted);
    let head =
        "# event histogram\n#\n# trigger info: hist:keys=common_stacktrace,common_pid.execname,";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("{ common_stacktrace:\n         "), "{text}");
    assert!(
        text.contains(", common_pid: hist_convert    [") && text.contains(" id (%): "),
        "{text}"
    );
    assert_eq!(totals(text, "Hits"), [40]);
    for (format, part) in
        [("folded", "entry_SYSCALL_64"), ("csv", "sys_write"), ("ndjson", "\"totals\"")]
    {
        let output = output(&["merge", "-f", format, &file]);
        assert!(stdout(&output).contains(part), "{format}: {}", stderr(&output));
    }
    check_fails(&["merge", "-fplot", &file], 1, &["-f plot needs a key in buckets"]);
}

/// A document of the golden files.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/export").join(name);
    fs::read_to_string(path).expect("a golden file")
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("writable");
    path
}

/// `-` was a file of that name.
#[test]
fn a_snapshot_may_come_from_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = write(&folder, "keys.json", &golden("keys.json"));
    let merge = |name: &str| {
        let mut command = hist_bpf();
        let input = File::open(&keys).expect("a file");
        let output = command.args(["merge", "-fftrace", name]).stdin(input).output();
        output.expect("the binary starts")
    };
    let (piped, named) = (merge("-"), merge(keys.to_str().expect("UTF-8")));
    assert_eq!(piped.status.code(), Some(0), "{}", stderr(&piped));
    assert!(!piped.stdout.is_empty());
    // Not all of it is UTF-8.
    assert!(piped.stdout == named.stdout);
}

#[test]
fn what_cannot_be_added_up_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |files: &[&PathBuf], parts: &[&str]| {
        let names: Vec<_> = files.iter().map(|path| path.to_str().expect("UTF-8")).collect();
        check_fails(&[&["merge"], &names[..]].concat(), 1, parts);
    };
    let good = golden("keys.json");
    let keys = write(&folder, "keys.json", &good);
    let missing = folder.path().join("missing.json");
    check(&[&keys, &missing], &["cannot read", "missing.json", "No such file"]);
    let broken = write(&folder, "broken.json", &format!("{good}{{\"version\": 1,\n oops"));
    check(&[&keys, &broken], &["broken.json: line 3, column 2: key must be a string"]);
    let half = write(&folder, "half.json", &good[..good.len() / 2]);
    check(&[&half], &["half.json: line 1, column ", "EOF while parsing"]);
    let rows = write(&folder, "rows.ndjson", &golden("keys.ndjson"));
    check(&[&rows], &["rows.ndjson: line 1, column ", "merge reads what `-f json` writes"]);
    let nothing = write(&folder, "nothing.json", "\n");
    check(&[&nothing], &["nothing.json: there is no snapshot in it"]);
    let stacks = write(&folder, "stacks.json", &golden("stacks.json"));
    check(
        &[&keys, &stacks],
        &[
            "cannot add up ",
            "keys.json and ",
            "stacks.json: they are of different triggers: keys `ret,",
        ],
    );
    // It was of no effect, and nobody was told.
    let weighed = ["merge", "-fftrace", "--weight", "x", keys.to_str().expect("UTF-8")];
    check_fails(&weighed, 2, &["--weight is for -f folded and -f plot", "hist-bpf merge"]);
    let both = write(&folder, "both.json", &(good.clone() + &golden("stacks.json")));
    check(&[&both, &keys], &["keys.json has no snapshot of `hist:keys=common_comm"]);
    check(&[&keys, &both], &["keys.json has no snapshot of `hist:keys=common_comm"]);
    let cut = write(&folder, "cut.json", &good.replace("\"entries\":3", "\"entries\":30"));
    check(&[&keys, &cut], &["cut.json: only 3 of 30 entries are there (--top)"]);
    let both = both.to_str().expect("UTF-8");
    check_fails(&["merge", "-fcsv", both], 1, &["-f csv has one header"]);
    let sums = output(&["merge", both, both]);
    assert_eq!(json(stdout(&sums)).len(), 2, "{}", stderr(&sums));
}

/// The document of tasks with hostile names, and of a hostile machine.
fn hostile(folder: &TempDir) -> PathBuf {
    let name = r#""text":"systemd","#;
    let text = golden("keys.json");
    assert!(text.contains(&name[..name.len() - 1]));
    let text = text.replace(r#""text":"systemd""#, r#""text":"\u001b]0;x\u0007\nFORGED\u009b2J""#);
    let host = format!(r#""host":"h\u001b[2J\nerror: FORGED{}""#, "x".repeat(100_000));
    write(folder, "hostile.json", &text.replace(r#""host":"host1""#, &host))
}

/// They changed its colours and title, and made lines of their own.
#[test]
fn task_names_with_escapes_reached_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = hostile(&folder);
    let file = path.to_str().expect("UTF-8");
    for format in ["ftrace", "json", "ndjson", "csv"] {
        let text = on_a_terminal(&["merge", "-f", format, file]);
        assert_eq!(obeyed(&text), [], "{format}: {text:?}");
        assert!(text.contains("FORGED"), "{format}: {text}");
        assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{format}: {text}");
    }
    // A pipe or a file has them as they are.
    let piped = output(&["merge", "-fftrace", file]);
    // Not all of it is UTF-8.
    let text = String::from_utf8_lossy(&piped.stdout);
    assert!(text.contains("\u{1b}]0;x\u{7}\nFORGED\u{9b}2J"), "{text}");
    let copy = folder.path().join("copy");
    let written = output(&["merge", "-fftrace", "-o", copy.to_str().expect("UTF-8"), file]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert_eq!(fs::read(copy).expect("it is there"), piped.stdout);
    // A device that `-o` names is a terminal, too.
    let (terminal, name) = terminal();
    let kept = File::options().read(true).write(true).open(&name).expect("its other side");
    let written = output(&["merge", "-fftrace", "-o", &name, file]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let mut text = [0; 4096];
    let length = File::from(terminal).read(&mut text).expect("a table");
    drop(kept);
    let text = String::from_utf8_lossy(&text[..length]);
    assert!(text.contains("FORGED") && obeyed(&text).is_empty(), "{text:?}");
}

/// Every message about the machine had all of its name.
#[test]
fn the_name_of_a_machine_forged_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let hostile = hostile(&folder);
    let file = hostile.to_str().expect("UTF-8");
    let twice = output(&["merge", file, file]);
    let said = stderr(&twice);
    assert!(said.contains("have counted on h\\x1b[2J\\x0aerror: FORGEDxxx"), "{said:.300}");
    assert!(said.contains("more characters) at the same time"), "{said:.300}");
    assert!(said.len() < 1000 && said.lines().count() == 1, "{} bytes", said.len());
    // Nor do other parts of a document, or the name of its file.
    let text = golden("keys.json")
        .replace(r#""show":"hex""#, &format!(r#""show":"\u001b\n{}""#, "y".repeat(9000)));
    let path = write(&folder, "a\nerror: FORGED", &text);
    let failed = output(&["merge", path.to_str().expect("UTF-8")]);
    let said = stderr(&failed);
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        said.contains("a\\x0aerror: FORGED: line 1: a key cannot be shown as `\\x1b\\x0ayyy"),
        "{said:.300}"
    );
    assert!(said.len() < 1000 && said.lines().count() == 2, "{said:.300}");
}

/// What a trigger, or a file's name, said to the terminal was obeyed.
#[test]
fn messages_with_escapes_reached_a_terminal() {
    let formats = event_formats();
    let trigger = "hist:keys=\u{1b}]0;x\u{7}";
    let explain = ["explain", "--tracefs", &formats, trigger, "kmem:kmalloc"];
    let missing = ["merge", "/nonexistent\u{1b}[31m\u{9b}2J"];
    for arguments in [&explain[..], &missing] {
        let text = told_on_a_terminal(arguments);
        assert!(text.contains("\\x1b") && text.contains("error"), "{text:?}");
        assert_eq!(obeyed(&text), [], "{arguments:?}: {text:?}");
    }
    // Our own colours are left.
    let text = told_on_a_terminal(&[&explain[..1], &["--color=always"], &explain[1..]].concat());
    assert!(text.contains("\u{1b}[1m\u{1b}[31merror:") && !text.contains("\u{1b}]"), "{text:?}");
}

#[test]
fn live_names_of_tasks_are_escaped_on_a_terminal() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("e\u{1b}[31m\nFORGED");
    let program = workload.file(&workload.name);
    let counting =
        ["-q", "-i0", "hist:keys=common_comm,common_pid.execname", ENTER, "--", &program];
    let writing = ["if=/dev/zero", "of=/dev/null", "bs=1", "count=9", "status=none"];
    let arguments = [&counting[..], &writing[..]].concat();
    let text = on_a_terminal(&arguments);
    assert!(text.contains("{ common_comm: e\\x1b[31m\\x0aFORGED "), "{text:?}");
    assert_eq!(obeyed(&text), [], "{text:?}");
    let piped = output(&arguments);
    assert!(stdout(&piped).contains("{ common_comm: e\u{1b}[31m\nFORGED "), "{}", stdout(&piped));
}

/// They were 2^64 less that.
#[test]
fn live_calls_that_fail_sum_up_below_zero() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_signed");
    let program = workload.file("hist_signed");
    let script = format!("{program} if=/nonexistent-file 2>&1 || true");
    let trigger =
        "hist:keys=ret,common_comm:vals=ret:sort=ret if ret == -2 && comm == \"hist_signed\"";
    let count = |options: &[&str]| {
        let counting = ["-q", "-i0", trigger, "raw_syscalls:sys_exit", "--", "sh", "-c", &script];
        let output = output(&[options, &counting].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        text[text.find(['{', 't', '#']).expect("a table")..].to_owned()
    };
    let text = count(&["-fjson"]);
    let document =
        json(text.lines().find(|line| line.starts_with("{\"version")).expect("one")).remove(0);
    let row = &document["rows"][0];
    let hits = i64::try_from(number(row, "/hitcount")).expect("few");
    assert!(hits > 0, "{document}");
    assert_eq!(row["values"]["ret"].as_i64(), Some(-2 * hits), "{row}");
    assert_eq!(row["key"]["ret"]["raw"].as_i64(), Some(-2));
    assert_eq!(document["keys"][0]["bits"].as_u64(), Some(64));
    let text = count(&["-fcsv"]);
    let record = text.lines().find(|line| line.contains(",-2,hist_signed,")).expect("a record");
    let fields: Vec<i64> =
        record.split(',').skip(3).map(|field| field.parse().expect("a number")).collect();
    assert_eq!(fields[1], -2 * fields[0], "{record}");
    // ftrace's own text has no sign.
    let text = count(&[]);
    assert!(text.contains("{ ret: 18446744073709551614, common_comm: hist_signed "), "{text}");
}

/// It only said that `size=` would be larger.
#[test]
fn live_a_full_table_says_which_size_would_have_been_enough() {
    if !needs::root() {
        return;
    }
    let workload = Workload::new("hist_full");
    let script = workload.script(1, 500);
    let trigger = workload.trigger("common_timestamp:size=100");
    let counting = ["-fjson", "-q", "-i0", &trigger, ENTER, "--", "sh", "-c", &script];
    let output = output(&counting);
    let document = &json(stdout(&output))[0];
    let full = number(document, "/losses/full");
    let enough = (128 + full).next_power_of_two();
    assert!(full > 0 && number(document, "/totals/hits") + lost(document) == 500, "{document}");
    assert_eq!(number(document, "/losses/enough_size"), enough);
    let said = stderr(&output);
    let want = format!(
        "{full} dropped, the table is full (size={enough} would have been enough, and takes "
    );
    assert!(said.contains(&want), "{said}");
}

/// It took twenty times the size of its input: 141 MB took 2.8 GB.
#[test]
fn merging_took_twenty_times_the_memory_of_its_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = golden("latencies.json");
    let (head, rest) = text.split_once("\"rows\":[").expect("rows");
    let (_, rest) = rest.split_once("],\"totals\":").expect("totals");
    let row = |number: u64| {
        let (exponent, dev) = (number % 64, number / 64);
        let key = format!(
            r#"{{"usecs":{{"raw":{exponent},"text":"~ 2^{exponent}"}},"dev":{{"text":"d{dev}"}}}}"#
        );
        format!(r#"{{"key":{key},"hitcount":1,"values":{{}}}}"#)
    };
    let n_rows = 100_000;
    let rows = (0..n_rows).map(row).collect::<Vec<_>>().join(",");
    let totals = rest.replacen(
        "\"hits\":673,\"entries\":5",
        &format!("\"hits\":{n_rows},\"entries\":{n_rows}"),
        1,
    );
    let text = format!("{head}\"rows\":[{rows}],\"totals\":{totals}");
    let file = write(&folder, "large.json", &text);
    // As much again as it needs, and what any program has mapped.
    let limit = (2 * text.len() * 8 / 1024) + 64 * 1024;
    let script = format!("ulimit -v {limit}; exec \"$@\"");
    let binary = env!("CARGO_BIN_EXE_hist-bpf");
    let file = file.to_str().expect("UTF-8");
    let mut command = Command::new("sh");
    let merged = command.args(["-c", &script, "sh", binary, "merge", file, file]).output();
    let merged = merged.expect("a shell");
    assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
    assert_eq!(number(&json(stdout(&merged))[0], "/totals/hits"), 2 * n_rows);
}

/// A file system of a few pages, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = std::ffi::CString::new(format!("size={size}")).expect("no NUL");
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), Some(&*options))
            .expect("root may");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is left is a folder of /tmp that nobody needs.
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn live_a_disk_that_fills_up_keeps_whole_tables_only() {
    if !needs::root() {
        return;
    }
    let disk = SmallDisk::new("64k");
    let check = |format: &str, is_whole: &dyn Fn(&[u8]) -> bool| {
        let path = disk.0.path().join(format);
        let name = path.to_str().expect("UTF-8");
        // Of about 600 bytes each: whatever their number, the last one does not fit.
        let arguments =
            ["-q", "-i0.001", "-d60", "-f", format, "-o", name, "hist:keys=id:pause", ENTER];
        check_fails(&arguments, 1, &["cannot write ", "No space left on device"]);
        let text = fs::read(&path).expect("it is there");
        assert!(text.len() > 32 * 1024, "{} bytes", text.len());
        assert!(is_whole(&text), "{}", text.escape_ascii());
        fs::remove_file(&path).expect("it is there");
    };
    check("json", &|text| hist_cli::export::read(text).is_ok_and(|documents| documents.len() > 50));
    check("ftrace", &|text| text.ends_with(b"    Dropped: 0\n"));
    // A sum that does not fit leaves nothing behind.
    let folder = tempfile::tempdir().expect("a folder");
    let large = write(
        &folder,
        "large.json",
        &golden("keys.json").replace("a \\\"quoted\\\"", &"x".repeat(70_000)),
    );
    let target = disk.0.path().join("sum.json");
    let (large, name) = (large.to_str().expect("UTF-8"), target.to_str().expect("UTF-8"));
    check_fails(&["merge", "-o", name, large], 1, &["cannot write ", "No space left on device"]);
    assert_eq!(fs::read(&target).expect("it is there"), b"");
}
