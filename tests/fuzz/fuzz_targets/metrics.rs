//! Fuzzes the reader of files of metrics.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::metrics(text));
