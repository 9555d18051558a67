//! libFuzzer drives the target `records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_targets::run("records", bytes));
