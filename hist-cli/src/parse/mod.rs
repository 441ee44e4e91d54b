//! Takes the text of a trigger. Gives a [`ast::Trigger`]: the same, in parts that keep the user's
//! spelling and their places. No name is looked up here.

pub mod ast;
