//! Takes the command line. Gives an exit code.

fn main() {}
