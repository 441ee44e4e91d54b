//! The table against itself, the documentation and the names in exports.

use proptest::prelude::*;

use super::*;

/// Every way in which a key, or a value, can be shown.
fn shows(role: Role) -> Vec<Show> {
    let plain = Show::PLAIN.iter().filter(|(.., roles)| roles.contains(&role));
    let modified = TABLE.iter().filter_map(|row| row.example().show(role));
    plain.map(|(show, ..)| *show).chain(modified).collect()
}

fn names(role: Role) -> Vec<&'static str> {
    shows(role).into_iter().map(Show::name).collect()
}

/// What they are byte for byte is in golden files.
#[test]
fn messages_name_every_modifier_that_is_taken() {
    for row in &TABLE {
        for role in [Role::Key, Role::Value] {
            let is_listed = match row.suits {
                Suits::SyntheticStacks => false,
                Suits::Only(_) => role == Role::Key,
                _ => row.taken(role) != Taken::No,
            };
            let help = help(role);
            let mut words = help.split([' ', ',']);
            assert_eq!(words.any(|word| word == row.usage()), is_listed, "{help}: {}", row.word);
        }
    }
    assert_eq!(operand_help(), "an operand takes .log2, .buckets=N, or .usecs");
    assert_eq!(value_only_help(), "`.percent` and `.graph` are for values");
}

/// The parser tries one row after the other.
#[test]
fn no_word_is_taken_for_another() {
    for row in &TABLE {
        let stem = match row.argument {
            Argument::None => continue,
            Argument::Ignored => row.word,
            Argument::Width { stem } => stem,
        };
        assert!(row.word.starts_with(stem), "{row:?}");
        let mut others = TABLE.iter().filter(|other| other.word != row.word);
        assert!(others.all(|other| !other.word.starts_with(stem)), "{row:?}");
    }
    let mut words: Vec<_> = TABLE.iter().map(|row| row.word).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), TABLE.len());
}

/// One that nothing takes, or that is taken for showing and says not how, is of no use.
#[test]
fn every_row_does_something() {
    for row in &TABLE {
        let roles = [Role::Key, Role::Value];
        assert!(roles.iter().any(|role| row.has_effect(*role)), "{row:?}");
        assert!(!row.says.is_empty(), "{row:?}");
        for role in roles {
            let is_shown = row.taken(role) == Taken::Shown;
            assert_eq!(row.example().show(role).is_some(), is_shown, "{row:?}");
        }
        assert_eq!(row.says.contains("of N"), matches!(row.argument, Argument::Width { .. }));
    }
}

/// Documents that were written once are read for ever.
#[test]
fn exports_keep_the_names_of_what_they_show() {
    let names = |role| {
        let mut names = names(role);
        names.sort_unstable();
        names
    };
    let keys = "buckets decimal execname hex log2 stacktrace string sym sym-offset syscall";
    for name in keys.split(' ') {
        assert!(names(Role::Key).contains(&name), "{name}");
    }
    for name in ["decimal", "graph", "hex", "percent"] {
        assert!(names(Role::Value).contains(&name), "{name}");
    }
    for role in [Role::Key, Role::Value] {
        for show in shows(role) {
            let width = match show {
                Show::Bucket(BucketWidth::Fixed(width)) => Some(width),
                _ => None,
            };
            assert_eq!(Show::named(show.name(), width, role), Ok(show));
        }
    }
    assert_eq!(Show::named("buckets", None, Role::Key), Err(NameError::NoWidth));
    assert_eq!(Show::named("buckets", Some(0), Role::Key), Err(NameError::NoWidth));
    for (name, role) in [
        ("percent", Role::Key),
        ("usecs", Role::Key),
        ("", Role::Key),
        ("string", Role::Value),
        ("execname", Role::Value),
        ("buckets", Role::Value),
    ] {
        for width in [None, Some(7)] {
            assert_eq!(Show::named(name, width, role), Err(NameError::Unknown), "{name}");
        }
    }
}

#[test]
fn the_schema_of_documents_lists_what_is_shown() {
    let schema = include_str!("../../../docs/snapshot.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).expect("JSON");
    for (part, role) in [("keys", Role::Key), ("values", Role::Value)] {
        let listed = &schema["properties"][part]["items"]["properties"]["show"]["enum"];
        let mut listed: Vec<_> =
            listed.as_array().expect(part).iter().filter_map(|name| name.as_str()).collect();
        let mut names = names(role);
        listed.sort_unstable();
        names.sort_unstable();
        assert_eq!(listed, names, "docs/snapshot.schema.json, {part}");
    }
}

fn documented(row: &Row) -> String {
    let taken = |role| match (row.taken(role), row.has_effect(role)) {
        (Taken::No, _) => "no",
        (Taken::Plainly | Taken::Shown, true) => "yes",
        (Taken::Plainly | Taken::Shown, false) => "without effect",
    };
    let suits = match row.suits {
        Suits::Anything => "anything".to_owned(),
        Suits::Numbers => "numbers".to_owned(),
        Suits::Addresses => "addresses".to_owned(),
        Suits::SystemCalls => "numbers of system calls".to_owned(),
        Suits::Time => "`common_timestamp`".to_owned(),
        Suits::Only(name) => format!("`{name}` alone"),
        Suits::SyntheticStacks => "stacks in synthetic events, not counted yet".to_owned(),
    };
    let origin = match row.origin {
        Origin::Kernel { since: None } => "ftrace".to_owned(),
        Origin::Kernel { since: Some((major, minor)) } => format!("ftrace, Linux {major}.{minor}"),
        Origin::Ours => "hist-bpf alone".to_owned(),
    };
    let (keys, values) = (taken(Role::Key), taken(Role::Value));
    format!("| `{}` | {keys} | {values} | {suits} | {} | {origin} |\n", row.usage(), row.says)
}

#[test]
fn the_documentation_has_the_table() {
    let table: String = TABLE.iter().map(documented).collect();
    let page = include_str!("../../../docs/modifiers.md");
    let written = page.lines().filter(|line| line.starts_with("| `."));
    let written: String = written.map(|line| format!("{line}\n")).collect();
    assert_eq!(written, table, "docs/modifiers.md must have these rows:\n{table}");
}

fn any_row() -> impl Strategy<Value = &'static Row> {
    prop::sample::select(TABLE.iter().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn digits_are_those_of_their_radix(row in any_row(), number in any::<u64>()) {
        if let Some(Show::Digits(digits)) = row.show {
            prop_assert_eq!(u64::from_str_radix(&digits.text(number), digits.radix()), Ok(number));
            let mut key = String::new();
            Show::Digits(digits).write_number(&mut key, number).expect("a String");
            prop_assert_eq!(key.trim(), digits.text(number));
        }
    }

    #[test]
    fn only_rows_that_take_an_argument_keep_it(row in any_row(), argument in 1..=u64::MAX) {
        let modifier = Modifier::new(row, argument);
        let has_argument = matches!(row.argument, Argument::Width { .. });
        prop_assert_eq!(modifier.to_string().contains(&argument.to_string()), has_argument);
        let width = modifier.buckets().filter(|width| *width != BucketWidth::Log2);
        prop_assert_eq!(width, has_argument.then_some(BucketWidth::Fixed(argument)));
    }
}
