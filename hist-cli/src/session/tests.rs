//! One test per row of the specification's tables on trigger files. The fake backend tells what
//! would have been done to the kernel.

mod errors;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::fake::{Fake, World};
use super::{EventName, Session, SessionError};
use crate::live::text::Charset;
use crate::live::{Change, Reader};

const A: &str = "hist:keys=a:vals=hitcount:sort=hitcount:size=2048";

/// A session at 34.546713 s after boot, and what it does to the world.
struct Bench {
    session: Session<Fake>,
    world: Rc<RefCell<World>>,
}

fn event(name: &str) -> EventName {
    EventName::new("t", name)
}

impl Bench {
    fn new() -> Self {
        let fake = Fake::default();
        let world = fake.0.clone();
        let clock = || Duration::from_micros(34_546_713);
        Self { session: Session::new(fake, Box::new(clock)), world }
    }

    /// A bench on which these commands have been written to `t:one`.
    fn with(texts: &[&str]) -> Self {
        let mut bench = Self::new();
        for text in texts {
            bench.session.write(&event("one"), text.as_bytes()).expect(text);
        }
        bench.world.borrow_mut().calls.clear();
        bench
    }

    /// Writes to `t:NAME`; gives the errno, 0 on success.
    fn write_to(&mut self, name: &str, text: &str) -> i32 {
        let result = self.session.write(&event(name), text.as_bytes());
        result.map_or_else(|error| error.errno(), |()| 0)
    }

    fn write(&mut self, text: &str) -> i32 {
        self.write_to("one", text)
    }

    fn hit(&self, name: &str, times: usize) {
        (0..times).for_each(|_| self.world.borrow_mut().hit(&format!("t:{name}")));
    }

    /// What each block of the event's `hist` file says behind `Hits:`.
    fn hits(&self, name: &str) -> Vec<u64> {
        let text = self.session.read_hist(&event(name)).expect("the fake can be read");
        let text = String::from_utf8(text).expect("UTF-8");
        let numbers = text.lines().filter_map(|line| line.trim().strip_prefix("Hits: "));
        numbers.map(|number| number.parse().expect("a number")).collect()
    }

    fn lines(&self, name: &str) -> String {
        self.session.read_trigger(&event(name)).to_string()
    }

    #[track_caller]
    fn check_calls(&self, expect: &[&str]) {
        assert_eq!(self.world.borrow_mut().take_calls(), expect);
    }

    /// The messages in the log of errors.
    fn messages(&self) -> Vec<String> {
        let log = self.session.error_log().to_string();
        let lines = log.lines().filter_map(|line| line.split_once(": error: "));
        lines.map(|(_, message)| message.to_owned()).collect()
    }

    #[track_caller]
    fn check_log(&mut self, text: &str, errno: i32, expect: &str) {
        self.session.clear_error_log();
        assert_eq!(self.write(text), errno, "{text}");
        assert_eq!(self.session.error_log(), expect, "{text}");
    }
}

#[test]
fn a_plain_write_adds_and_a_second_one_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=a\n"), 0);
    bench.check_calls(&[&format!("attach 1 to t:one into 1 active: {A}")]);
    assert_eq!(bench.write("hist:keys=a"), libc::EEXIST);
    bench.check_calls(&[]);
    assert_eq!(bench.lines("one"), format!("{A} [active]\n"));
    let again = bench.session.write(&event("one"), b"hist:keys=a").unwrap_err();
    assert!(again.to_string().starts_with("error: Hist trigger already exists\n"), "{again}");
}

#[test]
fn pause_adds_a_paused_trigger_or_pauses_the_one_there() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=a:pause"), 0);
    bench.check_calls(&[&format!("attach 1 to t:one into 1 paused: {A}")]);
    assert_eq!(bench.lines("one"), format!("{A} [paused]\n"));
    assert_eq!(bench.write("hist:keys=a:cont"), 0);
    assert_eq!(bench.write("hist:keys=a:pause"), 0);
    assert_eq!(bench.write("hist:keys=a:pause"), 0);
    bench.check_calls(&["resume 1", "pause 1"]);
    assert_eq!(bench.lines("one"), format!("{A} [paused]\n"));
}

