//! Takes nothing. Gives the names and byte layouts that the eBPF templates (hist-ebpf) and user
//! space (hist-cli) must agree on, so that neither repeats a number of the other.
#![no_std]

pub mod holes;
pub mod layout;
