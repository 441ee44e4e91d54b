//! Fuzzes the reader of JSON documents.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| hist_tests::fuzz::document(text));
