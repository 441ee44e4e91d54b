//! Takes the kernel's tracing files. Gives what they say as plain values.

pub mod error;
pub mod format;
pub mod lockdown;
pub mod mount;
pub mod symbols;
pub mod syscalls;
