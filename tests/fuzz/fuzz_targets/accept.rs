//! Fuzzes the reader of `Accept` headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::accept(text));
