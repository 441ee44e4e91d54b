//! Fuzzes the readers of a process's status and of lists of CPUs.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| hist_tests::fuzz::status(text));