#[test]
fn cont_resumes_and_keeps_the_counts() {
    for word in ["cont", "continue"] {
        let mut bench = Bench::with(&["hist:keys=a"]);
        bench.hit("one", 2);
        assert_eq!(bench.write("hist:keys=a:pause"), 0);
        bench.hit("one", 5);
        assert_eq!(bench.write(&format!("hist:keys=a:{word}")), 0);
        bench.hit("one", 1);
        assert_eq!(bench.hits("one"), [3]);
        assert_eq!(bench.write(&format!("hist:keys=a:{word}")), 0);
        bench.check_calls(&["pause 1", "resume 1"]);
    }
}

#[test]
fn clear_empties_and_keeps_the_state() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    bench.hit("one", 2);
    assert_eq!(bench.write("hist:keys=a:pause"), 0);
    assert_eq!(bench.write("hist:keys=a:clear"), 0);
    bench.check_calls(&["pause 1", "clear 1"]);
    assert_eq!(bench.hits("one"), [0]);
    assert_eq!(bench.lines("one"), format!("{A} [paused]\n"));
}

#[test]
fn cont_and_clear_need_a_trigger() {
    for word in ["cont", "continue", "clear", "pause:cont", "clear:pause"] {
        let mut bench = Bench::with(&["hist:keys=b"]);
        assert_eq!(bench.write(&format!("hist:keys=a:{word}")), libc::ENOENT);
        assert_eq!(
            bench.messages(),
            ["Can't clear or continue a nonexistent hist trigger"],
            "{word}"
        );
        bench.check_calls(&[]);
    }
}

#[test]
fn pause_comes_before_cont_and_cont_before_clear() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    assert_eq!(bench.write("hist:keys=a:clear:cont:pause"), 0);
    assert_eq!(bench.write("hist:keys=a:clear:cont"), 0);
    bench.check_calls(&["pause 1", "resume 1"]);
}

#[test]
fn removal_ignores_size_and_state_but_not_the_rest() {
    let added = "hist:keys=a:vals=b:sort=b.descending if c==1";
    for (text, is_removed) in [
        ("!hist:keys=a:vals=b:sort=b.descending if c==1", true),
        ("!hist:keys=a:vals=b:sort=b.descending:size=128:pause if c==1", true),
        ("!hist:keys=a:vals=b:sort=b.descending:clear if c==1", true),
        ("!hist:keys=a:vals=b:sort=b.descending", false),
        ("!hist:keys=a:vals=b:sort=b.descending if c == 1", false),
        ("!hist:keys=a:vals=b:sort=b if c==1", false),
        ("!hist:keys=a:vals=b if c==1", false),
        ("!hist:keys=a:vals=c:sort=c.descending if c==1", false),
        ("!hist:keys=a if c==1", false),
        ("!hist:keys=a", false),
    ] {
        let mut bench = Bench::with(&[added]);
        assert_eq!(bench.write(text), 0, "{text}");
        let calls: &[&str] = if is_removed { &["detach 1"] } else { &[] };
        bench.check_calls(calls);
        assert_eq!(bench.lines("one").starts_with('#'), is_removed, "{text}");
        assert_eq!(bench.messages(), [""; 0], "{text}");
    }
}

#[test]
fn a_removal_is_still_parsed() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    assert_eq!(bench.write("!hist:keys=nosuch"), libc::EINVAL);
    assert_eq!(bench.messages(), ["Couldn't find field"]);
    assert_eq!(bench.write("!hist"), libc::EINVAL);
    bench.check_calls(&[]);
}

