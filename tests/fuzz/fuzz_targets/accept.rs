//! Takes any text as an Accept header. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::accept(text));
