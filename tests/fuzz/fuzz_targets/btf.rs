//! Fuzzes the reader of the kernel's types.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hist_tests::fuzz::btf(bytes));