#[test]
fn what_is_not_compared_makes_no_other_trigger() {
    for (first, second) in [
        ("hist:keys=a", "hist:keys=a:size=256"),
        ("hist:keys=a", "hist:keys=a:vals=hitcount"),
        ("hist:keys=a", "hist:keys=a:sort=hitcount.ascending"),
        ("hist:keys=a.buckets=10", "hist:keys=a.buckets=20"),
        ("hist:keys=a:vals=b+c", "hist:keys=a:vals=b-c"),
        ("hist:keys=a:vals=b+5", "hist:keys=a:vals=c*6"),
        ("hist:keys=a:vals=5", "hist:keys=a:vals=6"),
        // Sizes of keys are those of their slots.
        ("hist:keys=2*b", "hist:keys=common_cpu*2"),
        ("hist:keys=a:vals=b", "hist:keys=a:vals=b:nohitcount"),
        ("hist:keys=common_timestamp:clock=mono", "hist:keys=common_timestamp:clock=boot"),
    ] {
        let mut bench = Bench::with(&[first]);
        assert_eq!(bench.write(second), libc::EEXIST, "{second}");
    }
}

#[test]
fn what_is_compared_makes_another_trigger() {
    for (first, second) in [
        ("hist:keys=a", "hist:keys=b"),
        ("hist:keys=a", "hist:keys=a.hex"),
        ("hist:keys=a", "hist:keys=a,b"),
        ("hist:keys=b,a", "hist:keys=a,b"),
        ("hist:keys=a", "hist:keys=a:vals=b"),
        ("hist:keys=a:vals=b", "hist:keys=a:vals=c"),
        ("hist:keys=a:vals=b", "hist:keys=a:vals=b.hex"),
        ("hist:keys=a", "hist:keys=a:sort=a"),
        ("hist:keys=a", "hist:keys=a:sort=hitcount.descending"),
        ("hist:keys=a:sort=a", "hist:keys=a:sort=a,hitcount"),
        ("hist:keys=a", "hist:keys=a if b==2"),
        ("hist:keys=a if b==2", "hist:keys=a if b == 2"),
        ("hist:keys=a if b==2", "hist:keys=a if  b==2"),
        ("hist:keys=cpu", "hist:keys=common_cpu"),
        ("hist:keys=comm", "hist:keys=common_comm"),
        ("hist:keys=a:vals=b+c", "hist:keys=a:vals=b"),
        ("hist:keys=a:vals=b+c", "hist:keys=a:vals=a+c"),
        ("hist:keys=a:vals=b", "hist:keys=a:vals=b.percent"),
        ("hist:keys=common_timestamp", "hist:keys=common_timestamp.usecs"),
        ("hist:keys=a", "hist:name=foo:keys=a"),
        ("hist:name=foo:keys=a", "hist:keys=a"),
        ("hist:name=foo:keys=a", "hist:name=bar:keys=a"),
    ] {
        let mut bench = Bench::with(&[first]);
        assert_eq!(bench.write(second), 0, "{first} {second}");
        assert_eq!(bench.lines("one").lines().count(), 2, "{first} {second}");
    }
}

#[test]
fn truncation_removes_the_events_triggers_before_the_command_is_parsed() {
    let mut bench = Bench::with(&["hist:keys=a", "hist:keys=b"]);
    assert_eq!(bench.write_to("two", "hist:keys=a"), 0);
    bench.world.borrow_mut().calls.clear();
    bench.session.open_truncate(&event("one"));
    assert_eq!(bench.write("hist:keys=nosuch"), libc::EINVAL);
    bench.check_calls(&["detach 1", "detach 2"]);
    assert_eq!(bench.lines("one"), "# Available triggers:\n# hist\n");
    assert_eq!(bench.lines("two"), format!("{A} [active]\n"));
}

#[test]
fn a_trigger_added_later_leaves_the_counts_alone() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    bench.hit("one", 3);
    assert_eq!(bench.write("hist:keys=b"), 0);
    bench.hit("one", 2);
    assert_eq!(bench.hits("one"), [5, 2]);
    assert_eq!(bench.write("!hist:keys=a"), 0);
    assert_eq!(bench.hits("one"), [2]);
}

