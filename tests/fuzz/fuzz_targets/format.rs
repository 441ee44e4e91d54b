//! Takes any text as a format file. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::format(text));
