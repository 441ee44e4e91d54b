//! Presses keys on made-up tables, and checks the state and whole screens.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, CellWidth as _};
use ratatui::style::{Color, Modifier};

use super::text::Charset;
use super::*;
use crate::kernel::symbols::Symbols;
use crate::modifier::{BucketWidth, Digits, Share};
use crate::resolve::hist::{Sort, SortBy};
use crate::snapshot::{IntType, KeyOrder, Losses, Row, Show, Snapshot};

const KALLSYMS: &str = "\
1000 T _stext
1100 t inner
1200 t middle
1300 t outer
2000 T _etext
";

const PLAIN: Look = Look { color: false, charset: Charset::Utf8 };
const ASCII: Look = Look { color: false, charset: Charset::Ascii };

fn snapshot() -> Snapshot {
    Snapshot::named("hist:keys=k [active]").sorted_by(SortBy::Hitcount, false)
}

/// A table of names, hitcounts and bytes.
fn named(rows: &[(&[u8], u64, u64)]) -> Snapshot {
    let rows = rows.iter().map(|&(name, hitcount, bytes)| {
        let mut key = name.to_vec();
        key.resize(16, 0);
        Row::new(&key, hitcount, &[bytes])
    });
    let named = snapshot().with_key("name", 16, Show::Text, KeyOrder::Text);
    named.with_value("bytes", Show::DECIMAL, IntType::U64).with_rows(rows)
}

fn symbols() -> Symbols {
    Symbols::from_kallsyms(KALLSYMS)
}

fn table(snapshot: &Snapshot, before: Option<(&Snapshot, Duration)>) -> Sheet {
    Sheet::new("sys:event".into(), false, snapshot, before, (&symbols(), Charset::Utf8))
}

fn state(tables: Vec<Sheet>, size: (u16, u16)) -> State {
    let mut state = State::default();
    state.resize(size);
    state.refresh(tables);
    state
}