#[test]
fn hist_files_have_all_blocks_in_the_order_of_creation() {
    let mut bench = Bench::new();
    assert_eq!(bench.session.read_hist(&event("one")).unwrap(), b"");
    assert_eq!(bench.write("hist:keys=b:pause"), 0);
    assert_eq!(bench.write("hist:keys=a"), 0);
    bench.hit("one", 2);
    let b = A.replace("keys=a", "keys=b");
    let expect = format!(
        "# event histogram\n#\n# trigger info: {b} [paused]\n#\n\n\n\
         Totals:\n    Hits: 0\n    Entries: 0\n    Dropped: 0\n\n\n\
         # event histogram\n#\n# trigger info: {A} [active]\n#\n\n\
         {{ a:          1 }} hitcount:          2\n\n\
         Totals:\n    Hits: 2\n    Entries: 1\n    Dropped: 0\n"
    );
    assert_eq!(bench.session.read_hist(&event("one")).unwrap(), expect.as_bytes());
}

#[test]
fn writes_have_a_least_and_a_greatest_length() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(""), 0);
    assert_eq!(bench.write_to("nosuch", ""), 0);
    let padded = |length| format!("{:<length$}", "hist:keys=a");
    assert_eq!(bench.write(&padded(4096)), libc::EINVAL);
    bench.check_calls(&[]);
    assert_eq!(bench.write(&padded(4095)), 0);
    assert_eq!(bench.write(" \n"), libc::EINVAL);
    assert_eq!(bench.messages(), [""; 0]);
}

#[test]
fn embedded_newlines_are_ordinary_characters() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=a\nhist:keys=b"), 0);
    assert_eq!(bench.lines("one"), A.replace("keys=a", "keys=b") + " [active]\n");
}

/// It was refused as 'not valid UTF-8', but names of tasks may hold any byte.
#[test]
fn bytes_that_are_not_utf8_were_refused() {
    let mut bench = Bench::new();
    let one = event("one");
    bench.session.write(&one, b"hist:keys=a if comm ~ \"*\xff*\"\n").unwrap();
    bench.session.write(&one, b"hist:name=\xe9:keys=b:pause").unwrap();
    let lines =
        b"hist:keys=a:vals=hitcount:sort=hitcount:size=2048 if comm ~ \"*\xff*\" [active]\n\
                  hist:name=\xe9:keys=b:vals=hitcount:sort=hitcount:size=2048 [paused]\n";
    assert_eq!(bench.session.read_trigger(&one), lines);
    let hist = bench.session.read_hist(&one).unwrap();
    let header = b"# trigger info: hist:name=\xe9:keys=b:";
    assert!(hist.windows(header.len()).any(|part| part == header), "{}", hist.escape_ascii());
    // Another byte makes another filter.
    bench.session.write(&one, b"hist:keys=a if comm ~ \"*\xfe*\"").unwrap();
    let error = bench.session.write(&one, b"hist:keys=a if comm ~ \"*\xff*\"").unwrap_err();
    assert_eq!(error.errno(), libc::EEXIST);
}

#[test]
fn the_log_of_errors_changed_bytes_that_are_not_utf8() {
    let mut bench = Bench::new();
    let error = bench.session.write(&event("one"), b"hist:keys=a\xffb,\xe9").unwrap_err();
    assert_eq!(error.errno(), libc::EINVAL);
    let log = b"[   34.546713] hist:t:one: error: Couldn't find field\n  \
                Command: hist:keys=a\xffb,\xe9\n                     ^\n";
    assert_eq!(bench.session.error_log(), log);
}

/// The second entry was always that there is no such field, but the kernel minds a modifier first.
#[test]
fn the_modifier_of_an_unknown_variable_was_not_minded() {
    let mut bench = Bench::new();
    let mut messages = |text: &str| {
        bench.session.clear_error_log();
        assert_eq!(bench.write(text), libc::EINVAL);
        bench.messages()[1].clone()
    };
    assert_eq!(messages("hist:keys=a:vals=$b.hex"), "Couldn't find field");
    assert_eq!(messages("hist:keys=a:vals=$b=onmatch(x.y)"), "Invalid field modifier");
    assert_eq!(messages("hist:keys=a:vals=$b.execname+1"), "Invalid field modifier");
    assert_eq!(messages("hist:keys=a:vals=$b.percent"), "Couldn't find field");
    assert_eq!(messages("hist:keys=$b.percent"), "Invalid field modifier");
}

