//! Connects shells with the completion: prints the script that makes a shell ask, and answers when
//! it asks.
//!
//! The scripts hold no names of options: they ask this program with every press of Tab, since what
//! is worth completing is the kernel's events and their fields.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{CommandLine, CompleteArgs, CompletionsArgs, Shell};
use super::candidates::{Known, candidates};
use super::output::Output;
use crate::discover::complete::Candidate;
use crate::discover::line::Line;

/// Prints a shell's script.
///
/// # Errors
/// If it cannot be written.
pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let script = match args.shell {
        Shell::Bash => include_str!("completions/hist-bpf.bash"),
        Shell::Zsh => include_str!("completions/hist-bpf.zsh"),
        Shell::Fish => include_str!("completions/hist-bpf.fish"),
    };
    Output::open(None)?.write(script.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints candidates, one a line, in the form that the shell's script reads. Nothing at all if
/// files may come.
///
/// # Errors
/// If they cannot be written.
pub(super) fn complete(args: &CompleteArgs) -> anyhow::Result<ExitCode> {
    let words: Vec<_> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (line, replaced) = match (args.shell, &words[..]) {
        (Shell::Bash, [before, behind, replaced]) => {
            (Line::of_text(before, behind), Some(replaced.as_str()))
        }
        (Shell::Bash, _) | (_, []) => return Ok(ExitCode::FAILURE),
        (_, [index, words @ ..]) => match index.parse() {
            Ok(index) => (Line::of_words(index, words), None),
            Err(_) => return Ok(ExitCode::FAILURE),
        },
    };
    let mut command = CommandLine::command();
    command.build();
    let found = candidates(&line, &command, &Known::of_this_kernel());
    let text = match args.shell {
        Shell::Bash => for_bash(&found, &line.current, replaced.unwrap_or_default()),
        Shell::Zsh => lines(&found, |one, text| {
            let blank = if one.closed { "closed" } else { "open" };
            writeln!(text, "{blank}\t{}\t{}", one.word, one.help)
        }),
        Shell::Fish => lines(&found, |one, text| writeln!(text, "{}\t{}", one.word, one.help)),
    };
    Output::open(None)?.write(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn lines(
    found: &[Candidate],
    write: impl Fn(&Candidate, &mut String) -> std::fmt::Result,
) -> String {
    let mut text = String::new();
    for candidate in found {
        // Writing to a String cannot fail.
        let _ = write(candidate, &mut text);
    }
    text
}

/// bash replaces only what follows the last `:` or `=` of a word without quotes, so that much must
/// be left out.
fn for_bash(found: &[Candidate], current: &str, replaced: &str) -> String {
    let replaced = crate::discover::line::unquoted(replaced);
    let kept = current.strip_suffix(replaced.as_str()).unwrap_or_default();
    lines(found, |one, text| {
        let word = one.word.strip_prefix(kept).unwrap_or(&one.word);
        writeln!(text, "{word}{}", if one.closed { " " } else { "" })
    })
}
