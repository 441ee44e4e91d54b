//! Where the fields of an event come from when a program reads them.

pub mod arguments;