/// A key behind those that do not fit was reported.
#[test]
fn keys_were_all_read_before_their_size_was_checked() {
    let mut bench = Bench::new();
    bench.check_log("hist:keys=comm,comm,nosuch", libc::EINVAL, "");
    assert_eq!(bench.write("hist:keys=comm,nosuch,comm"), libc::EINVAL);
    assert_eq!(bench.messages(), ["Couldn't find field"]);
}

#[test]
fn an_unknown_event_is_no_file() {
    let mut bench = Bench::new();
    assert_eq!(bench.write_to("nosuch", "hist:keys=a"), libc::ENOENT);
}

const FOO: &str = "hist:name=foo:keys=a:vals=hitcount:sort=hitcount:size=2048";

#[test]
fn triggers_of_one_name_share_a_table() {
    let mut bench = Bench::with(&["hist:keys=a:name=foo"]);
    bench.hit("one", 3);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a"), 0);
    bench.check_calls(&[&format!("attach 2 to t:two into 1 active: {FOO}")]);
    bench.hit("two", 4);
    assert_eq!((bench.hits("one"), bench.hits("two")), (vec![7], vec![7]));
}

#[test]
fn one_name_on_one_event_needs_another_filter() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a if b==1"]);
    assert_eq!(bench.write("hist:name=foo:keys=a if b==1"), libc::EEXIST);
    assert_eq!(bench.write("hist:name=foo:keys=a"), 0);
    assert_eq!(bench.write("hist:name=foo:keys=a"), libc::EEXIST);
    // The fake does not filter: each hit counts twice.
    bench.hit("one", 3);
    assert_eq!(bench.hits("one"), [6, 6]);
    assert_eq!(bench.lines("one"), format!("{FOO} if b==1 [active]\n{FOO} [active]\n"));
}

#[test]
fn a_name_stands_for_one_shape() {
    for text in [
        "hist:name=foo:keys=b",
        "hist:name=foo:keys=a:vals=b",
        "hist:name=foo:keys=a.hex",
        "hist:name=foo:keys=a:sort=a",
        "hist:name=foo:keys=b:pause",
        "hist:name=foo:keys=b:clear",
    ] {
        let mut bench = Bench::with(&["hist:name=foo:keys=a"]);
        for name in ["one", "two"] {
            assert_eq!(bench.write_to(name, text), libc::EINVAL, "{text}");
        }
        bench.check_calls(&[]);
        let message =
            "Named hist trigger doesn't match existing named trigger (includes variables)";
        assert_eq!(bench.messages(), [message; 2], "{text}");
    }
}

#[test]
fn fields_of_another_type_are_another_shape() {
    let mut bench = Bench::with(&["hist:name=foo:keys=c", "hist:name=bar:keys=b"]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=c"), libc::EINVAL);
    assert_eq!(bench.write_to("two", "hist:name=bar:keys=b"), 0);
}

#[test]
fn what_joins_is_shown_and_counted_as_the_first() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a.buckets=10:size=128"]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a.buckets=20:pause if b==1"), 0);
    let line = "hist:name=foo:keys=a.buckets=10:vals=hitcount:sort=hitcount:size=128 if b==1";
    bench.check_calls(&[&format!("attach 2 to t:two into 1 paused: {line}")]);
    assert_eq!(bench.lines("two"), format!("{line} [paused]\n"));
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a.buckets=30:cont if b==1"), 0);
    bench.check_calls(&["resume 2"]);
}

