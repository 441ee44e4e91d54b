//! What is shown of a trigger without counting: its stages, and its mistakes with a caret under the place.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use super::support::*;

/// They were refused as a usage error, but names of tasks may hold any byte.
#[test]
fn triggers_that_are_not_utf8_were_refused() {
    let trigger =
        OsStr::from_bytes(b"hist:keys=prev_pid if prev_comm ~ \"*\xff*\" && comm == \"\xe9\"");
    let formats = event_formats();
    for (head, part) in [(&["--emit", "trigger"][..], "prev_comm ~"), (&["explain"], "prev_comm")] {
        let mut command = hist_bpf();
        command.args(head).arg("--tracefs").arg(&formats).arg(trigger).arg("sched:sched_switch");
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains(part), "{}", stdout(&output));
    }
    let trigger = OsStr::from_bytes(b"hist:keys=prev_pid if \xff=1");
    let mut command = hist_bpf();
    command.arg("--tracefs").arg(&formats).args(["--emit", "hist"]).arg(trigger);
    let output = command.arg("sched:sched_switch").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let marked = "  hist:keys=prev_pid if \u{fffd}=1\n                        ^";
    assert!(stderr(&output).contains(marked), "{}", stderr(&output));
}

#[test]
fn memory_decides_about_the_map() {
    let plan = |memory: &str| {
        let trigger = "hist:keys=bytes_req:vals=bytes_alloc:size=4096";
        let plan = ["--emit=plan", "--memory", memory, "--tracefs", &event_formats(), trigger];
        output(&[&plan[..], &["kmem:kmalloc"]].concat())
    };
    // However many CPUs there are, one value in each entry takes less than two.
    assert!(stdout(&plan("1G")).contains("map      per-CPU hash, "), "{:?}", plan("1G"));
    assert!(stdout(&plan("1G")).contains("\nmemory   "));
    let refused = plan("1k");
    assert_eq!((refused.status.code(), stdout(&refused)), (Some(1), ""));
    assert!(stderr(&refused).contains("allows 1.00 KiB; no size fits: use --memory "));
    let said = stderr(&refused).to_owned();
    let enough = said.rsplit(' ').next().expect("words").trim();
    assert!(stdout(&plan(enough)).contains("map      hash, "), "{enough}");
    check_fails(&["--memory", "x", "hist:keys=id", "a:b"], 2, &["not a number of bytes"]);
}

#[test]
fn stages_are_shown_without_root_or_tracefs() {
    let trigger = "hist:key=call_site:val=bytes_req";
    for (stage, part) in [
        ("trigger", "call_site"),
        ("hist", "hist:keys=call_site:vals=hitcount,bytes_req:sort=hitcount:size=2048"),
        ("plan", "tracepoint kmem:kmalloc"),
        ("code", "hist_hole_key"),
        ("asm", "call bpf_map_lookup_elem"),
    ] {
        let output =
            output(&["--emit", stage, "--tracefs", &event_formats(), trigger, "kmem:kmalloc"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains(part), "{stage}:\n{}", stdout(&output));
        assert_eq!(stderr(&output), "");
    }
    // A blank that the kernel does not know was cut off for one stage only.
    let arguments = ["--emit=trigger", "\u{a0}hist:keys=a", "no:such"];
    check_fails(&arguments, 1, &["Not a hist trigger\n  \u{a0}hist:keys=a\n  ^^^^^\n"]);
    // What is logged with -vv shows, too.
    let arguments = ["-vv", "--emit=plan", "--tracefs", &event_formats(), trigger, "kmem:kmalloc"];
    let logging = output(&arguments);
    assert!(stdout(&logging).contains("hist_log"), "{}", stdout(&logging));
    // The first stage needs no event at all.
    let output = output(&["--emit=trigger", "hist:keys=a", "no:such"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn mistakes_in_triggers_have_a_caret_under_the_place() {
    let check = |trigger: &str, event: &str, parts: &[&str]| {
        check_fails(&["--emit=plan", "--tracefs", &event_formats(), trigger, event], 1, parts);
    };
    check(
        "hist:keys=call_sit",
        "kmem:kmalloc",
        &[
            "Couldn't find field\n  hist:keys=call_sit\n            ^^^^^^^^\n",
            "did you mean `call_site`?",
            "bytes_req",
        ],
    );
    check("hist:keys=ptr:size=64", "kmem:kmalloc", &["131072", "^^"]);
    check("hist:keys=ptr:sort=x", "kmem:kmalloc", &["Sort field must be a key or a val"]);
    check("hist:keys=ptr if ptr >", "kmem:kmalloc", &["Invalid value (did you forget quotes)?"]);
    check("hist:keys=ptr if (ptr > 1", "kmem:kmalloc", &["Too many '('"]);
    let across = "histograms across events (variables, handlers, synthetic events)";
    check("hist:keys=ptr:x=node", "kmem:kmalloc", &["`x=` defines a variable", across]);
    check("hist:keys=ptr:onmax($x).save(ptr)", "kmem:kmalloc", &["this is a handler", across]);
    check("hist:keys=ptr:vlas=node", "kmem:kmalloc", &["did you mean `vals=`?", "^^^^\n"]);
    check("hist:keys=ptr:sizee=128", "kmem:kmalloc", &["did you mean `size=`?"]);
    check("hist:kyes=ptr", "kmem:kmalloc", &["did you mean `keys=`?"]);
    check("hist:keys=args", "raw_syscalls:sys_enter", &["48 bytes"]);
    check("hist:keys=common_flags", "kmem:kmalloc", &["Not supported yet", "first 8 bytes"]);
    check("hist:keys=ptr", "kmem:kmaloc", &["no event `kmem:kmaloc`", "kmem:kmalloc"]);
    check("hist:keys=ptr", "kmen:kmalloc", &["no event system `kmen`"]);
}

#[test]
fn broken_formats_are_errors_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let event = folder.path().join("events/sys/event");
    fs::create_dir_all(&event).expect("a folder");
    let head = "name: event\nID: 1\nformat:\n";
    let field = |text: &str| format!("{head}\tfield:{text};\n\nprint fmt: \"\"\n");
    for (text, part) in [
        (String::new(), "there is no `name:` line"),
        (format!("{head}\tfield:int a;\toffset:8;\tsize:4;\tsigned:1;\n"), "it was cut off"),
        (field("int a;\toffset:8;\tsize:4"), "line 4: the field has no `signed:`"),
        (field("int a;\toffset:99999999;\tsize:4;\tsigned:1"), "records have at most"),
    ] {
        fs::write(event.join("format"), text).expect("a file");
        let root = folder.path().to_str().expect("UTF-8");
        let arguments = ["--emit=plan", "--tracefs", root, "hist:keys=a", "sys:event"];
        check_fails(&arguments, 1, &["events/sys/event/format: ", part]);
    }
}
