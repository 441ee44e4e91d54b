//! Answers what people ask before they count: which events there are, what their fields are good
//! for, what a trigger would count, and what a shell may complete.

pub mod complete;
pub mod examples;
pub mod explain;
mod glob;
pub mod line;
pub mod list;
pub mod suits;
mod words;

pub use glob::Glob;
