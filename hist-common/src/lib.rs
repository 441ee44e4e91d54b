//! The names and byte layouts that the eBPF programs (hist-ebpf) and user space (hist-cli) must
//! agree on, so that neither repeats a number of the other.
#![no_std]

pub mod focus;
pub mod holes;
pub mod layout;
pub mod sentinel;

/// `left == right`, which `str` cannot do in a constant.
pub const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut i = 0;
    while i < left.len() && i < right.len() && left[i] == right[i] {
        i += 1;
    }
    i == left.len() && i == right.len()
}
