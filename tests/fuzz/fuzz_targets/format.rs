//! Fuzzes the reader of events' `format` files.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::format(text));