#[test]
fn what_the_table_was_made_of_must_be_there_to_join_it() {
    let mut bench = Bench::with(&["hist:name=foo:keys=b:vals=a+d"]);
    bench.check_calls(&[]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=b:vals=a+a"), libc::EINVAL);
    assert_eq!(
        bench.messages(),
        ["Named hist trigger doesn't match existing named trigger (includes variables)"]
    );
    assert_eq!(bench.write("hist:name=foo:keys=b:vals=a+a if a==1"), 0);
    assert!(bench.lines("one").lines().all(|line| line.contains(":vals=hitcount,a+d:")));
}

#[test]
fn pausing_acts_on_one_event_and_clearing_on_all() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a"]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a"), 0);
    assert_eq!(bench.write("hist:name=foo:keys=a:pause"), 0);
    bench.hit("one", 5);
    bench.hit("two", 2);
    assert_eq!(bench.hits("one"), [2]);
    assert_eq!(bench.lines("one"), format!("{FOO} [paused]\n"));
    assert_eq!(bench.lines("two"), format!("{FOO} [active]\n"));
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a:clear"), 0);
    assert_eq!((bench.hits("one"), bench.hits("two")), (vec![0], vec![0]));
    assert_eq!(bench.lines("one"), format!("{FOO} [paused]\n"));
}

#[test]
fn a_table_outlives_its_first_trigger() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a:size=128"]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a"), 0);
    bench.hit("one", 3);
    assert_eq!(bench.write("!hist:name=foo:keys=a"), 0);
    bench.hit("two", 1);
    assert_eq!(bench.hits("two"), [4]);
    bench.world.borrow_mut().calls.clear();
    // Whoever comes back finds the same table, and its first size.
    assert_eq!(bench.write("hist:name=foo:keys=a"), 0);
    let line = FOO.replace("2048", "128");
    bench.check_calls(&[&format!("attach 3 to t:one into 1 active: {line}")]);
    assert_eq!(bench.write("hist:name=foo:keys=b"), libc::EINVAL);
}

#[test]
fn a_name_is_free_when_its_last_trigger_is_gone() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a"]);
    assert_eq!(bench.write("!hist:name=foo:keys=a"), 0);
    assert_eq!(bench.write("hist:name=foo:keys=b"), 0);
    assert_eq!(bench.hits("one"), [0]);
}

#[test]
fn controls_of_a_name_need_it_on_that_event() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a"]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a:cont"), libc::ENOENT);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a:clear"), libc::ENOENT);
    assert_eq!(bench.write_to("two", "hist:name=nosuch:keys=a:clear"), libc::ENOENT);
    assert_eq!(bench.write_to("two", "!hist:name=foo:keys=a"), 0);
    bench.check_calls(&[]);
    assert_eq!(bench.write_to("two", "hist:name=foo:keys=a:pause"), 0);
    bench.check_calls(&[&format!("attach 2 to t:two into 1 paused: {FOO}")]);
}

#[test]
fn names_may_have_blanks_and_may_not_be_empty() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:name=foo bar:keys=a"), 0);
    assert!(bench.lines("one").starts_with("hist:name=foo bar:keys=a:"));
    assert_eq!(bench.write("hist:name=:keys=a"), libc::EINVAL);
    assert_eq!(bench.messages(), ["Empty assignment"]);
}

#[test]
fn errors_are_logged_with_the_kernels_caret() {
    let mut bench = Bench::new();
    bench.check_log(
        "hist:keys=no3",
        libc::EINVAL,
        "[   34.546713] hist:t:one: error: Couldn't find field\n  \
           Command: hist:keys=no3\n                     ^\n",
    );
    bench.check_log(
        "!hist\tkeys=a:sort=no if b==1\n",
        libc::EINVAL,
        "[   34.546713] hist:t:one: error: Sort field must be a key or a val\n  \
           Command: hist:keys=a:sort=no if b==1\n                            ^\n",
    );
}

#[test]
fn errors_without_a_place_have_the_caret_at_the_start() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    bench.check_log(
        "hist:keys=a",
        libc::EEXIST,
        "[   34.546713] hist:t:one: error: Hist trigger already exists\n  \
           Command: hist:keys=a\n           ^\n",
    );
}

#[test]
fn a_mismatch_points_at_the_name() {
    let mut bench = Bench::with(&["hist:name=foo:keys=a"]);
    bench.check_log(
        "hist:keys=b:name=foo",
        libc::EINVAL,
        "[   34.546713] hist:t:one: error: \
         Named hist trigger doesn't match existing named trigger (includes variables)\n  \
           Command: hist:keys=b:name=foo\n                       ^\n",
    );
}

