//! Fuzzes the reader of the kernel's list of symbols.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::kallsyms(text));
