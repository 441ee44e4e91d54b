//! The words of `hist-bpf completions`, and of what its scripts ask.

use std::ffi::OsString;

use super::value::Shell;

/// The words of `hist-bpf completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "bash: hist-bpf completions bash > /usr/share/bash-completion/completions/hist-bpf\n\
                        zsh:  hist-bpf completions zsh > /usr/share/zsh/vendor-completions/_hist-bpf\n\
                        fish: hist-bpf completions fish > ~/.config/fish/completions/hist-bpf.fish"
)]
pub(in crate::cli) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// The words of `hist-bpf __complete`, which the scripts call.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompleteArgs {
    /// Which one asks
    #[arg(value_enum)]
    pub shell: Shell,

    /// bash: the line before the cursor, the line behind it, and the part to be replaced. Others:
    /// the number of the current word, and all words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}