fn press(state: &mut State, code: KeyCode) -> Option<Action> {
    state.press(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(state: &mut State, text: &str) {
    for c in text.chars() {
        press(state, KeyCode::Char(c));
    }
}

fn buffer(state: &State, look: Look) -> Buffer {
    let backend = TestBackend::new(state.size.0, state.size.1);
    let mut terminal = Terminal::new(backend).expect("memory");
    terminal.draw(|frame| draw(state, look, frame.buffer_mut())).expect("memory");
    terminal.backend().buffer().clone()
}

/// The lines of the screen, without blanks at their ends.
fn lines(state: &State, look: Look) -> Vec<String> {
    let buffer = buffer(state, look);
    let line = |y: u16| {
        let (mut x, mut line) = (0, String::new());
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            line.push_str(cell.symbol());
            x += cell.cell_width().max(1);
        }
        line.trim_end().to_owned()
    };
    (0..buffer.area.height).map(line).collect()
}

#[track_caller]
fn check(state: &State, look: Look, want: &str) {
    let got = lines(state, look).join("\n");
    let want: Vec<_> = want.lines().map(str::trim_end).collect();
    assert_eq!(got, want.join("\n"), "\n{got}\n");
}

/// The first words of the rows on the screen.
fn names(state: &State) -> Vec<String> {
    let tab = state.tab().expect("tables");
    tab.visible(state.page()).map(|row| row.keys[0].text.clone()).collect()
}

fn three() -> Snapshot {
    named(&[(b"beta", 10, 7), (b"alpha", 40, 1), (b"Gamma", 20, 300)])
}

#[test]
fn a_whole_screen() {
    let before = named(&[(b"beta", 10, 7), (b"alpha", 20, 1)]);
    let mut now = three();
    now.losses = Losses { full: 5, busy: 0, missed: 2 };
    let first = table(&now, Some((&before, Duration::from_secs(2))));
    let mut second = table(&three(), None);
    second.paused = true;
    let state = state(vec![first, second], (80, 9));
    check(
        &state,
        PLAIN,
        "\
hist-bpf  1 sys:event !  2 sys:event (paused)
hist:keys=k [active]
LOST 7 (5 table full, 2 missed)  Hits 70  20.0/s  Entries 3
name    hitcount ▼    bytes    hitcount/s  hitcount
alpha           40        1          10.0  █████████████████████████████████████
Gamma           20      300          10.0  ██████████████████▌
beta            10        7           0.0  █████████▎

?:help q:quit p:pause c:clear /:filter r:reverse Arrows:sort,select Enter:detail",
    );
}

#[test]
fn a_narrow_screen_keeps_the_key_and_the_sorted_column() {
    let mut state = state(vec![table(&three(), None)], (40, 8));
    type_in(&mut state, "3");
    check(
        &state,
        ASCII,
        "\
hist-bpf  1 sys:event
hist:keys=k [active]
Hits 70  bytes 308  -/s  Entries 3
name      hitcount  bytes v      bytes/s
Gamma           20      300            -
beta            10        7            -
alpha           40        1            -
?:help q:quit p:pause c:clear /:filter r",
    );
    let mut wide = three();
    wide.values[0].label = "a_value_with_a_name_of_some_length".into();
    wide = wide.with_number("second", Show::DECIMAL);
    let mut state = self::state(vec![table(&wide, None)], (40, 8));
    press(&mut state, KeyCode::Char('4'));
    let head = lines(&state, ASCII)[3].clone();
    assert_eq!(head, "name    second    a_value_with_a_na~ v");
}

#[test]
fn too_small_a_screen_says_so_and_recovers() {
    let mut state = state(vec![table(&three(), None)], (39, 8));
    let before = lines(&state, PLAIN);
    assert_eq!(before[..2], ["terminal too small:", "39x8, needs 40x8"]);
    assert!(state.is_too_small());
    state.resize((1, 1));
    lines(&state, PLAIN);
    state.resize((40, 8));
    assert!(!state.is_too_small());
    assert_eq!(names(&state), ["alpha", "Gamma", "beta"]);
}

#[test]
fn losses_are_red_and_a_word() {
    let mut now = three();
    now.losses.busy = 1;
    let state = state(vec![table(&now, None)], (80, 10));
    let colored = buffer(&state, Look { color: true, ..PLAIN });
    assert_eq!(colored[(0, 2)].symbol(), "L");
    assert_eq!(colored[(0, 2)].fg, Color::Red);
    let plain = buffer(&state, PLAIN);
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(lines(&state, PLAIN)[2].starts_with("LOST 1 (1 map busy)"));
    // The selected row is seen without colours.
    assert!(plain[(0, 4)].modifier.contains(Modifier::REVERSED));
}

#[test]
fn names_of_tasks_do_not_reach_the_terminal_as_they_are() {
    let rows: [(&[u8], u64, u64); 3] =
        [(b"\x1b[2Jevil\n", 3, 0), (b"\xff\xfe", 2, 0), ("漢字\u{202e}x".as_bytes(), 1, 0)];
    let state = state(vec![table(&named(&rows), None)], (60, 9));
    let rows: Vec<_> = lines(&state, PLAIN)[4..7].iter().map(|l| l[..24].to_owned()).collect();
    assert!(rows[0].starts_with("\\x1b[2Jevil\\x0a  "), "{rows:?}");
    assert!(rows[1].starts_with("\\xff\\xfe  "), "{rows:?}");
    assert!(rows[2].starts_with("漢字\\u{202e}x  "), "{rows:?}");
}

#[test]
fn columns_sort_both_ways_and_rates_follow_the_number() {
    let mut state = state(vec![table(&three(), None)], (80, 20));
    assert_eq!(names(&state), ["alpha", "Gamma", "beta"]);
    press(&mut state, KeyCode::Char('r'));
    assert_eq!(names(&state), ["beta", "Gamma", "alpha"]);
    press(&mut state, KeyCode::Right);
    assert_eq!(names(&state), ["Gamma", "beta", "alpha"]);
    assert_eq!(state.tabs[0].measure, Measure::Value(0));
    press(&mut state, KeyCode::Right);
    assert_eq!((state.tabs[0].sort, state.tabs[0].measure), (Column::Rate, Measure::Value(0)));
    // There is nothing further to the right, and nothing changes.
    press(&mut state, KeyCode::Right);
    assert_eq!((state.tabs[0].sort, state.tabs[0].descending), (Column::Rate, true));
    press(&mut state, KeyCode::Char('1'));
    assert_eq!(names(&state), ["Gamma", "alpha", "beta"]);
    press(&mut state, KeyCode::Char('9'));
    assert_eq!(state.tabs[0].sort, Column::Key(0));
    let mut now = three();
    now.rows[0].counts.values[0] += 50;
    let newer = table(&now, Some((&three(), Duration::from_millis(500))));
    state.refresh(vec![newer]);
    press(&mut state, KeyCode::Char('4'));
    assert_eq!(names(&state)[0], "beta");
    let tab = state.tab().expect("tables");
    assert_eq!(tab.sheet.cell(&tab.sheet.rows[0], Column::Rate, tab.measure), "100.0");
    assert_eq!(tab.sheet.total_rate(tab.measure), Some(100.0));
}

#[test]
fn numbers_sort_as_numbers_with_their_sign() {
    let rows = [5_i64, -3, 40].map(|key| Row::of_words(&[key.cast_unsigned()], 1, &[]));
    let returned = snapshot().with_number("ret", Show::Digits(Digits::Hex)).with_rows(rows);
    let mut state = state(vec![table(&returned, None)], (80, 20));
    press(&mut state, KeyCode::Left);
    assert_eq!(names(&state), ["fffffffffffffffd", "5", "28"]);
}

#[test]
fn the_triggers_own_order_is_the_first() {
    let check = |by, descending, want: (Column, bool)| {
        let mut snapshot = three();
        snapshot.sort = vec![Sort { by, descending }];
        assert_eq!(table(&snapshot, None).sort, want);
    };
    check(SortBy::Value(0), false, (Column::Value(0), true));
    check(SortBy::Key(0), false, (Column::Key(0), false));
    check(SortBy::Key(0), true, (Column::Key(0), true));
    // A value that is only sorted by is not shown.
    let mut hidden = three();
    hidden.values[0].hidden = true;
    hidden.sort = vec![Sort { by: SortBy::Value(0), descending: false }];
    let table = table(&hidden, None);
    assert_eq!((table.sort, table.values.len()), ((Column::Hits, true), 0));
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut state = state(vec![table(&three(), None)], (80, 20));
    type_in(&mut state, "/GA");
    assert_eq!(names(&state), [""; 0], "capitals match themselves");
    assert!(lines(&state, PLAIN)[4].starts_with("none of 3 rows has `GA`"));
    press(&mut state, KeyCode::Backspace);
    press(&mut state, KeyCode::Backspace);
    type_in(&mut state, "ga");
    assert_eq!(names(&state), ["Gamma"]);
    assert_eq!(lines(&state, PLAIN)[19], "/ga_");
    // A letter that is a key elsewhere.
    type_in(&mut state, "q");
    press(&mut state, KeyCode::Backspace);
    press(&mut state, KeyCode::Enter);
    assert_eq!((names(&state), &state.mode), (vec!["Gamma".to_owned()], &Mode::Table));
    assert!(lines(&state, PLAIN)[2].ends_with("Entries 1 of 3"));
    state.refresh(vec![table(&named(&[(b"delta", 1, 1), (b"gAm", 1, 1)]), None)]);
    assert_eq!(names(&state), ["gAm"]);
    press(&mut state, KeyCode::Esc);
    assert_eq!(names(&state).len(), 2);
    type_in(&mut state, "/x");
    press(&mut state, KeyCode::Esc);
    assert_eq!((names(&state).len(), &state.mode), (2, &Mode::Table));
}

#[test]
fn a_stack_is_one_line_and_its_frames_are_details() {
    let row = Row::of_words(&[0x1110, 0x1208, 0x1300, 0], 4, &[]);
    let stacks = snapshot().with_key("common_stacktrace", 32, Show::Stack, KeyOrder::Signed(8));
    let mut state = state(vec![table(&stacks.with_rows([row]), None)], (60, 8));
    assert!(lines(&state, PLAIN)[4].starts_with("inner < middle < outer"));
    press(&mut state, KeyCode::Enter);
    check(
        &state,
        PLAIN,
        "\
hist-bpf  1 sys:event
hist:keys=k [active]
Hits 4  -/s  Entries 1
Details of one row, lines 1 to 3 of 6
common_stacktrace:
  inner+0x10/0x100
  middle+0x8/0x100
Esc back  Up Down PgUp PgDn  q quit",
    );
    press(&mut state, KeyCode::End);
    assert_eq!(lines(&state, PLAIN)[6], "hitcount/s: -");
    // Cleared meanwhile.
    state.refresh(vec![table(&snapshot(), None)]);
    assert_eq!(lines(&state, PLAIN)[4], "This row has been cleared.");
    press(&mut state, KeyCode::Esc);
    assert_eq!(lines(&state, PLAIN)[4], "nothing counted yet");
    assert_eq!(press(&mut state, KeyCode::Enter), None);
    assert_eq!(state.mode, Mode::Table);
}

/// It was cut off at the side of the screen, in its details too.
#[test]
fn a_long_key_is_whole_in_its_details() {
    let mut now = named(&[(b"", 1, 1)]);
    now.keys[0].size = 200;
    now.rows[0].key = vec![b'z'; 200].into();
    let mut state = state(vec![table(&now, None)], (60, 12));
    press(&mut state, KeyCode::Enter);
    let body = lines(&state, PLAIN)[4..11].concat();
    assert_eq!(body.matches('z').count(), 200, "{body}");
}

#[test]
fn a_filter_with_a_quote_is_told_as_it_was_typed() {
    let mut state = state(vec![table(&three(), None)], (80, 20));
    type_in(&mut state, "/ö\"");
    assert!(lines(&state, PLAIN)[4].starts_with("none of 3 rows has `ö\"` in a key"));
}

#[test]
fn keys_ask_for_what_the_state_cannot_do() {
    let mut state = state(vec![table(&three(), None); 3], (80, 20));
    assert_eq!(press(&mut state, KeyCode::Char('p')), Some(Action::Pause(true)));
    state.tabs[0].sheet.paused = true;
    assert_eq!(press(&mut state, KeyCode::Char('p')), Some(Action::Pause(false)));
    assert_eq!(press(&mut state, KeyCode::Char('c')), Some(Action::Clear));
    assert_eq!(press(&mut state, KeyCode::Char('q')), Some(Action::Quit));
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    type_in(&mut state, "/");
    assert_eq!(state.press(control('c')), Some(Action::Quit));
    assert_eq!(state.press(control('z')), Some(Action::Suspend));
    assert_eq!(press(&mut state, KeyCode::Char('q')), None);
    press(&mut state, KeyCode::Esc);
    for want in [1, 2, 0] {
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.current, want);
    }
    press(&mut state, KeyCode::BackTab);
    assert_eq!(state.current, 2);
    press(&mut state, KeyCode::Char('?'));
    assert!(lines(&state, PLAIN)[3].starts_with("Keys, lines 1 to 15 of"));
    assert_eq!(press(&mut state, KeyCode::Char('p')), None, "only keys of the pane");
}

