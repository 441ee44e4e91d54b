//! Finds what the current word of a half-written command line may become: flags and their values
//! from the same definitions that parse them, events and fields from tracefs.

use clap::builder::PossibleValue;
use clap::{Arg, Command};

use crate::discover::complete::{self, Candidate};
use crate::discover::line::Line;
use crate::discover::list::list;
use crate::kernel::EventName;
use crate::kernel::format::EventFormat;
use crate::kernel::tracefs::{Tracefs, mounted_root};

/// What is known of the kernel. What cannot be read is left out: a shell has no place for errors.
pub(super) struct Known {
    tracefs: Option<Tracefs>,
}

impl Known {
    pub(super) fn of_this_kernel() -> Self {
        Self { tracefs: mounted_root().map(Tracefs::at) }
    }

    fn format(&self, name: &str) -> Option<EventFormat> {
        self.tracefs.as_ref()?.event(&name.parse().ok()?).ok()
    }

    /// Those that can be counted.
    fn events(&self) -> Vec<EventName> {
        let listed = self.tracefs.as_ref().and_then(|tracefs| list(tracefs, None).ok());
        let countable = listed.into_iter().flatten().filter(|event| event.refusal.is_none());
        countable.map(|listed| listed.event).collect()
    }
}

/// What the current word may become; nothing if it may be a file or a command.
pub(super) fn candidates(line: &Line, root: &Command, known: &Known) -> Vec<Candidate> {
    let words = line.before.get(1..).unwrap_or_default();
    let sub = words.first().and_then(|first| root.find_subcommand(first));
    let (command, words) = match sub {
        Some(command) => (command, &words[1..]),
        None => (root, words),
    };
    let place = Place::of(command, words);
    let found = match place {
        Place::Elsewhere => Vec::new(),
        Place::Value(arg) => values(arg, "", &line.current),
        Place::Next(_) if line.current.starts_with('-') => options(command, &line.current),
        Place::Next(positionals) => {
            let mut found = positional(command, &positionals, line, known);
            if line.before.len() == 1 {
                found.extend(subcommands(root));
            }
            found
        }
    };
    found.into_iter().filter(|one| one.word.starts_with(&line.current)).collect()
}

/// Where the current word stands.
enum Place<'a> {
    /// Behind `--`.
    Elsewhere,
    /// It is the value of the option before it.
    Value(&'a Arg),
    /// It is an option, or the next word after these.
    Next(Vec<&'a str>),
}

impl<'a> Place<'a> {
    fn of(command: &'a Command, words: &'a [String]) -> Self {
        let mut positionals = Vec::new();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if word == "--" {
                return Self::Elsewhere;
            }
            if !word.starts_with('-') || word == "-" {
                positionals.push(word);
            } else if let Some(arg) = awaiting(command, word)
                && words.next().is_none()
            {
                return Self::Value(arg);
            }
        }
        Self::Next(positionals)
    }
}

/// The option in `word` whose value is the next word.
fn awaiting<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let takes = |arg: &&Arg| arg.get_action().takes_values();
    if let Some(long) = word.strip_prefix("--") {
        return command.get_arguments().find(|arg| arg.get_long() == Some(long)).filter(takes);
    }
    // Of joined short flags the first with a value takes the rest of the word.
    let shorts = word.get(1..)?;
    for (at, short) in shorts.char_indices() {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(short))?;
        if takes(&arg) {
            return (at + short.len_utf8() == shorts.len()).then_some(arg);
        }
    }
    None
}

fn options(command: &Command, current: &str) -> Vec<Candidate> {
    if let Some((name, value)) = current.strip_prefix("--").and_then(|word| word.split_once('=')) {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        let head = &current[..current.len() - value.len()];
        return arg.map(|arg| values(arg, head, current)).unwrap_or_default();
    }
    let shown = command.get_arguments().filter(|arg| !arg.is_positional() && is_shown(arg));
    let names = shown.flat_map(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        long.into_iter().chain(short).map(move |word| candidate(word, &help))
    });
    names.collect()
}

/// Hidden arguments are not for people; pairs are hidden because the usage line shows them.
fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set()
}

fn values(arg: &Arg, head: &str, _current: &str) -> Vec<Candidate> {
    let shown = |value: &PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        candidate(format!("{head}{}", value.get_name()), &help)
    };
    arg.get_possible_values().iter().map(shown).collect()
}

fn subcommands(root: &Command) -> Vec<Candidate> {
    let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
    let about = |command: &Command| command.get_about().map(ToString::to_string);
    shown.map(|one| candidate(one.get_name(), &about(one).unwrap_or_default())).collect()
}

/// By what the definitions call the value.
fn positional(command: &Command, before: &[&str], line: &Line, known: &Known) -> Vec<Candidate> {
    let arguments: Vec<_> = command.get_positionals().filter(|arg| !arg.is_last_set()).collect();
    let Some(arg) = arguments.get(before.len()).or(arguments.last()) else { return Vec::new() };
    let name =
        arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match name {
        "TRIGGER SYSTEM:EVENT" if before.len() % 2 == 1 => events(&line.current, known),
        "TRIGGER SYSTEM:EVENT" | "TRIGGER" => {
            let event = line.after.iter().find_map(|word| known.format(word));
            complete::trigger(&line.current, event.as_ref())
        }
        "SYSTEM:EVENT" | "GLOB" => events(&line.current, known),
        _ => values(arg, "", &line.current),
    }
}

/// Systems first; the events of one once it is clear which.
fn events(current: &str, known: &Known) -> Vec<Candidate> {
    let mut events = known.events();
    let separator = if current.contains('/') { '/' } else { ':' };
    let written = |event: &EventName| format!("{}{separator}{}", event.system, event.name);
    events.retain(|event| written(event).starts_with(current));
    let mut systems: Vec<_> = events.iter().map(|event| event.system.clone()).collect();
    systems.dedup();
    if current.contains(separator) || systems.len() == 1 {
        return events.iter().map(|event| candidate(written(event), "")).collect();
    }
    let open = |system: String| Candidate {
        word: format!("{system}:"),
        help: String::new(),
        closed: false,
    };
    systems.into_iter().map(open).collect()
}

fn candidate(word: impl Into<String>, help: &str) -> Candidate {
    // One line: tabs and line ends part the columns and lines that shells read.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    Candidate { word: word.into(), help, closed: true }
}
