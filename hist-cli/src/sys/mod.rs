//! The system calls that no library offers as they are needed here, and all of the unsafe code that they
//! take: bpf(2), perf events, memory that is shared with the kernel, the rights of the process.

pub mod bpf;
pub mod gate;
pub mod mmap;
pub mod perf;
pub mod rights;
pub mod signal;
pub mod walk;