#[test]
fn filter_errors_are_logged_by_the_filter() {
    let mut bench = Bench::new();
    bench.check_log(
        "hist:keys=a if (b==1",
        libc::ENOENT,
        "[   34.546713] event filter parse error: error: Too many '('\n  \
           Command: (b==1\n           ^\n",
    );
    bench.check_log(
        "hist:keys=a if no==1",
        libc::EINVAL,
        "[   34.546713] event filter parse error: error: Field not found\n  \
           Command: no==1\n              ^\n",
    );
}

#[test]
fn an_unknown_variable_is_logged_twice() {
    let mut bench = Bench::new();
    bench.check_log(
        "hist:keys=a:vals=$nope",
        libc::EINVAL,
        "[   34.546713] hist:t:one: error: Couldn't find variable\n  \
           Command: hist:keys=a:vals=$nope\n                             ^\n\
         [   34.546713] hist:t:one: error: Couldn't find field\n  \
           Command: hist:keys=a:vals=$nope\n                            ^\n",
    );
    bench.check_log(
        "hist:keys=t.one.$nope",
        libc::EINVAL,
        "[   34.546713] hist:t:one: error: Couldn't find variable\n  \
           Command: hist:keys=t.one.$nope\n                            ^\n\
         [   34.546713] hist:t:one: error: Couldn't find field\n  \
           Command: hist:keys=t.one.$nope\n                           ^\n",
    );
}

#[test]
fn bare_errnos_leave_no_entry() {
    let mut bench = Bench::new();
    for text in ["hist:sort=a", "hist:keys=a:size=64", "hist:keys=a::", "nosuch", "hist:keys=a if"]
    {
        bench.check_log(text, libc::EINVAL, "");
    }
}

#[test]
fn a_stack_with_a_modifier_is_no_unknown_field() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=stacktrace.hex"), libc::EOPNOTSUPP);
    assert_eq!(bench.write("hist:keys=a:vals=stacktrace"), libc::EINVAL);
    assert_eq!(bench.messages()[1], "Invalid field modifier");
}

#[test]
fn what_only_we_refuse_is_logged_with_the_reason() {
    let mut bench = Bench::new();
    assert_eq!(bench.write("hist:keys=a:x=b"), libc::EOPNOTSUPP);
    assert!(bench.messages()[0].starts_with("Not supported yet: "), "{:?}", bench.messages());
    bench.session.clear_error_log();
    bench.world.borrow_mut().refuses = true;
    assert_eq!(bench.write("hist:keys=a"), libc::ENOMEM);
    assert!(bench.messages()[0].starts_with("cannot create the map HIST0: "));
    // And nothing has changed.
    assert_eq!(bench.lines("one"), "# Available triggers:\n# hist\n");
    bench.world.borrow_mut().refuses = false;
    assert_eq!(bench.write("hist:keys=a"), 0);
}

#[test]
fn the_log_keeps_the_last_eight() {
    let mut bench = Bench::new();
    for number in 0..10 {
        assert_eq!(bench.write(&format!("hist:keys=no{number}")), libc::EINVAL);
    }
    let log = bench.session.error_log().to_string();
    let commands: Vec<_> = log.lines().filter(|line| line.contains("Command")).collect();
    assert_eq!(commands.len(), 8);
    assert_eq!(commands[0], "  Command: hist:keys=no2");
    assert_eq!(commands[7], "  Command: hist:keys=no9");
    bench.session.clear_error_log();
    assert_eq!(bench.session.error_log(), "");
}

/// Holds a session until all commands are written.
fn start(fake: &Fake, commands: &[(&str, &str)]) -> Result<Session<Fake>, SessionError> {
    let mut session = Session::held(fake.clone(), Box::new(|| Duration::ZERO));
    for (name, text) in commands {
        session.write(&event(name), text.as_bytes())?;
    }
    session.release()?;
    Ok(session)
}

