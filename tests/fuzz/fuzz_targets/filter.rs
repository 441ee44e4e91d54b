//! Takes any text as a filter. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| hist_tests::fuzz::filter(text));