#[test]
fn nothing_can_go_wrong_before_the_first_table() {
    let mut state = state(vec![], (80, 20));
    for code in ["pc/?1rjk", "\t"].concat().chars().map(KeyCode::Char) {
        assert_eq!(press(&mut state, code), None);
    }
    press(&mut state, KeyCode::Tab);
    press(&mut state, KeyCode::Enter);
    lines(&state, PLAIN);
}

#[test]
fn the_current_trigger_is_named_where_not_all_are() {
    let mut state = state(vec![table(&three(), None); 12], (60, 9));
    press(&mut state, KeyCode::BackTab);
    let line = lines(&state, PLAIN)[0].clone();
    assert!(line.contains("12 sys:event") && !line.contains(" 1 sys:event"), "{line}");
}

#[test]
fn of_many_rows_only_the_visible_ones_are_looked_at() {
    let rows = (0..5000_u64).map(|n| Row::of_words(&[n], n, &[]));
    let numbers = snapshot().with_number("n", Show::DECIMAL).with_rows(rows);
    let mut state = state(vec![table(&numbers, None)], (80, 25));
    assert_eq!(names(&state).len(), 20);
    press(&mut state, KeyCode::PageDown);
    assert_eq!((state.tabs[0].selected, state.tabs[0].top), (20, 1));
    press(&mut state, KeyCode::End);
    assert_eq!((state.tabs[0].selected, state.tabs[0].top), (4999, 4980));
    state.resize((80, 45));
    assert_eq!(state.tabs[0].top, 4960, "no line is left empty");
    press(&mut state, KeyCode::Home);
    assert_eq!((state.tabs[0].selected, state.tabs[0].top), (0, 0));
}

