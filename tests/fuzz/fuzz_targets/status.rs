//! Takes any text as a process's status, and as a list of CPUs. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::status(text));
