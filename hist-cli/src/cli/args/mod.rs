//! Defines the command line, flag by flag, and parses it into a [`CommandLine`] that says what was
//! written.
//!
//! If the first word is the name of a subcommand, that is meant. Everything else counts: a trigger
//! begins with `hist:` or `!hist:`, so no pair can be taken for a subcommand.

mod completions;
mod count;
mod explain;
mod focus;
mod list;
mod merge;
mod serve;
mod value;

use clap::{ColorChoice, Parser, Subcommand};

pub(super) use completions::{CompleteArgs, CompletionsArgs};
pub(super) use count::Args;
pub(super) use explain::ExplainArgs;
pub(super) use focus::FocusArgs;
pub(super) use list::ListArgs;
pub(super) use merge::MergeArgs;
pub(super) use serve::ServeArgs;
pub(super) use value::{Shell, Stage};

/// Count trace events with ftrace's hist triggers, compiled to eBPF.
#[derive(Debug, Parser)]
#[command(
    name = "hist-bpf",
    version,
    max_term_width = 100,
    override_usage = "hist-bpf [OPTIONS] (<TRIGGER> <SYSTEM:EVENT>)... [-- COMMAND [ARG]...]\n       hist-bpf <SUBCOMMAND> [OPTIONS] ...",
    subcommand_help_heading = "Subcommands",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "Example: hist-bpf 'hist:keys=call_site.sym:vals=bytes_req' kmem:kmalloc   (more: --help)",
    arg_required_else_help = true,
    after_long_help = "TRIGGER is what ftrace takes (Documentation/trace/histogram.rst of Linux):\n\
                       hist:keys=FIELD[.MODIFIER][,...][:vals=FIELD,...][:sort=NAME[.descending]][:size=N][ if FILTER]\n\
                       'hist-bpf list -v EVENT' shows fields, the modifiers that suit them, and triggers to try.\n\n\
                       Example: hist-bpf 'hist:keys=call_site.sym:vals=bytes_req:sort=bytes_req' kmem:kmalloc\n\n\
                       Tables go to stdout, everything else to stderr. SIGUSR1 prints a table now;\n\
                       Ctrl-C, SIGTERM and SIGHUP print the final one, a second one does not wait for it. COMMAND is counted from its exec on,\n\
                       with all that it forks, until none of them is left; with -p it only says how long.\n\n\
                       Exit codes: 0 done, 1 error, 2 usage, 3 lost events with --fail-on-loss, 130 after\n\
                       a second signal. With COMMAND: its own, unless that is 0 and events were lost;\n\
                       126 not executable, 127 not found."
)]
pub(super) struct CommandLine {
    /// None: count.
    #[command(subcommand)]
    pub task: Option<Task>,

    #[command(flatten)]
    pub args: Args,

    /// Colours in messages: auto, always or never; auto minds NO_COLOR
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", global = true)]
    #[arg(hide_short_help = true, hide_possible_values = true)]
    pub color: ColorChoice,
}

/// Everything that can be done besides counting. Each has its own flags, in a file here.
#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// List the events of this kernel, and what their fields are good for
    List(ListArgs),
    /// Say in plain words what a trigger would count, and what that costs
    Explain(ExplainArgs),
    /// Add up snapshots of several machines or times
    Merge(MergeArgs),
    /// Expose what triggers count as metrics for Prometheus
    Serve(ServeArgs),
    /// Print the script that completes words in a shell
    Completions(CompletionsArgs),
    /// What the scripts ask.
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradictions() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_first_word_alone_names_a_subcommand() {
        let parse = |words: &[&str]| CommandLine::try_parse_from([&["hist-bpf"], words].concat());
        let line = parse(&["merge", "a.json"]).expect("a subcommand");
        assert!(matches!(line.task, Some(Task::Merge(_))));
        for words in [
            &["hist:keys=a", "merge"][..],
            &["-q", "hist:keys=a", "merge"],
            &["hist:keys=a", "a:b", "--", "merge"],
            &["!hist:keys=a", "a:b", "merge", "merge"],
        ] {
            let line = parse(words).expect("pairs");
            assert!(line.task.is_none(), "{words:?}");
        }
    }
}
