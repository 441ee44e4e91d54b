//! Fuzzes the reader of lists of mounts.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::mountinfo(text));
