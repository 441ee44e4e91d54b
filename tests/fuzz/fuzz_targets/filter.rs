//! Fuzzes the parser and the resolver of filters.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| hist_tests::fuzz::filter(text));
