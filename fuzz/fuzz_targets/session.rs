//! libFuzzer drives the target `session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("session", bytes));