#[test]
fn what_starts_together_is_let_go_at_the_end() {
    let fake = Fake::default();
    let commands = [("one", "hist:keys=a"), ("two", "hist:keys=a:pause"), ("two", "hist:keys=b")];
    let session = start(&fake, &commands).expect("all are right");
    let calls = fake.0.borrow_mut().take_calls();
    let words: Vec<_> = calls.iter().map(|call| call.split(':').next().unwrap()).collect();
    assert_eq!(words, ["attach 1 to t", "attach 2 to t", "attach 3 to t", "resume 1", "resume 3"]);
    assert!(calls[..3].iter().all(|call| call.contains(" paused: ")), "{calls:?}");
    assert_eq!(session.read_trigger(&event("one")), format!("{A} [active]\n"));
    assert!(session.read_trigger(&event("two")).to_string().contains(&format!("{A} [paused]\n")));
}

#[test]
fn what_starts_together_fails_together() {
    let fake = Fake::default();
    let commands = [("one", "hist:keys=a"), ("two", "hist:keys=a"), ("one", "hist:keys=a")];
    let error = start(&fake, &commands).err().expect("the last one is there already");
    assert_eq!(error.errno(), libc::EEXIST);
    let calls = fake.0.borrow_mut().take_calls();
    assert_eq!(calls.len(), 4);
    assert!(calls[2].starts_with("detach") && calls[3].starts_with("detach"), "{calls:?}");
}

#[test]
fn commands_that_start_together_see_each_other() {
    let fake = Fake::default();
    let commands = [("one", "hist:keys=a"), ("one", "hist:keys=a:pause"), ("two", "hist:keys=b")];
    let session = start(&fake, &commands).expect("pausing is no second trigger");
    assert_eq!(session.triggers().len(), 2);
    assert_eq!(fake.0.borrow_mut().take_calls()[2..], ["resume 2"]);
}

/// It was taken for what a table that nobody cleared has more than before.
#[test]
fn live_rates_after_clearing_are_about_all_that_has_come_since() {
    let mut bench = Bench::with(&["hist:keys=a:name=both", "hist:keys=b"]);
    assert_eq!(bench.write_to("two", "hist:keys=a:name=both"), 0);
    let mut reader = Reader::new(Charset::Ascii);
    let more = |bench: &Bench, reader: &mut Reader| -> Vec<u64> {
        let sheets = reader.sheets(&bench.session).expect("the fake can be read");
        sheets.iter().map(|sheet| sheet.more.hits).collect()
    };
    bench.hit("one", 3);
    assert_eq!(more(&bench, &mut reader), [0, 0, 0], "nothing is known of the time before");
    let notice = reader.apply(&mut bench.session, Change::Clear(2));
    assert_eq!(notice.as_deref(), Some("cleared"));
    bench.hit("one", 5);
    assert_eq!(more(&bench, &mut reader), [5, 5, 5]);
}

/// It counted nothing and was shown as if it did, so that nobody could let it go on.
#[test]
fn what_is_not_attached_again_after_clearing_is_shown_as_paused() {
    let mut bench = Bench::with(&["hist:keys=a"]);
    bench.world.borrow_mut().breaks = true;
    let mut reader = Reader::new(Charset::Ascii);
    let notice = reader.apply(&mut bench.session, Change::Clear(0)).expect("an error");
    assert!(notice.starts_with("it is cleared, and paused from now on: "), "{notice}");
    assert_eq!(bench.lines("one"), format!("{A} [paused]\n"));
    let notice = reader.apply(&mut bench.session, Change::Pause(0, false));
    assert_eq!(notice.as_deref(), Some("counting again"));
    bench.hit("one", 2);
    assert_eq!(bench.hits("one"), [2]);
}

#[test]
fn what_counts_in_spite_of_an_error_is_shown_as_active() {
    let mut bench = Bench::with(&["hist:keys=a:pause"]);
    bench.world.borrow_mut().complains = true;
    assert_eq!(bench.write("hist:keys=a:cont"), libc::ENOMEM);
    assert_eq!(bench.lines("one"), format!("{A} [active]\n"));
}
