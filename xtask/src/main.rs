//! Takes a subcommand. Gives its module the word.

fn main() {}
