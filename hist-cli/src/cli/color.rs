//! Decides by the command line and the environment whether messages have colours: only where they
//! are read on a terminal. Tables never have any.

use std::ffi::OsString;
use std::io;

use anstyle::{AnsiColor, Style};
use clap::{ColorChoice, ValueEnum as _};

use super::output;

/// What is wrong, and where.
const WRONG: Style = AnsiColor::Red.on_default().bold();
/// The way out.
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// The `--color` among the words. It is looked for before they are parsed, for what is wrong with
/// them is a message, too. Words behind `--` are not ours.
pub(super) fn wanted(words: &[OsString]) -> ColorChoice {
    let mut words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(value) => value.strip_prefix('='),
            None => None,
        };
        let value = value.and_then(|value| ColorChoice::from_str(value, false).ok());
        choice = value.unwrap_or(choice);
    }
    choice
}

/// What [`say`] and clap's messages keep to from now on. With `auto`, the environment decides
/// (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM`), then whether stderr is a terminal.
pub(super) fn set(choice: ColorChoice) {
    let choice = match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// What was [set].
pub(super) fn get() -> ColorChoice {
    match anstream::ColorChoice::global() {
        anstream::ColorChoice::Auto => ColorChoice::Auto,
        anstream::ColorChoice::Never => ColorChoice::Never,
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => ColorChoice::Always,
    }
}

/// Writes an error to stderr, as [`output::say`] does.
pub(super) fn say(text: &str) {
    match anstream::AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => output::say(text),
        _ => output::say_as_it_is(&painted(&output::clean(text))),
    }
}

/// `error:`, carets and `help:` in colour; the rest as it is.
fn painted(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let content = line.trim_start();
        let blanks = &line[..line.len() - content.len()];
        if !content.is_empty() && content.bytes().all(|byte| byte == b'^') {
            format!("{blanks}{WRONG}{content}{WRONG:#}")
        } else if let Some(rest) = line.strip_prefix("error:") {
            format!("{WRONG}error:{WRONG:#}{rest}")
        } else if let Some(rest) = line.strip_prefix("  help:") {
            format!("  {HELP}help:{HELP:#}{rest}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_choice_counts() {
        let wanted = |words: &[&str]| wanted(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(wanted(&["h", "x"]), ColorChoice::Auto);
        assert_eq!(wanted(&["h", "--color", "never", "x"]), ColorChoice::Never);
        assert_eq!(wanted(&["h", "--color=never", "--color=always"]), ColorChoice::Always);
        assert_eq!(wanted(&["h", "--color=nonsense"]), ColorChoice::Auto);
        assert_eq!(wanted(&["h", "--", "ls", "--color=always"]), ColorChoice::Auto);
    }

    #[test]
    fn places_and_ways_out_are_painted() {
        let plain = "error: Couldn't find field\n  hist:keys=x\n            ^\n  help: say y\nrest";
        let painted = painted(plain);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), plain);
        assert_eq!(painted.matches("\u{1b}[0m").count(), 3, "{painted:?}");
        assert!(painted.contains("\n  hist:keys=x\n            \u{1b}["), "{painted:?}");
    }
}
