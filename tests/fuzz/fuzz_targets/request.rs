//! Takes any bytes as what comes over a connection. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hist_tests::fuzz::request(bytes));