/// What can happen to a state.
#[derive(Clone, Debug)]
enum Step {
    Press(KeyCode, bool),
    Resize(u16, u16),
    Refresh(Vec<(u8, u64, u64)>, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop_oneof![
        proptest::char::any().prop_map(KeyCode::Char),
        "[0-9a-z/?]".prop_map(|text| KeyCode::Char(text.chars().next().unwrap_or('q'))),
        prop::sample::select(vec![
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Backspace,
            KeyCode::Delete,
            KeyCode::F(5),
        ]),
    ];
    let rows = prop::collection::vec((any::<u8>(), any::<u64>(), any::<u64>()), 0..40);
    prop_oneof![
        8 => (code, prop::bool::weighted(0.1)).prop_map(|(code, control)| Step::Press(code, control)),
        1 => (0_u16..200, 0_u16..60).prop_map(|(width, height)| Step::Resize(width, height)),
        2 => (rows, 0_usize..4).prop_map(|(rows, n_tabs)| Step::Refresh(rows, n_tabs)),
    ]
}

fn take(state: &mut State, step: Step) {
    match step {
        Step::Press(code, control) => {
            let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            state.press(KeyEvent::new(code, modifiers));
        }
        Step::Resize(width, height) => state.resize((width, height)),
        Step::Refresh(rows, n_tabs) => {
            let names: Vec<_> = rows.iter().map(|row| [row.0, row.0 / 2]).collect();
            let rows: Vec<_> =
                names.iter().zip(&rows).map(|(name, row)| (&name[..], row.1, row.2)).collect();
            let table = table(&named(&rows), Some((&three(), Duration::from_millis(7))));
            state.refresh(vec![table; n_tabs]);
        }
    }
}

/// They were 18446744073709551526, and on top.
#[test]
fn negative_sums_and_keys_had_no_sign() {
    let minus = |number: i64| number.cast_unsigned();
    let row = |key: i64, sum: i64| Row::of_words(&[minus(key)], 10, &[minus(sum)]);
    let one = Snapshot::named("hist:keys=k [active]").sorted_by(SortBy::Value(0), true);
    let one = one.with_number("k", Show::Bucket(BucketWidth::Fixed(1000)));
    let one = one.with_value("ret", Show::DECIMAL, IntType::S64);
    let mut one = one.with_rows([row(-616, -90), row(0, 45), row(1000, 0)]);
    let mut state = state(vec![table(&one, None)], (80, 10));
    let shown = lines(&state, PLAIN);
    assert!(shown[2].contains("ret -45"), "{shown:#?}");
    let row = |line: &str| {
        line.split("  ")
            .filter(|part| !part.is_empty())
            .take(3)
            .map(|part| part.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(row(&shown[4]), ["~ 0-999", "10", "45"]);
    assert_eq!(row(&shown[6]), ["~ -616..-1", "10", "-90"]);
    // A bar is as long as the number is far from 0.
    assert!(shown[6].ends_with('█') && !shown[5].contains('█'), "{shown:#?}");
    // Keys go by their number, too.
    press(&mut state, KeyCode::Char('1'));
    assert_eq!(row(&lines(&state, PLAIN)[4])[0], "~ -616..-1");
    // Of a whole that is negative itself.
    one.values[0].show = Show::Share(Share::Percent);
    let table = table(&one, None);
    let texts: Vec<_> =
        table.rows.iter().map(|row| table.cell(row, Column::Value(0), Measure::Hits)).collect();
    assert_eq!(texts, ["200.00%", "-100.00%", "0.00%"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Only the ends of a column are measured.
    #[test]
    fn a_column_of_numbers_with_a_sign_is_as_wide_as_its_widest_cell(
        sums in prop::collection::vec(prop_oneof![any::<i64>(), -1000..1000_i64], 1..9),
        show in prop::sample::select(vec![Show::DECIMAL, Show::Digits(Digits::Hex), Show::Share(Share::Percent)]),
    ) {
        let rows: Vec<_> = sums.iter().map(|sum| (&b"a"[..], 1, sum.cast_unsigned())).collect();
        let mut snapshot = named(&rows);
        // Shorter than any cell.
        snapshot.values.clear();
        snapshot = snapshot.with_value("", show, IntType::S64);
        let table = table(&snapshot, None);
        let cell = |row: &_| table.cell(row, Column::Value(0), Measure::Hits).len();
        let widest = table.rows.iter().map(cell).max().expect("rows");
        let column = table.columns.iter().find(|column| column.column == Column::Value(0));
        prop_assert_eq!(column.expect("it is shown").width, widest.max(2));
    }

    #[test]
    fn no_keys_lead_astray(steps in prop::collection::vec(step(), 0..50), utf8 in any::<bool>()) {
        let mut state = state(vec![table(&three(), None)], (80, 24));
        for step in steps {
            take(&mut state, step);
            if let Some(tab) = state.tab() {
                let len = tab.shown.len();
                prop_assert!(tab.selected < len.max(1));
                prop_assert!(tab.top <= tab.selected && tab.selected < tab.top + state.page());
                prop_assert!(tab.shown.iter().all(|&row| row < tab.sheet.rows.len()));
                prop_assert_eq!(tab.selected_row().is_some(), len > 0);
            }
            let buffer = buffer(&state, if utf8 { PLAIN } else { ASCII });
            let mut text = buffer.content().iter().flat_map(|cell| cell.symbol().chars());
            prop_assert!(text.all(|c| !c.is_control()));
        }
    }
}
