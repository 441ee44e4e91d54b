//! Takes the kernel's tracing files. Gives what they say as plain values.

pub mod format;
