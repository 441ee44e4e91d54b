//! Fuzzes the HTTP server with what comes over a connection.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hist_tests::fuzz::request(bytes));
