//! Takes any text as the kernel's list of symbols. Gives a crash if something is wrong with that.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::kallsyms(text));
