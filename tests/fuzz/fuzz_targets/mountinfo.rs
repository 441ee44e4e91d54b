//! Takes any text as a list of mounts. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::mountinfo(text));
