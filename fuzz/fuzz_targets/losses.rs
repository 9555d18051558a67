//! libFuzzer drives the target `losses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("losses", bytes));
