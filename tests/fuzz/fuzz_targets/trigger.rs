//! Fuzzes all that compiles a trigger.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| hist_tests::fuzz::trigger(text));
